"""Checkout sessions: rows and queries."""

from collections.abc import Iterable

from sqlalchemy import Boolean, Column, Connection, Index, Table, Text, func, select, text

from sakk.core.checkout_session import Arrival, CheckoutSession
from sakk.core.payment import PaymentStatus
from sakk.store.database import (
    fetch,
    fetch_all,
    fetch_one,
    given_among,
    insert_records,
    query,
    update_records,
)
from sakk.store.network import cursors, networks
from sakk.store.payin import payins
from sakk.store.payment import payment_intents
from sakk.store.schema import Document, Timestamp, metadata

ARRIVALS_MAX = 50

checkout_sessions = Table(
    "checkout_sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("payment_intent", Text, nullable=False),
    Column("token_hash", Text, nullable=False),
    Column("lines", Document, nullable=False),
    Column("success_url", Text),
    Column("cancel_url", Text),
    Column("client_reference_id", Text),
    Column("locale", Text),
    Column("metadata", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
    Column("payment_link", Text),
    Column("pos_device", Text),
    Index("ix_checkout_sessions_account", "account_id", "livemode", "id"),
    Index("uq_checkout_sessions_token", "token_hash", unique=True),
    Index("uq_checkout_sessions_intent", "payment_intent", unique=True),
    Index(
        "ix_checkout_sessions_link",
        "payment_link",
        "id",
        postgresql_where=text("payment_link is not null"),
    ),
    Index(
        "ix_checkout_sessions_device",
        "pos_device",
        "id",
        postgresql_where=text("pos_device is not null"),
    ),
)


def insert(connection: Connection, session: CheckoutSession) -> None:
    insert_records(connection, checkout_sessions, [session])


def find(
    connection: Connection, identifier: str, *, account_id: str | None, livemode: bool
) -> CheckoutSession | None:
    """One session of an account, or of any account for the operator (``account_id`` None)."""
    columns = checkout_sessions.c
    statement = select(checkout_sessions).where(
        columns.id == identifier, columns.livemode == livemode
    )
    if account_id is not None:
        statement = statement.where(columns.account_id == account_id)
    return fetch_one(connection, statement, CheckoutSession)


def find_by_token(connection: Connection, token_hash: str) -> CheckoutSession | None:
    """Whose page this is."""
    statement = select(checkout_sessions).where(checkout_sessions.c.token_hash == token_hash)
    return fetch_one(connection, statement, CheckoutSession)


def of_intents(connection: Connection, intents: Iterable[str]) -> list[CheckoutSession]:
    """The sessions whose payment intents these are."""
    return fetch(connection, _OF_INTENTS, intents=list(intents))


_OF_INTENTS = query(
    select(checkout_sessions).where(given_among(checkout_sessions.c.payment_intent, "intents")),
    CheckoutSession,
)


def of_device(connection: Connection, device: str, *, limit: int) -> list[CheckoutSession]:
    """What was asked at a till, newest first."""
    columns = checkout_sessions.c
    statement = select(checkout_sessions).where(columns.pos_device == device)
    return fetch_all(
        connection, statement.order_by(columns.id.desc()).limit(limit), CheckoutSession
    )


def of_link(connection: Connection, payment_link: str, *, limit: int) -> list[CheckoutSession]:
    """What was begun under a payment link, newest first."""
    columns = checkout_sessions.c
    statement = select(checkout_sessions).where(columns.payment_link == payment_link)
    return fetch_all(
        connection, statement.order_by(columns.id.desc()).limit(limit), CheckoutSession
    )


def count_open(connection: Connection, payment_link: str, *, limit: int) -> int:
    """How many sessions of a link await a payment; no more than ``limit`` are counted."""
    found = (
        select(checkout_sessions.c.id)
        .join(payment_intents, payment_intents.c.id == checkout_sessions.c.payment_intent)
        .where(
            checkout_sessions.c.payment_link == payment_link,
            payment_intents.c.status == PaymentStatus.requires_action.value,
        )
        .order_by(checkout_sessions.c.id.desc())
        .limit(limit)
        .subquery()
    )
    return int(connection.execute(select(func.count()).select_from(found)).scalar_one())


def write_metadata(connection: Connection, session: CheckoutSession) -> None:
    update_records(
        connection, checkout_sessions, [{"id": session.id, "metadata": session.metadata}]
    )


def arrivals(connection: Connection, intents: Iterable[str]) -> dict[str, list[Arrival]]:
    """Per intent, what was sent to its addresses and is on the chain, oldest first."""
    found: dict[str, list[Arrival]] = {}
    statement = (
        select(
            payins.c.payment_intent,
            payins.c.network,
            payins.c.asset,
            payins.c.token_amount,
            payins.c.tx_hash,
            payins.c.status,
            payins.c.counts,
            payins.c.block_number,
            networks.c.confirmations.label("confirmations_min"),
            cursors.c.block_number.label("head_number"),
        )
        .join(networks, networks.c.network == payins.c.network)
        .outerjoin(cursors, cursors.c.network == payins.c.network)
        .where(
            payins.c.payment_intent.in_(list(intents)),
            ~payins.c.orphaned,
            payins.c.status.not_in(("orphaned", "reversed")),
        )
        .order_by(payins.c.id)
    )
    for row in connection.execute(statement).mappings():
        given = dict(row)
        of = found.setdefault(given.pop("payment_intent"), [])
        if len(of) < ARRIVALS_MAX:
            of.append(Arrival(**given))
    return found
