"""The ledger's rows for people and queries: the projection of the journal, and accounts' names.

``sakk.store.projection`` writes them; readers take SQLAlchemy's connection as for every other noun.
Ids are 16 bytes in uuid columns, times are nanoseconds since 1970: ``timestamp_ns`` the ledger's,
``effective_at_ns`` the user's. An account stands on one shard; the ledger's time is never given
twice on one shard, so it names a transfer, and with the account an entry.

Transfers, entries and balances are partitioned by the ledger's time, a month each. No index over
all of them finds a plain transfer by its id: that question is the machine's (``lookup_transfers``),
whose answer carries the time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    event,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import insert

from sakk.store.database import run
from sakk.store.schema import Units, metadata

NAMES_PER_STATEMENT = 1_000
ROWS_LIMIT_MAX = 1_000
PARTITIONED = ("ledger_transfers", "ledger_entries", "ledger_balances")

# Transfers that left no entry: holds, voids, and what moved nothing. An account's transfers are
# its entries' and these, so that most rows need no index by account.
WITHOUT_ENTRY = "((flags & 10) <> 0 OR amount = 0)"
NO_USER_DATA = "'00000000-0000-0000-0000-000000000000'"
# Entries whose user's time is more than a minute (ns) from the ledger's.
NEAR_NS = 60_000_000_000
FAR = f"(effective_at_ns - timestamp_ns NOT BETWEEN -{NEAR_NS} AND {NEAR_NS})"


def _after_create(table: Table, statement: str) -> None:
    event.listen(table, "after_create", DDL(statement))  # type: ignore[no-untyped-call]


# How far the projection came: everything up to and including ``sequence`` stands in its rows.
ledger_cursors = Table(
    "ledger_cursors",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),
    Column("timestamp_ns", BigInteger, nullable=False),
)

ledger_accounts = Table(
    "ledger_accounts",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("shard", Integer, nullable=False),
    Column("unit", Numeric(20, 0), nullable=False),
    Column("code", Integer, nullable=False),
    Column("flags", Integer, nullable=False),
    Column("user_data", Uuid, nullable=False),
    Column("timestamp_ns", BigInteger, nullable=False),
    Column("debits_pending", Units, nullable=False),
    Column("debits_posted", Units, nullable=False),
    Column("credits_pending", Units, nullable=False),
    Column("credits_posted", Units, nullable=False),
    Index("ix_ledger_accounts_timestamp", "timestamp_ns"),
    Index("ix_ledger_accounts_unit", "unit", "timestamp_ns"),
    Index("ix_ledger_accounts_code", "code", "timestamp_ns"),
    Index("ix_ledger_accounts_user_data", "user_data", "timestamp_ns"),
)
# Totals change with every page: room on each page of the table keeps the indexes out of it.
_after_create(ledger_accounts, "ALTER TABLE ledger_accounts SET (fillfactor = 50)")

ledger_transfers = Table(
    "ledger_transfers",
    metadata,
    Column("id", Uuid, nullable=False),
    Column("shard", Integer, nullable=False),
    Column("sequence", BigInteger, nullable=False),  # the journal's
    Column("timestamp_ns", BigInteger, nullable=False),
    Column("effective_at_ns", BigInteger, nullable=False),
    Column("debit_account_id", Uuid, nullable=False),
    Column("credit_account_id", Uuid, nullable=False),
    Column("amount", Units, nullable=False),
    Column("unit", Numeric(20, 0), nullable=False),
    Column("code", Integer, nullable=False),
    Column("flags", Integer, nullable=False),
    Column("timeout_seconds", BigInteger, nullable=False),
    Column("user_data", Uuid, nullable=False),
    Column("pending_id", Uuid),
    # posted (moved money), pending, voided (a void, or a hold that it ended), expired; a hold
    # that was posted is posted too: its post has the entries.
    Column("status", Text, nullable=False),
    Column("charges", LargeBinary),  # see ``sakk.store.charge``
    PrimaryKeyConstraint("shard", "timestamp_ns"),
    Index("ix_ledger_transfers_unit", "unit", "timestamp_ns"),
    Index("ix_ledger_transfers_code", "code", "timestamp_ns"),
    Index(
        "ix_ledger_transfers_user_data",
        "user_data",
        "timestamp_ns",
        postgresql_where=text(f"user_data <> {NO_USER_DATA}"),
    ),
    Index("ix_ledger_transfers_hold", "id", postgresql_where=text("(flags & 2) <> 0")),
    Index(
        "ix_ledger_transfers_status",
        "status",
        "timestamp_ns",
        postgresql_where=text("status <> 'posted'"),
    ),
    Index(
        "ix_ledger_transfers_debit",
        "debit_account_id",
        "timestamp_ns",
        postgresql_where=text(WITHOUT_ENTRY),
    ),
    Index(
        "ix_ledger_transfers_credit",
        "credit_account_id",
        "timestamp_ns",
        postgresql_where=text(WITHOUT_ENTRY),
    ),
    postgresql_partition_by="RANGE (timestamp_ns)",
)

# One side of a posted movement: ``amount`` is credited where it is above zero and debited where it
# is below; ``balance_after`` is credits less debits posted.
ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("account_id", Uuid, nullable=False),
    Column("timestamp_ns", BigInteger, nullable=False),
    Column("shard", Integer, nullable=False),
    Column("effective_at_ns", BigInteger, nullable=False),
    Column("amount", Units, nullable=False),
    Column("balance_after", Units, nullable=False),
    PrimaryKeyConstraint("account_id", "timestamp_ns", "shard"),
    Index("ix_ledger_entries_effective", "account_id", "effective_at_ns", "timestamp_ns"),
    Index(
        "ix_ledger_entries_far",
        "account_id",
        "effective_at_ns",
        postgresql_include=["timestamp_ns", "amount"],
        postgresql_where=text(FAR),
    ),
    postgresql_partition_by="RANGE (timestamp_ns)",
)

# The four totals after each change, of accounts with the history flag.
ledger_balances = Table(
    "ledger_balances",
    metadata,
    Column("account_id", Uuid, nullable=False),
    Column("timestamp_ns", BigInteger, nullable=False),
    Column("shard", Integer, nullable=False),
    Column("debits_pending", Units, nullable=False),
    Column("debits_posted", Units, nullable=False),
    Column("credits_pending", Units, nullable=False),
    Column("credits_posted", Units, nullable=False),
    PrimaryKeyConstraint("account_id", "timestamp_ns", "shard"),
    postgresql_partition_by="RANGE (timestamp_ns)",
)

# What no partition was made for goes here, so that nothing is ever refused.
for _table in (ledger_transfers, ledger_entries, ledger_balances):
    _after_create(_table, f"CREATE TABLE {_table.name}_default PARTITION OF {_table.name} DEFAULT")

# So that people can read the ledger: the chart's name behind each id.
ledger_account_names = Table(
    "ledger_account_names",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("unit", Text, nullable=False),
    Column("unit_id", BigInteger, nullable=False),
    Column("code", SmallInteger, nullable=False),
    Column("account", Text, index=True),
)

TABLES = (
    ledger_cursors,
    ledger_accounts,
    ledger_transfers,
    ledger_entries,
    ledger_balances,
    ledger_account_names,
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One posted movement of one account: ``amount`` above zero was credited, below it debited.

    ``balance_after``: credits less debits posted, in the order of the ledger's time.
    """

    account_id: UUID
    timestamp_ns: int
    effective_at_ns: int
    amount: int
    balance_after: int
    transfer_id: UUID
    code: int
    user_data: UUID


