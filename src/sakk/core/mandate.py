"""Mandates: what an agent may spend of an account's money in one currency, signed by its owner.

The owner signs the terms as typed data (EIP-712) that says in words what it allows. Terms never
change: other terms are another mandate, which names the one that it replaces. A limit that is not
given does not exist; the total and the end always do.

Amounts are whole numbers of the currency's smallest unit. A period is a window of so many seconds,
counted from the mandate's start, on no calendar.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from sakk.core import caip, money
from sakk.core.eip712 import Types
from sakk.core.errors import ParameterInvalid
from sakk.core.evm import checksum_address, parse_address

PREFIX: Final = "mnd"
DOMAIN_NAME: Final = "Sakk mandate"
DOMAIN_VERSION: Final = "1"
PERIODS_MAX: Final = 8
PAYEES_MAX: Final = 200
CATEGORIES_MAX: Final = 50
NETWORKS_MAX: Final = 50
SCHEMES_MAX: Final = 20
PERIOD_SECONDS_MIN: Final = 1
PERIOD_SECONDS_MAX: Final = 3_660 * 86_400
# Ten years: who wants more signs again.
LIFE_SECONDS_MAX: Final = 3_660 * 86_400
COUNT_MAX: Final = (1 << 63) - 1
SALT_DIGITS: Final = 64
# What stands for this Sakk's own ledger among networks.
HERE: Final = "sakk"

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_HOST = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?(:\d{1,5})?")
_ACCOUNT = re.compile(r"acct_[0-9a-z]{26}")
_SALT = re.compile(r"0x[0-9a-f]{64}")

TYPES: Final[Types] = {
    "EIP712Domain": [{"name": "name", "type": "string"}, {"name": "version", "type": "string"}],
    "Mandate": [
        {"name": "statement", "type": "string"},
        {"name": "account", "type": "string"},
        {"name": "mode", "type": "string"},
        {"name": "owner", "type": "address"},
        {"name": "agent", "type": "address"},
        {"name": "currency", "type": "string"},
        {"name": "decimals", "type": "uint8"},
        {"name": "total", "type": "uint128"},
        {"name": "count", "type": "uint64"},
        {"name": "callMin", "type": "uint128"},
        {"name": "callMax", "type": "uint128"},
        {"name": "payeeMax", "type": "uint128"},
        {"name": "approvalAbove", "type": "uint128"},
        {"name": "needsApproval", "type": "bool"},
        {"name": "mayPark", "type": "bool"},
        {"name": "periods", "type": "Period[]"},
        {"name": "payees", "type": "Payee[]"},
        {"name": "categories", "type": "Category[]"},
        {"name": "networks", "type": "string[]"},
        {"name": "schemes", "type": "string[]"},
        {"name": "startsAt", "type": "uint64"},
        {"name": "expiresAt", "type": "uint64"},
        {"name": "replaces", "type": "string"},
        {"name": "salt", "type": "bytes32"},
    ],
    "Period": [
        {"name": "seconds", "type": "uint64"},
        {"name": "amount", "type": "uint128"},
        {"name": "count", "type": "uint64"},
    ],
    "Payee": [
        {"name": "account", "type": "string"},
        {"name": "network", "type": "string"},
        {"name": "address", "type": "string"},
        {"name": "host", "type": "string"},
        {"name": "category", "type": "string"},
        {"name": "limit", "type": "uint128"},
    ],
    "Category": [{"name": "name", "type": "string"}, {"name": "limit", "type": "uint128"}],
}


class MandateStatus(StrEnum):
    """``active`` in the row; whether it has begun, or is over, is asked of the clock.

    ``revoking``: nothing is spent any more; the ledger and the channels are being told.
    """

    active = "active"
    revoking = "revoking"
    revoked = "revoked"


@dataclass(frozen=True, slots=True)
class Period:
    """At most ``amount``, and at most ``count`` payments, in each window of ``seconds``."""

    seconds: int
    amount: int | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PayeeRule:
    """Who may be paid: whoever agrees with everything that is named here.

    An account here, an address (on ``network``, or on any), a host (``*.example.com`` is whatever
    ends so). ``limit``: how much in all.
    """

    account: str | None = None
    network: str | None = None
    address: str | None = None
    host: str | None = None
    category: str | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class CategoryRule:
    """A group of payees, and how much they may be paid together."""

    name: str
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is signed. ``owner`` and ``agent`` are addresses in lower case; times are Unix seconds.

    ``count``: payments in all. ``payee_max``: to each payee that has no limit of its own.
    ``approval_above``: a payment of more waits for a person. ``may_park``: the agent may move idle
    balance into the pool and back. ``may_invoice``: it may ask others to pay the account. ``salt``
    makes two mandates of equal terms two.
    """

    account_id: str
    livemode: bool
    owner: str
    agent: str
    currency: str
    decimals: int
    total: int
    starts_at: int
    expires_at: int
    salt: str
    count: int | None = None
    call_min: int | None = None
    call_max: int | None = None
    payee_max: int | None = None
    approval_above: int | None = None
    may_park: bool = False
    may_invoice: bool = False
    periods: tuple[Period, ...] = ()
    payees: tuple[PayeeRule, ...] = ()
    categories: tuple[CategoryRule, ...] = ()
    networks: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()
    replaces: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mandate:
    """A row. ``signed`` is the typed data, byte for byte, that ``signature`` is over.

    ``revoked_by``: who revoked it, ``replaced`` when another mandate took its place.
    """

    id: str
    account_id: str
    livemode: bool
    owner_key: str
    agent: str
    currency: str
    terms: dict[str, Any]
    signed: bytes
    digest: bytes
    signature: bytes
    status: str
    replaces: str | None
    replaced_by: str | None
    revoked_at: datetime | None
    revoked_by: str | None
    description: str | None
    metadata: dict[str, str]
    starts_at: datetime
    expires_at: datetime
    created: datetime


