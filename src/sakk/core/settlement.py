"""Settlements: what an account is paid for a period, and the calendar of periods.

A period runs from one cut-off to the next in the account's own time zone; cut-offs fall on business
days alone, so that what happens on a holiday belongs to the period that ends after it. A settlement
takes the lines of its period and the balance that they left: of that it takes back what is owed to
the operator, sets a reserve aside, and pays the rest after so many business days.

``closed → pending | held → paying → paid | failed``, or ``kept`` (nothing is sent: it stays on the
balance), or ``carried`` (too little: the next settlement has it).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sakk.core import chart, ids, money
from sakk.core.chart import TransferCode
from sakk.core.errors import ParameterInvalid
from sakk.core.payout import PayoutStatus
from sakk.core.posting import Posting

PREFIX: Final = "set"
SCHEDULE_PREFIX: Final = "ssch"
MILLION: Final = 1_000_000
DELAY_DAYS_MAX: Final = 30
RESERVE_DAYS_MAX: Final = 540
# Of business days in a row that are none, more than any calendar has.
SEARCH_DAYS_MAX: Final = 60
# How often the balance of a threshold is looked at.
THRESHOLD_EVERY: Final = timedelta(minutes=1)

IsBusinessDay = Callable[[date], bool]


class Interval(StrEnum):
    """When a period ends."""

    daily = "daily"
    weekly = "weekly"
    manual = "manual"
    threshold = "threshold"


class SettlementStatus(StrEnum):
    closed = "closed"
    pending = "pending"
    held = "held"
    paying = "paying"
    paid = "paid"
    failed = "failed"
    kept = "kept"
    carried = "carried"


# What a settlement of one of these will still take from the balance.
OPEN: Final = (
    SettlementStatus.closed.value,
    SettlementStatus.pending.value,
    SettlementStatus.held.value,
    SettlementStatus.paying.value,
)


@dataclass(frozen=True, slots=True)
class SettlementTerms:
    """How an account is settled; amounts by currency, in its smallest unit.

    ``cutoff``: the local time of day at which periods end, to the minute. ``weekday``: 0 is Monday,
    for ``weekly`` alone. ``delay_days``: business days from the end of a period until it is paid.
    ``calendar``: a country (ISO 3166) or ``ECB``; None: every day is a business day. ``minimum``:
    less than this is carried. ``threshold``: a balance of so much ends a period. ``reserve_ppm`` of
    what came in is set aside for ``reserve_days``; ``reserve_fixed`` for as long as it stands here.
    ``destination``: a beneficiary of the account's and a network, or a bank account, to which what
    is in its currency goes; None keeps it as balance.
    ``currency``: what is paid, by a conversion when it is; None: what was received.
    """

    interval: Interval = Interval.daily
    cutoff: str = "00:00"
    timezone: str = "UTC"
    weekday: int = 0
    delay_days: int = 0
    calendar: str | None = None
    minimum: Mapping[str, int] = field(default_factory=dict)
    threshold: Mapping[str, int] = field(default_factory=dict)
    reserve_ppm: int = 0
    reserve_days: int = 0
    reserve_fixed: Mapping[str, int] = field(default_factory=dict)
    destination: Mapping[str, str] | None = None
    currency: str | None = None

    def document(self) -> dict[str, Any]:
        """The terms as they are stored and shown."""
        return {
            "interval": self.interval.value,
            "cutoff": self.cutoff,
            "timezone": self.timezone,
            "weekday": self.weekday,
            "delay_days": self.delay_days,
            "calendar": self.calendar,
            "minimum": dict(self.minimum),
            "threshold": dict(self.threshold),
            "reserve_ppm": self.reserve_ppm,
            "reserve_days": self.reserve_days,
            "reserve_fixed": dict(self.reserve_fixed),
            "destination": None if self.destination is None else dict(self.destination),
            "currency": self.currency,
        }


@dataclass(frozen=True, slots=True)
class SettlementSchedule:
    """One account's schedule in one mode. ``held``: nothing of it is paid until it is let go."""

    id: str
    account_id: str
    livemode: bool
    terms: dict[str, Any]
    held: bool
    next_number: int
    next_at: datetime | None
    created: datetime
    # Who wrote its terms: an API key, and the person whose key it is.
    initiator: str | None = None
    initiator_person: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """One period of one currency; amounts in its smallest unit.

    Its lines are the balance transactions after ``from_ns`` and up to ``to_ns`` (ledger's time),
    numbered on from ``first_line``. ``opening + credits - debits == closing``. ``recovered``: what
    was owed to us; ``reserved`` (the rolling part) and ``reserved_fixed`` (below zero: given back)
    went to the reserve; ``returned`` of the
    rolling part is back. ``payable`` is decided at the close, ``amount`` is what was paid, and
    ``exchange`` what it became of another currency: conversion, currency, amount and price.
    """

    id: str
    account_id: str
    livemode: bool
    number: int
    currency: str
    decimals: int
    status: str
    from_ns: int
    to_ns: int
    period_end: datetime
    first_line: int
    lines: int
    opening: int
    credits: int
    debits: int
    closing: int
    received: int
    fees: int
    owed: int
    recovered: int = 0
    reserved: int = 0
    reserved_fixed: int = 0
    payable: int = 0
    amount: int = 0
    exchange: dict[str, Any] | None = None
    terms: dict[str, Any]
    pay_at: datetime
    release_at: datetime | None = None
    released: bool = False
    returned: int = 0
    payout: str | None = None
    failure_code: str | None = None
    metadata: dict[str, str]
    attempt: int = 0
    retry_at: datetime | None = None
    failures: int = 0
    lease_token: str | None = None
    lease_until: datetime | None = None
    booked_at: datetime | None = None
    paid_at: datetime | None = None
    # Who wrote the terms that it is paid by, and so is not who approves its payout.
    initiator: str | None = None
    initiator_person: str | None = None
    created: datetime


