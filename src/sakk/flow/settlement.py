"""Settlements: periods are closed, reserves booked, what is left is paid, and reserves come back.

A close is of the database alone: which lines, what they came to, what is taken and what is paid is
one transaction, in an order of its own for each account. What follows acts outside: the ledger is
posted to under the settlement's id, and the payout has the settlement's number for its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from sakk.core import chart
from sakk.core import settlement as rules
from sakk.core import settlement_event as news
from sakk.core.beneficiary import Wanted
from sakk.core.calendar import business_days
from sakk.core.conversion import Conversion
from sakk.core.errors import (
    BalanceInsufficient,
    ParameterInvalid,
    ResourceMissing,
    SakkError,
    UnexpectedState,
)
from sakk.core.event import NewEvent
from sakk.core.payout import Initiator, PayoutRequest
from sakk.core.settlement import (
    Plan,
    Settlement,
    SettlementSchedule,
    SettlementStatus,
    SettlementTerms,
    Sums,
    read_terms,
)
from sakk.flow import bank_account, settlement_conversion
from sakk.flow import payout as payout_flow
from sakk.flow.context import Parts
from sakk.flow.settlement_reserve import release_stage, taken
from sakk.flow.stage import Stage, wake
from sakk.store import beneficiary, network
from sakk.store import event as events
from sakk.store import payout as payouts
from sakk.store import settlement as store
from sakk.store.database import fetch
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import NOW, claim, claimable, given_back_on_error, retry_delay, settle

CLOSE_MAX = 50
BATCH_MAX = 100
# Cut-offs that passed longer ago than this while nothing ran are not looked for one by one.
CATCH_UP_MAX = timedelta(days=8)
# A schedule that could not be closed is left alone for so long, so that the others are.
CLOSE_AGAIN_AFTER = timedelta(minutes=1)

log = structlog.get_logger(__name__)

_to_book = claimable(
    store.settlements,
    Settlement,
    store.settlements.c.status == SettlementStatus.closed.value,
    limit=BATCH_MAX,
)
_to_pay = claimable(
    store.settlements,
    Settlement,
    store.settlements.c.status == SettlementStatus.pending.value,
    store.settlements.c.pay_at <= NOW,
    limit=BATCH_MAX,
)


def put_schedule(
    connection: Connection,
    terms: SettlementTerms,
    *,
    identifier: str,
    account_id: str,
    livemode: bool,
    held: bool,
    now: datetime,
    initiator: Initiator,
) -> SettlementSchedule:
    """Settle an account by these terms from now on. ParameterInvalid.

    ``held``: nothing is paid until it is let go; periods are closed all the same. ``initiator``:
    who writes other terms than stood there, and so approves no payout by them.
    """
    decimals = {each.currency: each.decimals for each in network.list_currencies(connection)}
    rules.check_terms(terms, decimals)
    is_business_day = business_days(terms.calendar)
    if terms.destination is not None and "bank_account" in terms.destination:
        place = bank_account.settled_to(
            connection, terms.destination["bank_account"], account_id=account_id, livemode=livemode
        )
        terms = replace(terms, destination=place)
    elif terms.destination is not None:
        found = beneficiary.find(
            connection,
            terms.destination["beneficiary"],
            account_id=account_id,
            livemode=livemode,
        )
        if found is None:
            raise ParameterInvalid(
                "There is no beneficiary {beneficiary} in the account's address book."
                " GET /v1/beneficiaries lists them.",
                param="destination[beneficiary]",
                beneficiary=repr(terms.destination["beneficiary"]),
            )
    before = store.find_schedule(connection, account_id=account_id, livemode=livemode, lock=True)
    document = terms.document()
    if before is not None and before.terms == document:
        initiator = Initiator(before.initiator, before.initiator_person)
    schedule = SettlementSchedule(
        id=identifier if before is None else before.id,
        account_id=account_id,
        livemode=livemode,
        terms=document,
        initiator=initiator.key,
        initiator_person=initiator.person,
        held=held,
        next_number=1 if before is None else before.next_number,
        next_at=rules.next_end(terms, now, is_business_day),
        created=now if before is None else before.created,
    )
    store.put_schedule(connection, schedule)
    if before is not None and before.held != held:
        store.let_go(connection, account_id=account_id, livemode=livemode, held=held)
        wake(connection, "settlement.pay")
    return schedule


def settlement_stages(parts: Parts) -> list[Stage]:
    """The stages of settlements, in their order."""
    return [
        close_stage(parts),
        book_stage(parts),
        pay_stage(parts),
        follow_stage(parts),
        release_stage(parts),
    ]


def close_stage(parts: Parts) -> Stage:
    """The stage that closes the periods whose cut-off has passed, as one each."""

    broken: dict[str, datetime] = {}

    def run() -> int:
        now = parts.clock()
        closed = 0
        for identifier in [each for each, until in broken.items() if until <= now]:
            del broken[identifier]
        with parts.database.read() as connection:
            due = store.list_due(connection, now=now, limit=CLOSE_MAX, but=list(broken))
        for identifier in due:
            try:
                with parts.database.begin() as connection:
                    schedule = store.claim_due(connection, identifier, now=now)
                    if schedule is not None and _close_due(connection, schedule, now=now):
                        closed += 1
            except Exception as error:
                # The others are settled all the same.
                log.error("settlement.not_closed", schedule=identifier, exc_info=error)
                broken[identifier] = now + CLOSE_AGAIN_AFTER
        return closed

    return Stage("settlement.close", run, idle_seconds=5.0, gives_way=True)


def _close_due(connection: Connection, schedule: SettlementSchedule, *, now: datetime) -> bool:
    """Close what is over; False while the statement does not reach so far."""
    terms = read_terms(schedule.terms)
    is_business_day = business_days(terms.calendar)
    assert schedule.next_at is not None
    end = max(schedule.next_at, now - CATCH_UP_MAX)
    upcoming = rules.next_end(terms, end, is_business_day)
    while upcoming is not None and upcoming <= now:
        end, upcoming = upcoming, rules.next_end(terms, upcoming, is_business_day)
    until_ns = store.projected_until(connection, end, now=now)
    if until_ns is None:
        return False
    pay_at = rules.pay_date(terms, end, is_business_day)
    made = _close(connection, schedule, end=end, until_ns=until_ns, pay_at=pay_at, now=now)
    store.put_schedule(
        connection,
        replace(schedule, next_number=schedule.next_number + len(made), next_at=upcoming),
    )
    return bool(made)


def create(
    parts: Parts,
    *,
    identifier: str,
    account_id: str,
    livemode: bool,
    currency: str,
    request_id: str | None = None,
) -> Settlement:
    """Close a currency's period now, because somebody asks; the same identifier is one settlement.

    ResourceMissing without a schedule; UnexpectedState where there is nothing to settle, or while
    the close before is not booked.
    """
    now = parts.clock()
    with parts.database.begin() as connection:
        found = store.find(connection, identifier, account_id=account_id, livemode=livemode)
        if found is not None:
            return found
        schedule = store.find_schedule(
            connection, account_id=account_id, livemode=livemode, lock=True
        )
        if schedule is None:
            raise ResourceMissing(
                "This account has no settlement schedule: the operator writes one first.",
                param="currency",
            )
        last = store.find_last(
            connection, account_id=account_id, livemode=livemode, currency=currency
        )
        if last is not None and last.status == SettlementStatus.closed:
            raise UnexpectedState(
                "{settlement} is just being booked: try again in a moment.", settlement=last.id
            )
        terms = read_terms(schedule.terms)
        made = _close(
            connection,
            schedule,
            end=now,
            until_ns=store.projected_now(connection),
            pay_at=rules.pay_date(terms, now, business_days(terms.calendar)),
            now=now,
            only=(currency, identifier),
            request_id=request_id,
        )
        if not made:
            raise UnexpectedState(
                "There is nothing to settle in {currency}: no line since the settlement before.",
                currency=currency,
            )
        store.put_schedule(connection, replace(schedule, next_number=schedule.next_number + 1))
    return made[0]


def _close(
    connection: Connection,
    schedule: SettlementSchedule,
    *,
    end: datetime,
    until_ns: int,
    pay_at: datetime,
    now: datetime,
    only: tuple[str, str] | None = None,
    request_id: str | None = None,
) -> list[Settlement]:
    """One settlement of each currency that has lines, or something that was not paid."""
    made: list[Settlement] = []
    for balance in store.list_balances(
        connection, account_id=schedule.account_id, livemode=schedule.livemode
    ):
        if only is not None and balance.currency != only[0]:
            continue
        settlement = _settled(
            connection,
            schedule,
            balance,
            identifier=new_id(rules.PREFIX) if only is None else only[1],
            number=schedule.next_number + len(made),
            end=end,
            until_ns=until_ns,
            pay_at=pay_at,
            now=now,
        )
        if settlement is not None:
            store.insert(connection, settlement)
            made.append(settlement)
    if made:
        told = [settlement_event(each, news.SETTLEMENT_CREATED, request_id) for each in made]
        events.append(connection, told, now=now)
        wake(connection, "settlement.book")
    return made


def _settled(
    connection: Connection,
    schedule: SettlementSchedule,
    balance: store.Balance,
    *,
    identifier: str,
    number: int,
    end: datetime,
    until_ns: int,
    pay_at: datetime,
    now: datetime,
) -> Settlement | None:
    """What a period came to, and what becomes of it; None where there is nothing to settle."""
    last = store.find_last(
        connection,
        account_id=schedule.account_id,
        livemode=schedule.livemode,
        currency=balance.currency,
    )
    after_ns, opening, first_line = (
        (0, 0, 1) if last is None else (last.to_ns, last.closing, last.first_line + last.lines)
    )
    until_ns = max(until_ns, after_ns)
    found = store.sums(connection, balance, after_ns=after_ns, until_ns=until_ns, opening=opening)
    terms = read_terms(schedule.terms)
    planned = _planned(connection, schedule, terms, balance, found)
    if not found.lines and not planned.payable:
        return None
    if not rules.is_threshold_met(terms, balance.currency, planned):
        return None
    return Settlement(
        id=identifier,
        account_id=schedule.account_id,
        livemode=schedule.livemode,
        number=number,
        currency=balance.currency,
        decimals=balance.decimals,
        status=SettlementStatus.closed.value,
        from_ns=after_ns,
        to_ns=until_ns,
        period_end=end,
        first_line=first_line,
        opening=opening,
        **asdict(found),
        **asdict(planned),
        terms=schedule.terms,
        initiator=schedule.initiator,
        initiator_person=schedule.initiator_person,
        pay_at=pay_at,
        release_at=end + timedelta(days=terms.reserve_days) if planned.reserved else None,
        metadata={},
        created=now,
    )


def _planned(
    connection: Connection,
    schedule: SettlementSchedule,
    terms: SettlementTerms,
    balance: store.Balance,
    found: Sums,
) -> Plan:
    outstanding, standing = store.standing(
        connection,
        account_id=schedule.account_id,
        livemode=schedule.livemode,
        currency=balance.currency,
    )
    return rules.plan(
        terms,
        balance.currency,
        found,
        owed=store.owed(connection, account_id=schedule.account_id, unit=balance.unit),
        outstanding=outstanding,
        standing=standing,
    )


def book_stage(parts: Parts) -> Stage:
    """The stage that takes what is owed and sets reserves aside, as far as the balance goes."""
    table = store.settlements

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _to_book, token=token, now=parts.clock())
        if not rows:
            return 0
        with given_back_on_error(parts.database, table, [row.id for row in rows], token=token):
            failpoint("settlement.book.before")
            booked = taken(parts, rows)
            failpoint("settlement.book.after")
        now = parts.clock()
        with parts.database.begin() as connection:
            changes = []
            for row in sorted(booked, key=lambda row: row.account_id):
                schedule = store.find_schedule(
                    connection, account_id=row.account_id, livemode=row.livemode, lock=True
                )
                assert schedule is not None
                changes.append(
                    {
                        "id": row.id,
                        "status": rules.after_booking(row, held=schedule.held).value,
                        "recovered": row.recovered,
                        "reserved": row.reserved,
                        "reserved_fixed": row.reserved_fixed,
                        "release_at": row.release_at if row.reserved else None,
                        "booked_at": now,
                    }
                )
            settle(connection, table, changes, token=token)
            wake(connection, "settlement.pay", "settlement.close")
        return len(rows)

    return Stage("settlement.book", run, due=(_to_book,))


def pay_stage(parts: Parts) -> Stage:
    """The stage that pays what is due, by a payout that has the settlement's own number."""
    table = store.settlements

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _to_pay, token=token, now=parts.clock())
        if not rows:
            return 0
        with given_back_on_error(parts.database, table, [row.id for row in rows], token=token):
            offers: dict[bool, payout_flow.Offer] = {}
            for row in rows:
                failpoint("settlement.pay.before")
                try:
                    with parts.database.begin() as connection:
                        is_held = store.held_back(connection, row, token=token)
                    if is_held:
                        continue
                    after = _paid(parts, row, offers)
                except Exception as error:
                    # One that has to wait, or that nobody foresaw, keeps no other from being paid.
                    _report(row, error)
                    _put_off(parts, row, token=token)
                    continue
                failpoint("settlement.pay.after")
                _record_paid(parts, after, token=token)
        return len(rows)

    return Stage("settlement.pay", run, due=(_to_pay,))


