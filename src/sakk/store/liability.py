"""Epochs of the proof of liabilities, and the leaves that answer proofs.

An epoch keeps the secret of its salts beside the balances that the salts hide from others: whoever
reads this database reads the balances anyway.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row, dict_row
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)

from sakk.core.chart import AccountCode
from sakk.core.liability import OWED, LiabilityEpoch, Tile
from sakk.store.database import among, fetch_all, fetch_one, row_of
from sakk.store.ledger import ledger_account_names
from sakk.store.page import PageRequest, fetch_page
from sakk.store.schema import Timestamp, Units, metadata

ADVISORY_LOCK = 0x5A4C45  # any constant of ours

liability_epochs = Table(
    "liability_epochs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("shard", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("unit", Text, nullable=False),
    Column("unit_id", Units, nullable=False),
    Column("sequence", BigInteger, nullable=False),  # of the journal's row that it speaks of
    Column("journal_hash", LargeBinary, nullable=False),
    Column("as_of", Timestamp, nullable=False),
    Column("root_id", LargeBinary, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("total", Units, nullable=False),
    Column("leaves", BigInteger, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("tops", LargeBinary, nullable=False),
    Column("created", Timestamp, nullable=False),
    Column("journalled", Timestamp),
    Index("uq_liability_epochs_unit", "shard", "unit_id", "epoch", unique=True),
)

liability_tiles = Table(
    "liability_tiles",
    metadata,
    Column("epoch_id", Text, primary_key=True),
    Column("first", LargeBinary, primary_key=True),  # the salt of its first leaf
    Column("number", Integer, nullable=False),
    Column("held", LargeBinary, nullable=False),
)


def lock(connection: psycopg.Connection[Any]) -> bool:
    """Keep other makers of epochs away until `unlock`; False if one is at work."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (ADVISORY_LOCK,)).fetchone()
    return row is not None and bool(row[0])


def unlock(connection: psycopg.Connection[Any]) -> None:
    """Let others in at once: the server notices only later that a connection was closed."""
    with suppress(psycopg.OperationalError):  # a connection that broke holds nothing any more
        connection.execute("SELECT pg_advisory_unlock(%s)", (ADVISORY_LOCK,))


def save(connection: Connection, epoch: LiabilityEpoch, tiles: Sequence[Tile]) -> None:
    """Store an epoch of one unit with its leaves; nobody sees it before it is journalled."""
    connection.execute(insert(liability_epochs).values(row_of(epoch)))
    connection.execute(
        insert(liability_tiles),
        [
            {"epoch_id": epoch.id, "first": tile.first, "number": number, "held": tile.held}
            for number, tile in enumerate(tiles)
        ],
    )


_BESIDE = (AccountCode.channel, AccountCode.pool, AccountCode.unclaimed)


def other_names(connection: Connection, account_id: str, *, unit: str, limit: int) -> list[str]:
    """Of an account's pool, what of it waits and its channels, the newest channels first."""
    columns = ledger_account_names.c
    statement = (
        select(columns.name)
        .where(
            columns.account == account_id,
            columns.unit == unit,
            columns.code.in_([int(code) for code in _BESIDE]),
        )
        .order_by(columns.code.desc(), columns.name.desc())
        .limit(limit)
    )
    return list(connection.execute(statement).scalars())


def last_epoch(connection: Connection, shard: int) -> int:
    """The number of the last epoch of any unit; 0 before the first."""
    columns = liability_epochs.c
    highest = select(func.coalesce(func.max(columns.epoch), 0)).where(columns.shard == shard)
    return int(connection.execute(highest).scalar_one())


def unit_names(connection: Connection) -> list[str]:
    """The chart's names of the units in which money is owed."""
    columns = ledger_account_names.c
    codes = [int(code) for code in OWED]
    statement = select(columns.unit).distinct().where(columns.code.in_(codes))
    return list(connection.execute(statement).scalars())


def list_unfinished(connection: Connection, shard: int) -> list[LiabilityEpoch]:
    """Epochs that were stored, and of which it is not known whether they are journalled."""
    columns = liability_epochs.c
    statement = select(liability_epochs).where(columns.shard == shard, columns.journalled.is_(None))
    return fetch_all(connection, statement.order_by(columns.id), LiabilityEpoch)


