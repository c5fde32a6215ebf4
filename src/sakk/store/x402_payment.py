"""x402 payments: rows and queries. One row for one authorization, whatever becomes of it."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)

from sakk.store.lease import lease_columns
from sakk.store.schema import Timestamp, Units, metadata

x402_payments = Table(
    "x402_payments",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text),
    Column("livemode", Boolean, nullable=False),
    Column("network", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("verifier", Text, nullable=False),
    Column("payer", Text, nullable=False),
    Column("nonce", Text, nullable=False),
    Column("pay_to", Text, nullable=False),
    Column("token_amount", Units, nullable=False),
    Column("valid_after", Units, nullable=False),
    Column("valid_before", Units, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("by_key", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    Column("resource", Text),
    Column("transaction", Text),
    Column("transaction_line", Integer),
    Column("tx_hash", Text),
    Column("block_number", BigInteger),
    Column("log_index", Integer),
    Column("failure_code", Text),
    Column("failure_message", Text),
    Column("idempotency_key", Text),
    Column("waiting_until", Timestamp),
    Column("answered_at", Timestamp),
    Column("requested_at", Timestamp),
    Column("settled_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    *lease_columns(),
    # The payer's nonce is taken once, by whoever comes first with a good signature.
    Index("uq_x402_payments_nonce", "network", "verifier", "payer", "nonce", unique=True),
    Index("ix_x402_payments_account", "account_id", "livemode", "id"),
    Index("ix_x402_payments_transaction", "transaction"),
    Index("ix_x402_payments_tx_hash", "network", "tx_hash"),
    Index(
        "ix_x402_payments_work",
        "network",
        "id",
        postgresql_where=text("status = 'requested' and transaction is null"),
    ),
    Index(
        "ix_x402_payments_open",
        "payer",
        "asset",
        postgresql_where=text("status in ('reserved', 'requested', 'sent')"),
    ),
)
