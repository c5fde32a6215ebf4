"""Orders: what the operator exchanges outside, so that its open positions stay small.

A policy says from which value on a currency's position is closed, against which other, and up to
which value that happens by itself; above it two people say so. An order is split by the router into
children, one a venue, each filled at once or not at all (immediate or cancel), under its own id:
what a venue answered is never assumed, it is asked again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sakk.core import chart, money
from sakk.core import rate as rates
from sakk.core.chart import TransferCode
from sakk.core.errors import SamePerson, UnexpectedState
from sakk.core.hedge_policy import HedgePolicy
from sakk.core.posting import Posting
from sakk.core.rate import MILLION, Rated
from sakk.core.router import Side, Wanted

PREFIX: Final = "ord"
CHILD_PREFIX: Final = "ordc"
APPROVALS_NEEDED: Final = 2
# How much worse than the market's side an order may end, fee and all.
SLIPPAGE_PPM: Final = 5_000
LATENCY_MS_MAX: Final = 2_000
WAITS_FOR_LENGTH_MAX: Final = 300
# How long an order waits for people: its limit is of the market as it was then.
WAITS_FOR: Final = timedelta(hours=4)


class OrderStatus(StrEnum):
    """``awaiting`` two people, ``approved``, ``working`` at venues, then one of the others.

    ``expired``: it waited too long, and where the position stands the next one has a new limit.
    """

    awaiting = "awaiting"
    approved = "approved"
    working = "working"
    done = "done"
    canceled = "canceled"
    expired = "expired"


OPEN: Final = ("awaiting", "approved", "working")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Buy or sell ``units`` of ``base``, no worse than ``limit_price`` (in ``rate.SCALE``-ths, fee
    and all). ``route``: what the router decided, in words."""

    id: str
    livemode: bool
    base: str
    base_decimals: int
    quote: str
    quote_decimals: int
    side: str
    units: int
    limit_price: int
    usd_cents: int
    reason: str
    status: str
    approvals: list[str]
    route: dict[str, Any] | None
    filled_units: int
    quote_units: int
    fee_units: int
    created: datetime
    ended_at: datetime | None
    attempt: int = 0
    failures: int = 0
    retry_at: datetime | None = None
    lease_token: str | None = None
    lease_until: datetime | None = None

    @property
    def wanted(self) -> Wanted:
        return Wanted(Side(self.side), self.units, self.limit_price, LATENCY_MS_MAX)

    @property
    def expires_at(self) -> datetime:
        """Until when people may say yes."""
        return self.created + WAITS_FOR


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildOrder:
    """One venue's part. ``asked``: it may have it, given ``attempt`` times; ``status`` is
    ``intended``, then ``done``. ``venue_number``: to which account there it was given
    (`sakk.core.venue.VenueAccount`); ``waits_for``: why it is not known how it ended."""

    id: str
    order_id: str
    livemode: bool
    venue: str
    base: str
    base_decimals: int
    quote: str
    quote_decimals: int
    side: str
    units: int
    price: int
    status: str
    asked: bool
    filled_units: int
    quote_units: int
    fee_units: int
    created: datetime
    venue_number: int | None = None
    waits_for: str | None = None
    attempt: int = 0
    failures: int = 0
    retry_at: datetime | None = None
    lease_token: str | None = None
    lease_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """How an order at a venue ended: units of the base, units of the quote, and its fee in the
    quote, or of the base that was bought. ``filled`` 0: nothing."""

    filled_units: int
    quote_units: int
    fee_units: int
    base_fee_units: int = 0


def hedge(
    policy: HedgePolicy, *, units: int, usd_cents: int, rated: Rated
) -> tuple[Side, int, int, OrderStatus] | None:
    """What closes a position: side, units, limit and whether it goes by itself; None for a position
    below the threshold. ``rated``: the policy's currency in what it is closed against."""
    if abs(usd_cents) < policy.threshold_usd_cents:
        return None
    status = (
        OrderStatus.approved if abs(usd_cents) <= policy.auto_usd_cents else OrderStatus.awaiting
    )
    side = Side.sell if units > 0 else Side.buy
    return side, abs(units), limit_of(side, rated), status


