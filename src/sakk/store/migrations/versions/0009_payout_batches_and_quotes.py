"""Payouts come in batches; quotes of their fee, and least amounts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "payout_batches",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("metadata", postgresql.JSONB(), nullable=False),
        sa.Column("allow_duplicates", sa.Boolean(), nullable=False),
        sa.Column("canceled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payout_batches")),
    )
    op.create_index(
        "ix_payout_batches_account",
        "payout_batches",
        ["account_id", "livemode", "id"],
        unique=False,
    )
    op.create_index(
        "ix_payout_batches_digest",
        "payout_batches",
        ["account_id", "livemode", "digest"],
        unique=False,
    )
    op.create_table(
        "quotes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("fee", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("network_fee", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("gas", sa.BigInteger(), nullable=False),
        sa.Column("gas_price", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("metadata", postgresql.JSONB(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quotes")),
    )
    op.create_index("ix_quotes_account", "quotes", ["account_id", "livemode", "id"], unique=False)
    op.create_index("ix_quotes_expires_at", "quotes", ["expires_at"], unique=False)
    op.create_table(
        "transfer_costs",
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("gas", sa.BigInteger(), nullable=False),
        sa.Column("gas_price", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("measured", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("asset", name=op.f("pk_transfer_costs")),
    )
    op.add_column(
        "assets",
        sa.Column(
            "payout_minimum", sa.Numeric(precision=78, scale=0), server_default="0", nullable=False
        ),
    )
    op.add_column("payouts", sa.Column("batch", sa.Text(), nullable=True))
    op.add_column("payouts", sa.Column("line", sa.Integer(), nullable=True))
    op.add_column("payouts", sa.Column("reference", sa.Text(), nullable=True))
    op.add_column("payouts", sa.Column("quote", sa.Text(), nullable=True))
    op.add_column("payouts", sa.Column("scheduled_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("payouts", sa.Column("screened_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_payouts_reference",
        "payouts",
        ["account_id", "livemode", "reference"],
        unique=False,
        postgresql_where=sa.text("reference is not null"),
    )
    op.create_index(
        "uq_payouts_batch",
        "payouts",
        ["batch", "line"],
        unique=True,
        postgresql_where=sa.text("batch is not null"),
    )
