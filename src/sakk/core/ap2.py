"""AP2's open payment mandates: the same terms as ours, converted exactly or refused.

The shapes are those of ``open_payment_mandate.json`` (``mandate.payment.open.1``) in AP2's own
repository (github.com/google-agentic-commerce/AP2, code/sdk/schemas/ap2). Its amounts are in cents
(the minor unit of ISO 4217) but for the budget's, which is in whole units. It signs them as SD-JWT;
here the owner signs the terms that come out, which say in words what was understood.

What can not be held by a ledger is not taken silently: a constraint that nobody here can check is
refused, and the one that AP2 always has beside (``payment.reference``, which checkout) is named by
`unenforced`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from math import isfinite
from typing import Any, Final

from sakk.core import caip
from sakk.core.errors import ParameterInvalid
from sakk.core.mandate import PayeeRule, Period, Terms
from sakk.core.money import UNITS_MAX

VCT: Final = "mandate.payment.open.1"
CONSTRAINTS_MAX: Final = 50
# A JSON number that was a binary fraction on its way is exact up to so many digits.
DIGITS_MAX: Final = 15
DAY: Final = 86_400
# No calendar here: the longest that a month or a year can be, so that nothing comes more often.
FREQUENCIES: Final = {
    "ON_DEMAND": None,
    "DAILY": DAY,
    "WEEKLY": 7 * DAY,
    "BIWEEKLY": 14 * DAY,
    "MONTHLY": 31 * DAY,
    "QUARTERLY": 92 * DAY,
    "ANNUALLY": 366 * DAY,
}
# ISO 4217: how many digits its minor unit has, where that is not two.
MINOR_DIGITS: Final = {
    **dict.fromkeys(
        ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI"), 0
    ),
    **dict.fromkeys(("VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}
REFERENCE: Final = "payment.reference"


@dataclass(slots=True)
class _Read:
    """What was understood so far."""

    account_id: str
    currency: str
    decimals: int
    call_min: int | None = None
    call_max: int | None = None
    total: int | None = None
    recurs: bool = False
    count: int | None = None
    period: int | None = None
    payees: list[PayeeRule] | None = None
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)


def read(
    mandate: Mapping[str, Any],
    *,
    account_id: str,
    livemode: bool,
    owner: str,
    agent: str,
    currency: str,
    decimals: int,
    starts_at: int | None,
    expires_at: int | None,
    now: int,
    salt: str,
) -> Terms:
    """The terms that an open payment mandate means; ParameterInvalid names what is not exact.

    ``currency``: in which the account's money is spent, one for one; ``usd`` of AP2 is ``usd``,
    ``usdc`` or ``usdt`` here. ``starts_at`` and ``expires_at``: narrower than what AP2 says, or
    where it says nothing.
    """
    if mandate.get("vct") != VCT:
        raise _invalid("vct", f"vct is {VCT!r}.")
    found = _Read(account_id, currency, decimals)
    constraints = mandate.get("constraints")
    if not isinstance(constraints, list) or len(constraints) > CONSTRAINTS_MAX:
        raise _invalid("constraints", f"constraints are a list of at most {CONSTRAINTS_MAX}.")
    for index, each in enumerate(constraints):
        place = f"constraints[{index}]"
        kind = each.get("type") if isinstance(each, Mapping) else None
        reader = _READERS.get(str(kind))
        if reader is None:
            raise _invalid(place, f"A constraint {kind!r} can not be held here.")
        reader(found, each, place)
    _preset(found, mandate)
    found.ends += [] if mandate.get("exp") is None else [_whole(mandate["exp"], "exp")]
    ends = [*found.ends, *([] if expires_at is None else [expires_at])]
    if not ends:
        raise ParameterInvalid("The mandate has no end: give expires_at.", param="expires_at")
    count = found.count if found.recurs else 1
    return Terms(
        account_id=account_id,
        livemode=livemode,
        owner=owner,
        agent=agent,
        currency=currency,
        decimals=decimals,
        total=_total(found, count),
        starts_at=max([now if starts_at is None else starts_at, *found.starts]),
        expires_at=min(ends),
        salt=salt,
        count=count,
        call_min=found.call_min,
        call_max=found.call_max,
        periods=() if found.period is None else (Period(found.period, None, 1),),
        payees=tuple(found.payees or ()),
    )


def unenforced(mandate: Mapping[str, Any]) -> list[str]:
    """What of a mandate that `read` took is not held here: which checkout the payment is for."""
    constraints = mandate.get("constraints") or []
    return [REFERENCE for each in constraints if each.get("type") == REFERENCE][:1]


def _total(found: _Read, count: int | None) -> int:
    """The budget; without one, as often as it may be used times the most at a time."""
    if found.total is not None:
        return found.total
    if count is None or found.call_max is None:
        raise _invalid(
            "constraints",
            "Nothing bounds the sum: add payment.budget, or payment.amount_range with"
            " max_occurrences.",
        )
    return count * found.call_max


def _preset(found: _Read, mandate: Mapping[str, Any]) -> None:
    """What the user set beforehand has to be so exactly."""
    if mandate.get("payee") is not None:
        found.payees = _narrowed(found.payees, [_merchant(mandate["payee"], "payee")], "payee")
    if mandate.get("payment_amount") is not None:
        amount = _mapping(mandate["payment_amount"], "payment_amount")
        units = _minor(found, amount.get("amount"), amount.get("currency"), "payment_amount")
        found.call_min = found.call_max = units
    if mandate.get("payment_instrument") is not None:
        _check_instruments(found, [mandate["payment_instrument"]], "payment_instrument")
    if mandate.get("execution_date") is not None:
        raise _invalid("execution_date", "A day of execution is not held here: give a window.")
    if mandate.get("pisp") is not None:
        raise _invalid("pisp", "A payment initiation provider can not be held here.")


def _amount_range(found: _Read, given: Mapping[str, Any], place: str) -> None:
    code = given.get("currency")
    found.call_max = _minor(found, given.get("max"), code, f"{place}[max]")
    if given.get("min"):
        found.call_min = _minor(found, given["min"], code, f"{place}[min]")


def _budget(found: _Read, given: Mapping[str, Any], place: str) -> None:
    _check_currency(found, given.get("currency"), place)
    found.total = _major(given.get("max"), found.decimals, f"{place}[max]")


def _recurrence(found: _Read, given: Mapping[str, Any], place: str) -> None:
    frequency = given.get("frequency")
    if frequency not in FREQUENCIES:
        raise _invalid(f"{place}[frequency]", f"frequency is one of {', '.join(FREQUENCIES)}.")
    found.recurs = True
    found.period = FREQUENCIES[frequency]
    if given.get("max_occurrences") is not None:
        found.count = _whole(given["max_occurrences"], f"{place}[max_occurrences]")


def _payees(found: _Read, given: Mapping[str, Any], place: str) -> None:
    allowed = _list(given.get("allowed"), f"{place}[allowed]")
    rules = [_merchant(each, f"{place}[allowed][{index}]") for index, each in enumerate(allowed)]
    found.payees = _narrowed(found.payees, rules, place)


def _instruments(found: _Read, given: Mapping[str, Any], place: str) -> None:
    _check_instruments(found, _list(given.get("allowed"), f"{place}[allowed]"), place)


def _window(found: _Read, given: Mapping[str, Any], place: str) -> None:
    if given.get("not_before") is not None:
        found.starts.append(_time(given["not_before"], f"{place}[not_before]"))
    if given.get("not_after") is not None:
        found.ends.append(_time(given["not_after"], f"{place}[not_after]"))


def _reference(found: _Read, given: Mapping[str, Any], place: str) -> None:
    """Which checkout it is for: whoever sells checks that. See `unenforced`."""


_READERS: Final[dict[str, Callable[[_Read, Mapping[str, Any], str], None]]] = {
    "payment.amount_range": _amount_range,
    "payment.budget": _budget,
    "payment.agent_recurrence": _recurrence,
    "payment.allowed_payees": _payees,
    "payment.allowed_payment_instruments": _instruments,
    "payment.execution_date": _window,
    REFERENCE: _reference,
}


def _merchant(given: Any, place: str) -> PayeeRule:
    """A merchant by its id alone: its name and website are what it says of itself.

    An account here, an address by CAIP-10 (``eip155:8453:0x…``), or a host by ``did:web:``.
    """
    identifier = str(_mapping(given, place).get("id") or "")
    if identifier.startswith("acct_"):
        return PayeeRule(account=identifier)
    if identifier.startswith("did:web:"):
        return PayeeRule(host=identifier.removeprefix("did:web:").lower())
    network, _, address = identifier.rpartition(":")
    try:
        caip.parse_network(network)
    except ValueError:
        raise _invalid(
            f"{place}[id]",
            f"Who is {identifier!r}? A payee's id is an account here (acct_…), an address by"
            " CAIP-10 (eip155:8453:0x…) or a host (did:web:…).",
        ) from None
    return PayeeRule(network=network, address=address)


def _narrowed(known: list[PayeeRule] | None, rules: list[PayeeRule], place: str) -> list[PayeeRule]:
    """Those whom every constraint allows; a mandate for nobody is refused."""
    left = rules if known is None else [each for each in rules if each in known]
    if not left:
        raise _invalid(place, "No payee is left that every constraint allows.")
    return left


def _check_instruments(found: _Read, instruments: Sequence[Any], place: str) -> None:
    """The one instrument here is the account's own balance, by the account's id."""
    if not any(_mapping(each, place).get("id") == found.account_id for each in instruments):
        raise _invalid(
            place, f"Money is taken from {found.account_id} alone: name it as an instrument's id."
        )


def _check_currency(found: _Read, code: Any, place: str) -> str:
    if not isinstance(code, str) or not found.currency.startswith(code.lower()) or len(code) != 3:
        raise _invalid(
            f"{place}[currency]",
            f"{code!r} is not spent here in {found.currency}: choose a currency whose name begins"
            " so.",
        )
    return code.upper()


def _minor(found: _Read, value: Any, code: Any, place: str) -> int:
    """Cents in the currency's smallest unit, exactly."""
    digits = MINOR_DIGITS.get(_check_currency(found, code, place), 2)
    whole = Decimal(_whole(value, place)).scaleb(-digits)
    return _units(whole, found.decimals, place)


