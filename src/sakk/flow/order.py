"""Orders: positions are closed at venues, by the discipline of everything that acts outside.

A child's row is committed before its venue is asked, and has the id by which the venue knows it;
that it is asked is committed too. An answer that did not come is never assumed: the venue is asked
what became of the id, and only one that never came is placed again, under the same id. What was
filled is booked under the child's id, so that saying it twice books it once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import structlog
from sqlalchemy import Connection

from sakk.core import order as rules
from sakk.core import order_event as news
from sakk.core import router
from sakk.core.chart import currency_of_unit
from sakk.core.conversion import positions
from sakk.core.errors import PermissionDenied, ResourceMissing
from sakk.core.event import NewEvent
from sakk.core.hedge_policy import HedgePolicy, in_turn
from sakk.core.network import Currency
from sakk.core.order import ChildOrder, Order, OrderStatus, Report
from sakk.core.person import Actor
from sakk.core.role import Role
from sakk.core.router import Book, Side
from sakk.flow.book import PostingSet
from sakk.flow.context import Parts
from sakk.flow.officer import find_officer
from sakk.flow.rate import read_market
from sakk.flow.stage import Stage, wake
from sakk.flow.step_up import StepUp, acting_person, check, count_try
from sakk.rails.venue import Venue, VenueRefused, VenueUnavailable
from sakk.store import event as events
from sakk.store import hedge_policy as policies
from sakk.store import network
from sakk.store import order as store
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import claim, claimable, given_back_on_error, retry_delay, settle
from sakk.store.lease_length import lease_length

BATCH_MAX: Final = 20
HEDGE_SECONDS: Final = 15.0
# Who may say that an order goes: those who approve what leaves the house, and decide no cases.
ROLES: Final = (Role.owner, Role.admin, Role.finance, Role.approver)

log = structlog.get_logger(__name__)

_to_route = claimable(
    store.orders, Order, store.orders.c.status == OrderStatus.approved.value, limit=BATCH_MAX
)
_to_place = claimable(
    store.child_orders, ChildOrder, store.child_orders.c.status == "intended", limit=BATCH_MAX
)


def approve(
    parts: Parts, identifier: str, *, actor: Actor, livemode: bool, step_up: StepUp
) -> Order:
    """One person's yes, who proves to be there; the second one's sends it. Raises ResourceMissing,
    UnexpectedState, PermissionDenied, StepUpRequired, StepUpFailed, RateLimited, SamePerson."""
    count_try(parts, actor, step_up, livemode=livemode)
    now = parts.clock()
    with parts.database.begin() as connection:
        found = _awaiting(connection, identifier, livemode=livemode, now=now)
        person = acting_person(connection, actor, livemode=livemode)
        if not person.powers & {each.value for each in ROLES}:
            raise PermissionDenied("Only a person with the role finance or approver says so.")
        people, status = rules.approved(found, person.id)
        check(parts, connection, person, step_up, message=None, now=now)
        store.change(connection, identifier, approvals=people, status=status.value)
        wake(connection, "order.route")
    return replace(found, approvals=people, status=status.value)


def cancel(parts: Parts, identifier: str, *, actor: Actor, livemode: bool) -> Order:
    """Call off an order that nobody sent. ResourceMissing, UnexpectedState, PermissionDenied."""
    now = parts.clock()
    with parts.database.begin() as connection:
        found = _awaiting(connection, identifier, livemode=livemode, now=now)
        if not find_officer(connection, actor, livemode=livemode).has(ROLES):
            raise PermissionDenied("Only a person with the role finance or approver says so.")
        return _ended_early(connection, found, OrderStatus.canceled, now=now)


def _awaiting(connection: Connection, identifier: str, *, livemode: bool, now: datetime) -> Order:
    found = store.find(connection, identifier, livemode=livemode, lock=True)
    if found is None:
        raise ResourceMissing(
            "No such order: {identifier}.", param="id", identifier=repr(identifier)
        )
    rules.check_awaiting(found, now)
    return found


def _ended_early(
    connection: Connection, row: Order, status: OrderStatus, *, now: datetime
) -> Order:
    """An order that nobody sends any more; what it was to close is looked at again."""
    store.change(connection, row.id, status=status.value, ended_at=now)
    ended = replace(row, status=status.value, ended_at=now)
    name = news.ORDER_CANCELED if status is OrderStatus.canceled else news.ORDER_EXPIRED
    events.append(connection, [_event(ended, (), name)], now=now)
    wake(connection, "order.hedge")
    return ended


# Those that there are now, by their names: what was put down or switched off a moment ago counts.
Venues = Callable[[], Mapping[str, Venue]]


def order_stages(parts: Parts, venues: Venues) -> list[Stage]:
    """The stages of orders, in their order. Where there is no venue nothing is ordered."""
    return [
        expire_stage(parts),
        hedge_stage(parts, venues),
        route_stage(parts, venues),
        place_stage(parts, venues),
    ]


def expire_stage(parts: Parts) -> Stage:
    """The stage that ends orders for which people had long enough."""

    def run() -> int:
        now = parts.clock()
        with parts.database.begin() as connection:
            rows = store.lock_waiting(connection, before=now - rules.WAITS_FOR)
            for row in rows:
                _ended_early(connection, row, OrderStatus.expired, now=now)
        return len(rows)

    return Stage("order.expire", run, idle_seconds=HEDGE_SECONDS, gives_way=True)


def hedge_stage(parts: Parts, venues: Venues) -> Stage:
    """The stage that orders what closes a position which is beyond its policy's threshold."""

    def run() -> int:
        now = parts.clock()
        modes = {each.livemode for each in venues().values()}
        if not modes:
            return 0
        with parts.database.begin() as connection:
            # Before the ledger is asked: an order that ends in between has changed what it says.
            due = [
                policy
                for policy in in_turn(policies.list_all(connection))
                if policy.livemode in modes
                and not store.has_open(connection, policy.currency, livemode=policy.livemode)
            ]
            accounts = store.fx_accounts(connection) if due else []
        if not accounts:
            return 0
        # By the ledger itself: what was filled a moment ago is not closed again.
        standing = zip(accounts, parts.books.balances(accounts), strict=True)
        held: dict[tuple[str, bool], int] = {}
        for account, units in standing:
            key = currency_of_unit(account.unit)
            held[key] = held.get(key, 0) + units
        with parts.database.begin() as connection:
            return sum(
                _hedged(connection, policy, held.get((policy.currency, policy.livemode), 0), now)
                for policy in due
            )

    return Stage("order.hedge", run, idle_seconds=HEDGE_SECONDS, gives_way=True)