def _report(row: Settlement, error: Exception) -> None:
    if isinstance(error, SakkError) and error.transient:
        log.warning("settlement.waits", settlement=row.id, why=error.message)
    else:
        log.error("settlement.pay_failed", settlement=row.id, exc_info=error)


def _put_off(parts: Parts, row: Settlement, *, token: str) -> None:
    now = parts.clock()
    change = {
        "id": row.id,
        "failures": row.failures + 1,
        "retry_at": now + retry_delay(row.failures),
    }
    with parts.database.begin() as connection:
        settle(connection, store.settlements, [change], token=token)


def _record_paid(parts: Parts, row: Settlement, *, token: str) -> None:
    fields = ("id", "status", "amount", "payout", "failure_code", "exchange")
    change = {name: getattr(row, name) for name in fields}
    with parts.database.begin() as connection:
        settled = settle(connection, store.settlements, [change], token=token)
        if settled and row.status == SettlementStatus.failed:
            told = settlement_event(row, news.SETTLEMENT_FAILED)
            events.append(connection, [told], now=parts.clock())


def _paid(parts: Parts, row: Settlement, offers: dict[bool, payout_flow.Offer]) -> Settlement:
    """The settlement with its payout, or as failed; what is not paid stays on the balance.

    ``offers``: what payouts are made of, by mode, read once for a batch.
    """
    identifier = rules.payout_id(row)
    with parts.database.read() as connection:
        found = payouts.find(
            connection, identifier, account_id=row.account_id, livemode=row.livemode
        )
        if row.livemode not in offers:
            offers[row.livemode] = payout_flow.read_offer(connection, livemode=row.livemode)
    unit = chart.currency_unit(row.currency, livemode=row.livemode)
    [available] = parts.books.balances([chart.merchant(row.account_id, "available", unit)])
    amount = min(row.payable, available) if found is None else found.amount
    converted = settlement_conversion.find(parts, row)
    if amount <= 0 and converted is None:
        return replace(
            row, status=SettlementStatus.failed.value, failure_code=BalanceInsufficient.code
        )
    offer = offers[row.livemode]
    sent = amount
    try:
        if rules.pays_in(row) != row.currency:
            converted = _converted(parts, row, amount, converted, offer=offer)
            # Also of one that is not paid then: what it became is in the account's balance.
            sent, amount = converted.target_amount, converted.source_amount
            row = replace(row, exchange=settlement_conversion.document(converted))
        payout_flow.create(
            parts,
            _request(row, sent),
            identifier=identifier,
            account_id=row.account_id,
            livemode=row.livemode,
            offer=offer,
        ).run(parts.database)
    except SakkError as error:
        return _not_paid(row, error)
    return replace(row, status=SettlementStatus.paying.value, payout=identifier, amount=amount)