def check_terms(terms: Terms) -> Terms:
    """The terms in their one canonical form; ParameterInvalid names what can not be meant."""
    for name, least in (("total", 1), ("count", 1), ("call_min", 1), ("call_max", 1),
                        ("payee_max", 1), ("approval_above", 0)):  # fmt: skip
        _check_number(getattr(terms, name), name, least=least)
    if terms.call_max is not None and terms.call_min is not None:
        _require(terms.call_min <= terms.call_max, "call_min", "call_min is at most call_max.")
    _require(
        terms.starts_at < terms.expires_at <= terms.starts_at + LIFE_SECONDS_MAX,
        "expires_at",
        f"A mandate ends after it starts, and within {LIFE_SECONDS_MAX // 86_400} days of that.",
    )
    _require(
        _SALT.fullmatch(terms.salt) is not None,
        "salt",
        f"salt is 0x and {SALT_DIGITS} lower-case hexadecimal digits.",
    )
    _check_periods(terms.periods)
    payees = tuple(_payee(each, index) for index, each in enumerate(terms.payees))
    _check_categories(terms)
    for index, network in enumerate(terms.networks):
        _check_network(network, f"networks[{index}]", here=True)
    for index, scheme in enumerate(terms.schemes):
        _require(
            _NAME.fullmatch(scheme) is not None,
            f"schemes[{index}]",
            "A scheme is named like 'exact', 'session' or 'transfer'.",
        )
    for name, items, most in (
        ("periods", terms.periods, PERIODS_MAX),
        ("payees", payees, PAYEES_MAX),
        ("categories", terms.categories, CATEGORIES_MAX),
        ("networks", terms.networks, NETWORKS_MAX),
        ("schemes", terms.schemes, SCHEMES_MAX),
    ):
        _check_list(name, items, most)
    return replace(
        terms,
        owner=_address(terms.owner, "owner"),
        agent=_address(terms.agent, "agent"),
        payees=payees,
    )


