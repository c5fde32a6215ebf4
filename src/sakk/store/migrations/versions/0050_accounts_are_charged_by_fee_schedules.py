"""accounts are charged by fee schedules."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0050"
down_revision = "0049"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "fee_schedules",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("metadata", postgresql.JSONB(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fee_schedules")),
    )
    op.create_table(
        "fee_versions",
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("rules", postgresql.JSONB(), nullable=False),
        sa.Column("effective_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("schedule", "version", name=op.f("pk_fee_versions")),
    )
    op.create_table(
        "fee_volumes",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("volume", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.PrimaryKeyConstraint(
            "account_id", "livemode", "kind", "currency", "month", name=op.f("pk_fee_volumes")
        ),
    )
    op.create_table(
        "fees",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("basis", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("amount", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("rule", sa.Integer(), nullable=False),
        sa.Column("parts", postgresql.JSONB(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fees")),
    )
    op.create_index("ix_fees_account", "fees", ["account_id", "livemode", "id"], unique=False)
    op.create_index("ix_fees_source", "fees", ["source"], unique=False)
    op.add_column("accounts", sa.Column("fee_schedule", sa.Text(), nullable=True))
    op.add_column(
        "payins",
        sa.Column("fee", sa.Numeric(precision=78, scale=0), server_default="0", nullable=False),
    )
    op.add_column("payins", sa.Column("fee_terms", postgresql.JSONB(), nullable=True))
    op.add_column(
        "payouts",
        sa.Column(
            "service_fee", sa.Numeric(precision=78, scale=0), server_default="0", nullable=False
        ),
    )
    op.add_column("payouts", sa.Column("fee_terms", postgresql.JSONB(), nullable=True))
    op.add_column(
        "payouts",
        sa.Column(
            "fee_returned", sa.Numeric(precision=78, scale=0), server_default="0", nullable=False
        ),
    )
    op.add_column(
        "refunds",
        sa.Column(
            "service_fee", sa.Numeric(precision=78, scale=0), server_default="0", nullable=False
        ),
    )
    op.add_column("refunds", sa.Column("fee_terms", postgresql.JSONB(), nullable=True))
    op.add_column(
        "refunds",
        sa.Column(
            "fee_returned", sa.Numeric(precision=78, scale=0), server_default="0", nullable=False
        ),
    )