def finish(connection: Connection, epoch_id: str, *, journalled: datetime) -> None:
    """The root stands in the journal: show the epoch."""
    connection.execute(
        update(liability_epochs)
        .where(liability_epochs.c.id == epoch_id)
        .values(journalled=journalled)
    )


def by_ids(connection: Connection, ids: Sequence[str]) -> list[LiabilityEpoch]:
    """Epochs by their ids, in the order of their units."""
    columns = liability_epochs.c
    statement = select(liability_epochs).where(among(columns.id, ids)).order_by(columns.unit)
    return fetch_all(connection, statement, LiabilityEpoch)


def drop(connection: Connection, epoch_id: str) -> None:
    """Forget an epoch whose root the ledger refused."""
    connection.execute(delete(liability_tiles).where(liability_tiles.c.epoch_id == epoch_id))
    connection.execute(delete(liability_epochs).where(liability_epochs.c.id == epoch_id))


# The readers' side


def find(connection: Connection, epoch_id: str, *, livemode: bool) -> LiabilityEpoch | None:
    """A journalled epoch by its id."""
    columns = liability_epochs.c
    statement = select(liability_epochs).where(
        columns.id == epoch_id, columns.livemode == livemode, columns.journalled.is_not(None)
    )
    return fetch_one(connection, statement, LiabilityEpoch)


def find_of_unit(
    connection: Connection, unit: str, *, epoch: int | None = None
) -> LiabilityEpoch | None:
    """The last journalled epoch of a unit, or that with a number."""
    columns = liability_epochs.c
    conditions = [columns.unit == unit, columns.journalled.is_not(None)]
    if epoch is not None:
        conditions.append(columns.epoch == epoch)
    statement = select(liability_epochs).where(*conditions).order_by(columns.epoch.desc()).limit(1)
    return fetch_one(connection, statement, LiabilityEpoch)


def list_epochs(
    connection: Connection, *, livemode: bool, page: PageRequest, unit: str | None = None
) -> tuple[list[LiabilityEpoch], bool]:
    """A page of the journalled epochs, newest first, and whether there is more."""
    columns = liability_epochs.c
    filters: list[ColumnElement[bool]] = [columns.journalled.is_not(None)]
    if unit is not None:
        filters.append(columns.unit == unit)
    return fetch_page(
        connection,
        liability_epochs,
        LiabilityEpoch,
        account_id=None,
        livemode=livemode,
        page=page,
        filters=filters,
    )


def find_tile(connection: Connection, epoch_id: str, salt: bytes) -> tuple[int, bytes] | None:
    """The number and the leaves of the tile in which a leaf with this salt would stand."""
    columns = liability_tiles.c
    row = connection.execute(
        select(columns.number, columns.held)
        .where(columns.epoch_id == epoch_id, columns.first <= salt)
        .order_by(columns.first.desc())
        .limit(1)
    ).first()
    return None if row is None else (row.number, row.held)


# The verifier's side, on the ledger's own connection


def all_epochs(connection: psycopg.Connection[Any], shard: int) -> list[LiabilityEpoch]:
    """Every epoch of a shard, in the order of the rows that they speak of."""
    names = ", ".join(column.name for column in liability_epochs.columns)
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(
            f"SELECT {names} FROM liability_epochs"  # noqa: S608
            " WHERE shard = %s ORDER BY sequence, id",
            (shard,),
        )
        return [
            LiabilityEpoch(**{**row, "unit_id": int(row["unit_id"]), "total": int(row["total"])})
            for row in cursor
        ]


def epoch_tiles(connection: psycopg.Connection[Any], epoch_id: str) -> Iterator[Tile]:
    """The stored leaves of an epoch, in order; needs an open transaction."""
    with connection.cursor(name="tiles", row_factory=class_row(Tile)) as cursor:
        cursor.execute(
            "SELECT first, held FROM liability_tiles WHERE epoch_id = %s ORDER BY number",
            (epoch_id,),
        )
        yield from cursor