def document(terms: Terms) -> dict[str, Any]:
    """The terms as they are stored and shown: amounts as decimal text, what is not limited null."""
    written = asdict(terms)
    for name in ("total", "call_min", "call_max", "payee_max", "approval_above"):
        written[name] = _text(written[name])
    for period in written["periods"]:
        period["amount"] = _text(period["amount"])
    for rule in (*written["payees"], *written["categories"]):
        rule["limit"] = _text(rule["limit"])
    return _plain(written)


def read_document(written: Mapping[str, Any]) -> Terms:
    """Terms that ``document`` wrote."""
    values = dict(written)
    for name in ("total", "call_min", "call_max", "payee_max", "approval_above"):
        values[name] = _number(values[name])
    values["periods"] = tuple(
        Period(each["seconds"], _number(each["amount"]), each["count"])
        for each in written["periods"]
    )
    values["payees"] = tuple(
        PayeeRule(**{**each, "limit": _number(each["limit"])}) for each in written["payees"]
    )
    values["categories"] = tuple(
        CategoryRule(each["name"], _number(each["limit"])) for each in written["categories"]
    )
    values["networks"], values["schemes"] = tuple(written["networks"]), tuple(written["schemes"])
    return Terms(**values)


def typed_data(terms: Terms) -> dict[str, Any]:
    """What the owner signs: for ``eth_signTypedData_v4``. A limit of zero there is no limit.

    ``mayInvoice`` is there where it is true: what was signed before there was such a term is the
    same typed data still.
    """
    types = {name: list(fields) for name, fields in TYPES.items()}
    more: dict[str, Any] = {}
    if terms.may_invoice:
        types["Mandate"].append({"name": "mayInvoice", "type": "bool"})
        more["mayInvoice"] = True
    return {
        "types": types,
        "primaryType": "Mandate",
        "domain": {"name": DOMAIN_NAME, "version": DOMAIN_VERSION},
        "message": {
            "statement": statement(terms),
            "account": terms.account_id,
            "mode": "live" if terms.livemode else "test",
            "owner": checksum_address(terms.owner),
            "agent": checksum_address(terms.agent),
            "currency": terms.currency,
            "decimals": str(terms.decimals),
            "total": str(terms.total),
            "count": str(terms.count or 0),
            "callMin": str(terms.call_min or 0),
            "callMax": str(terms.call_max or 0),
            "payeeMax": str(terms.payee_max or 0),
            "approvalAbove": str(terms.approval_above or 0),
            "needsApproval": terms.approval_above is not None,
            "mayPark": terms.may_park,
            "periods": [
                {
                    "seconds": str(each.seconds),
                    "amount": str(each.amount or 0),
                    "count": str(each.count or 0),
                }
                for each in terms.periods
            ],
            "payees": [
                {
                    "account": each.account or "",
                    "network": each.network or "",
                    "address": each.address or "",
                    "host": each.host or "",
                    "category": each.category or "",
                    "limit": str(each.limit or 0),
                }
                for each in terms.payees
            ],
            "categories": [
                {"name": each.name, "limit": str(each.limit or 0)} for each in terms.categories
            ],
            "networks": list(terms.networks),
            "schemes": list(terms.schemes),
            "startsAt": str(terms.starts_at),
            "expiresAt": str(terms.expires_at),
            "replaces": terms.replaces or "",
            "salt": terms.salt,
            **more,
        },
    }


