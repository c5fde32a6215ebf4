"""Bank accounts: the operator's own, and those of whom it pays; who is who by IBAN and BIC.

The operator's own account has a ledger account ``bank:<id>``, which says what the bank's statements
say, and terms: by which adapter its files go, in which shape, and until when on which days. Another
account is an address of a payout, and like one it is usable after a delay, and never changes.

IBANs and BICs are checked by ``schwifty`` (ISO 13616 and ISO 9362, with each country's own rules).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sakk.core import money
from sakk.core.country import is_country
from sakk.core.errors import ParameterInvalid
from sakk.core.webhook import check_url

PREFIX: Final = "ba"
HOLDER_LENGTH_MAX: Final = 140
NUMBER_LENGTH_MAX: Final = 34
# Of days in a row that are no business days, more than any calendar has.
SEARCH_DAYS_MAX: Final = 60
# How currencies count their smallest unit where it is not the hundredth part (ISO 4217).
_MINOR_UNITS: Final = {
    **dict.fromkeys(
        ("bif", "clp", "djf", "gnf", "isk", "jpy", "kmf", "krw", "pyg", "rwf", "ugx", "vnd"), 0
    ),
    **dict.fromkeys(("vuv", "xaf", "xof", "xpf"), 0),
    **dict.fromkeys(("bhd", "iqd", "jod", "kwd", "lyd", "omr", "tnd"), 3),
    **dict.fromkeys(("clf", "uyw"), 4),
}
_LOCAL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 /-]{0,33}")
_CUTOFF: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_SFTP: Final = re.compile(
    r"sftp://[A-Za-z0-9._%-]{1,64}@([A-Za-z0-9.-]{1,253}|\[[0-9a-f:]{2,45}\])(:[0-9]{1,5})?"
    r"(/[A-Za-z0-9._/-]{0,200})?"
)
_HOST_KEY: Final = re.compile(
    r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/=]{40,1500}( .{0,100})?"
)
_FOLDER: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


# EPC409-09: joined since October 2025, Serbia since May 2026.
_SEPA_LATELY: Final = frozenset({"AL", "MD", "ME", "MK", "RS"})


# Those that there is a connector to; the sandbox's has no real money.
PROVIDERS: Final = ("sandbox", "wise")
# Where each one's interface is; another one is its test environment's.
PROVIDER_ADDRESSES: Final = {"wise": "https://api.wise.com"}
_PROVIDER_ACCOUNT: Final = re.compile(r"[1-9][0-9]{0,17}")


class BankRole(StrEnum):
    """Whose account it is: the operator's, or somebody's who is paid."""

    own = "own"
    payee = "payee"


class Adapter(StrEnum):
    """How files go to a bank and come from it; ``sandbox`` is the sandbox's own bank, and by
    ``provider`` no files go: a licensed provider carries payouts out, one by one."""

    folder = "folder"
    sftp = "sftp"
    http = "http"
    provider = "provider"
    sandbox = "sandbox"


class Profile(StrEnum):
    """Which rules orders follow: the European Payments Council's, or the plain standard's."""

    sepa = "sepa"
    generic = "generic"


class OrderFormat(StrEnum):
    """The version of the customer credit transfer initiation (ISO 20022)."""

    v03 = "pain.001.001.03"
    v09 = "pain.001.001.09"


class StatementFormat(StrEnum):
    """In which format the sandbox's bank leaves its statements; others leave what they have."""

    camt053 = "camt.053"
    mt940 = "mt940"


