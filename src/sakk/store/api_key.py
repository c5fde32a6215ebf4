"""API keys: found by the hash of the token, never by the token."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ARRAY, Boolean, Column, Connection, Index, Table, Text, func, select, update

from sakk.core.account import AccountKind
from sakk.core.api_key import ApiKey
from sakk.store.account import accounts
from sakk.store.database import fetch_one
from sakk.store.page import PageRequest, fetch_page
from sakk.store.person import persons
from sakk.store.schema import Bytes, Timestamp, metadata

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text),
    Column("token_hash", Bytes, nullable=False, unique=True),
    Column("prefix", Text, nullable=False),
    Column("last4", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("allowed_addresses", ARRAY(Text), nullable=False),
    Column("expires_at", Timestamp),
    Column("revoked_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    Column("person", Text),
    Column("mandate", Text),
    Index("ix_api_keys_account_id_livemode_id", "account_id", "livemode", "id"),
)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a token stands for: the key, what kind of account it belongs to, and whose it is.

    ``roles`` and ``person_state`` None: the key is nobody's in particular.
    """

    key: ApiKey
    account_kind: str
    roles: list[str] | None = None
    person_state: str | None = None


def insert_api_key(connection: Connection, key: ApiKey) -> None:
    connection.execute(api_keys.insert(), {name: getattr(key, name) for name in ApiKey.__slots__})


def find_principal(connection: Connection, token_hash: bytes) -> Principal | None:
    """The key with this hash, revoked and expired ones too, and its account's kind."""
    row = (
        connection.execute(
            select(
                api_keys,
                accounts.c.kind.label("account_kind"),
                persons.c.roles,
                persons.c.state.label("person_state"),
            )
            .join(accounts, accounts.c.id == api_keys.c.account_id)
            .join(persons, persons.c.id == api_keys.c.person, isouter=True)
            .where(api_keys.c.token_hash == token_hash)
        )
        .mappings()
        .first()
    )
    if row is None:
        return None
    values = dict(row)
    beside = {name: values.pop(name) for name in ("account_kind", "roles", "person_state")}
    values["token_hash"] = bytes(values["token_hash"])
    return Principal(key=ApiKey(**values), **beside)


def find_api_key(
    connection: Connection, key_id: str, *, account_id: str, livemode: bool
) -> ApiKey | None:
    statement = select(api_keys).where(
        api_keys.c.id == key_id,
        api_keys.c.account_id == account_id,
        api_keys.c.livemode == livemode,
    )
    return fetch_one(connection, statement, ApiKey)


def find_visible(
    connection: Connection, key_id: str, *, account_id: str | None, livemode: bool
) -> ApiKey | None:
    """A key of an account, or of any for the operator (None)."""
    statement = select(api_keys).where(api_keys.c.id == key_id, api_keys.c.livemode == livemode)
    if account_id is not None:
        statement = statement.where(api_keys.c.account_id == account_id)
    return fetch_one(connection, statement, ApiKey)


def is_operators(connection: Connection, account_id: str) -> bool:
    """Is it the operator's own account?"""
    kind = connection.execute(
        select(accounts.c.kind).where(accounts.c.id == account_id)
    ).scalar_one_or_none()
    return kind == AccountKind.operator.value


def list_api_keys(
    connection: Connection, page: PageRequest, *, account_id: str, livemode: bool
) -> tuple[list[ApiKey], bool]:
    return fetch_page(
        connection, api_keys, ApiKey, account_id=account_id, livemode=livemode, page=page
    )


def revoke(connection: Connection, key_id: str, *, account_id: str, now: datetime) -> None:
    """Mark a key revoked; the time of the first revocation stays."""
    connection.execute(
        update(api_keys)
        .where(
            api_keys.c.id == key_id,
            api_keys.c.account_id == account_id,
            api_keys.c.revoked_at.is_(None),
        )
        .values(revoked_at=now)
    )


def revoke_of_person(connection: Connection, person: str, *, now: datetime) -> None:
    """End every key of a person."""
    connection.execute(
        update(api_keys)
        .where(api_keys.c.person == person, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )


def count_loose_keys(connection: Connection, *, livemode: bool) -> int:
    """Keys of the operator's that can be used and belong to no person."""
    found = connection.execute(
        select(func.count())
        .select_from(api_keys.join(accounts, accounts.c.id == api_keys.c.account_id))
        .where(
            accounts.c.kind == AccountKind.operator.value,
            api_keys.c.livemode == livemode,
            api_keys.c.person.is_(None),
            api_keys.c.revoked_at.is_(None),
        )
    ).scalar_one()
    return int(found)
