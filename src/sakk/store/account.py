"""Accounts: rows, and the payment policies that the flow asks for."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Table, Text, or_, select, text, update

from sakk.core.account import (
    Account,
    AccountKind,
    AccountTerms,
    Payer,
    PaymentPolicy,
    PayoutSettings,
    read_policy,
)
from sakk.store.database import drive, fetch_all, fetch_one, run
from sakk.store.page import PageRequest, fetch_page
from sakk.store.schema import Document, Timestamp, metadata

accounts = Table(
    "accounts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text),
    Column("email", Text),
    Column("country", Text),
    Column("policy", Document, nullable=False),
    Column("payouts", Document, nullable=False, server_default=text("'{}'")),
    Column("metadata", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
    Column("fee_schedule", Text),
)


def insert_account(connection: Connection, account: Account) -> None:
    connection.execute(
        accounts.insert(), {name: getattr(account, name) for name in Account.__slots__}
    )


def find_account(connection: Connection, account_id: str) -> Account | None:
    return fetch_one(connection, select(accounts).where(accounts.c.id == account_id), Account)


def lock_account(connection: Connection, account_id: str) -> Account | None:
    """Read an account for a change; others wait until this transaction ends."""
    statement = select(accounts).where(accounts.c.id == account_id).with_for_update()
    return fetch_one(connection, statement, Account)


def payout_settings(connection: Connection, account_id: str) -> PayoutSettings:
    """Whom an account may pay."""
    return find_payer(connection, account_id).settings


def find_payer(connection: Connection, account_id: str) -> Payer:
    """What an account's payouts are bound to, in one query."""
    rows = drive(connection, _PAYER, {"id": account_id, "operator": AccountKind.operator.value})
    found = {is_own: (PayoutSettings(**(stored or {})), fees) for is_own, stored, fees in rows}
    own, fee_schedule = found.get(True, (PayoutSettings(), None))
    return Payer(own, found.get(False, (PayoutSettings(), None))[0], fee_schedule)


_PAYER = (
    "(SELECT true, payouts, fee_schedule FROM accounts WHERE id = %(id)s)"
    " UNION ALL (SELECT false, payouts, NULL FROM accounts WHERE kind = %(operator)s"
    " ORDER BY id LIMIT 1)"
)


def find_operator(connection: Connection) -> Account | None:
    """The operator's own account: the first one of that kind."""
    statement = (
        select(accounts)
        .where(accounts.c.kind == AccountKind.operator.value)
        .order_by(accounts.c.id)
        .limit(1)
    )
    return fetch_one(connection, statement, Account)


def update_account(connection: Connection, account_id: str, values: Mapping[str, Any]) -> None:
    if values:
        connection.execute(update(accounts).where(accounts.c.id == account_id).values(dict(values)))


def list_accounts(connection: Connection, page: PageRequest) -> tuple[list[Account], bool]:
    return fetch_page(connection, accounts, Account, account_id=None, livemode=None, page=page)


def search(
    connection: Connection, words: str | None, *, only: Sequence[str] | None, limit: int
) -> list[Account]:
    """Accounts with the words in name, e-mail or id, of all or of ``only`` some, newest first."""
    statement = select(accounts).order_by(accounts.c.id.desc()).limit(limit)
    if only is not None:
        statement = statement.where(accounts.c.id.in_(list(only)))
    if words:
        columns = (accounts.c.name, accounts.c.email, accounts.c.id)
        statement = statement.where(
            or_(*(column.icontains(words, autoescape=True) for column in columns))
        )
    return fetch_all(connection, statement, Account)


def names(connection: Connection, account_ids: Iterable[str]) -> dict[str, str]:
    """What accounts are called; one without a name by its id."""
    c = accounts.c
    rows = connection.execute(select(c.id, c.name).where(c.id.in_(list(account_ids))))
    return {row.id: row.name or row.id for row in rows}


def with_schedule(connection: Connection, schedule: str, *, limit: int) -> list[Account]:
    """Accounts that a fee schedule prices, newest first."""
    statement = (
        select(accounts)
        .where(accounts.c.fee_schedule == schedule)
        .order_by(accounts.c.id.desc())
        .limit(limit)
    )
    return fetch_all(connection, statement, Account)


def policy(connection: Connection, account_ids: Iterable[str]) -> dict[str, PaymentPolicy]:
    """The payment policies of accounts; an account that does not exist is left out."""
    rows = run(connection, _POLICIES, {"ids": list(set(account_ids))})
    return {row.id: read_policy(row.policy) for row in rows}


def terms(connection: Connection, account_ids: Iterable[str]) -> dict[str, AccountTerms]:
    """The payment policies and fee schedules of accounts, in one query."""
    rows = run(connection, _POLICIES, {"ids": list(set(account_ids))})
    return {row.id: AccountTerms(read_policy(row.policy), row.fee_schedule) for row in rows}


_POLICIES = "SELECT id, policy, fee_schedule FROM accounts WHERE id = ANY(%(ids)s)"


def is_live(connection: Connection, account_id: str) -> bool:
    """Has an account to do with live money: a key, people, a payment or a payout?"""
    return _any_live(connection, id=account_id, schedule=None)


def is_live_schedule(connection: Connection, schedule: str) -> bool:
    """Does a fee schedule price an account that has?"""
    return _any_live(connection, id=None, schedule=schedule)


def _any_live(connection: Connection, **which: str | None) -> bool:
    return drive(connection, _LIVE, which).fetchone() is not None


_LIVE = (
    "SELECT 1 FROM accounts AS a"
    " WHERE (a.id = %(id)s OR a.fee_schedule = %(schedule)s) AND ("
    "EXISTS (SELECT FROM api_keys AS k"
    " WHERE k.account_id = a.id AND k.livemode AND k.revoked_at IS NULL)"
    " OR EXISTS (SELECT FROM person_accounts AS p WHERE p.account_id = a.id AND p.livemode)"
    " OR EXISTS (SELECT FROM payment_intents AS i WHERE i.account_id = a.id AND i.livemode)"
    " OR EXISTS (SELECT FROM payins AS r WHERE r.account_id = a.id AND r.livemode)"
    " OR EXISTS (SELECT FROM payouts AS o WHERE o.account_id = a.id AND o.livemode)) LIMIT 1"
)
