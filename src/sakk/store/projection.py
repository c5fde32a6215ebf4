"""The projector's side of the ledger's rows: its cursor, its partitions, rows by the page.

It speaks psycopg on a connection of its own. Rows travel in PostgreSQL's binary format
(``sakk.store.copy``) in the order of the columns named here; what earlier pages left behind comes
back as the 128-byte records of the ledger.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import structlog
from sqlalchemy import Connection, text

from sakk.core import ids
from sakk.core.escrow_channel import PREFIX
from sakk.core.evm import ZERO_ADDRESS
from sakk.store.copy import Binary, accept_binary, copy_rows
from sakk.store.escrow_channel import KEEP_VOUCHERS
from sakk.store.ledger import PARTITIONED

log = structlog.get_logger(__name__)

STREAM_ROWS = 10_000
COUNTED_ROWS_MAX = 20_000
PARTITION_LOCK_MILLISECONDS = 1_000
NANOSECONDS = 1_000_000_000

TRANSFER_COLUMNS = (
    "id, shard, sequence, timestamp_ns, effective_at_ns, debit_account_id, credit_account_id,"
    " amount, unit, code, flags, timeout_seconds, user_data, pending_id,"
    " charges, status"
)
OPEN_CHARGE_COLUMNS = (
    "id, shard, debit_account_id, credit_account_id, amount, unit, user_data, timestamp_ns,"
    " timeout_seconds"
)
ENTRY_COLUMNS = "account_id, timestamp_ns, shard, effective_at_ns, amount, balance_after"
BALANCE_COLUMNS = (
    "account_id, timestamp_ns, shard, debits_pending, debits_posted, credits_pending,"
    " credits_posted"
)
ACCOUNT_COLUMNS = (
    "id, shard, unit, code, flags, user_data, timestamp_ns, debits_pending, debits_posted,"
    " credits_pending, credits_posted"
)


@dataclass(frozen=True, slots=True)
class Cursor:
    """Everything up to the journal's row ``sequence`` stands in the projection's rows."""

    shard: int
    sequence: int = 0
    timestamp_ns: int = 0


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a hold that an earlier page wrote: posted, voided or expired."""

    timestamp_ns: int
    status: str


@dataclass(slots=True)
class Page:
    """What some rows of the journal come to.

    ``transfers``, ``entries``, ``balances`` and ``accounts`` (new ones): rows for COPY.
    ``totals``: of accounts that stood before, as arrays: id, flags, debits pending and posted,
    credits pending and posted. ``opened``: rows of charges that stand open at its end, ``closed``:
    ids of those that stood open before it. ``rows``: how many rows of all tables are written.
    ``vouchers``: of each channel the highest that came: ceiling and signature.
    """

    transfers: bytes
    entries: bytes
    balances: bytes
    accounts: bytes
    totals: Sequence[bytes]
    settled: Sequence[Settled]
    opened: bytes
    closed: Sequence[bytes]
    rows: int
    vouchers: Mapping[bytes, tuple[int, bytes]] = field(default_factory=dict)


def prepare(connection: psycopg.Connection[Any]) -> None:
    """Make a connection ready to project.

    What a crash of the server takes is projected again, so nobody waits for the disk. Accounts
    are found by their index whatever the statistics say of a table that has just been filled.
    """
    accept_binary(connection)
    connection.execute("SET synchronous_commit = off")
    connection.execute("SET enable_hashjoin = off")
    connection.execute("SET enable_mergejoin = off")
    connection.execute("SET enable_seqscan = off")


def lock_cursor(connection: psycopg.Connection[Any], shard: int) -> Cursor:
    """Read the projection's cursor, and keep other projectors away until the transaction ends."""
    found = connection.execute(
        "SELECT sequence, timestamp_ns FROM ledger_cursors WHERE shard = %s FOR UPDATE", (shard,)
    ).fetchone()
    if found is not None:
        return Cursor(shard, *found)
    connection.execute(
        "INSERT INTO ledger_cursors (shard, sequence, timestamp_ns)"
        " VALUES (%s, 0, 0) ON CONFLICT DO NOTHING",
        (shard,),
    )
    return lock_cursor(connection, shard)


