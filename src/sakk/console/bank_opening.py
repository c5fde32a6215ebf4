"""Accounts at banks: opened, connected and closed at the console, as another person approves it."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from sakk.console.amount import ppm_of
from sakk.console.bank_account import PATH, again
from sakk.console.listing import options
from sakk.console.route import Screen
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core import bank_account as rules
from sakk.core import money
from sakk.core.bank_account import Adapter, BankTerms, OrderFormat, Profile, StatementFormat
from sakk.core.errors import ParameterInvalid
from sakk.core.network import CurrencyKind
from sakk.flow import bank_change as flow
from sakk.flow.bank_account import AccountRequest
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import bank_account as store
from sakk.store import network as networks

NEW: Final = f"{PATH}/new"
ADAPTERS: Final[Mapping[str, str]] = {
    Adapter.folder: mark("A folder on this server, which the bank's own tool keeps in step"),
    Adapter.sftp: mark("The bank's server, by SFTP"),
    Adapter.http: mark("The bank's interface, by HTTPS"),
    Adapter.provider: mark("A licensed provider, one order for each payout"),
    Adapter.sandbox: mark("The sandbox's bank, which answers by itself"),
}
PROFILES: Final[Mapping[str, str]] = {
    Profile.sepa: mark("SEPA: euro between IBANs"),
    Profile.generic: mark("Any currency, by IBAN or local number"),
}
Text = Annotated[str, Field(max_length=255)]
Server = Annotated[str, Field(max_length=500)]
Typed = Annotated[str, Field(max_length=30)]
Pem = Annotated[str, Field(max_length=20_000)]


class OpenForm(Form):
    """One of the operator's own accounts, and how it is worked with (`BankTerms`)."""

    holder: Text
    currency: Annotated[str, Field(max_length=20)]
    iban: Text | None = None
    bic: Text | None = None
    country: Annotated[str, Field(max_length=2)] | None = None
    number: Text | None = None
    bank_code: Text | None = None
    opening: Annotated[str, Field(max_length=40)] = "0"
    folder: Annotated[str, Field(max_length=40)]
    adapter: Literal["folder", "sftp", "http", "provider", "sandbox"]
    profile: Literal["sepa", "generic"] = "sepa"
    order_format: Literal["pain.001.001.03", "pain.001.001.09"] = "pain.001.001.09"
    calendar: Annotated[str, Field(max_length=20)] | None = None
    cutoff: Annotated[str, Field(max_length=5)] = "16:00"
    timezone: Annotated[str, Field(max_length=64)] = "Europe/Berlin"
    batch_minutes: Annotated[int, Field(ge=0, le=1_440)] = 0
    address: Server | None = None
    trust: Pem | None = None
    provider: Text | None = None
    provider_account: Text | None = None
    fee_percent: Typed | None = None
    fee_floor: Typed | None = None


class ConnectForm(Form):
    """What is to change of how the bank's server is gone to, and of what a provider may take; the
    rest stays. ``fee_percent`` of an amount, and ``fee_floor`` of any, as people write them."""

    address: Server | None = None
    trust: Pem | None = None
    secret: Pem | None = None
    new_key: Literal["true"] | None = None
    fee_percent: Typed | None = None
    fee_floor: Typed | None = None


def draft(visit: Visit) -> Page:
    """An empty form."""
    return _form(visit, None)


def draft_again(visit: Visit, rejected: Rejected) -> Page:
    """The form as it was sent, with what is wrong with it."""
    return _form(visit, rejected)


