"""Bank accounts: rows and queries."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    false,
    func,
    select,
    text,
    update,
)

from sakk.core.bank_account import BankAccount, BankRole
from sakk.core.bank_reference import BankReference
from sakk.store.database import among, fetch_all, fetch_one, row_of
from sakk.store.schema import Bytes, Document, Timestamp, Units, metadata

bank_accounts = Table(
    "bank_accounts",
    metadata,
    Column("id", Text, primary_key=True),
    # None: the operator's own.
    Column("account_id", Text),
    Column("livemode", Boolean, nullable=False),
    Column("role", Text, nullable=False),
    Column("holder", Text, nullable=False),
    Column("country", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("iban", Text),
    Column("bic", Text),
    Column("number", Text),
    Column("bank_code", Text),
    Column("usable_at", Timestamp, nullable=False),
    Column("terms", Document),
    Column("secret", Bytes),
    Column("opening_units", Units, nullable=False),
    Column("description", Text),
    Column("metadata", Document, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("approved_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    Index("ix_bank_accounts_account", "account_id", "livemode", "id"),
    # Statements name an account by what the bank calls it: one of ours for each name.
    Index(
        "uq_bank_accounts_own",
        "livemode",
        text("coalesce(iban, number)"),
        "currency",
        unique=True,
        postgresql_where=text("role = 'own' and not deleted"),
    ),
)

bank_references = Table(
    "bank_references",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("bank_account", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("metadata", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_bank_references_account", "account_id", "livemode", "id"),
    Index("uq_bank_references_reference", "livemode", "reference", unique=True),
)


def insert(connection: Connection, account: BankAccount) -> None:
    """Record an account."""
    connection.execute(bank_accounts.insert().values(row_of(account)))


def find(
    connection: Connection,
    identifier: str,
    *,
    account_id: str | None,
    livemode: bool,
    lock: bool = False,
) -> BankAccount | None:
    """One account: of those whose ``account_id`` it is, or any (None)."""
    c = bank_accounts.c
    statement = select(bank_accounts).where(c.id == identifier, c.livemode == livemode)
    if account_id is not None:
        statement = statement.where(c.account_id == account_id)
    return fetch_one(connection, statement.with_for_update() if lock else statement, BankAccount)


def lock_one(connection: Connection, identifier: str) -> BankAccount | None:
    """One account by its id alone, locked: for stages, which serve everybody."""
    statement = select(bank_accounts).where(bank_accounts.c.id == identifier).with_for_update()
    return fetch_one(connection, statement, BankAccount)


def share_one(connection: Connection, identifier: str) -> BankAccount | None:
    """One account by its id alone, that nobody changes before the transaction ends."""
    statement = select(bank_accounts).where(bank_accounts.c.id == identifier)
    return fetch_one(connection, statement.with_for_update(read=True), BankAccount)


def list_by_ids(connection: Connection, identifiers: Collection[str]) -> dict[str, BankAccount]:
    """Accounts by their ids, deleted ones too."""
    if not identifiers:
        return {}
    statement = select(bank_accounts).where(among(bank_accounts.c.id, sorted(set(identifiers))))
    return {each.id: each for each in fetch_all(connection, statement, BankAccount)}


def list_own(connection: Connection, *filters: ColumnElement[bool]) -> list[BankAccount]:
    """The operator's own, the oldest first."""
    c = bank_accounts.c
    statement = (
        select(bank_accounts)
        .where(c.role == BankRole.own.value, c.deleted == false(), *filters)
        .order_by(c.id)
    )
    return fetch_all(connection, statement, BankAccount)


def list_payees(
    connection: Connection, account_id: str, *, livemode: bool, limit: int
) -> list[BankAccount]:
    """Whom an account pays by bank, the newest first."""
    c = bank_accounts.c
    statement = (
        select(bank_accounts)
        .where(c.account_id == account_id, c.livemode == livemode, c.deleted == false())
        .order_by(c.id.desc())
        .limit(limit)
    )
    return fetch_all(connection, statement, BankAccount)


def list_approved(connection: Connection) -> list[BankAccount]:
    """Those of the operator's own that a second person approved, the oldest first."""
    return list_own(connection, bank_accounts.c.approved_at.is_not(None))


def list_closed(connection: Connection, *, livemode: bool, limit: int) -> list[BankAccount]:
    """Those of the operator's own that two people closed, the newest first."""
    c = bank_accounts.c
    closed = (c.role == BankRole.own.value, c.deleted, c.approved_at.is_not(None))
    statement = select(bank_accounts).where(c.account_id.is_(None), c.livemode == livemode, *closed)
    return fetch_all(connection, statement.order_by(c.id.desc()).limit(limit), BankAccount)


def find_named(connection: Connection, name: str, currency: str) -> list[BankAccount]:
    """The operator's own account that a bank calls so, in either mode."""
    c = bank_accounts.c
    return list_own(
        connection,
        func.upper(func.replace(func.coalesce(c.iban, c.number), " ", ""))
        == name.replace(" ", "").upper(),
        c.currency == currency,
    )


def connect(
    connection: Connection, identifier: str, *, terms: dict[str, Any], secret: bytes | None
) -> None:
    """How the operator's own account is gone to from now on; the caller has it locked."""
    connection.execute(
        update(bank_accounts)
        .where(bank_accounts.c.id == identifier)
        .values(terms=terms, secret=secret)
    )


def approve(connection: Connection, identifier: str, *, now: datetime) -> None:
    """A second person approved an account that the caller has locked."""
    connection.execute(
        update(bank_accounts).where(bank_accounts.c.id == identifier).values(approved_at=now)
    )


def delete(connection: Connection, identifier: str) -> None:
    """Take an account out; what names it keeps naming it."""
    connection.execute(
        update(bank_accounts).where(bank_accounts.c.id == identifier).values(deleted=True)
    )


def insert_reference(connection: Connection, reference: BankReference) -> None:
    """Record a reference."""
    connection.execute(bank_references.insert().values(row_of(reference)))


def find_reference(
    connection: Connection, identifier: str, *, account_id: str | None, livemode: bool
) -> BankReference | None:
    """One reference of an account, or of any (None)."""
    c = bank_references.c
    statement = select(bank_references).where(c.id == identifier, c.livemode == livemode)
    if account_id is not None:
        statement = statement.where(c.account_id == account_id)
    return fetch_one(connection, statement, BankReference)


def references_of(
    connection: Connection, references: Sequence[str], *, livemode: bool
) -> dict[str, BankReference]:
    """The references that were given out among these texts."""
    if not references:
        return {}
    c = bank_references.c
    statement = select(bank_references).where(
        among(c.reference, references), c.livemode == livemode
    )
    return {each.reference: each for each in fetch_all(connection, statement, BankReference)}