def limit_of(side: Side, rated: Rated) -> int:
    """The worst price that is still taken: the market's side, and a little more."""
    if side is Side.sell:
        return max(1, rated.price.bid * (MILLION - SLIPPAGE_PPM) // MILLION)
    return money.divide_up(rated.price.ask * (MILLION + SLIPPAGE_PPM), MILLION)


def is_amounts(report: Report) -> bool:
    """Are there amounts in a venue's word? What is below zero can not be booked."""
    amounts = (report.filled_units, report.quote_units, report.fee_units, report.base_fee_units)
    return min(amounts) >= 0


def check_report(child: ChildOrder, report: Report) -> str | None:
    """What is wrong with a venue's word, in words: more than was asked for, or a worse price."""
    if report.filled_units > child.units:
        return "it says that it filled more than was asked for"
    worst = report.filled_units * child.price * 10**child.quote_decimals
    scale = rates.SCALE * 10**child.base_decimals
    if child.side == Side.buy and report.quote_units > money.divide_up(worst, scale):
        return "it took more than the price that was agreed"
    if child.side == Side.sell and report.quote_units < worst // scale:
        return "it gave less than the price that was agreed"
    return None


def postings(child: ChildOrder, report: Report) -> list[Posting]:
    """A fill, through the pair's accounts: what the venue holds of ours, and its fee."""
    mode = {"livemode": child.livemode}
    base, quote = chart.currency_unit(child.base, **mode), chart.currency_unit(child.quote, **mode)
    pair = (child.base, child.quote)
    legs = []
    bought, spent = (base, quote) if child.side == Side.buy else (quote, base)
    amounts = {base: report.filled_units, quote: report.quote_units}
    if amounts[bought]:
        legs.append(
            Posting(
                chart.venue(child.venue, bought),
                chart.fx(*pair, bought),
                amounts[bought],
                TransferCode.order_bought,
            )
        )
    if amounts[spent]:
        legs.append(
            Posting(
                chart.fx(*pair, spent),
                chart.venue(child.venue, spent),
                amounts[spent],
                TransferCode.order_spent,
            )
        )
    for unit, fee in ((quote, report.fee_units), (base, report.base_fee_units)):
        if fee:
            took = chart.venue(child.venue, unit)
            legs.append(Posting(chart.fee_venue(unit), took, fee, TransferCode.order_fee))
    return legs


def check_awaiting(order: Order, now: datetime) -> None:
    """UnexpectedState for an order of which nobody has to say anything, or not any more."""
    if order.status != OrderStatus.awaiting:
        raise UnexpectedState(
            "This order is {status}: nobody has to say anything of it.", status=order.status
        )
    if now >= order.expires_at:
        raise UnexpectedState("This order waited too long. The next one has the market's limit.")


def approved(order: Order, person: str) -> tuple[list[str], OrderStatus]:
    """The people who said yes, and what follows; SamePerson for the same one twice."""
    if person in order.approvals:
        raise SamePerson("You have approved this order: another person has to.")
    people = [*order.approvals, person]
    enough = len(people) >= APPROVALS_NEEDED
    return people, OrderStatus.approved if enough else OrderStatus.awaiting


def public(order: Order, children: Sequence[ChildOrder]) -> dict[str, Any]:
    """The object ``order``, the operator's alone."""
    return {
        "id": order.id,
        "object": "order",
        "approvals": order.approvals,
        "base": order.base,
        "children": [
            {
                "id": child.id,
                "fee_units": child.fee_units,
                "filled_units": child.filled_units,
                "price": rates.write_price(child.price),
                "quote_units": child.quote_units,
                "status": child.status,
                "units": child.units,
                "venue": child.venue,
                "waits_for": child.waits_for,
            }
            for child in children
        ],
        "created": int(order.created.timestamp()),
        "ended_at": None if order.ended_at is None else int(order.ended_at.timestamp()),
        "expires_at": int(order.expires_at.timestamp())
        if order.status == OrderStatus.awaiting
        else None,
        "fee_units": order.fee_units,
        "filled_units": order.filled_units,
        "limit": rates.write_price(order.limit_price),
        "livemode": order.livemode,
        "metadata": {},
        "quote": order.quote,
        "quote_units": order.quote_units,
        "reason": order.reason,
        "route": None if order.route is None else {"venues": [], **order.route},
        "side": order.side,
        "status": order.status,
        "units": order.units,
        "usd_cents": order.usd_cents,
    }