@dataclass(frozen=True, slots=True)
class Sums:
    """What the lines of a period come to; ``closing`` is the balance after the last of them."""

    lines: int
    credits: int
    debits: int
    received: int
    fees: int
    closing: int


def read_terms(document: Mapping[str, Any]) -> SettlementTerms:
    """The terms in a stored document."""
    return SettlementTerms(**{**document, "interval": Interval(document["interval"])})


DESTINATIONS: Final = ({"beneficiary", "network"}, {"bank_account"})


def parse_terms(document: Any) -> SettlementTerms:
    """Terms as people write them in JSON, where what is left out has its default; ValueError."""
    if not isinstance(document, dict):
        raise ValueError("terms are an object")
    defaults = SettlementTerms().document()
    unknown = sorted(set(document) - set(defaults))
    if unknown:
        raise ValueError(f"there is no field {unknown[0]!r}")
    for name, value in document.items():
        wanted = dict if defaults[name] is None and name == "destination" else type(defaults[name])
        if name in ("calendar", "currency"):
            wanted = str
        if value is not None and type(value) is not wanted:
            raise ValueError(f"{name} is of another type: {value!r}")
        if wanted is dict and value is not None:
            of = str if name == "destination" else int
            if any(type(each) is not of for each in value.values()):
                raise ValueError(f"{name} is of another type: {value!r}")
    destination = document.get("destination")
    if destination is not None and set(destination) not in DESTINATIONS:
        raise ValueError("destination is {beneficiary, network} or {bank_account}")
    return read_terms({**defaults, **document})