def statement(terms: Terms) -> str:
    """The terms in words, as the first field of what is signed; they follow from the others."""

    def shown(units: int) -> str:
        return f"{money.format_decimal(units, terms.decimals)} {terms.currency}"

    said = [
        f"The agent {checksum_address(terms.agent)} may spend {shown(terms.total)} of the money of "
        f"the Sakk account {terms.account_id}{'' if terms.livemode else ' in test mode'}, "
        f"from {_time(terms.starts_at)} until {_time(terms.expires_at)}."
    ]
    for each in terms.periods:
        limits = [] if each.amount is None else [shown(each.amount)]
        limits += [] if each.count is None else [f"{each.count} payments"]
        said.append(f"In every {each.seconds} seconds at most {' and '.join(limits)}.")
    if terms.count is not None:
        said.append(f"At most {terms.count} payments in all.")
    for limit, words in (
        (terms.call_max, "At most {} at a time."),
        (terms.call_min, "At least {} at a time."),
        (terms.payee_max, "At most {} to one payee."),
        (terms.approval_above, "A payment of more than {} waits for a person."),
    ):
        if limit is not None:
            said.append(words.format(shown(limit)))
    for rule in terms.categories:
        limit_said = "" if rule.limit is None else f", at most {shown(rule.limit)}"
        said.append(f"For {rule.name}{limit_said}.")
    said.append(_payees_said(terms, shown))
    if terms.networks:
        said.append(f"Only on {', '.join(terms.networks)}.")
    if terms.schemes:
        said.append(f"Only by {', '.join(terms.schemes)}.")
    if terms.may_park:
        said.append("It may move idle balance into the pool and back.")
    if terms.may_invoice:
        said.append("It may ask others to pay the account.")
    if terms.replaces is not None:
        said.append(f"This replaces {terms.replaces}.")
    return " ".join(said)


def public_terms(terms: Terms) -> dict[str, Any]:
    """The terms as the API shows and takes them: sent back unchanged they are the same terms."""
    shown = asdict(terms)
    for name in ("account_id", "livemode", "decimals"):
        del shown[name]
    shown["owner"], shown["agent"] = checksum_address(terms.owner), checksum_address(terms.agent)
    return _plain(shown)


def has_begun(terms: Terms, now: datetime) -> bool:
    return int(now.timestamp()) >= terms.starts_at


def is_over(terms: Terms, now: datetime) -> bool:
    return int(now.timestamp()) >= terms.expires_at


def public_mandate(mandate: Mandate, *, now: datetime) -> dict[str, Any]:
    """The API's object ``mandate``; what is left of its budgets is asked of the ledger."""
    terms = read_document(mandate.terms)
    return {
        "id": mandate.id,
        "object": "mandate",
        "account": mandate.account_id,
        "agent": checksum_address(mandate.agent),
        "owner": checksum_address(terms.owner),
        "owner_key": mandate.owner_key,
        "currency": mandate.currency,
        "terms": public_terms(terms),
        "statement": statement(terms),
        "typed_data": typed_data(terms),
        "digest": "0x" + bytes(mandate.digest).hex(),
        "signature": "0x" + bytes(mandate.signature).hex(),
        "status": _status(mandate, terms, now),
        "replaces": mandate.replaces,
        "replaced_by": mandate.replaced_by,
        "revoked_at": None if mandate.revoked_at is None else int(mandate.revoked_at.timestamp()),
        "starts_at": terms.starts_at,
        "expires_at": terms.expires_at,
        "description": mandate.description,
        "metadata": mandate.metadata,
        "created": int(mandate.created.timestamp()),
        "livemode": mandate.livemode,
    }


def _plain(written: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in written.items()
    }


def _status(mandate: Mandate, terms: Terms, now: datetime) -> str:
    if mandate.status != MandateStatus.active:
        return "revoked"
    if is_over(terms, now):
        return "expired"
    return "active" if has_begun(terms, now) else "waiting"


def _payees_said(terms: Terms, shown: Callable[[int], str]) -> str:
    if not terms.payees:
        return "To anybody."
    named = []
    for each in terms.payees:
        parts = [part for part in (each.account, each.host, each.address) if part is not None]
        network = "" if each.network is None else f" on {each.network}"
        category = "" if each.category is None else f" for {each.category}"
        limit = "" if each.limit is None else f" (at most {shown(each.limit)})"
        named.append(" at ".join(parts) + network + category + limit)
    return f"Only to {', '.join(named)}."