def read_cursor(connection: psycopg.Connection[Any], shard: int) -> Cursor:
    """The projection's cursor now."""
    row = connection.execute(
        "SELECT sequence, timestamp_ns FROM ledger_cursors WHERE shard = %s", (shard,)
    ).fetchone()
    return Cursor(shard) if row is None else Cursor(shard, *row)


def save_cursor(connection: psycopg.Connection[Any], cursor: Cursor) -> None:
    """Advance the cursor in the transaction that wrote the rows."""
    connection.execute(
        "UPDATE ledger_cursors SET sequence = %s, timestamp_ns = %s WHERE shard = %s",
        (cursor.sequence, cursor.timestamp_ns, cursor.shard),
    )


def events_after(connection: psycopg.Connection[Any], cursor: Cursor) -> tuple[int, int, int]:
    """Rows of the journal after the cursor, the events in them, and the time of the first.

    Counted over the first ``COUNTED_ROWS_MAX`` rows; where there are more, the rest is taken to be
    like them.
    """
    row = connection.execute(
        "SELECT count(*), coalesce(sum(count), 0)::bigint, coalesce(max(sequence), 0),"
        " coalesce(min(timestamp_ns), 0),"
        " (SELECT coalesce(max(sequence), 0) FROM ledger_journal WHERE shard = %(shard)s)"
        " FROM (SELECT sequence, count, timestamp_ns FROM ledger_journal"
        " WHERE shard = %(shard)s AND sequence > %(sequence)s"
        " ORDER BY sequence LIMIT %(limit)s) AS next",
        {"shard": cursor.shard, "sequence": cursor.sequence, "limit": COUNTED_ROWS_MAX},
    ).fetchone()
    if row is None or row[0] == 0:
        return 0, 0, 0
    counted, events, sequence, first_ns, last = row
    return counted + last - sequence, events + events * (last - sequence) // counted, first_ns


def waits_since(connection: Connection) -> datetime | None:
    """When the first row of a journal that no rows show was written; None where all are shown."""
    statement = (
        "SELECT min(j.timestamp_ns) FROM ledger_epochs e LEFT JOIN ledger_cursors c USING (shard)"
        " JOIN ledger_journal j ON j.shard = e.shard AND j.sequence = coalesce(c.sequence, 0) + 1"
    )
    found = connection.execute(text(statement)).scalar()
    return None if found is None else datetime.fromtimestamp(found / NANOSECONDS, UTC)


# Partitions


