"""Bank files: rows, their bytes, and queries."""

from sqlalchemy import BigInteger, Boolean, Column, Connection, Index, Table, Text, select, text
from sqlalchemy.dialects.postgresql import insert as insert_on

from sakk.core.bank_file import BankFile, FileStatus, Way
from sakk.store.database import due, fetch_one, row_of
from sakk.store.lease import lease_columns
from sakk.store.schema import Bytes, Timestamp, metadata

bank_files = Table(
    "bank_files",
    metadata,
    Column("id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("bank_account", Text),
    Column("way", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("done_at", Timestamp),
    Column("tried_at", Timestamp),
    Column("brought_by", Text),
    Column("released_by", Text),
    Column("released_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    *lease_columns(),
    # A file that is delivered twice is one file.
    Index("uq_bank_files_hash", "livemode", "way", "sha256", unique=True),
    Index(
        "ix_bank_files_work",
        "status",
        postgresql_where=text("status in ('ready', 'received')"),
    ),
)

bank_file_contents = Table(
    "bank_file_contents",
    metadata,
    Column("file", Text, primary_key=True),
    Column("content", Bytes, nullable=False),
)


def insert(connection: Connection, row: BankFile, content: bytes) -> bool:
    """Record a file with its bytes; False if it was there already, by its hash."""
    statement = (
        insert_on(bank_files)
        .values(row_of(row))
        .on_conflict_do_nothing(index_elements=["livemode", "way", "sha256"])
        # The driver's count of rows is not to be had of such a statement.
        .returning(bank_files.c.id)
    )
    if connection.execute(statement).first() is None:
        return False
    connection.execute(bank_file_contents.insert().values(file=row.id, content=content))
    return True


def content_of(connection: Connection, identifier: str) -> bytes:
    """A file's bytes."""
    statement = select(bank_file_contents.c.content).where(bank_file_contents.c.file == identifier)
    return bytes(connection.execute(statement).scalar_one())


def find(
    connection: Connection, identifier: str, *, livemode: bool, lock: bool = False
) -> BankFile | None:
    """One file."""
    c = bank_files.c
    statement = select(bank_files).where(c.id == identifier, c.livemode == livemode)
    return fetch_one(connection, statement.with_for_update() if lock else statement, BankFile)


def lock_received(connection: Connection, identifier: str) -> bool:
    """Is a file still to be read? Locked, so that it is read once."""
    c = bank_files.c
    statement = (
        select(c.id)
        .where(c.id == identifier, c.status == FileStatus.received.value)
        .with_for_update()
    )
    return connection.execute(statement).first() is not None


def find_hash(connection: Connection, sha256: str, *, way: Way, livemode: bool) -> BankFile | None:
    """The file with this hash, locked."""
    c = bank_files.c
    statement = select(bank_files).where(
        c.livemode == livemode, c.way == way.value, c.sha256 == sha256
    )
    return fetch_one(connection, statement.with_for_update(), BankFile)


# The oldest file that was taken in and not read.
received = due(
    select(bank_files).where(bank_files.c.status == FileStatus.received.value),
    BankFile,
    bank_files.c.id,
    limit=1,
)
