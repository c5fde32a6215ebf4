"""refunds."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "refunds",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("payment_intent", sa.Text(), nullable=True),
        sa.Column("payin", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("coin", sa.Text(), nullable=False),
        sa.Column("coin_amount", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("coin_decimals", sa.Integer(), nullable=False),
        sa.Column("network", sa.Text(), nullable=True),
        sa.Column("asset", sa.Text(), nullable=True),
        sa.Column("token_amount", sa.Numeric(precision=78, scale=0), nullable=True),
        sa.Column("destination", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("hold", sa.Text(), nullable=False),
        sa.Column("payout", sa.Text(), nullable=True),
        sa.Column("tx_hash", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("failure_reason", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("metadata", postgresql.JSONB(), nullable=False),
        sa.Column("initiator", sa.Text(), nullable=True),
        sa.Column("initiator_person", sa.Text(), nullable=True),
        sa.Column("claim_hash", sa.Text(), nullable=True),
        sa.Column("claim_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("canceled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("succeeded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refunds")),
    )
    op.create_index("ix_refunds_account", "refunds", ["account_id", "livemode", "id"], unique=False)
    op.create_index("ix_refunds_payin", "refunds", ["payin", "id"], unique=False)
    op.create_index("ix_refunds_payment_intent", "refunds", ["payment_intent", "id"], unique=False)
    op.create_index(
        "ix_refunds_work",
        "refunds",
        ["status", "hold"],
        unique=False,
        postgresql_where=sa.text(
            "status in ('requires_action', 'pending') or (hold = 'held' and payout is null)"
        ),
    )
    op.create_index("uq_refunds_claim", "refunds", ["claim_hash"], unique=True)
    op.create_index("uq_refunds_payout", "refunds", ["payout"], unique=True)
    op.add_column(
        "payment_intents",
        sa.Column(
            "amount_refunded", sa.Numeric(precision=78, scale=0), server_default="0", nullable=False
        ),
    )
    op.add_column(
        "payouts", sa.Column("purpose", sa.Text(), server_default="payout", nullable=False)
    )
    op.add_column(
        "payouts", sa.Column("source", sa.Text(), server_default="balance", nullable=False)
    )
