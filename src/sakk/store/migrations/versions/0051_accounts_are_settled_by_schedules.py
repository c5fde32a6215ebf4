"""accounts are settled by schedules."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "settlement_schedules",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("terms", postgresql.JSONB(), nullable=False),
        sa.Column("held", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("next_number", sa.Integer(), server_default="1", nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_settlement_schedules")),
    )
    op.create_index(
        "ix_settlement_schedules_next",
        "settlement_schedules",
        ["next_at"],
        unique=False,
        postgresql_where=sa.text("next_at IS NOT NULL"),
    )
    op.create_index(
        "uq_settlement_schedules_account",
        "settlement_schedules",
        ["account_id", "livemode"],
        unique=True,
    )
    op.create_table(
        "settlements",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("from_ns", sa.BigInteger(), nullable=False),
        sa.Column("to_ns", sa.BigInteger(), nullable=False),
        sa.Column("period_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_line", sa.BigInteger(), nullable=False),
        sa.Column("lines", sa.BigInteger(), nullable=False),
        sa.Column("opening", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("credits", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("debits", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("closing", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("received", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("fees", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("owed", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("recovered", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("reserved", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("reserved_fixed", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("payable", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("amount", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("terms", postgresql.JSONB(), nullable=False),
        sa.Column("pay_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("release_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("released", sa.Boolean(), nullable=False),
        sa.Column("payout", sa.Text(), nullable=True),
        sa.Column("failure_code", sa.Text(), nullable=True),
        sa.Column("metadata", postgresql.JSONB(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("booked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_settlements")),
    )
    op.create_index(
        "ix_settlements_account", "settlements", ["account_id", "livemode", "id"], unique=False
    )
    op.create_index(
        "ix_settlements_payout",
        "settlements",
        ["payout"],
        unique=False,
        postgresql_where=sa.text("payout IS NOT NULL"),
    )
    op.create_index(
        "ix_settlements_release",
        "settlements",
        ["release_at"],
        unique=False,
        postgresql_where=sa.text("release_at IS NOT NULL AND NOT released"),
    )
    op.create_index(
        "ix_settlements_work",
        "settlements",
        ["status", "pay_at"],
        unique=False,
        postgresql_where=sa.text("status in ('closed', 'pending', 'held', 'paying')"),
    )
    op.create_index(
        "uq_settlements_number", "settlements", ["account_id", "livemode", "number"], unique=True
    )