@dataclass(frozen=True, slots=True)
class LedgerTransfer:
    """A created transfer as the projection shows it. ``status`` of a hold says what became of it:
    pending, posted, voided or expired; of a void, voided; else posted."""

    id: UUID
    sequence: int
    timestamp_ns: int
    effective_at_ns: int
    debit_account_id: UUID
    credit_account_id: UUID
    amount: int
    unit: int
    code: int
    flags: int
    timeout_seconds: int
    user_data: UUID
    pending_id: UUID | None
    status: str


@dataclass(frozen=True, slots=True)
class LedgerAccount:
    """An account as its rows show it."""

    id: UUID
    unit: int
    code: int
    flags: int
    user_data: UUID
    timestamp_ns: int
    debits_pending: int
    debits_posted: int
    credits_pending: int
    credits_posted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountQuery:
    """Which accounts: all that is given must hold. Units and times are first and last, both
    included; times are the ledger's (ns)."""

    unit_min: int | None = None
    unit_max: int | None = None
    code: int | None = None
    user_data: int | None = None
    timestamp_min: int | None = None
    timestamp_max: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferQuery(AccountQuery):
    """Which transfers, in the same way."""

    account_id: int | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """An account's four totals."""

    debits_pending: int
    debits_posted: int
    credits_pending: int
    credits_posted: int


