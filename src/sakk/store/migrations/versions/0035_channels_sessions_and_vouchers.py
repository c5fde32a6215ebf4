"""Channels, the sessions on them, and the vouchers that raise them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "channel_fundings",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("channel_id", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("funded", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_channel_fundings")),
    )
    op.create_index(
        "ix_channel_fundings_channel", "channel_fundings", ["channel_id", "id"], unique=False
    )
    op.create_index(
        "uq_channel_fundings_requested",
        "channel_fundings",
        ["channel_id"],
        unique=True,
        postgresql_where=sa.text("status = 'requested'"),
    )
    op.create_table(
        "channels",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("payee", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("signer", sa.Text(), nullable=True),
        sa.Column("mandate", sa.Text(), nullable=True),
        sa.Column("amount_max", sa.Numeric(precision=78, scale=0), nullable=True),
        sa.Column("ceiling", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("funded", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("returned", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("spent", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("charges", sa.BigInteger(), nullable=False),
        sa.Column("head", postgresql.BYTEA(), nullable=False),
        sa.Column("head_ns", sa.BigInteger(), nullable=False),
        sa.Column("drains", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("metadata", postgresql.JSONB(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_channels")),
    )
    op.create_index(
        "ix_channels_closing",
        "channels",
        ["used_at"],
        unique=False,
        postgresql_where=sa.text("status = 'closing'"),
    )
    op.create_index(
        "ix_channels_expires_at",
        "channels",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("status = 'open'"),
    )
    op.create_index(
        "ix_channels_mandate",
        "channels",
        ["mandate"],
        unique=False,
        postgresql_where=sa.text("mandate IS NOT NULL"),
    )
    op.create_index("ix_channels_payee", "channels", ["payee", "livemode", "id"], unique=False)
    op.create_index("ix_channels_payer", "channels", ["account_id", "livemode", "id"], unique=False)
    op.create_index(
        "ix_channels_signer",
        "channels",
        ["signer", "id"],
        unique=False,
        postgresql_where=sa.text("status <> 'closed'"),
    )
    op.create_index(
        "ix_channels_used_at",
        "channels",
        ["used_at"],
        unique=False,
        postgresql_where=sa.text("status = 'open'"),
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("channel_id", sa.Text(), nullable=False),
        sa.Column("handle", sa.BigInteger(), nullable=False),
        sa.Column("salt", postgresql.BYTEA(), nullable=False),
        sa.Column("amount_max", sa.Numeric(precision=78, scale=0), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("channel_id", "salt", name=op.f("uq_sessions_channel_id_salt")),
        sa.UniqueConstraint("handle", name=op.f("uq_sessions_handle")),
    )
    op.create_index("ix_sessions_channel", "sessions", ["channel_id", "id"], unique=False)
    op.create_table(
        "vouchers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("channel_id", sa.Text(), nullable=False),
        sa.Column("ceiling", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("spent", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("charges", sa.BigInteger(), nullable=False),
        sa.Column("head", postgresql.BYTEA(), nullable=False),
        sa.Column("signature", postgresql.BYTEA(), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vouchers")),
        sa.UniqueConstraint("channel_id", "ceiling", name=op.f("uq_vouchers_channel_id_ceiling")),
    )
