"""requests are logged, views saved, volumes counted."""

import sqlalchemy as sa
from alembic import op

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "request_log",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("milliseconds", sa.Integer(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_request_log")),
    )
    op.create_index(
        "ix_request_log_account", "request_log", ["account_id", "livemode", "id"], unique=False
    )
    op.create_table(
        "saved_views",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("screen", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_views")),
    )
    op.create_index("uq_saved_views_name", "saved_views", ["person", "screen", "name"], unique=True)
    op.create_table(
        "volume_cursor",
        sa.Column("one", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("counted_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("one", name=op.f("pk_volume_cursor")),
    )
    op.create_table(
        "volumes",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("quarter", sa.DateTime(timezone=True), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("payins", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.PrimaryKeyConstraint(
            "account_id", "livemode", "quarter", "currency", name=op.f("pk_volumes")
        ),
    )
    op.create_index("ix_volumes_quarter", "volumes", ["livemode", "quarter"], unique=False)
    op.create_index(
        "ix_customers_email", "customers", ["account_id", "livemode", "email", "id"], unique=False
    )
    op.create_index(
        "ix_payins_exceptional",
        "payins",
        ["account_id", "livemode", "id"],
        unique=False,
        postgresql_where=sa.text(
            "(status = 'held' or suspense_units > 0 or reason in ('late', 'over') or role in ('late', 'finished', 'wrong_asset', 'lost', 'unlisted', 'excessive'))"
        ),
    )
    op.create_index(
        "ix_payins_posted",
        "payins",
        ["posted_at"],
        unique=False,
        postgresql_where=sa.text("posted_at is not null"),
    )
    op.create_index(
        "ix_payment_intents_amount",
        "payment_intents",
        ["account_id", "livemode", "amount", "id"],
        unique=False,
    )
    op.create_index(
        "ix_payment_intents_metadata",
        "payment_intents",
        ["metadata"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"metadata": "jsonb_path_ops"},
        postgresql_where=sa.text("metadata <> '{}'"),
    )
    op.create_index(
        "ix_payment_intents_short",
        "payment_intents",
        ["account_id", "livemode", "id"],
        unique=False,
        postgresql_where=sa.text("amount_status = 'under'"),
    )
    op.create_index(
        "ix_payment_intents_status",
        "payment_intents",
        ["account_id", "livemode", "status", "id"],
        unique=False,
    )
