"""Hedge policies and what is proposed of them."""

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    PrimaryKeyConstraint,
    Table,
    Text,
    delete,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.hedge_policy import HedgePolicy, HedgeProposal
from sakk.store.database import fetch_all, fetch_one, row_of
from sakk.store.schema import Timestamp, Units, metadata

# Any constant that no other advisory lock of ours uses: the bytes of "hedge".
CHANGE_LOCK = int.from_bytes(b"hedge")

hedge_policies = Table(
    "hedge_policies",
    metadata,
    Column("currency", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("against", Text, nullable=False),
    Column("threshold_usd_cents", Units, nullable=False),
    Column("auto_usd_cents", Units, nullable=False),
    Column("updated", Timestamp, nullable=False),
    PrimaryKeyConstraint("currency", "livemode"),
)

hedge_proposals = Table(
    "hedge_proposals",
    metadata,
    Column("currency", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("against", Text, nullable=False),
    Column("threshold_usd_cents", Units, nullable=False),
    Column("auto_usd_cents", Units, nullable=False),
    Column("note", Text),
    Column("proposed_by", Text, nullable=False),
    Column("created", Timestamp, nullable=False),
    PrimaryKeyConstraint("currency", "livemode"),
)


def lock_change(connection: Connection) -> None:
    """One change at a time: whether policies go in circles is asked of all of them."""
    connection.execute(select(func.pg_advisory_xact_lock(CHANGE_LOCK)))


def put(connection: Connection, policy: HedgePolicy) -> None:
    """Write what a currency's policy is from now on."""
    statement = upsert(hedge_policies).values(row_of(policy))
    names = ("against", "threshold_usd_cents", "auto_usd_cents", "updated")
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["currency", "livemode"],
            set_={name: statement.excluded[name] for name in names},
        )
    )


def list_all(connection: Connection) -> list[HedgePolicy]:
    """All, of both modes, by mode and currency."""
    statement = select(hedge_policies).order_by(
        hedge_policies.c.livemode, hedge_policies.c.currency
    )
    return fetch_all(connection, statement, HedgePolicy)


def find(connection: Connection, currency: str, *, livemode: bool) -> HedgePolicy | None:
    """A currency's policy."""
    c = hedge_policies.c
    statement = select(hedge_policies).where(c.currency == currency, c.livemode == livemode)
    return fetch_one(connection, statement, HedgePolicy)


def put_proposal(connection: Connection, proposal: HedgeProposal) -> None:
    """Write what somebody wants; what was wanted of this currency before is gone."""
    drop_proposal(connection, proposal.currency, livemode=proposal.livemode)
    connection.execute(hedge_proposals.insert().values(row_of(proposal)))


def drop_proposal(connection: Connection, currency: str, *, livemode: bool) -> None:
    """It was decided, or is wanted no more."""
    c = hedge_proposals.c
    connection.execute(
        delete(hedge_proposals).where(c.currency == currency, c.livemode == livemode)
    )


def find_proposal(connection: Connection, currency: str, *, livemode: bool) -> HedgeProposal | None:
    """What is wanted of a currency's policy."""
    c = hedge_proposals.c
    statement = select(hedge_proposals).where(c.currency == currency, c.livemode == livemode)
    return fetch_one(connection, statement, HedgeProposal)


def standing(
    connection: Connection, *, livemode: bool
) -> dict[str, tuple[HedgePolicy | None, HedgeProposal | None]]:
    """Of a mode, by currency: the policy in force, and what is wanted of it."""
    proposals = select(hedge_proposals).where(hedge_proposals.c.livemode == livemode)
    wanted = {each.currency: each for each in fetch_all(connection, proposals, HedgeProposal)}
    stands = {each.currency: each for each in list_all(connection) if each.livemode == livemode}
    return {
        currency: (stands.get(currency), wanted.get(currency))
        for currency in sorted({*stands, *wanted})
    }