def _major(value: Any, decimals: int, place: str) -> int:
    """Whole units, which JSON may have as a fraction, in the currency's smallest unit."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise _invalid(place, f"{value!r} is not a number.")
    exact = Decimal(repr(value))
    if isinstance(value, float) and len(exact.as_tuple().digits) > DIGITS_MAX:
        raise _invalid(place, f"A fraction has at most {DIGITS_MAX} digits, to be exact.")
    return _units(exact, decimals, place)


def _units(amount: Decimal, decimals: int, place: str) -> int:
    scaled = amount.scaleb(decimals)
    if scaled != scaled.to_integral_value():
        raise _invalid(place, f"{amount} is not a whole number of units of {decimals} decimals.")
    units = int(scaled)
    if not 0 < units <= UNITS_MAX:
        raise _invalid(place, "An amount is more than nothing, and fits 128 bits.")
    return units


def _whole(value: Any, place: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= UNITS_MAX:
        raise _invalid(place, f"{value!r} is not a whole number above zero.")
    return value


def _time(value: Any, place: str) -> int:
    """A moment of ISO 8601 with its zone: a day alone could mean two."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise _invalid(place, "Give a time with its zone, like 2026-12-31T23:59:59Z.")
    return int(moment.timestamp())


def _mapping(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _invalid(place, "That is no object.")
    return value


def _list(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise _invalid(place, "That is no list.")
    return value


def _invalid(place: str, message: str) -> ParameterInvalid:
    head, bracket, rest = place.partition("[")
    return ParameterInvalid(message, param=f"mandate[{head}]{bracket}{rest}")
