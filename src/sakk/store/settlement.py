"""Settlements and their schedules, and what is read of statements for them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    func,
    select,
    text,
    update,
)

from sakk.core import chart, ids
from sakk.core.balance import BalanceTransaction
from sakk.core.chart import AccountCode, TransferCode
from sakk.core.settlement import (
    OPEN,
    PREFIX,
    Settlement,
    SettlementSchedule,
    SettlementStatus,
    Sums,
    payout_id,
)
from sakk.store.balance import balance_units, list_between
from sakk.store.database import among, due, fetch_all, fetch_one, row_of
from sakk.store.lease import lease_columns
from sakk.store.network import currencies
from sakk.store.payout import payouts
from sakk.store.schema import Document, Timestamp, Units, metadata

# An idle ledger's time stands still: so long after a cut-off nothing that was before it is written.
SETTLED_AFTER = timedelta(seconds=2)
LINES_PER_PAGE = 5_000

settlement_schedules = Table(
    "settlement_schedules",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("terms", Document, nullable=False),
    Column("held", Boolean, nullable=False, server_default=text("false")),
    Column("next_number", Integer, nullable=False, server_default="1"),
    Column("next_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    Column("initiator", Text),
    Column("initiator_person", Text),
    Index("uq_settlement_schedules_account", "account_id", "livemode", unique=True),
    Index(
        "ix_settlement_schedules_next",
        "next_at",
        postgresql_where=text("next_at IS NOT NULL"),
    ),
)

settlements = Table(
    "settlements",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("number", Integer, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("from_ns", BigInteger, nullable=False),
    Column("to_ns", BigInteger, nullable=False),
    Column("period_end", Timestamp, nullable=False),
    Column("first_line", BigInteger, nullable=False),
    Column("lines", BigInteger, nullable=False),
    Column("opening", Units, nullable=False),
    Column("credits", Units, nullable=False),
    Column("debits", Units, nullable=False),
    Column("closing", Units, nullable=False),
    Column("received", Units, nullable=False),
    Column("fees", Units, nullable=False),
    Column("owed", Units, nullable=False),
    Column("recovered", Units, nullable=False),
    Column("reserved", Units, nullable=False),
    Column("reserved_fixed", Units, nullable=False),
    Column("payable", Units, nullable=False),
    Column("exchange", Document),
    Column("amount", Units, nullable=False),
    Column("terms", Document, nullable=False),
    Column("pay_at", Timestamp, nullable=False),
    Column("release_at", Timestamp),
    Column("released", Boolean, nullable=False),
    Column("returned", Units, nullable=False, server_default="0"),
    Column("payout", Text),
    Column("failure_code", Text),
    Column("metadata", Document, nullable=False),
    *lease_columns(),
    Column("booked_at", Timestamp),
    Column("paid_at", Timestamp),
    Column("initiator", Text),
    Column("initiator_person", Text),
    Column("created", Timestamp, nullable=False),
    Index("uq_settlements_number", "account_id", "livemode", "number", unique=True),
    Index("ix_settlements_account", "account_id", "livemode", "id"),
    Index(
        "ix_settlements_work",
        "status",
        "pay_at",
        postgresql_where=text("status in ('closed', 'pending', 'held', 'paying')"),
    ),
    Index(
        "ix_settlements_release",
        "release_at",
        postgresql_where=text("release_at IS NOT NULL AND NOT released"),
    ),
    Index("ix_settlements_payout", "payout", postgresql_where=text("payout IS NOT NULL")),
)


class StatementBroken(RuntimeError):
    """A statement's lines do not lead to the balance that it says."""


@dataclass(frozen=True, slots=True)
class Balance:
    """One available balance of an account: its ledger account, and the currency."""

    ledger_account: UUID
    unit: str
    currency: str
    decimals: int


def put_schedule(connection: Connection, schedule: SettlementSchedule) -> None:
    """Write a schedule for the first time, or with other terms under its id."""
    row = row_of(schedule)
    found = find_schedule(
        connection, account_id=schedule.account_id, livemode=schedule.livemode, lock=True
    )
    if found is None:
        connection.execute(settlement_schedules.insert().values(row))
        return
    changed = {name: row[name] for name in ("terms", "held", "next_number", "next_at")}
    table = settlement_schedules
    connection.execute(update(table).where(table.c.id == found.id).values(changed))