def open_account(visit: Visit, form: OpenForm) -> Redirect:
    """Write one of the operator's own accounts down; another person approves it."""
    identifier = visit.object_id(rules.PREFIX)
    opening = _units(visit, form.opening, form.currency, "opening")
    told = _fee(visit, form, form.currency)
    taken = {name: units for name, units in told.items() if units is not None}
    request = AccountRequest(
        **form.model_dump(
            include={"holder", "currency", "iban", "bic", "country", "number", "bank_code"}
        ),
        terms=BankTerms(
            folder=form.folder,
            adapter=Adapter(form.adapter),
            profile=Profile(form.profile),
            format=OrderFormat(form.order_format),
            calendar=form.calendar,
            cutoff=form.cutoff,
            timezone=form.timezone,
            batch_minutes=form.batch_minutes,
            address=form.address,
            trust=form.trust,
            statements=StatementFormat.camt053,
            provider=form.provider,
            provider_account=form.provider_account,
            **taken,
        ),
        opening_units=opening,
    )
    with visit.database.begin() as connection:
        if store.find(connection, identifier, account_id=None, livemode=visit.livemode) is None:
            flow.open_account(
                connection,
                request,
                identifier=identifier,
                actor=visit.actor,
                livemode=visit.livemode,
                now=visit.now,
            )
    return _back(identifier, visit.words.gettext("Written down: another person approves it."))


def connect(visit: Visit, bank_account: str, form: ConnectForm) -> Redirect:
    """Propose how the bank's server is gone to, and what a provider may take."""
    with visit.database.begin() as connection:
        found = store.find(connection, bank_account, account_id=None, livemode=visit.livemode)
        taken = {} if found is None else _fee(visit, form, found.currency)
        flow.connect(
            connection,
            bank_account,
            address=form.address,
            trust=form.trust,
            secret=form.secret,
            new_key=form.new_key is not None,
            **taken,
            actor=visit.actor,
            livemode=visit.livemode,
            vault=visit.parts.secrets_vault(),
            now=visit.now,
        )
    return _back(bank_account, visit.words.gettext("Proposed: another person approves it."))


def close(visit: Visit, bank_account: str) -> Redirect:
    """Propose that an account is used no more."""
    with visit.database.begin() as connection:
        flow.close(
            connection,
            bank_account,
            actor=visit.actor,
            livemode=visit.livemode,
            now=visit.now,
        )
    return _back(bank_account, visit.words.gettext("Proposed: another person approves it."))


def _fee(visit: Visit, form: OpenForm | ConnectForm, currency: str) -> dict[str, int | None]:
    """What a provider may take for a payout, where it is said."""
    share, floor = form.fee_percent, form.fee_floor
    return {
        "fee_ppm_max": None if share is None else ppm_of(share, param="fee_percent"),
        "fee_floor": None if floor is None else _units(visit, floor, currency, "fee_floor"),
    }


def _units(visit: Visit, text: str, currency: str, param: str) -> int:
    try:
        return money.parse_decimal(text, rules.minor_units(currency))
    except ValueError:
        raise ParameterInvalid(visit.words.gettext("This is no amount."), param=param) from None


def _back(bank_account: str, told: str) -> Redirect:
    return Redirect(f"{PATH}/{bank_account}", told)


def _form(visit: Visit, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        listed = networks.list_currencies(connection)
    fiat = [each.currency for each in listed if each.kind == CurrencyKind.fiat]
    adapters = {
        name: word
        for name, word in ADAPTERS.items()
        if not (visit.livemode and name == Adapter.sandbox)
    }
    providers = [each for each in rules.PROVIDERS if not (visit.livemode and each == "sandbox")]
    values: dict[str, Any] = {
        "currencies": [(each, each.upper()) for each in fiat],
        "adapters": options(visit, adapters),
        "profiles": options(visit, PROFILES),
        "formats": [(each.value, each.value) for each in (OrderFormat.v09, OrderFormat.v03)],
        "providers": [("", "–"), *((each, each) for each in providers)],
        "sent": {"adapter": "folder", "calendar": "ECB"} if rejected is None else rejected.values,
        "faults": {} if rejected is None else rejected.faults,
        "message": None if rejected is None else rejected.message,
    }
    return Page("console/bank_opening.html", values)


SCREENS: tuple[Screen, ...] = (
    Screen("GET", NEW, draft, "bank_accounts", "write", operator_only=True),
    Screen(
        "POST",
        NEW,
        open_account,
        "bank_accounts",
        step_up=True,
        operator_only=True,
        again=draft_again,
    ),
    *(
        Screen(
            "POST",
            f"{PATH}/{{bank_account}}/{name}",
            handler,
            "bank_accounts",
            step_up=True,
            operator_only=True,
            again=again,
        )
        for name, handler in (("connect", connect), ("close", close))
    ),
)