@dataclass(frozen=True, slots=True)
class AccountName:
    """The chart's name behind an account's id. ``account``: the merchant that it belongs to."""

    id: int
    name: str
    unit: str
    unit_id: int
    code: int
    account: str | None = None


# A first and a last moment, in ns since 1970.
Span = tuple[int, int]
ALWAYS: Span = (0, (1 << 63) - 1)


def entries(
    connection: Connection,
    account_id: int,
    *,
    after: int | None = None,
    span: Span = ALWAYS,
    limit: int = 100,
    newest_first: bool = True,
) -> list[Entry]:
    """An account's statement by the ledger's time, a page at a time.

    ``after``: the last ``timestamp_ns`` of the page before, in the same order. ``span``: the first
    and the last ``timestamp_ns`` that are asked for.
    """
    sign, order = ("<", "DESC") if newest_first else (">", "ASC")
    keyset = "" if after is None else f"AND timestamp_ns {sign} %(after)s"
    return _entries(
        connection,
        f"{keyset} AND timestamp_ns BETWEEN %(first)s AND %(last)s ORDER BY timestamp_ns {order}",
        f"e.timestamp_ns {order}",
        {"account": UUID(int=account_id), "after": after, "limit": limit, **_bounds(span)},
    )


def entries_by_effective_at(
    connection: Connection,
    account_id: int,
    *,
    after: tuple[int, int] | None = None,
    span: Span = ALWAYS,
    limit: int = 100,
    newest_first: bool = True,
) -> list[Entry]:
    """An account's statement by the user's time, a page at a time.

    ``after``: the last ``effective_at_ns`` and ``timestamp_ns`` of the page before. ``span``: the
    first and the last ``effective_at_ns`` that are asked for.
    """
    sign, order = ("<", "DESC") if newest_first else (">", "ASC")
    keyset = f"AND (effective_at_ns, timestamp_ns) {sign} (%(effective_at)s, %(after)s)"
    effective_at, timestamp = after or (None, None)
    return _entries(
        connection,
        f"{keyset if after else ''} AND effective_at_ns BETWEEN %(first)s AND %(last)s"
        f" ORDER BY effective_at_ns {order}, timestamp_ns {order}",
        f"e.effective_at_ns {order}, e.timestamp_ns {order}",
        {
            "account": UUID(int=account_id),
            "effective_at": effective_at,
            "after": timestamp,
            "limit": limit,
            **_bounds(span),
        },
    )


def _bounds(span: Span) -> dict[str, int]:
    first, last = span
    return {"first": first, "last": last}


def _entries(
    connection: Connection, rest: str, order: str, parameters: dict[str, Any]
) -> list[Entry]:
    rows = run(
        connection,
        "SELECT e.account_id, e.timestamp_ns, e.effective_at_ns, e.amount, e.balance_after,"  # noqa: S608
        " t.id AS transfer_id, t.code, t.user_data"
        " FROM (SELECT * FROM ledger_entries WHERE account_id = %(account)s"
        f" {rest} LIMIT %(limit)s) e"
        " JOIN ledger_transfers t ON t.shard = e.shard AND t.timestamp_ns = e.timestamp_ns"
        f" ORDER BY {order}",
        parameters | {"limit": min(parameters["limit"], ROWS_LIMIT_MAX)},
    )
    return [
        Entry(
            row.account_id,
            row.timestamp_ns,
            row.effective_at_ns,
            int(row.amount),
            int(row.balance_after),
            row.transfer_id,
            row.code,
            row.user_data,
        )
        for row in rows
    ]


def balance_at(connection: Connection, account_id: int, *, timestamp_ns: int) -> int:
    """Credits less debits posted, as the ledger knew them at a time (ns)."""
    asked = {"account": UUID(int=account_id), "at": timestamp_ns}
    balance = run(connection, f"SELECT ({_BALANCE_AT})", asked).scalar()
    return 0 if balance is None else int(balance)


