"""Files and their bytes, in pieces: part of the database, and so of its backups."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    delete,
    func,
    select,
)

from sakk.core.file import StoredFile
from sakk.store.database import Database, among, fetch_all, fetch_one, row_of
from sakk.store.schema import Bytes, Timestamp, metadata

files = Table(
    "files",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("kind", Text, nullable=False),
    Column("form", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("sha256", Bytes, nullable=False),
    Column("signature", Bytes, nullable=False),
    Column("authority", Bytes, nullable=False),
    Column("expires_at", Timestamp, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_files_account", "account_id", "livemode", "id"),
    Index("ix_files_expires", "expires_at"),
)

# Pieces of a file that is being written stand here before there is a row of `files`.
file_chunks = Table(
    "file_chunks",
    metadata,
    Column("file", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("content", Bytes, nullable=False),
    PrimaryKeyConstraint("file", "number"),
)


def insert(connection: Connection, file: StoredFile) -> None:
    connection.execute(files.insert().values(row_of(file)))


def insert_chunk(connection: Connection, identifier: str, number: int, content: bytes) -> None:
    connection.execute(file_chunks.insert().values(file=identifier, number=number, content=content))


def drop_chunks(connection: Connection, identifier: str) -> None:
    """What was written of a file is thrown away."""
    connection.execute(delete(file_chunks).where(file_chunks.c.file == identifier))


def find(
    connection: Connection, identifier: str, *, account_id: str | None, livemode: bool
) -> StoredFile | None:
    """One file, of an account or of any (None)."""
    statement = select(files).where(files.c.id == identifier, files.c.livemode == livemode)
    if account_id is not None:
        statement = statement.where(files.c.account_id == account_id)
    return fetch_one(connection, statement, StoredFile)


def find_many(connection: Connection, identifiers: Sequence[str]) -> dict[str, StoredFile]:
    """Files by their ids; those that are gone are left out."""
    statement = select(files).where(among(files.c.id, identifiers))
    return {each.id: each for each in fetch_all(connection, statement, StoredFile)}


def delete_file(connection: Connection, identifier: str) -> None:
    """Remove a file and its bytes."""
    drop_chunks(connection, identifier)
    connection.execute(delete(files).where(files.c.id == identifier))


def chunks(database: Database, identifier: str) -> Iterator[bytes]:
    """A file's bytes, a piece and a short query at a time: a slow reader holds no connection."""
    number = 0
    while True:
        with database.read() as connection:
            content = connection.execute(
                select(file_chunks.c.content).where(
                    file_chunks.c.file == identifier, file_chunks.c.number == number
                )
            ).scalar()
        if content is None:
            return
        yield bytes(content)
        number += 1


def kept_bytes(connection: Connection, account_id: str, *, livemode: bool) -> int:
    """What all files of an account come to."""
    found = connection.execute(
        select(func.coalesce(func.sum(files.c.size), 0)).where(
            files.c.account_id == account_id, files.c.livemode == livemode
        )
    ).scalar_one()
    return int(found)


def forget(connection: Connection, *, now: datetime, limit: int) -> int:
    """Remove files whose time is over, with their bytes; how many there were."""
    due = select(files.c.id).where(files.c.expires_at <= now).limit(limit).with_for_update()
    gone = list(connection.execute(due).scalars())
    for identifier in gone:
        delete_file(connection, identifier)
    return len(gone)