def _hedged(connection: Connection, policy: HedgePolicy, units: int, now: datetime) -> int:
    """One order, or none: where one is open, nothing is known of the position, or it is small.

    ``now``: before the ledger said ``units``.
    """
    if store.has_open(connection, policy.currency, livemode=policy.livemode, since=now):
        return 0
    market = read_market(connection, now=now)
    rated = market.find(policy.currency, policy.against)
    currencies = {each.currency: each for each in network.list_currencies(connection)}
    [position] = positions({policy.currency: units}, currencies, market)
    value = position.usd_cents
    if rated is None or value is None or market.stopped_on(rated) is not None:
        return 0
    found = rules.hedge(policy, units=units, usd_cents=value, rated=rated)
    if found is None:
        return 0
    side, amount, limit, status = found
    made = _new(policy, currencies, side, amount, limit, status, abs(value), now=now)
    if not store.insert(connection, made):
        return 0
    events.append(connection, [_event(made, (), news.ORDER_CREATED)], now=now)
    wake(connection, "order.route")
    return 1


def _new(
    policy: HedgePolicy,
    currencies: dict[str, Currency],
    side: Side,
    units: int,
    limit: int,
    status: OrderStatus,
    usd_cents: int,
    *,
    now: datetime,
) -> Order:
    return Order(
        id=new_id(rules.PREFIX),
        livemode=policy.livemode,
        base=policy.currency,
        base_decimals=currencies[policy.currency].decimals,
        quote=policy.against,
        quote_decimals=currencies[policy.against].decimals,
        side=side.value,
        units=units,
        limit_price=limit,
        usd_cents=usd_cents,
        reason="hedge",
        status=status.value,
        approvals=[],
        route=None,
        filled_units=0,
        quote_units=0,
        fee_units=0,
        created=now,
        ended_at=None,
    )


def route_stage(parts: Parts, venues: Venues) -> Stage:
    """The stage that asks venues for their books and splits what was approved."""

    def run() -> int:
        token, now = new_id("lease"), parts.clock()
        with parts.database.begin() as connection:
            rows = claim(connection, _to_route, token=token, now=now)
        there = venues() if rows else {}
        for row in rows:
            with given_back_on_error(parts.database, store.orders, [row.id], token=token):
                found = router.route(row.wanted, _books(row, there))
            with parts.database.begin() as connection:
                _routed(connection, row, found, token=token, now=now)
        return len(rows)

    return Stage("order.route", run)


def _books(row: Order, venues: Mapping[str, Venue]) -> list[Book]:
    """What is offered now to an order's mode; a venue that does not answer offers nothing."""
    found = []
    for venue in venues.values():
        if venue.livemode != row.livemode:
            continue
        try:
            book = venue.book(row.base, row.quote, Side(row.side), base_decimals=row.base_decimals)
        except VenueUnavailable as error:
            log.warning("order.no_book", venue=venue.name, why=str(error))
            book = None
        found.append(book or Book(venue.name, (), 0, 0, 0))
    return found


def _routed(
    connection: Connection, row: Order, found: router.Route, *, token: str, now: datetime
) -> None:
    """The decision with its children; where nobody offers anything the order is done."""
    children = [_child(row, each, now=now) for each in found.children]
    status = OrderStatus.working if children else OrderStatus.done
    change: dict[str, Any] = {
        "id": row.id,
        "status": status.value,
        "route": router.document(found),
        "ended_at": None if children else now,
    }
    if not settle(connection, store.orders, [change], token=token):
        return
    if children:
        store.insert_children(connection, children)
        wake(connection, "order.place")
        return
    ended = replace(row, status=status.value, route=change["route"], ended_at=now)
    events.append(connection, [_event(ended, (), news.ORDER_DONE)], now=now)


