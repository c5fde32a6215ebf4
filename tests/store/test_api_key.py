"""The rows of API keys."""

from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from sakk.core.account import AccountKind
from sakk.core.api_key import KeyKind, token_hash
from sakk.flow import account as account_flow
from sakk.flow import api_key as flow
from sakk.store import api_key as store
from sakk.store.database import Database
from sakk.store.identity import new_id, now
from sakk.store.page import PageRequest


def create(database: Database, **options: object) -> tuple[store.Principal, str]:
    """An operator's account with a key; the principal and the token."""
    with database.begin() as connection:
        account = account_flow.create(
            connection,
            account_id=new_id("acct"),
            livemode=False,
            now=now(),
            kind=AccountKind.operator,
        )
        key, token = flow.create(
            connection,
            key_id=new_id("key"),
            account_id=account.id,
            livemode=False,
            now=now(),
            **options,  # type: ignore[arg-type]
        )
    return store.Principal(key=key, account_kind="operator"), token


def test_a_key_is_found_by_the_hash_of_its_token(database: Database) -> None:
    principal, token = create(
        database,
        kind=KeyKind.restricted,
        scopes=["customers:read"],
        allowed_addresses=["10.0.0.0/8"],
        expires_at=now() + timedelta(days=1),
    )
    with database.begin() as connection:
        assert store.find_principal(connection, token_hash(token)) == principal
        assert store.find_principal(connection, token_hash(token + "x")) is None


def test_a_hash_belongs_to_one_key(database: Database) -> None:
    principal, _ = create(database)
    with pytest.raises(IntegrityError), database.begin() as connection:
        store.insert_api_key(connection, principal.key)


def test_keys_are_an_accounts_own(database: Database) -> None:
    one, _ = create(database)
    two, _ = create(database)
    with database.begin() as connection:
        found = store.find_api_key(
            connection, one.key.id, account_id=two.key.account_id, livemode=False
        )
        assert found is None
        store.revoke(connection, one.key.id, account_id=two.key.account_id, now=now())
        rows, _ = store.list_api_keys(
            connection, PageRequest(), account_id=one.key.account_id, livemode=False
        )
        assert [row.revoked_at for row in rows] == [None]
        rows, _ = store.list_api_keys(
            connection, PageRequest(), account_id=one.key.account_id, livemode=True
        )
        assert rows == []


def test_the_first_revocation_stays(database: Database) -> None:
    principal, token = create(database)
    first = now()
    with database.begin() as connection:
        for moment in (first, first + timedelta(hours=1)):
            store.revoke(
                connection, principal.key.id, account_id=principal.key.account_id, now=moment
            )
        found = store.find_principal(connection, token_hash(token))
    assert found is not None
    assert found.key.revoked_at == first