def find_schedule(
    connection: Connection, *, account_id: str, livemode: bool, lock: bool = False
) -> SettlementSchedule | None:
    """An account's schedule; locked, no period of it is closed meanwhile."""
    table = settlement_schedules
    statement = select(table).where(table.c.account_id == account_id, table.c.livemode == livemode)
    if lock:
        statement = statement.with_for_update()
    return fetch_one(connection, statement, SettlementSchedule)


def list_due(
    connection: Connection, *, now: datetime, limit: int, but: Sequence[str] = ()
) -> list[str]:
    """Schedules whose period is over, but some; those of which a close is not booked yet wait."""
    table = settlement_schedules
    statement = (
        select(table.c.id)
        .where(table.c.next_at <= now, ~_unbooked(), ~among(table.c.id, but))
        .order_by(table.c.next_at)
        .limit(limit)
    )
    return list(connection.execute(statement).scalars())


def claim_due(
    connection: Connection, identifier: str, *, now: datetime
) -> SettlementSchedule | None:
    """One of them, locked; None where somebody else is at it, or was."""
    table = settlement_schedules
    statement = (
        select(table)
        .where(table.c.id == identifier, table.c.next_at <= now, ~_unbooked())
        .with_for_update(skip_locked=True)
    )
    return fetch_one(connection, statement, SettlementSchedule)


def _unbooked() -> ColumnElement[bool]:
    return (
        select(settlements.c.id)
        .where(
            settlements.c.account_id == settlement_schedules.c.account_id,
            settlements.c.livemode == settlement_schedules.c.livemode,
            settlements.c.status == SettlementStatus.closed.value,
        )
        .exists()
    )


def projected_until(connection: Connection, end: datetime, *, now: datetime) -> int | None:
    """Up to which ledger time (ns) statements can be closed at a cut-off; None: not yet.

    The ledger's time never repeats and rows are in its order, so whatever is written later is
    later than what is written now, and falls into the next period.
    """
    row = connection.execute(_PROJECTED).one()
    if row.timestamp_ns is None:
        return None
    end_ns = int(end.timestamp()) * 1_000_000_000 + end.microsecond * 1_000
    if row.timestamp_ns >= end_ns:
        return end_ns
    is_quiet = row.sequence >= row.head and now >= end + SETTLED_AFTER
    return int(row.timestamp_ns) if is_quiet else None


def projected_now(connection: Connection) -> int:
    """The ledger time (ns) up to which statements are written now."""
    found = connection.execute(text("SELECT min(timestamp_ns) FROM ledger_cursors")).scalar()
    return int(found or 0)


_PROJECTED = text(
    "SELECT min(c.timestamp_ns) AS timestamp_ns, min(c.sequence) AS sequence,"
    " (SELECT coalesce(max(sequence), 0) FROM ledger_journal) AS head FROM ledger_cursors c"
)


def list_balances(connection: Connection, *, account_id: str, livemode: bool) -> list[Balance]:
    """The balances that an account has, or had."""
    units = balance_units(connection, account_id=account_id, livemode=livemode)
    found = connection.execute(select(currencies.c.currency, currencies.c.decimals))
    decimals = {row.currency: row.decimals for row in found}
    names = {chart.merchant(account_id, "available", unit).name: unit for unit in units}
    rows = connection.execute(_NAMES, {"names": list(names)})
    balances = []
    for row in rows:
        unit = names[row.name]
        currency, _ = chart.currency_of_unit(unit)
        balances.append(Balance(row.id, unit, currency, decimals[currency]))
    return sorted(balances, key=lambda each: each.currency)


_NAMES = text("SELECT id, name FROM ledger_account_names WHERE name = ANY(:names)")


def sums(
    connection: Connection, balance: Balance, *, after_ns: int, until_ns: int, opening: int
) -> Sums:
    """What the lines of a period come to. StatementBroken where they do not lead from the opening
    balance to the one that the last line says: then a line is missing, and nothing is settled."""
    given = {
        "account": balance.ledger_account,
        "after": after_ns,
        "until": until_ns,
        "received": [int(code) for code in RECEIVED],
        "fees": [int(code) for code in FEES],
        "taken": [int(TransferCode.application_fee), int(TransferCode.application_fee_payout)],
        "given_back": int(TransferCode.application_fee_refunded),
    }
    row = connection.execute(_SUMS, given).one()
    closing = opening + int(row.credits) - int(row.debits)
    if row.lines and closing != int(row.balance_after):
        raise StatementBroken(
            f"the statement of {balance.ledger_account} leads to {closing} and says"
            f" {row.balance_after}: rebuild the projection before anything is settled"
        )
    return Sums(
        lines=row.lines,
        credits=int(row.credits),
        debits=int(row.debits),
        received=int(row.received),
        fees=int(row.fees),
        closing=closing,
    )