def _child(row: Order, given: router.Child, *, now: datetime) -> ChildOrder:
    return ChildOrder(
        id=new_id(rules.CHILD_PREFIX),
        order_id=row.id,
        livemode=row.livemode,
        venue=given.venue,
        base=row.base,
        base_decimals=row.base_decimals,
        quote=row.quote,
        quote_decimals=row.quote_decimals,
        side=row.side,
        units=given.units,
        price=given.price,
        status="intended",
        asked=False,
        filled_units=0,
        quote_units=0,
        fee_units=0,
        created=now,
    )


def place_stage(parts: Parts, venues: Venues) -> Stage:
    """The stage that places children, asks again for what is not known, and books what was filled.

    A venue that is gone keeps its children: what it may have done is known by it alone.
    """

    def run() -> int:
        token, now = new_id("lease"), parts.clock()
        with parts.database.begin() as connection:
            rows = claim(connection, _to_place, token=token, now=now)
        done = 0
        there = venues() if rows else {}
        for row in rows:
            with given_back_on_error(parts.database, store.child_orders, [row.id], token=token):
                report = _ended(parts, row, there.get(row.venue), token=token)
                if isinstance(report, Report):
                    legs = rules.postings(row, report)
                    failpoint("order.book.before")
                    if legs:
                        [outcome] = parts.books.post([PostingSet(row.id, "fill", 0, legs)])
                        assert outcome.booked, f"{row.id}: {outcome.refusal}"
                    failpoint("order.book.after")
            with parts.database.begin() as connection:
                done += _record(connection, row, report, token=token, now=now)
        return done

    return Stage("order.place", run)


def _ended(
    parts: Parts, row: ChildOrder, venue: Venue | None, *, token: str
) -> Report | str | None:
    """How a venue filled its part, or why that is not known; None where another worker has it: two
    who place the same order fill it twice."""
    try:
        if venue is None or venue.livemode != row.livemode:
            raise VenueUnavailable(f"there is no venue {row.venue}")
        report = venue.find(row) if row.asked else None
        if report is None:
            until = parts.clock() + lease_length()
            with parts.database.begin() as connection:
                if not store.note_asked(
                    connection, row.id, number=venue.number, token=token, until=until
                ):
                    return None
            given = replace(row, asked=True, attempt=row.attempt + 1, venue_number=venue.number)
            failpoint("order.place.before")
            report = venue.place(given)
            failpoint("order.place.after")
    except VenueRefused as error:
        log.warning("order.refused", child=row.id, venue=row.venue, why=str(error))
        return Report(0, 0, 0)
    except VenueUnavailable as error:
        log.warning("order.not_known", child=row.id, venue=row.venue, why=str(error))
        return str(error)
    if not rules.is_amounts(report):
        log.error("order.no_amounts", child=row.id, venue=row.venue, report=report)
        return f"{row.venue} says what are no amounts"
    wrong = rules.check_report(row, report)
    if wrong is not None:
        # What it says is booked, for it is what it did; that it should not have is told.
        log.error("order.wrong", child=row.id, venue=row.venue, why=wrong)
    return report


def _record(
    connection: Connection,
    row: ChildOrder,
    report: Report | str | None,
    *,
    token: str,
    now: datetime,
) -> int:
    """Write down how a child ended, and with the last one its order; or why not, and ask again."""
    if not isinstance(report, Report):
        later = now + retry_delay(row.failures)
        change: dict[str, Any] = {
            "id": row.id,
            "failures": row.failures + 1,
            "retry_at": later,
            "waits_for": report and report[: rules.WAITS_FOR_LENGTH_MAX],
        }
        settle(connection, store.child_orders, [change], token=token)
        return 0
    order = store.find(connection, row.order_id, lock=True)
    assert order is not None
    change = {
        "id": row.id,
        "status": "done",
        "filled_units": report.filled_units,
        "quote_units": report.quote_units,
        "fee_units": report.fee_units,
        "waits_for": None,
    }
    if not settle(connection, store.child_orders, [change], token=token):
        return 0
    children = store.list_children(connection, row.order_id)
    sums: dict[str, Any] = {
        name: sum(getattr(child, name) for child in children)
        for name in ("filled_units", "quote_units", "fee_units")
    }
    is_done = all(child.status == "done" for child in children)
    if is_done:
        sums |= {"status": OrderStatus.done.value, "ended_at": now}
    store.change(connection, order.id, **sums)
    if is_done:
        told = _event(replace(order, **sums), children, news.ORDER_DONE)
        events.append(connection, [told], now=now)
        if sums["filled_units"]:
            wake(connection, "order.hedge")
    return 1


def _event(order: Order, children: Sequence[ChildOrder], name: str) -> NewEvent:
    return NewEvent(
        account_id=None,
        livemode=order.livemode,
        type=name,
        object_id=order.id,
        object=rules.public(order, children),
    )
