"""currencies are converted."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0059"
down_revision = "0058"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "conversion_quotes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("source_currency", sa.Text(), nullable=False),
        sa.Column("source_decimals", sa.Integer(), nullable=False),
        sa.Column("target_currency", sa.Text(), nullable=False),
        sa.Column("target_decimals", sa.Integer(), nullable=False),
        sa.Column("source_amount", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("target_amount", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("spread", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("service_fee", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("fee_terms", postgresql.JSONB(), nullable=True),
        sa.Column("price", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("usd_cents", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("metadata", postgresql.JSONB(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("bid", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("ask", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("sources", postgresql.JSONB(), nullable=False),
        sa.Column("path", postgresql.JSONB(), nullable=False),
        sa.Column("rated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversion_quotes")),
    )
    op.create_index(
        "ix_conversion_quotes_account",
        "conversion_quotes",
        ["account_id", "livemode", "id"],
        unique=False,
    )
    op.create_table(
        "conversion_terms",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("spread_ppm", sa.Integer(), nullable=False),
        sa.Column("lock_seconds", sa.Integer(), nullable=False),
        sa.Column("usd_cents_max", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("usd_cents_per_day_max", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("updated", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "livemode", name=op.f("pk_conversion_terms")),
    )
    op.create_table(
        "conversions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("source_currency", sa.Text(), nullable=False),
        sa.Column("source_decimals", sa.Integer(), nullable=False),
        sa.Column("target_currency", sa.Text(), nullable=False),
        sa.Column("target_decimals", sa.Integer(), nullable=False),
        sa.Column("source_amount", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("target_amount", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("spread", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("service_fee", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("fee_terms", postgresql.JSONB(), nullable=True),
        sa.Column("price", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("usd_cents", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("metadata", postgresql.JSONB(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("quote", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("failure_code", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversions")),
    )
    op.create_index(
        "ix_conversions_account", "conversions", ["account_id", "livemode", "id"], unique=False
    )
    op.create_index(
        "ix_conversions_day", "conversions", ["account_id", "livemode", "created"], unique=False
    )
    op.create_index(
        "ix_conversions_requested",
        "conversions",
        ["created"],
        unique=False,
        postgresql_where=sa.text("status = 'requested'"),
    )
    op.create_index("uq_conversions_quote", "conversions", ["quote"], unique=True)
