"""The rows of accounts."""

from datetime import timedelta

from sakk.core.account import Account, AccountKind, PaymentPolicy, PayoutSettings
from sakk.store import account as store
from sakk.store.database import Database
from sakk.store.identity import new_id, now
from sakk.store.page import PageRequest


def create_account(kind: AccountKind = AccountKind.merchant, **policy: object) -> Account:
    return Account(
        id=new_id("acct"),
        kind=kind.value,
        name="Shop",
        email=None,
        country="AT",
        policy=dict(policy),
        payouts=PayoutSettings().document(),
        metadata={"a": "b"},
        created=now(),
    )


def test_rows_come_back_as_they_were(database: Database) -> None:
    account = create_account(late="credit")
    with database.begin() as connection:
        store.insert_account(connection, account)
        assert store.find_account(connection, account.id) == account
        assert store.lock_account(connection, account.id) == account
        assert store.find_account(connection, "acct_nobody") is None


def test_policies_by_account(database: Database) -> None:
    strict, plain = create_account(late="suspense", tolerance_under_units=10**30), create_account()
    with database.begin() as connection:
        for account in (strict, plain):
            store.insert_account(connection, account)
        policies = store.policy(connection, [strict.id, plain.id, strict.id, "acct_nobody"])
    assert policies == {
        strict.id: PaymentPolicy(late="suspense", tolerance_under_units=10**30),
        plain.id: PaymentPolicy(),
    }


def test_the_operator_is_the_first_of_its_kind(database: Database) -> None:
    with database.begin() as connection:
        assert store.find_operator(connection) is None
        merchant, operator = create_account(), create_account(AccountKind.operator)
        for account in (merchant, operator):
            store.insert_account(connection, account)
        assert store.find_operator(connection) == operator


def test_changes_and_pages(database: Database) -> None:
    account = create_account()
    with database.begin() as connection:
        store.insert_account(connection, account)
        store.update_account(connection, account.id, {})
        store.update_account(connection, account.id, {"name": None, "policy": {"over": "credit"}})
        rows, has_more = store.list_accounts(connection, PageRequest())
        assert not has_more
        [row] = rows
        assert (row.name, row.policy) == (None, {"over": "credit"})
        later = PageRequest(created_gte=account.created + timedelta(seconds=1))
        assert store.list_accounts(connection, later) == ([], False)
