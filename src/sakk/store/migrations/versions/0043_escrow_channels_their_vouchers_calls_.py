"""escrow channels, their vouchers, calls and redemptions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "escrow_calls",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("channel_id", sa.Text(), nullable=True),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=True),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("token_amount", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("data", postgresql.BYTEA(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("transaction", sa.Text(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("waits_for", sa.Text(), nullable=True),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_escrow_calls")),
    )
    op.create_index("ix_escrow_calls_channel", "escrow_calls", ["channel_id"], unique=False)
    op.create_index("ix_escrow_calls_transaction", "escrow_calls", ["transaction"], unique=False)
    op.create_index(
        "ix_escrow_calls_work",
        "escrow_calls",
        ["id"],
        unique=False,
        postgresql_where=sa.text("status = 'requested' and transaction is null"),
    )
    op.create_index("uq_escrow_calls_key", "escrow_calls", ["key"], unique=True)
    op.create_table(
        "escrow_channels",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("payer", sa.Text(), nullable=False),
        sa.Column("payer_authorizer", sa.Text(), nullable=False),
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column("receiver_authorizer", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("withdraw_delay", sa.Integer(), nullable=False),
        sa.Column("salt", postgresql.BYTEA(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("redeemed", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("withdraw_units", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("lost", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("gone_units", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("withdraw_ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_escrow_channels")),
    )
    op.create_index(
        "ix_escrow_channels_account",
        "escrow_channels",
        ["account_id", "livemode", "id"],
        unique=False,
    )
    op.create_index(
        "ix_escrow_channels_looked_at", "escrow_channels", ["network", "looked_at"], unique=False
    )
    op.create_index(
        "uq_escrow_channels_channel", "escrow_channels", ["network", "channel"], unique=True
    )
    op.create_table(
        "escrow_vouchers",
        sa.Column("channel_id", sa.Text(), nullable=False),
        sa.Column("ceiling", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("signature", postgresql.BYTEA(), nullable=False),
        sa.PrimaryKeyConstraint("channel_id", name=op.f("pk_escrow_vouchers")),
    )
    op.create_table(
        "redemptions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("call_id", sa.Text(), nullable=False),
        sa.Column("channel_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("claimed_from", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("claimed_to", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("ceiling", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("signature", postgresql.BYTEA(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_redemptions")),
    )
    op.create_index("ix_redemptions_call", "redemptions", ["call_id"], unique=False)
    op.create_index("ix_redemptions_channel", "redemptions", ["channel_id"], unique=False)