def check_terms(terms: SettlementTerms, currencies: Mapping[str, int]) -> None:
    """ParameterInvalid, by its name, for terms that can not be kept."""
    _minutes(terms.cutoff)
    try:
        ZoneInfo(terms.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ParameterInvalid(
            "There is no time zone {zone}. Name one of IANA's, as Europe/Berlin.",
            param="timezone",
            zone=repr(terms.timezone),
        ) from None
    for name, limit in (
        ("weekday", 6),
        ("delay_days", DELAY_DAYS_MAX),
        ("reserve_days", RESERVE_DAYS_MAX),
        ("reserve_ppm", MILLION),
    ):
        if not 0 <= getattr(terms, name) <= limit:
            raise ParameterInvalid("{name} is 0 to {most}.", param=name, name=name, most=limit)
    for name in ("minimum", "threshold", "reserve_fixed"):
        for currency, units in getattr(terms, name).items():
            if currency not in currencies:
                raise ParameterInvalid(
                    "There is no currency {currency}. GET /v1/currencies lists them.",
                    param=f"{name}[{currency}]",
                    currency=repr(currency),
                )
            if not 0 <= units <= money.UNITS_MAX:
                raise ParameterInvalid(
                    "{name} is a whole number of the smallest unit.",
                    param=f"{name}[{currency}]",
                    name=f"{name}[{currency}]",
                )
    if (terms.interval is Interval.threshold) != bool(terms.threshold):
        raise ParameterInvalid(
            "threshold goes with the interval threshold, and only with it.", param="threshold"
        )
    if terms.currency is not None and terms.currency not in currencies:
        raise ParameterInvalid(
            "There is no currency {currency}. GET /v1/currencies lists them.",
            param="currency",
            currency=repr(terms.currency),
        )
    if terms.currency is not None and terms.destination is None:
        raise ParameterInvalid(
            "currency is what is paid: name a destination too.", param="currency"
        )
    if bool(terms.reserve_ppm) != bool(terms.reserve_days):
        raise ParameterInvalid(
            "A rolling reserve needs reserve_ppm and reserve_days, both above 0.",
            param="reserve_days",
        )


def _minutes(cutoff: str) -> time:
    try:
        found = time.fromisoformat(cutoff)
    except ValueError:
        found = None
    if found is None or len(cutoff) != len("00:00") or found.tzinfo is not None:
        raise ParameterInvalid("cutoff is a time of day, as 17:30.", param="cutoff")
    return found


def next_end(
    terms: SettlementTerms, after: datetime, is_business_day: IsBusinessDay
) -> datetime | None:
    """When the period that runs at a time ends; None where only a person ends it.

    Strictly after ``after``. A weekly cut-off on a holiday is that of the next business day. Where
    clocks are put forward over a cut-off it is as much later, where back it is the first one.
    """
    match terms.interval:
        case Interval.manual:
            return None
        case Interval.threshold:
            return after + THRESHOLD_EVERY
        case Interval.daily | Interval.weekly:
            pass
    zone, at = ZoneInfo(terms.timezone), _minutes(terms.cutoff)
    # From a week before, since a weekly cut-off may have moved over holidays to after ``after``.
    day = after.astimezone(zone).date() - timedelta(days=7)
    for _ in range(SEARCH_DAYS_MAX):
        if terms.interval is Interval.daily or day.weekday() == terms.weekday:
            end = _instant(_business_day(day, is_business_day), at, zone)
            if end > after:
                return end
        day += timedelta(days=1)
    raise AssertionError(f"no business day in {SEARCH_DAYS_MAX} days")


def pay_date(terms: SettlementTerms, end: datetime, is_business_day: IsBusinessDay) -> datetime:
    """When a period that ended is paid: at its end, or at the cut-off so many business days on."""
    if not terms.delay_days:
        return end
    zone = ZoneInfo(terms.timezone)
    day = end.astimezone(zone).date()
    for _ in range(terms.delay_days):
        day = _business_day(day + timedelta(days=1), is_business_day)
    return _instant(day, _minutes(terms.cutoff), zone)


def _business_day(day: date, is_business_day: IsBusinessDay) -> date:
    """The day, or the first business day after it."""
    for ahead in range(SEARCH_DAYS_MAX):
        found = day + timedelta(days=ahead)
        if is_business_day(found):
            return found
    raise AssertionError(f"no business day in {SEARCH_DAYS_MAX} days")


def _instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, at, zone).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a close decides: taken back for what is owed to us, set aside, and paid."""

    owed: int
    reserved: int
    reserved_fixed: int
    payable: int


def plan(
    terms: SettlementTerms,
    currency: str,
    found: Sums,
    *,
    owed: int,
    outstanding: int,
    standing: int,
) -> Plan:
    """Divide the closing balance of a period: first what is owed to us, then the reserves, then
    what is paid. Nothing of it is taken twice, and it sums to the balance or less.

    ``outstanding``: what earlier settlements have still to pay of it. ``standing``: what the fixed
    reserve has; one that was lowered gives back (``reserved_fixed`` below zero), which the next
    period has. The rolling part is rounded down.
    """
    left = max(0, found.closing - outstanding)
    owed = min(owed, left)
    left -= owed
    reserved = min(max(0, found.received) * terms.reserve_ppm // MILLION, left)
    left -= reserved
    fixed = min(terms.reserve_fixed.get(currency, 0) - standing, left)
    left -= max(0, fixed)
    least = max(1, terms.minimum.get(currency, 0))
    return Plan(owed, reserved, fixed, left if left >= least else 0)


def is_threshold_met(terms: SettlementTerms, currency: str, planned: Plan) -> bool:
    """Is there enough to end a period? Always, where no threshold ends it."""
    if terms.interval is not Interval.threshold:
        return True
    wanted = terms.threshold.get(currency)
    return wanted is not None and planned.payable >= max(1, wanted)


def after_booking(settlement: Settlement, *, held: bool) -> SettlementStatus:
    """Where a closed settlement goes when its reserve is booked."""
    place = settlement.terms["destination"]
    paid = pays_in(settlement)
    if place is None or place.get("currency", paid) != paid:
        # A bank account takes its own currency alone: the rest is balance.
        return SettlementStatus.kept
    if not settlement.payable:
        return SettlementStatus.carried
    return SettlementStatus.held if held else SettlementStatus.pending


def outcome(payout_status: str) -> SettlementStatus:
    """What a settlement is by the payout that pays it."""
    match PayoutStatus(payout_status):
        case PayoutStatus.posted:
            return SettlementStatus.paid
        case PayoutStatus.rejected | PayoutStatus.canceled | PayoutStatus.failed:
            return SettlementStatus.failed
        case (
            PayoutStatus.requested
            | PayoutStatus.screened
            | PayoutStatus.approved
            | PayoutStatus.signed
            | PayoutStatus.broadcast
            | PayoutStatus.unknown
            | PayoutStatus.confirmed
        ):
            return SettlementStatus.paying


def pays_in(settlement: Settlement) -> str:
    """The currency in which a settlement is paid."""
    wanted: str | None = settlement.terms.get("currency")
    return wanted or settlement.currency


def conversion_id(settlement: Settlement) -> str:
    """The id of the conversion of a settlement; the same, however often it is asked for.

    Not the settlement's own number, which its payout has: ledger transfers name rows by it.
    """
    return ids.encode("conv", ids.decode(settlement.id)[1] ^ 1)


def payout_id(settlement: Settlement) -> str:
    """The id of the payout that pays a settlement; the same, however often it is asked for."""
    return ids.encode("po", ids.decode(settlement.id)[1])


def recovery_posting(settlement: Settlement) -> Posting:
    """What is owed to us is taken from the balance, as far as that goes."""
    unit = chart.currency_unit(settlement.currency, livemode=settlement.livemode)
    return Posting(
        chart.merchant(settlement.account_id, "available", unit),
        chart.receivable(settlement.account_id, unit),
        settlement.owed,
        TransferCode.receivable_recovered,
    )


def reserve_posting(settlement: Settlement, units: int) -> Posting:
    """Into the reserve, or out of it where ``units`` are below zero."""
    unit = chart.currency_unit(settlement.currency, livemode=settlement.livemode)
    available = chart.merchant(settlement.account_id, "available", unit)
    reserve = chart.merchant(settlement.account_id, "reserved", unit)
    if units > 0:
        return Posting(available, reserve, units, TransferCode.reserve_held)
    return Posting(reserve, available, -units, TransferCode.reserve_released)


def public_schedule(schedule: SettlementSchedule) -> dict[str, Any]:
    """The API's object ``settlement_schedule``."""
    return {
        "id": schedule.id,
        "object": "settlement_schedule",
        "account": schedule.account_id,
        "created": int(schedule.created.timestamp()),
        "held": schedule.held,
        "livemode": schedule.livemode,
        "metadata": {},
        "next_at": None if schedule.next_at is None else int(schedule.next_at.timestamp()),
        **read_terms(schedule.terms).document(),
        "destination": _shown_destination(schedule.terms),
    }