# What is charged for what an account is paid, and goes back of it.
FEES = (
    TransferCode.payin_fee,
    TransferCode.fee_returned,
    TransferCode.transfer_fee,
    TransferCode.gift_card_fee,
    TransferCode.gift_card_fee_returned,
)
RECEIVED = (TransferCode.payin, TransferCode.payin_released, TransferCode.payin_reversed)
_SUMS = text(
    "SELECT count(*) AS lines,"
    " coalesce(sum(e.amount) FILTER (WHERE e.amount > 0), 0) AS credits,"
    " coalesce(-sum(e.amount) FILTER (WHERE e.amount < 0), 0) AS debits,"
    " coalesce(sum(e.amount) FILTER (WHERE t.code = ANY(:received)"
    # What a platform takes is its income, and its merchant's fee.
    " OR t.code = ANY(:taken) AND e.amount > 0"
    " OR t.code = :given_back AND e.amount < 0), 0) AS received,"
    " coalesce(-sum(e.amount) FILTER (WHERE t.code = ANY(:fees)"
    " OR t.code = ANY(:taken) AND e.amount < 0"
    " OR t.code = :given_back AND e.amount > 0), 0) AS fees,"
    " (array_agg(e.balance_after ORDER BY e.timestamp_ns DESC))[1] AS balance_after"
    " FROM ledger_entries e JOIN ledger_transfers t"
    " ON t.shard = e.shard AND t.timestamp_ns = e.timestamp_ns"
    " WHERE e.account_id = :account AND e.timestamp_ns > :after AND e.timestamp_ns <= :until"
)


def owed(connection: Connection, *, account_id: str, unit: str) -> int:
    """What an account owes us in a unit, as far as the projection came."""
    given = {
        "account": account_id,
        "unit": unit,
        "code": int(AccountCode.receivable),
    }
    found = connection.execute(_OWED, given).scalar()
    return max(0, int(found or 0))


_OWED = text(
    "SELECT a.debits_posted - a.credits_posted FROM ledger_account_names n"
    " JOIN ledger_accounts a ON a.id = n.id"
    " WHERE n.account = :account AND n.unit = :unit AND n.code = :code"
)


def find_last(
    connection: Connection, *, account_id: str, livemode: bool, currency: str
) -> Settlement | None:
    """The settlement of a currency that was closed last."""
    c = settlements.c
    statement = (
        select(settlements)
        .where(c.account_id == account_id, c.livemode == livemode, c.currency == currency)
        .order_by(c.number.desc())
        .limit(1)
    )
    return fetch_one(connection, statement, Settlement)


def standing(
    connection: Connection, *, account_id: str, livemode: bool, currency: str
) -> tuple[int, int]:
    """What earlier settlements of a currency have still to pay, and what the fixed reserve has."""
    c = settlements.c
    row = connection.execute(
        select(
            func.coalesce(func.sum(c.payable).filter(among(c.status, OPEN)), 0),
            func.coalesce(func.sum(c.reserved_fixed), 0),
        ).where(c.account_id == account_id, c.livemode == livemode, c.currency == currency)
    ).one()
    return int(row[0]), int(row[1])


def insert(connection: Connection, settlement: Settlement) -> None:
    connection.execute(settlements.insert().values(row_of(settlement)))


def find(
    connection: Connection, identifier: str, *, account_id: str | None, livemode: bool
) -> Settlement | None:
    """One settlement, of an account or of any (None)."""
    c = settlements.c
    statement = select(settlements).where(c.id == identifier, c.livemode == livemode)
    if account_id is not None:
        statement = statement.where(c.account_id == account_id)
    return fetch_one(connection, statement, Settlement)


def paid_by(connection: Connection, payout: str) -> Settlement | None:
    """The settlement that a payout, which has its number, pays."""
    identifier = ids.encode(PREFIX, ids.decode(payout)[1])
    statement = select(settlements).where(settlements.c.id == identifier)
    return fetch_one(connection, statement, Settlement)


@dataclass(frozen=True, slots=True)
class Ended:
    """A settlement, and how the payout of it has ended."""

    id: str
    status: str


