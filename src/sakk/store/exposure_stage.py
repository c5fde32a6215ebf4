"""A file's transfers in a table of one transaction, to be sorted and held against what is kept."""

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, text

from sakk.core.exposure_batch import TX_HASH_BYTES, Transfer

# Any constant that no other advisory lock of ours uses: the bytes of "exposure".
IMPORT_LOCK = int.from_bytes(b"exposur", "big")
IMPORT_TIMEOUT_SECONDS = 3_600
PAGE_ROWS = 10_000


def lock_imports(connection: Connection) -> None:
    """Let one import run at a time, until the transaction ends, for as long as it takes."""
    connection.execute(text(f"SET LOCAL statement_timeout = '{IMPORT_TIMEOUT_SECONDS}s'"))
    connection.execute(text(f"SET LOCAL lock_timeout = '{IMPORT_TIMEOUT_SECONDS}s'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": IMPORT_LOCK})


def stage(connection: Connection, transfers: Iterable[Transfer]) -> int:
    """Copy transfers into a table that lasts as long as the transaction; returns how many."""
    connection.execute(
        text(
            "CREATE TEMPORARY TABLE staged_transfers (block bigint, seconds bigint,"
            " log bigint, sender bytea, receiver bytea, units numeric(78, 0), tx bytea)"
            " ON COMMIT DROP"
        )
    )
    cursor: Any = connection.connection.cursor()
    count = 0
    try:
        with cursor.copy("COPY staged_transfers FROM STDIN") as copy:
            for each in transfers:
                count += 1
                copy.write_row(
                    (
                        each.block_number,
                        each.timestamp,
                        each.log_index,
                        each.sender,
                        each.receiver,
                        each.units,
                        each.tx_hash,
                    )
                )
    finally:
        cursor.close()
    connection.execute(text("ANALYZE staged_transfers"))
    return count


def staged_blocks(connection: Connection) -> tuple[int, int] | None:
    """The first and the last block of what was staged."""
    first, last = connection.execute(
        text("SELECT min(block), max(block) FROM staged_transfers")
    ).one()
    return None if first is None else (first, last)


def contradiction(connection: Connection) -> str | None:
    """A transaction of which one log is said to be two different transfers."""
    found: str | None = connection.execute(
        text(
            "SELECT '0x' || encode(tx, 'hex') FROM staged_transfers GROUP BY tx, log"
            " HAVING count(DISTINCT (block, sender, receiver, units)) > 1 LIMIT 1"
        )
    ).scalar()
    return found


def stage_known(connection: Connection, keys: Iterable[bytes]) -> None:
    """Copy what is known already: transaction and log, or the transaction alone."""
    connection.execute(
        text("CREATE TEMPORARY TABLE known_transfers (tx bytea, log bigint) ON COMMIT DROP")
    )
    cursor: Any = connection.connection.cursor()
    try:
        with cursor.copy("COPY known_transfers FROM STDIN") as copy:
            for key in keys:
                log = key[TX_HASH_BYTES:]
                copy.write_row((key[:TX_HASH_BYTES], int.from_bytes(log, "big") if log else None))
    finally:
        cursor.close()
    connection.execute(text("ANALYZE known_transfers"))


def unknown_transfers(
    connection: Connection, *, last_block: int | None, by_transaction: bool
) -> Iterator[Transfer]:
    """What was staged and is not known, once each, in the order of blocks and logs.

    Only up to ``last_block``. ``by_transaction``: the file numbers no logs, so that a transfer is
    known where any of its transaction is.
    """
    same = "known.tx = staged.tx"
    if not by_transaction:
        same += " AND (known.log IS NULL OR known.log = staged.log)"
    statement = text(
        "SELECT block, seconds, log, sender, receiver, units, tx FROM ("  # noqa: S608
        " SELECT DISTINCT ON (tx, log) * FROM staged_transfers staged"
        " WHERE (CAST(:last AS bigint) IS NULL OR block <= :last)"
        f" AND NOT EXISTS (SELECT FROM known_transfers known WHERE {same})"
        " ORDER BY tx, log) AS fresh ORDER BY block, log, tx"
    )
    options = {"stream_results": True, "yield_per": PAGE_ROWS}
    with connection.execute(statement, {"last": last_block}, execution_options=options) as result:
        for block, seconds, log, sender, receiver, units, tx in result:
            yield Transfer(
                block, seconds, log, bytes(sender), bytes(receiver), int(units), bytes(tx)
            )


def count_above(connection: Connection, last_block: int | None) -> int:
    """How many staged transfers are of later blocks."""
    if last_block is None:
        return 0
    found: int = connection.execute(
        text("SELECT count(*) FROM staged_transfers WHERE block > :last"), {"last": last_block}
    ).scalar_one()
    return found