# What a provider may take where nobody said otherwise: 5 %, and 5.00 of a small payout.
FEE_PPM_MAX: Final = 50_000
FEE_FLOOR: Final = 500
FEE_FLOOR_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class BankTerms:
    """How the operator's own account is worked with.

    ``folder``: the name of where the bank's files go and come, by ``adapter``. Orders that are made
    before ``cutoff`` (local time in ``timezone``) of a business day of ``calendar`` are executed on
    it, others on the next one; a file is made every ``batch_minutes``, and at the cut-off.

    ``address``, ``trust``: where the bank's server is, and by what it is known: its host key as
    OpenSSH writes it, or (PEM) its certificate authority where that is none of the public ones.
    ``key_number``: which of our keys it knows. ``provider``: which one carries payouts out,
    ``provider_account``: by what it knows our account there (Wise: the number of the profile). For
    one payout it may take ``fee_ppm_max`` millionths of the amount, and ``fee_floor`` (in the
    currency's smallest unit) of any amount: a dearer quote is not locked.
    """

    folder: str
    adapter: Adapter = Adapter.folder
    profile: Profile = Profile.sepa
    format: OrderFormat = OrderFormat.v09
    calendar: str | None = "ECB"
    cutoff: str = "16:00"
    timezone: str = "Europe/Berlin"
    batch_minutes: int = 0
    address: str | None = None
    trust: str | None = None
    key_number: int = 1
    statements: StatementFormat = StatementFormat.camt053
    provider: str | None = None
    provider_account: str | None = None
    fee_ppm_max: int = FEE_PPM_MAX
    fee_floor: int = FEE_FLOOR

    def fee_limit(self, units: int) -> int:
        """What a provider may take for a payout of so much."""
        return max(units * self.fee_ppm_max // 1_000_000, self.fee_floor)

    def document(self) -> dict[str, Any]:
        """The terms as they are stored and shown."""
        return {
            "folder": self.folder,
            "adapter": self.adapter.value,
            "profile": self.profile.value,
            "format": self.format.value,
            "calendar": self.calendar,
            "cutoff": self.cutoff,
            "timezone": self.timezone,
            "batch_minutes": self.batch_minutes,
            "address": self.address,
            "trust": self.trust,
            "key_number": self.key_number,
            "statements": self.statements.value,
            "provider": self.provider,
            "provider_account": self.provider_account,
            "fee_ppm_max": self.fee_ppm_max,
            "fee_floor": self.fee_floor,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BankAccount:
    """One account at a bank. ``account_id`` None: the operator's.

    Either ``iban``, or ``number`` and ``bank_code`` as its country has them. ``opening_units``:
    what stood there before the first statement that is read. ``secret``: by which a bank's own
    interface knows us, sealed. ``approved_at``: when a second person approved one of the operator's
    own, which is not used before.
    """

    id: str
    account_id: str | None
    livemode: bool
    role: str
    holder: str
    country: str
    currency: str
    decimals: int
    iban: str | None = None
    bic: str | None = None
    number: str | None = None
    bank_code: str | None = None
    usable_at: datetime
    terms: dict[str, Any] | None = None
    secret: bytes | None = field(default=None, repr=False)
    opening_units: int = 0
    description: str | None = None
    metadata: dict[str, str]
    deleted: bool = False
    approved_at: datetime | None = None
    created: datetime


@dataclass(frozen=True, slots=True)
class Place:
    """Where an account is, checked: see `BankAccount`."""

    country: str
    iban: str | None
    bic: str | None
    number: str | None
    bank_code: str | None


def minor_units(currency: str) -> int:
    """How many decimals a currency of ISO 4217 has."""
    return _MINOR_UNITS.get(currency, 2)


def check_currency(currency: str, decimals: int) -> None:
    """ParameterInvalid where a currency is counted otherwise here than at banks."""
    if decimals != minor_units(currency):
        raise ParameterInvalid(
            "{currency} has {wanted} decimals at banks (ISO 4217), and {decimals} here: no file can"
            " say its amounts.",
            param="currency",
            currency=currency,
            wanted=minor_units(currency),
            decimals=decimals,
        )


def parse_iban(text: str, *, param: str = "iban") -> str:
    """An IBAN without spaces, its check digits and its country's structure proved."""
    # Imported where an account is written: it brings the registry of all banks.
    from schwifty import IBAN
    from schwifty.exceptions import SchwiftyException

    try:
        return str(IBAN(text).compact)
    except SchwiftyException as error:
        raise ParameterInvalid(
            "This is no IBAN ({error}). Copy it from the holder's own papers.",
            param=param,
            error=str(error)[:100],
        ) from None


def parse_bic(text: str, *, param: str = "bic") -> str:
    """A BIC of 8 or 11 characters."""
    from schwifty import BIC
    from schwifty.exceptions import SchwiftyException

    try:
        return str(BIC(text).compact)
    except SchwiftyException as error:
        raise ParameterInvalid(
            "This is no BIC ({error}). It has 8 or 11 characters, such as COBADEFFXXX.",
            param=param,
            error=str(error)[:100],
        ) from None


def is_iban(text: str) -> bool:
    """Is a text an IBAN by its country's structure and its check digits?"""
    from schwifty import IBAN
    from schwifty.exceptions import SchwiftyException

    try:
        IBAN(text)
    except SchwiftyException:
        return False
    return True


def is_sepa(iban: str) -> bool:
    """Is an account in a country of the Single Euro Payments Area?

    By the registry of IBANs, and the European Payments Council's list where that is ahead of it.
    """
    from schwifty import IBAN

    return iban[:2] in _SEPA_LATELY or bool(IBAN(iban).in_sepa_zone)


def bic_of(iban: str) -> str | None:
    """The BIC of an IBAN's bank, where the registry knows it."""
    from schwifty import IBAN

    bic = IBAN(iban).bic
    return None if bic is None else str(bic.compact)


def read_place(
    *,
    iban: str | None,
    bic: str | None,
    country: str | None,
    number: str | None,
    bank_code: str | None,
) -> Place:
    """An account as people write it; ParameterInvalid names what is wrong or missing."""
    checked_bic = None if bic is None else parse_bic(bic)
    if iban is not None:
        if number is not None or bank_code is not None:
            raise ParameterInvalid(
                "Give an IBAN, or number and bank_code, not both.", param="number"
            )
        checked = parse_iban(iban)
        if country is not None and country != checked[:2]:
            raise ParameterInvalid(
                "The IBAN is of {found}: leave country out.", param="country", found=checked[:2]
            )
        return Place(checked[:2], checked, checked_bic or bic_of(checked), None, None)
    if number is None:
        raise ParameterInvalid("Give an IBAN, or a number with its country.", param="iban")
    if country is None or not is_country(country):
        raise ParameterInvalid(
            "Give the account's country as two capital letters (ISO 3166-1).", param="country"
        )
    if checked_bic is None and bank_code is None:
        raise ParameterInvalid("Give the bank's bic, or its bank_code.", param="bank_code")
    for name, value in (("number", number), ("bank_code", bank_code)):
        if value is not None and _LOCAL.fullmatch(value) is None:
            raise ParameterInvalid(
                "{name} has 1 to {most} letters, digits, spaces, hyphens and slashes.",
                param=name,
                name=name,
                most=NUMBER_LENGTH_MAX,
            )
    return Place(country, None, checked_bic, number, bank_code)


def read_terms(document: Mapping[str, Any]) -> BankTerms:
    """The terms in a stored document."""
    return BankTerms(
        **{
            **document,
            "adapter": Adapter(document["adapter"]),
            "profile": Profile(document["profile"]),
            "format": OrderFormat(document["format"]),
            "statements": StatementFormat(document.get("statements", "camt.053")),
        }
    )


def check_terms(terms: BankTerms, place: Place, currency: str, *, livemode: bool) -> None:
    """ParameterInvalid for terms that can not be followed."""
    if _FOLDER.fullmatch(terms.folder) is None:
        raise ParameterInvalid(
            "A folder's name is of small letters, digits and hyphens.", param="folder"
        )
    if livemode and terms.adapter is Adapter.sandbox:
        raise ParameterInvalid("The sandbox's bank has no real money.", param="adapter")
    check_server(terms, livemode=livemode)
    try:
        ZoneInfo(terms.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ParameterInvalid(
            "There is no time zone {zone}: use a name such as Europe/Berlin.",
            param="timezone",
            zone=repr(terms.timezone),
        ) from None
    # Two digits each: times are compared as they are written.
    if _CUTOFF.fullmatch(terms.cutoff) is None:
        raise ParameterInvalid("A cut-off is a time such as 16:00.", param="cutoff")
    is_sepa_account = currency == "eur" and place.iban is not None and is_sepa(place.iban)
    if terms.profile is Profile.sepa and not is_sepa_account:
        raise ParameterInvalid(
            "SEPA orders are in eur and from an IBAN of a SEPA country: use the profile generic.",
            param="profile",
        )


def check_server(terms: BankTerms, *, livemode: bool) -> None:
    """ParameterInvalid for a bank's server that can not be gone to, or not be known for sure."""
    if (terms.provider is not None) is not (terms.adapter is Adapter.provider):
        raise ParameterInvalid("Name the provider with the adapter provider.", param="provider")
    for param, value, most in (
        ("fee_ppm_max", terms.fee_ppm_max, 1_000_000),
        ("fee_floor", terms.fee_floor, FEE_FLOOR_MAX),
    ):
        if not 0 <= value <= most:
            raise ParameterInvalid(
                "{field} is {least} to {most}.", param=param, field=param, least=0, most=most
            )
    match terms.adapter:
        case Adapter.provider:
            _check_provider(terms, livemode=livemode)
        case Adapter.folder | Adapter.sandbox:
            _check_no_server(terms)
        case Adapter.sftp:
            _check_sftp(terms)
        case Adapter.http:
            _check_http(terms, livemode=livemode)


def _check_provider(terms: BankTerms, *, livemode: bool) -> None:
    if terms.provider not in PROVIDERS or (livemode and terms.provider == "sandbox"):
        raise ParameterInvalid(
            "There is no connector to {provider}. There is one to wise, and in test mode to"
            " sandbox; another needs an adapter of rails/bank/provider.py.",
            param="provider",
            provider=repr(terms.provider),
        )
    if terms.provider == "sandbox":
        _check_no_server(terms)
        return
    if _PROVIDER_ACCOUNT.fullmatch(terms.provider_account or "") is None:
        raise ParameterInvalid(
            "Give the number by which the provider knows the account: at Wise the profile's.",
            param="provider_account",
        )
    address = provider_address(terms)
    _check_address(address, livemode=livemode)
    if not livemode and _host(address) == _host(PROVIDER_ADDRESSES.get(terms.provider, "")):
        raise ParameterInvalid(
            "Test money moves no real money: give the address of the provider's test environment"
            " (Wise: https://api.wise-sandbox.com).",
            param="address",
        )
    if terms.trust is not None and not terms.trust.startswith("-----BEGIN PUBLIC KEY-----"):
        raise ParameterInvalid(
            "Give the public key by which the provider signs its webhooks as PEM, or leave it out.",
            param="trust",
        )


def provider_address(terms: BankTerms) -> str:
    """Where a provider's interface is: what the terms say, or its own."""
    return terms.address or PROVIDER_ADDRESSES.get(terms.provider or "", "")


def _host(address: str) -> str | None:
    return urlsplit(address).hostname


def _check_no_server(terms: BankTerms) -> None:
    if terms.address is not None or terms.trust is not None:
        raise ParameterInvalid(
            "A folder has no address: leave it out, or use the adapter sftp or http.",
            param="address",
        )


def _check_sftp(terms: BankTerms) -> None:
    if _SFTP.fullmatch(terms.address or "") is None or not _has_port(terms.address or ""):
        raise ParameterInvalid(
            "Give the bank's server as sftp://user@host:port/folder, without a password.",
            param="address",
        )
    if _HOST_KEY.fullmatch(terms.trust or "") is None:
        raise ParameterInvalid(
            "Give the server's host key as OpenSSH writes it (ssh-ed25519 AAAA…), as the"
            " bank tells it.",
            param="trust",
        )


def _check_address(address: str, *, livemode: bool) -> None:
    try:
        check_url(address, allow_loopback=not livemode)
    except ParameterInvalid as refused:
        raise ParameterInvalid(
            "The bank's address {reason}.",
            param="address",
            reason=refused.values["reason"],
        ) from None


def _check_http(terms: BankTerms, *, livemode: bool) -> None:
    _check_address(terms.address or "", livemode=livemode)
    if terms.trust is not None and not terms.trust.startswith("-----BEGIN CERTIFICATE-----"):
        raise ParameterInvalid(
            "Give the bank's certificate authority as PEM, or leave it out.", param="trust"
        )


def _has_port(address: str) -> bool:
    """Can an address be taken apart, and is its port one, if it names any?"""
    try:
        return urlsplit(address).port != 0
    except ValueError:
        return False


def execution_date(
    terms: BankTerms, now: datetime, is_business_day: Callable[[date], bool]
) -> date:
    """On which business day orders that are made now are executed."""
    local = now.astimezone(ZoneInfo(terms.timezone))
    day = local.date()
    if f"{local:%H:%M}" >= terms.cutoff:
        day += timedelta(days=1)
    for _ in range(SEARCH_DAYS_MAX):
        if is_business_day(day):
            return day
        day += timedelta(days=1)
    raise ParameterInvalid("This calendar has no business day.", param="calendar")


def batch_due(terms: BankTerms, oldest: datetime, now: datetime) -> bool:
    """Is it time for a file, whose oldest order was approved then?"""
    if now >= oldest + timedelta(minutes=terms.batch_minutes):
        return True
    zone = ZoneInfo(terms.timezone)
    hour, minute = map(int, terms.cutoff.split(":"))
    local = now.astimezone(zone)
    cutoff = local.replace(hour=hour, minute=minute, second=0, microsecond=0).astimezone(UTC)
    # What was approved before the cut-off goes with its file, however young.
    return oldest < cutoff <= now + CUTOFF_AHEAD


# So long before the cut-off its file is made, so that the bank has it in time.
CUTOFF_AHEAD: Final = timedelta(minutes=5)


def check_usable(account: BankAccount, currency: str, *, now: datetime, param: str) -> None:
    """ParameterInvalid for an account that is not to be paid, in that currency, or yet."""
    if account.deleted or account.role != BankRole.payee:
        raise ParameterInvalid(
            "There is no bank account {id} to be paid. GET /v1/bank_accounts lists them.",
            param=param,
            id=account.id,
        )
    if account.currency != currency:
        raise ParameterInvalid(
            "{id} is an account in {held}: it is not paid in {currency}.",
            param=param,
            id=account.id,
            held=account.currency,
            currency=currency,
        )
    if now < account.usable_at:
        raise ParameterInvalid(
            "{id} is new and may be paid from {usable_at} on. Try again then, or ask the operator.",
            param=param,
            id=account.id,
            usable_at=f"{account.usable_at:%Y-%m-%dT%H:%M:%SZ}",
        )


def is_usable(account: BankAccount, *, now: datetime) -> bool:
    """Is it one that may be paid, or of the operator's own one that two people stand for?"""
    if account.role == BankRole.own:
        return account.approved_at is not None
    return now >= account.usable_at


def public(
    account: BankAccount,
    *,
    now: datetime,
    operator: bool,
    change: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The API's object ``bank_account``. How files go is the operator's to know, and what is
    proposed of it (``change``)."""
    is_own = account.role == BankRole.own
    if account.deleted and not is_own:
        return {"id": account.id, "object": "bank_account", "deleted": True}
    status = "active" if is_usable(account, now=now) else "waiting"
    return {
        "id": account.id,
        "object": "bank_account",
        "account": account.account_id,
        "bank_code": account.bank_code,
        "bic": account.bic,
        "change": change,
        "country": account.country,
        "created": int(account.created.timestamp()),
        "currency": account.currency,
        "description": account.description,
        "holder": account.holder,
        "iban": account.iban,
        "livemode": account.livemode,
        "metadata": account.metadata,
        "number": account.number,
        "opening": account.opening_units if operator and is_own else None,
        "opening_decimal": money.format_decimal(account.opening_units, account.decimals)
        if operator and is_own
        else None,
        "role": account.role,
        "status": "closed" if account.deleted else status,
        "terms": read_terms(account.terms).document() if operator and account.terms else None,
        "usable_at": int(account.usable_at.timestamp()),
    }
