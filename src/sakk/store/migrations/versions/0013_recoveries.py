"""recoveries."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "recoveries",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("key_index", sa.BigInteger(), nullable=False),
        sa.Column("token_amount", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("payment_intent", sa.Text(), nullable=True),
        sa.Column("payin", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=True),
        sa.Column("screening", sa.Text(), nullable=True),
        sa.Column("under_review", sa.Boolean(), nullable=False),
        sa.Column("sweep", sa.Text(), nullable=True),
        sa.Column("tx_hash", sa.Text(), nullable=True),
        sa.Column("failure_reason", sa.Text(), nullable=True),
        sa.Column("claim_hash", sa.Text(), nullable=True),
        sa.Column("claim_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("succeeded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recoveries")),
    )
    op.create_index("ix_recoveries_payin", "recoveries", ["payin"], unique=False)
    op.create_index(
        "ix_recoveries_work",
        "recoveries",
        ["status"],
        unique=False,
        postgresql_where=sa.text("status in ('requires_action', 'pending')"),
    )
    op.create_index("uq_recoveries_claim", "recoveries", ["claim_hash"], unique=True)
    op.create_index(
        "uq_recoveries_live",
        "recoveries",
        ["address", "asset"],
        unique=True,
        postgresql_where=sa.text("status in ('requires_action', 'pending')"),
    )
    op.add_column(
        "sweeps", sa.Column("source", sa.Text(), server_default="deposit", nullable=False)
    )