@dataclass(frozen=True, order=True, slots=True)
class Month:
    """A month of the ledger's time (UTC): what one partition of a table holds."""

    year: int
    month: int

    @classmethod
    def of(cls, timestamp_ns: int) -> "Month":
        at = datetime.fromtimestamp(timestamp_ns // NANOSECONDS, UTC)
        return cls(at.year, at.month)

    @property
    def following(self) -> "Month":
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def first_ns(self) -> int:
        return int(datetime(self.year, self.month, 1, tzinfo=UTC).timestamp()) * NANOSECONDS

    def partition(self, table: str) -> str:
        return f"{table}_{self.year:04d}_{self.month:02d}"


def make_partitions(connection: psycopg.Connection[Any], month: Month) -> bool:
    """Make a month's partitions where there are none; False if they could not be made now.

    Without them rows go to the default partition: nothing is refused. Attaching lets readers and
    the projector go on; it waits a moment for whoever reads the default partition, and no longer.
    """
    try:
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = {PARTITION_LOCK_MILLISECONDS}")
            for table in PARTITIONED:
                name = month.partition(table)
                if connection.execute("SELECT to_regclass(%s)", (name,)).fetchone() == (None,):
                    connection.execute(f"CREATE TABLE {name} (LIKE {table} INCLUDING STORAGE)")
                    connection.execute(
                        f"ALTER TABLE {table} ATTACH PARTITION {name}"
                        f" FOR VALUES FROM ({month.first_ns}) TO ({month.following.first_ns})"
                    )
    except psycopg.errors.InvalidObjectDefinition:
        return True  # the operator has cut this month otherwise
    except (
        psycopg.errors.LockNotAvailable,
        psycopg.errors.CheckViolation,
        psycopg.errors.UniqueViolation,
        psycopg.errors.DuplicateTable,
    ) as error:
        log.warning("ledger_partition_not_made", partition=str(month), reason=str(error))
        return False
    return True


# Pages


def write_page(connection: psycopg.Connection[Any], shard: int, page: Page) -> None:
    """Write everything of a page but the cursor."""
    for table, columns, rows in (
        ("ledger_accounts", ACCOUNT_COLUMNS, page.accounts),
        ("ledger_transfers", TRANSFER_COLUMNS, page.transfers),
        ("ledger_entries", ENTRY_COLUMNS, page.entries),
        ("ledger_balances", BALANCE_COLUMNS, page.balances),
        ("ledger_open_charges", OPEN_CHARGE_COLUMNS, page.opened),
    ):
        copy_rows(connection, f"{table} ({columns})", rows)
    if page.totals:
        connection.execute(
            "UPDATE ledger_accounts AS a SET flags = n.flags,"
            " debits_pending = n.dp, debits_posted = n.dpo,"
            " credits_pending = n.cp, credits_posted = n.cpo"
            " FROM unnest(%b::uuid[], %b::int[], %b::numeric[], %b::numeric[], %b::numeric[],"
            " %b::numeric[]) AS n(id, flags, dp, dpo, cp, cpo) WHERE a.id = n.id",
            [Binary(column) for column in page.totals],
        )
    if page.settled:
        connection.execute(
            "UPDATE ledger_transfers AS t SET status = n.status"
            " FROM unnest(%s::bigint[], %s::text[]) AS n(timestamp_ns, status)"
            " WHERE t.shard = %s AND t.timestamp_ns = n.timestamp_ns",
            (
                [each.timestamp_ns for each in page.settled],
                [each.status for each in page.settled],
                shard,
            ),
        )
    if page.closed:
        connection.execute(
            "DELETE FROM ledger_open_charges WHERE id = ANY(%s::uuid[])",
            ([identifier.hex() for identifier in page.closed],),
        )
    if page.vouchers:
        _keep_vouchers(connection, page.vouchers)


def _keep_vouchers(
    connection: psycopg.Connection[Any], vouchers: Mapping[bytes, tuple[int, bytes]]
) -> None:
    """Keep of each channel its highest; in the order of all who lock these rows."""
    named = ((ids.encode(PREFIX, int.from_bytes(each, "big")), each) for each in vouchers)
    rows = [(name, *vouchers[each]) for name, each in sorted(named)]
    connection.execute(
        KEEP_VOUCHERS,
        {
            "channels": [name for name, _, _ in rows],
            "ceilings": [Decimal(ceiling) for _, ceiling, _ in rows],
            "signatures": [signature for _, _, signature in rows],
        },
    )


def account_fields(
    connection: psycopg.Connection[Any], ids: Sequence[bytes]
) -> list[tuple[Any, ...]]:
    """Projected accounts by id: id, four totals, user data, unit, timestamp, code, flags."""
    return _by_id(
        connection,
        "SELECT id, debits_pending, debits_posted, credits_pending, credits_posted, user_data,"
        " unit, timestamp_ns, code, flags FROM ledger_accounts WHERE id = ANY(%s::uuid[])",
        ids,
    )


def hold_fields(connection: psycopg.Connection[Any], ids: Sequence[bytes]) -> list[list[Any]]:
    """Projected open holds by id: id, debit account, credit account, amount, user data, unit,
    effective at, timestamp, timeout, code, flags."""
    # The state is looked at here: by its index PostgreSQL would read all holds that are open.
    found = _by_id(
        connection,
        "SELECT id, debit_account_id, credit_account_id, amount, user_data, unit,"
        " effective_at_ns, timestamp_ns, timeout_seconds, code, flags, status"
        " FROM ledger_transfers WHERE id = ANY(%s::uuid[]) AND (flags & 2) <> 0",
        ids,
    )
    return [fields for *fields, status in found if status == "pending"]


def open_charge_fields(
    connection: psycopg.Connection[Any], ids: Sequence[bytes]
) -> list[tuple[Any, ...]]:
    """Projected open charges by id: id, debit account, credit account, amount, user data, unit,
    timestamp, timeout."""
    return _by_id(
        connection,
        "SELECT id, debit_account_id, credit_account_id, amount, user_data, unit, timestamp_ns,"
        " timeout_seconds FROM ledger_open_charges WHERE id = ANY(%s::uuid[])",
        ids,
    )


def _by_id(
    connection: psycopg.Connection[Any], query: str, ids: Sequence[bytes]
) -> list[tuple[Any, ...]]:
    with connection.cursor(binary=True) as cursor:
        return cursor.execute(query, ([identifier.hex() for identifier in ids],)).fetchall()


# Everything, for ``sakk ledger verify``

# The columns of each table's lines; the first ones order them.
LINES = {
    "ledger_accounts": (
        "id", "unit", "code", "flags", "user_data", "timestamp_ns", "debits_pending",
        "debits_posted", "credits_pending", "credits_posted",
    ),
    "ledger_transfers": (
        "timestamp_ns", "id", "sequence", "effective_at_ns", "debit_account_id",
        "credit_account_id", "amount", "unit", "code", "flags", "timeout_seconds", "user_data",
        "pending_id", "charges", "status",
    ),
    "ledger_open_charges": (
        "id", "unit", "debit_account_id", "credit_account_id", "amount", "user_data",
        "timestamp_ns", "timeout_seconds",
    ),
    "ledger_entries": (
        "timestamp_ns", "account_id", "effective_at_ns", "amount", "balance_after",
    ),
    "ledger_balances": (
        "timestamp_ns", "account_id", "debits_pending", "debits_posted", "credits_pending",
        "credits_posted",
    ),
}  # fmt: skip


def vouchers(connection: psycopg.Connection[Any]) -> Iterator[tuple[Any, ...]]:
    """Every row of ``escrow_vouchers``: channel, ceiling, signature, and of its channel where there
    is one: name on the chain, network and who signs. Needs an open transaction."""
    with connection.cursor(name="verify_escrow_vouchers") as cursor:
        cursor.itersize = STREAM_ROWS
        cursor.execute(
            "SELECT v.channel_id, v.ceiling, v.signature, c.channel, c.network,"
            " CASE WHEN c.payer_authorizer = %s THEN c.payer ELSE c.payer_authorizer END"
            " FROM escrow_vouchers v LEFT JOIN escrow_channels c ON c.id = v.channel_id"
            " ORDER BY v.channel_id",
            (ZERO_ADDRESS,),
        )
        yield from cursor


def lines(connection: psycopg.Connection[Any], shard: int, table: str) -> Iterator[str]:
    """Every row of a table as one line: its columns' text with a space between them, ``-`` for
    none, in the order of the first column or two. Needs an open transaction."""
    columns = LINES[table]
    texts = ", ".join(f"coalesce({column}::text, '-')" for column in columns)
    order = columns[0] if columns[1] in ("unit", "id") else f"{columns[0]}, {columns[1]}"
    with connection.cursor(name=f"verify_{table}") as cursor:
        cursor.itersize = STREAM_ROWS
        cursor.execute(
            f"SELECT concat_ws(' ', {texts}) FROM {table} WHERE shard = %s"  # noqa: S608
            f" ORDER BY {order}",
            (shard,),
        )
        for (line,) in cursor:
            yield line
