"""Refunds and disputes of charges."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "channel_disputes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("payee", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("channel_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("nonce", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("records", postgresql.JSONB(), nullable=False),
        sa.Column("is_held", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_channel_disputes")),
    )
    op.create_index(
        "ix_channel_disputes_channel", "channel_disputes", ["channel_id", "id"], unique=False
    )
    op.create_index(
        "ix_channel_disputes_unfinished",
        "channel_disputes",
        ["created"],
        unique=False,
        postgresql_where=sa.text(
            "status = 'requested' OR (status = 'open' AND outcome IS NOT NULL)"
        ),
    )
    op.create_index(
        "uq_channel_disputes_charge",
        "channel_disputes",
        ["session_id", "nonce"],
        unique=True,
        postgresql_where=sa.text("status IN ('requested', 'open')"),
    )
    op.create_table(
        "charge_refunds",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("channel_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("nonce", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("to_payer", sa.Boolean(), nullable=False),
        sa.Column("dispute", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_charge_refunds")),
    )
    op.create_index(
        "ix_charge_refunds_channel", "charge_refunds", ["channel_id", "id"], unique=False
    )
    op.create_index(
        "ix_charge_refunds_charge", "charge_refunds", ["session_id", "nonce"], unique=False
    )
    op.create_index(
        "ix_charge_refunds_requested",
        "charge_refunds",
        ["created"],
        unique=False,
        postgresql_where=sa.text("status = 'requested'"),
    )
    op.add_column(
        "channels", sa.Column("amount_min", sa.Numeric(precision=78, scale=0), nullable=True)
    )
    op.drop_column("sessions", "amount_max")
    for column in ("expires_at", "used_at"):
        op.drop_index(f"ix_channels_{column}", table_name="channels")
        op.create_index(
            f"ix_channels_{column}",
            "channels",
            [column],
            unique=False,
            postgresql_where=sa.text("status IN ('opening', 'open')"),
        )