def _time(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _text(units: int | None) -> str | None:
    return None if units is None else str(units)


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def _require(holds: bool, param: str, message: str) -> None:
    if not holds:
        raise ParameterInvalid(message, param=param)


def _check_number(value: int | None, param: str, *, least: int) -> None:
    most = COUNT_MAX if param.endswith(("count", "count]")) else money.UNITS_MAX
    _require(
        value is None or least <= value <= most,
        param,
        f"{param} is a whole number from {least} to {most}; leave it out for no limit.",
    )


def _check_list(param: str, items: Sequence[Any], most: int) -> None:
    _require(len(items) <= most, param, f"There are at most {most} {param}.")
    seen: list[Any] = []
    for index, each in enumerate(items):
        _require(each not in seen, f"{param}[{index}]", f"{param}[{index}] stands there twice.")
        seen.append(each)


def _check_periods(periods: Sequence[Period]) -> None:
    for index, each in enumerate(periods):
        param = f"periods[{index}]"
        _require(
            PERIOD_SECONDS_MIN <= each.seconds <= PERIOD_SECONDS_MAX,
            f"{param}[seconds]",
            f"A period has {PERIOD_SECONDS_MIN} to {PERIOD_SECONDS_MAX} seconds.",
        )
        _require(
            each.amount is not None or each.count is not None,
            param,
            "A period limits the amount, the count of payments, or both.",
        )
        _check_number(each.amount, f"{param}[amount]", least=1)
        _check_number(each.count, f"{param}[count]", least=1)
        _require(
            sum(other.seconds == each.seconds for other in periods) == 1,
            f"{param}[seconds]",
            "Two periods of one length: give both limits on one.",
        )


def _check_categories(terms: Terms) -> None:
    """Categories are groups of payees that the owner names: an agent's word for one is no limit."""
    names = [each.name for each in terms.categories]
    for index, rule in enumerate(terms.categories):
        param = f"categories[{index}]"
        _require(
            _NAME.fullmatch(rule.name) is not None,
            f"{param}[name]",
            "A category is named with up to 40 lower-case letters, digits, '_' and '-'.",
        )
        _require(names.count(rule.name) == 1, f"{param}[name]", "A category is named once.")
        _check_number(rule.limit, f"{param}[limit]", least=1)
        _require(
            any(payee.category == rule.name for payee in terms.payees),
            param,
            "No payee is of this category: name its payees under payees, each with its category.",
        )
    for index, payee in enumerate(terms.payees):
        _require(
            (payee.category in names) if names else payee.category is None,
            f"payees[{index}][category]",
            "Where there are categories each payee names one of them, and else none.",
        )


def _payee(rule: PayeeRule, index: int) -> PayeeRule:
    param = f"payees[{index}]"
    _require(
        rule.account is not None or rule.address is not None or rule.host is not None,
        param,
        "A payee is named by account, address or host.",
    )
    _require(
        rule.account is None or _ACCOUNT.fullmatch(rule.account) is not None,
        f"{param}[account]",
        "An account's id looks like acct_01jd8k….",
    )
    _require(
        rule.network is None or rule.address is not None,
        f"{param}[network]",
        "A payee's network is that of its address.",
    )
    if rule.network is not None:
        _check_network(rule.network, f"{param}[network]", here=False)
    _require(
        rule.host is None or _HOST.fullmatch(rule.host) is not None,
        f"{param}[host]",
        "A host is named in lower case, like api.example.com or *.example.com.",
    )
    _check_number(rule.limit, f"{param}[limit]", least=1)
    if rule.address is None:
        return rule
    return replace(rule, address=_address(rule.address, f"{param}[address]"))


def _check_network(name: str, param: str, *, here: bool) -> None:
    if here and name == HERE:
        return
    try:
        caip.parse_network(name)
    except ValueError as error:
        raise ParameterInvalid(f"{error}.", param=param) from None


def _address(text: str, param: str) -> str:
    try:
        return parse_address(text)
    except ValueError as error:
        raise ParameterInvalid(f"{error}.", param=param) from None
