"""Wallet proofs: rows, and the transfers that may prove them."""

from collections.abc import Sequence

from sqlalchemy import Boolean, Column, Connection, Index, Table, Text, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.payin import PayIn, PayInStatus
from sakk.core.wallet_proof import WalletProof, WalletProofStatus
from sakk.store.database import among, due, fetch_all, fetch_one, row_of
from sakk.store.payin import payins
from sakk.store.payment import payment_intents
from sakk.store.schema import Timestamp, Units, metadata

wallet_proofs = Table(
    "wallet_proofs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("beneficiary", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("payment_intent", Text, nullable=False, unique=True),
    Column("amount", Units, nullable=False),
    Column("currency", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("payin", Text),
    Column("expires_at", Timestamp, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_wallet_proofs_account", "account_id", "livemode", "id"),
    Index("ix_wallet_proofs_open", "id", postgresql_where=text("status = 'open'")),
)
# Past the point where a reorganisation takes it back.
_FINAL = [
    PayInStatus.screened.value,
    PayInStatus.held.value,
    PayInStatus.posted.value,
    PayInStatus.released.value,
]


def insert(connection: Connection, proof: WalletProof) -> None:
    connection.execute(upsert(wallet_proofs).values(row_of(proof)).on_conflict_do_nothing())


def find(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool
) -> WalletProof | None:
    return fetch_one(
        connection,
        select(wallet_proofs).where(
            wallet_proofs.c.id == identifier,
            wallet_proofs.c.account_id == account_id,
            wallet_proofs.c.livemode == livemode,
        ),
        WalletProof,
    )


# Proofs that are waited for and may be looked at now, locked.
awaited = due(
    select(wallet_proofs).where(wallet_proofs.c.status == WalletProofStatus.open.value),
    WalletProof,
    wallet_proofs.c.id,
    lock=wallet_proofs,
)


def named_units(connection: Connection, intents: Sequence[str]) -> dict[tuple[str, str], int]:
    """Atomic units that payment intents ask for, by intent and token."""
    statement = select(payment_intents.c.id, payment_intents.c.quotes).where(
        among(payment_intents.c.id, intents)
    )
    return {
        (identifier, quote["asset"]): int(quote["token_amount"])
        for identifier, quotes in connection.execute(statement)
        for quote in quotes
    }


def final_payins(connection: Connection, intents: Sequence[str]) -> list[PayIn]:
    """The final pay-ins of these payment intents, in the order in which they came."""
    statement = (
        select(payins)
        .where(among(payins.c.payment_intent, intents), payins.c.status.in_(_FINAL))
        .order_by(payins.c.id)
    )
    return fetch_all(connection, statement, PayIn)