def _shown_destination(terms: Mapping[str, Any]) -> dict[str, Any] | None:
    place = terms["destination"]
    if place is None:
        return None
    return {name: place.get(name) for name in ("bank_account", "beneficiary", "network")}


def public(settlement: Settlement) -> dict[str, Any]:
    """The API's object ``settlement``: what a period came to, and what became of it."""
    return {
        "id": settlement.id,
        "object": "settlement",
        "account": settlement.account_id,
        "amount": settlement.amount,
        "amount_decimal": money.format_decimal(settlement.amount, settlement.decimals),
        "closing": settlement.closing,
        "created": int(settlement.created.timestamp()),
        "credits": settlement.credits,
        "currency": settlement.currency,
        "debits": settlement.debits,
        "destination": _shown_destination(settlement.terms),
        "exchange": settlement.exchange,
        "failure_code": settlement.failure_code,
        "fees": settlement.fees,
        "first_line": settlement.first_line,
        "lines": settlement.lines,
        "livemode": settlement.livemode,
        "metadata": settlement.metadata,
        "number": settlement.number,
        "opening": settlement.opening,
        "paid_at": None if settlement.paid_at is None else int(settlement.paid_at.timestamp()),
        "pay_at": int(settlement.pay_at.timestamp()),
        "payable": settlement.payable,
        "payout": settlement.payout,
        "period_end": int(settlement.period_end.timestamp()),
        "received": settlement.received,
        "recovered": settlement.recovered,
        "reserve_release_at": None
        if settlement.release_at is None
        else int(settlement.release_at.timestamp()),
        "reserve_released": settlement.released,
        "reserve_returned": settlement.returned,
        "reserved": settlement.reserved,
        "reserved_fixed": settlement.reserved_fixed,
        "status": settlement.status,
    }
