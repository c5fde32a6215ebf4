"""fees, attempts and what payouts wait for."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "network_fees",
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("max_fee_per_gas", sa.Numeric(precision=78, scale=0), nullable=True),
        sa.Column("max_priority_fee_per_gas", sa.Numeric(precision=78, scale=0), nullable=True),
        sa.Column("base_fee_per_gas", sa.Numeric(precision=78, scale=0), nullable=True),
        sa.Column("above_cap_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sampled", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("network", name=op.f("pk_network_fees")),
    )
    op.create_table(
        "transaction_attempts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("transaction", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("cancels", sa.Boolean(), nullable=False),
        sa.Column("max_fee_per_gas", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("max_priority_fee_per_gas", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("unsigned", sa.LargeBinary(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=True),
        sa.Column("hash", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("explanation", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transaction_attempts")),
    )
    op.create_index(
        "uq_transaction_attempts_attempt",
        "transaction_attempts",
        ["transaction", "attempt"],
        unique=True,
    )
    op.create_index(
        "uq_transaction_attempts_hash", "transaction_attempts", ["network", "hash"], unique=True
    )
    op.add_column(
        "assets", sa.Column("compare_above", sa.Numeric(precision=78, scale=0), nullable=True)
    )
    op.add_column(
        "networks",
        sa.Column(
            "max_fee_per_gas_max",
            sa.Numeric(precision=78, scale=0),
            server_default="500000000000",
            nullable=False,
        ),
    )
    op.add_column(
        "networks",
        sa.Column(
            "max_priority_fee_per_gas_max",
            sa.Numeric(precision=78, scale=0),
            server_default="50000000000",
            nullable=False,
        ),
    )
    op.add_column(
        "networks",
        sa.Column("replace_after_seconds", sa.Integer(), server_default="60", nullable=False),
    )
    op.add_column("nonces", sa.Column("frozen_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("nonces", sa.Column("frozen_reason", sa.Text(), nullable=True))
    op.add_column("payouts", sa.Column("waits_for", sa.Text(), nullable=True))
    op.add_column("sweeps", sa.Column("waits_for", sa.Text(), nullable=True))
    op.add_column(
        "transactions", sa.Column("replacements", sa.Integer(), server_default="0", nullable=False)
    )
    op.add_column(
        "transactions", sa.Column("replace_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column("transactions", sa.Column("waits_for", sa.Text(), nullable=True))
    op.add_column("transactions", sa.Column("asked", sa.Text(), nullable=True))
    op.add_column("transactions", sa.Column("explanation", sa.Text(), nullable=True))
