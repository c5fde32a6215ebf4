"""x402 payments and receiving addresses."""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "receiving_addresses",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_receiving_addresses")),
    )
    op.create_index(
        "ix_receiving_addresses_address", "receiving_addresses", ["address"], unique=False
    )
    op.create_index(
        "uq_receiving_addresses_network",
        "receiving_addresses",
        ["account_id", "livemode", "network"],
        unique=True,
    )
    op.create_table(
        "x402_payments",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("verifier", sa.Text(), nullable=False),
        sa.Column("payer", sa.Text(), nullable=False),
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("pay_to", sa.Text(), nullable=False),
        sa.Column("token_amount", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("valid_after", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("valid_before", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("by_key", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=True),
        sa.Column("transaction", sa.Text(), nullable=True),
        sa.Column("transaction_line", sa.Integer(), nullable=True),
        sa.Column("tx_hash", sa.Text(), nullable=True),
        sa.Column("block_number", sa.BigInteger(), nullable=True),
        sa.Column("log_index", sa.Integer(), nullable=True),
        sa.Column("failure_code", sa.Text(), nullable=True),
        sa.Column("failure_message", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("waiting_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_x402_payments")),
    )
    op.create_index(
        "ix_x402_payments_account", "x402_payments", ["account_id", "livemode", "id"], unique=False
    )
    op.create_index(
        "ix_x402_payments_open",
        "x402_payments",
        ["payer", "asset"],
        unique=False,
        postgresql_where=sa.text("status in ('reserved', 'requested', 'sent')"),
    )
    op.create_index("ix_x402_payments_transaction", "x402_payments", ["transaction"], unique=False)
    op.create_index(
        "ix_x402_payments_tx_hash", "x402_payments", ["network", "tx_hash"], unique=False
    )
    op.create_index(
        "ix_x402_payments_work",
        "x402_payments",
        ["network", "id"],
        unique=False,
        postgresql_where=sa.text("status = 'requested' and transaction is null"),
    )
    op.create_index(
        "uq_x402_payments_nonce",
        "x402_payments",
        ["network", "verifier", "payer", "nonce"],
        unique=True,
    )
