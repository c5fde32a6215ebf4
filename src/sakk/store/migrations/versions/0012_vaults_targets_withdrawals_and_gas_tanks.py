"""vaults, targets, withdrawals and gas tanks."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "gas_tanks",
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("wei", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("low", sa.Boolean(), nullable=False),
        sa.Column("checked", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("network", name=op.f("pk_gas_tanks")),
    )
    op.create_table(
        "treasury_targets",
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("low_units", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("target_units", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("high_units", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.PrimaryKeyConstraint("asset", name=op.f("pk_treasury_targets")),
    )
    op.create_table(
        "vaults",
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("network", "address", name=op.f("pk_vaults")),
    )
    op.create_table(
        "withdrawals",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("token_amount", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("transaction", sa.Text(), nullable=True),
        sa.Column("tx_hash", sa.Text(), nullable=True),
        sa.Column("failure_code", sa.Text(), nullable=True),
        sa.Column("waits_for", sa.Text(), nullable=True),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_withdrawals")),
    )
    op.create_index("ix_withdrawals_destination", "withdrawals", ["destination"], unique=False)
    op.create_index(
        "ix_withdrawals_work",
        "withdrawals",
        ["status"],
        unique=False,
        postgresql_where=sa.text("status not in ('posted', 'rejected', 'canceled', 'failed')"),
    )