def _request(row: Settlement, amount: int) -> PayoutRequest:
    """The payout of a settlement, of so much of the currency that it is paid in."""
    place: Mapping[str, str] = row.terms["destination"]
    return PayoutRequest(
        amount=amount,
        currency=rules.pays_in(row),
        destination=Wanted(
            beneficiary=place.get("beneficiary"),
            network=place.get("network"),
            bank_account=place.get("bank_account"),
        ),
        fee_mode="receiver",
        description=f"Settlement {row.number}",
        metadata={"settlement": row.id},
        is_settlement=True,
    )


def _converted(
    parts: Parts,
    row: Settlement,
    amount: int,
    made: Conversion | None,
    *,
    offer: payout_flow.Offer,
) -> Conversion:
    """The conversion of a settlement. What can not be paid where it has to go is not converted."""
    if made is not None:
        return settlement_conversion.convert(parts, row, made.quote)
    quote = settlement_conversion.quote(parts, row, amount)
    payout_flow.check(
        parts,
        _request(row, quote.target_amount),
        account_id=row.account_id,
        livemode=row.livemode,
        offer=offer,
    )
    return settlement_conversion.convert(parts, row, quote.id)


def _not_paid(row: Settlement, error: SakkError) -> Settlement:
    """As failed; what has to wait is raised again. A balance that does not cover it is not asked
    again: the next settlement has what is left."""
    if error.transient and not isinstance(error, BalanceInsufficient):
        raise error
    log.warning("settlement.not_paid", settlement=row.id, why=error.message)
    return replace(row, status=SettlementStatus.failed.value, failure_code=error.code)