def balance_effective_at(connection: Connection, account_id: int, *, effective_at_ns: int) -> int:
    """Credits less debits of everything posted whose user's time is at or before a time (ns).

    What the ledger knew at that time, with what it learned later and without what was dated ahead.
    Entries whose two times are near each other are looked at around that time only; those that
    were dated far from the ledger's are added up in an index of their own.
    """
    late, ahead = (
        "timestamp_ns > %(at)s AND effective_at_ns <= %(at)s",
        ("timestamp_ns <= %(at)s AND effective_at_ns > %(at)s"),
    )
    found = run(
        connection,
        f"SELECT coalesce(({_BALANCE_AT}), 0)"
        f" + coalesce(({_SUM} {late} AND timestamp_ns <= %(at)s + {NEAR_NS} AND NOT {FAR}), 0)"
        f" - coalesce(({_SUM} {ahead} AND timestamp_ns >= %(at)s - {NEAR_NS} AND NOT {FAR}), 0)"
        f" + coalesce(({_SUM} {late} AND {FAR}), 0) - coalesce(({_SUM} {ahead} AND {FAR}), 0)",
        {"account": UUID(int=account_id), "at": effective_at_ns},
    )
    return int(found.scalar_one())


_BALANCE_AT = (
    "SELECT balance_after FROM ledger_entries WHERE account_id = %(account)s"
    " AND timestamp_ns <= %(at)s::bigint ORDER BY timestamp_ns DESC LIMIT 1"
)
_SUM = "SELECT sum(amount) FROM ledger_entries WHERE account_id = %(account)s AND"


def totals_at(connection: Connection, account_id: int, *, timestamp_ns: int) -> Totals | None:
    """The four totals of an account with history at a time (ns); None before its first change."""
    row = run(
        connection,
        "SELECT debits_pending, debits_posted, credits_pending, credits_posted"
        " FROM ledger_balances WHERE account_id = %(account)s AND timestamp_ns <= %(at)s"
        " ORDER BY timestamp_ns DESC LIMIT 1",
        {"account": UUID(int=account_id), "at": timestamp_ns},
    ).first()
    return None if row is None else Totals(*(int(total) for total in row))


def find_accounts(
    connection: Connection,
    query: AccountQuery,
    *,
    shard: int = 0,
    after: int | None = None,
    limit: int = 100,
    newest_first: bool = True,
) -> list[LedgerAccount]:
    """Accounts by the ledger's time of their opening; pages are those of ``find_transfers``."""
    conditions, parameters = _common(query, shard)
    if query.user_data is not None:
        conditions.append("t.user_data = %(user_data)s")
    if after is not None:
        conditions.append(f"t.timestamp_ns {'<' if newest_first else '>'} %(after)s")
        parameters["after"] = after
    parameters["limit"] = min(limit, ROWS_LIMIT_MAX)
    columns = ", ".join(f"t.{name}" for name in LedgerAccount.__slots__)
    found = run(
        connection,
        f"SELECT {columns} FROM ledger_accounts t WHERE {' AND '.join(conditions)}"  # noqa: S608
        f" ORDER BY t.timestamp_ns {'DESC' if newest_first else 'ASC'} LIMIT %(limit)s",
        parameters,
    )
    return [
        LedgerAccount(identifier, int(unit), *fields, *map(int, totals))
        for identifier, unit, *fields, totals in ((*row[:6], row[6:]) for row in map(tuple, found))
    ]


def find_transfers(
    connection: Connection,
    query: TransferQuery,
    *,
    shard: int = 0,
    after: int | None = None,
    limit: int = 100,
    newest_first: bool = True,
) -> list[LedgerTransfer]:
    """Created transfers by the ledger's time, a page at a time.

    ``after``: the last ``timestamp_ns`` of the page before, in the same order.
    """
    conditions, parameters = _conditions(query, shard)
    if after is not None:
        conditions.append(f"t.timestamp_ns {'<' if newest_first else '>'} %(after)s")
        parameters["after"] = after
    parameters["limit"] = min(limit, ROWS_LIMIT_MAX)
    end = f"ORDER BY t.timestamp_ns {'DESC' if newest_first else 'ASC'} LIMIT %(limit)s"
    where = " AND ".join(conditions)
    columns = ", ".join(f"t.{name}" for name in LedgerTransfer.__slots__)
    statement = f"SELECT {columns} FROM ledger_transfers t WHERE {where} {end}"  # noqa: S608
    if query.account_id is not None:
        parameters["account"] = UUID(int=query.account_id)
        # The entries of an account say which of its transfers moved money; the rest has indexes.
        where_entry = where.replace("t.timestamp_ns", "e.timestamp_ns")
        parts = [
            f"SELECT {columns} FROM ledger_entries e JOIN ledger_transfers t"  # noqa: S608
            " ON t.shard = e.shard AND t.timestamp_ns = e.timestamp_ns"
            f" WHERE e.account_id = %(account)s AND {where_entry}"
            f" {end.replace('t.timestamp_ns', 'e.timestamp_ns')}",
            *(
                f"SELECT {columns} FROM ledger_transfers t"  # noqa: S608
                f" WHERE t.{side}_account_id = %(account)s AND {WITHOUT_ENTRY} AND {where} {end}"
                for side in ("debit", "credit")
            ),
        ]
        union = " UNION ALL ".join(f"({part})" for part in parts)
        statement = f"SELECT {columns} FROM ({union}) t {end}"  # noqa: S608
    rows = [list(row) for row in run(connection, statement, parameters)]
    for row in rows:
        row[_AMOUNT], row[_UNIT] = int(row[_AMOUNT]), int(row[_UNIT])
    return [LedgerTransfer(*row) for row in rows]