# Settlements whose payout has come to its end, and how; locked.
ended = due(
    select(settlements.c.id, payouts.c.status)
    .join(payouts, payouts.c.id == settlements.c.payout)
    .where(
        settlements.c.status == SettlementStatus.paying.value,
        among(payouts.c.status, ["posted", "rejected", "canceled", "failed"]),
    ),
    Ended,
    settlements.c.id,
    lock=settlements,
)


def reopen(connection: Connection, payout: str) -> None:
    """A payout that was final came to another end: its settlement is not what it was said to be."""
    c = settlements.c
    connection.execute(
        update(settlements)
        .where(
            c.payout == payout,
            among(c.status, [SettlementStatus.paid.value, SettlementStatus.failed.value]),
        )
        .values(status=SettlementStatus.paying.value, paid_at=None, failure_code=None)
    )


def let_go(connection: Connection, *, account_id: str, livemode: bool, held: bool) -> None:
    """Hold what is still to be paid, or let it go on."""
    c = settlements.c
    before, after = SettlementStatus.held, SettlementStatus.pending
    if held:
        before, after = after, before
    connection.execute(
        update(settlements)
        .where(
            c.account_id == account_id,
            c.livemode == livemode,
            c.status == before.value,
            c.lease_until.is_(None) | (c.lease_until < func.now()),
        )
        .values(status=after.value, lease_token=None, lease_until=None)
    )


def held_back(connection: Connection, settlement: Settlement, *, token: str) -> bool:
    """Was an account's schedule held while a worker had a settlement of it that is not paid yet?
    It waits then; the schedule is locked, so that nobody lets it go in between."""
    schedule = find_schedule(
        connection, account_id=settlement.account_id, livemode=settlement.livemode, lock=True
    )
    if schedule is None or not schedule.held:
        return False
    c = settlements.c
    waits = connection.execute(
        update(settlements)
        .where(
            c.id == settlement.id,
            c.lease_token == token,
            # One that has its payout is on its way.
            ~select(payouts.c.id).where(payouts.c.id == payout_id(settlement)).exists(),
        )
        .values(status=SettlementStatus.held.value, lease_token=None, lease_until=None)
    )
    return waits.rowcount > 0


def set_status(
    connection: Connection, identifiers: Sequence[str], values: dict[str, Any]
) -> list[Settlement]:
    """Set the same of several locked settlements; as they are then."""
    connection.execute(
        update(settlements).where(among(settlements.c.id, identifiers)).values(values)
    )
    statement = select(settlements).where(among(settlements.c.id, identifiers))
    return fetch_all(connection, statement, Settlement)


def count_before(connection: Connection, settlement: Settlement, timestamp_ns: int) -> int:
    """How many lines of a settlement's period are no later than a moment of the ledger."""
    unit = chart.currency_unit(settlement.currency, livemode=settlement.livemode)
    name = chart.merchant(settlement.account_id, "available", unit).name
    given = {"name": name, "after": settlement.from_ns, "until": timestamp_ns}
    return int(connection.execute(_COUNT, given).scalar_one())


_COUNT = text(
    "SELECT count(*) FROM ledger_account_names n JOIN ledger_entries e ON e.account_id = n.id"
    " WHERE n.name = :name AND e.timestamp_ns > :after AND e.timestamp_ns <= :until"
)


def lines_of(
    connection: Connection, settlement: Settlement, *, after_ns: int, limit: int
) -> list[BalanceTransaction]:
    """Lines of a settlement later than a moment of the ledger, oldest first."""
    return list_between(
        connection,
        account_id=settlement.account_id,
        livemode=settlement.livemode,
        currency=settlement.currency,
        after_ns=max(after_ns, settlement.from_ns),
        until_ns=settlement.to_ns,
        limit=limit,
    )


def number_in_currency(connection: Connection, settlement: Settlement) -> int:
    """Which of the account's statements in its currency it is, from 1: none is left out."""
    c = settlements.c
    before = select(func.count()).where(
        c.account_id == settlement.account_id,
        c.livemode == settlement.livemode,
        c.currency == settlement.currency,
        c.number <= settlement.number,
    )
    return int(connection.execute(before).scalar_one())


def all_lines(
    connection: Connection, settlement: Settlement
) -> Iterator[tuple[int, BalanceTransaction]]:
    """Every line with its number, oldest first, a page at a time."""
    number, after_ns = settlement.first_line, settlement.from_ns
    while True:
        page = lines_of(connection, settlement, after_ns=after_ns, limit=LINES_PER_PAGE)
        for line in page:
            yield number, line
            number, after_ns = number + 1, line.timestamp_ns
        if len(page) < LINES_PER_PAGE:
            return