def follow_stage(parts: Parts) -> Stage:
    """The stage that brings settlements in line with the payouts that pay them."""

    def run() -> int:
        now = parts.clock()
        with parts.database.begin() as connection:
            ended = fetch(connection, store.ended, limit=BATCH_MAX)
            _end(connection, ended, SettlementStatus.paid, now=now)
            _end(connection, ended, SettlementStatus.failed, now=now)
        return len(ended)

    return Stage("settlement.follow", run, due=(store.ended,))


def _end(
    connection: Connection,
    ended: Sequence[store.Ended],
    status: SettlementStatus,
    *,
    now: datetime,
) -> None:
    these = [each.id for each in ended if rules.outcome(each.status) is status]
    if not these:
        return
    is_paid = status is SettlementStatus.paid
    values = {"status": status.value, "paid_at": now if is_paid else None}
    if not is_paid:
        values["failure_code"] = "payout_failed"
    name = news.SETTLEMENT_PAID if is_paid else news.SETTLEMENT_FAILED
    rows = store.set_status(connection, these, values)
    events.append(connection, [settlement_event(row, name) for row in rows], now=now)


def settlement_event(row: Settlement, name: str, request_id: str | None = None) -> NewEvent:
    """An event about a settlement."""
    return NewEvent(
        account_id=row.account_id,
        livemode=row.livemode,
        type=name,
        object_id=row.id,
        object=rules.public(row),
        request_id=request_id,
    )