_AMOUNT, _UNIT = (LedgerTransfer.__slots__.index(name) for name in ("amount", "unit"))


def _common(query: AccountQuery, shard: int) -> tuple[list[str], dict[str, Any]]:
    """What transfers and accounts are both asked by."""
    conditions, parameters = ["t.shard = %(shard)s"], dict[str, Any](shard=shard)
    for name, value, condition in (
        ("unit_min", query.unit_min, "t.unit >= %(unit_min)s"),
        ("unit_max", query.unit_max, "t.unit <= %(unit_max)s"),
        ("code", query.code, "t.code = %(code)s"),
        ("timestamp_min", query.timestamp_min, "t.timestamp_ns >= %(timestamp_min)s"),
        ("timestamp_max", query.timestamp_max, "t.timestamp_ns <= %(timestamp_max)s"),
    ):
        if value is not None:
            conditions.append(condition)
            parameters[name] = value
    if query.unit_min is not None and query.unit_min == query.unit_max:
        # One unit: its index has it in the order of time, which two bounds would not say.
        conditions.append("t.unit = %(unit_min)s")
    if query.user_data is not None:
        parameters["user_data"] = UUID(int=query.user_data)
    return conditions, parameters


def _conditions(query: TransferQuery, shard: int) -> tuple[list[str], dict[str, Any]]:
    conditions, parameters = _common(query, shard)
    if query.status is not None:
        conditions.append("t.status = %(status)s")
        parameters["status"] = query.status
        if query.status != "posted":
            conditions.append("t.status <> 'posted'")
    if query.user_data is not None:
        conditions.append("t.user_data = %(user_data)s")
        if query.user_data:
            conditions.append(f"t.user_data <> {NO_USER_DATA}")
    return conditions, parameters


def projected_until(connection: Connection, *, shard: int = 0) -> int:
    """The ledger's time (ns) up to which everything stands in these rows."""
    until = run(
        connection,
        "SELECT timestamp_ns FROM ledger_cursors WHERE shard = %(shard)s",
        {"shard": shard},
    ).scalar()
    return 0 if until is None else int(until)


def remember_accounts(connection: Connection, rows: Sequence[AccountName]) -> None:
    """Write down what the ids of the chart's accounts stand for; known ones stay as they are."""
    for start in range(0, len(rows), NAMES_PER_STATEMENT):
        connection.execute(
            insert(ledger_account_names).on_conflict_do_nothing(),
            [
                {
                    "id": UUID(int=row.id),
                    "name": row.name,
                    "unit": row.unit,
                    "unit_id": row.unit_id,
                    "code": row.code,
                    "account": row.account,
                }
                for row in rows[start : start + NAMES_PER_STATEMENT]
            ],
        )


def account_names(connection: Connection, ids: Sequence[int]) -> dict[int, AccountName]:
    """The names behind account ids; an id that nobody named is left out."""
    rows = connection.execute(
        select(ledger_account_names).where(
            ledger_account_names.c.id.in_([UUID(int=id_) for id_ in ids])
        )
    ).mappings()
    return {
        row["id"].int: AccountName(
            row["id"].int, row["name"], row["unit"], row["unit_id"], row["code"], row["account"]
        )
        for row in rows
    }
