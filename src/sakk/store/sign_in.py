"""Sign-ins, wrong tries and challenges that were answered: rows and queries."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    delete,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.sign_in import SignIn, Tries
from sakk.store.database import fetch_all, fetch_one, insert_records
from sakk.store.schema import Bytes, Document, Timestamp, metadata

SIGN_INS_SHOWN_MAX: Final = 50

sign_ins = Table(
    "sign_ins",
    metadata,
    Column("id", Text, primary_key=True),
    Column("person", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("token_hash", Bytes, nullable=False, unique=True),
    Column("method", Text, nullable=False),
    Column("user_agent", Text, nullable=False),
    Column("address", Text),
    Column("account_id", Text),
    Column("created", Timestamp, nullable=False),
    Column("seen_at", Timestamp, nullable=False),
    Column("expires_at", Timestamp, nullable=False),
    Column("stepped_up_at", Timestamp),
    Column("step_up_method", Text),
    Column("ended_at", Timestamp),
    Column("flash", Document),
    Index("ix_sign_ins_person", "person", "id"),
    Index("ix_sign_ins_created", "created"),
)

sign_in_tries = Table(
    "sign_in_tries",
    metadata,
    Column("name", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("locked_until", Timestamp),
    Column("changed", Timestamp, nullable=False),
    Index("ix_sign_in_tries_changed", "changed"),
)

# A challenge says for itself when it ends; which were answered must be remembered until then.
answered_challenges = Table(
    "answered_challenges",
    metadata,
    Column("challenge", Bytes, primary_key=True),
    Column("expires_at", Timestamp, nullable=False),
    Index("ix_answered_challenges_expires_at", "expires_at"),
)


def insert(connection: Connection, sign_in: SignIn) -> None:
    insert_records(connection, sign_ins, [sign_in])


def by_token(connection: Connection, token_hash: bytes, *, lock: bool = False) -> SignIn | None:
    """The sign-in with a token, ended ones too."""
    statement = select(sign_ins).where(sign_ins.c.token_hash == token_hash)
    return fetch_one(connection, statement.with_for_update() if lock else statement, SignIn)


def find(connection: Connection, identifier: str, *, lock: bool = False) -> SignIn | None:
    statement = select(sign_ins).where(sign_ins.c.id == identifier)
    return fetch_one(connection, statement.with_for_update() if lock else statement, SignIn)


def live_of(connection: Connection, person: str, *, now: datetime) -> list[SignIn]:
    """Where a person is signed in, the newest first."""
    return fetch_all(
        connection,
        select(sign_ins)
        .where(
            sign_ins.c.person == person,
            sign_ins.c.ended_at.is_(None),
            sign_ins.c.expires_at > now,
        )
        .order_by(sign_ins.c.id.desc())
        .limit(SIGN_INS_SHOWN_MAX),
        SignIn,
    )


def change(connection: Connection, identifier: str, values: Mapping[str, Any]) -> None:
    connection.execute(update(sign_ins).where(sign_ins.c.id == identifier).values(dict(values)))


def end_of(connection: Connection, person: str, *, now: datetime, but: str | None = None) -> int:
    """End a person's sign-ins, all or all ``but`` one; how many."""
    statement = update(sign_ins).where(sign_ins.c.person == person, sign_ins.c.ended_at.is_(None))
    if but is not None:
        statement = statement.where(sign_ins.c.id != but)
    return connection.execute(statement.values(ended_at=now)).rowcount


def tries(connection: Connection, name: str) -> Tries | None:
    """What was counted under a name, locked."""
    statement = select(sign_in_tries).where(sign_in_tries.c.name == name).with_for_update()
    return fetch_one(connection, statement, Tries)


def put_tries(connection: Connection, counted: Tries) -> None:
    values = {
        "failures": counted.failures,
        "locked_until": counted.locked_until,
        "changed": counted.changed,
    }
    connection.execute(
        upsert(sign_in_tries)
        .values(name=counted.name, **values)
        .on_conflict_do_update(index_elements=["name"], set_=values)
    )


def clear_tries(connection: Connection, name: str) -> None:
    connection.execute(delete(sign_in_tries).where(sign_in_tries.c.name == name))


def answer_challenge(connection: Connection, challenge: bytes, *, expires_at: datetime) -> bool:
    """Note that a challenge was answered; False if it was before."""
    noted = connection.execute(
        upsert(answered_challenges)
        .values(challenge=challenge, expires_at=expires_at)
        .on_conflict_do_nothing()
        .returning(answered_challenges.c.challenge)
    )
    return noted.first() is not None


def forget(
    connection: Connection, *, begun_before: datetime, tried_before: datetime, now: datetime
) -> int:
    """Drop what is of no more use; how many rows."""
    gone = 0
    for statement in (
        delete(sign_ins).where(sign_ins.c.created < begun_before),
        delete(sign_in_tries).where(sign_in_tries.c.changed < tried_before),
        delete(answered_challenges).where(answered_challenges.c.expires_at < now),
    ):
        gone += connection.execute(statement).rowcount
    return gone
