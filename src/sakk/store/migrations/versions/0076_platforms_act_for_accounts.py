"""platforms act for accounts that are connected to them, and take a fee."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0076"
down_revision = "0075"
branch_labels = None
depends_on = None

UNITS = sa.Numeric(precision=78, scale=0)


def upgrade() -> None:
    op.create_table(
        "connected_accounts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("permissions", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("fee_ppm_max", sa.Integer(), nullable=False),
        sa.Column("metadata", postgresql.JSONB(), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_connected_accounts")),
    )
    for side in ("account_id", "platform"):
        op.create_index(
            f"ix_connected_accounts_{side.removesuffix('_id')}",
            "connected_accounts",
            [side, "livemode", "id"],
            unique=False,
        )
    op.create_index(
        "uq_connected_accounts_standing",
        "connected_accounts",
        ["platform", "account_id", "livemode"],
        unique=True,
        postgresql_where=sa.text("status <> 'ended'"),
    )
    op.create_table(
        "application_fees",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("connected", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("connected_account", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("payment_intent", sa.Text(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("basis", UNITS, nullable=False),
        sa.Column("amount", UNITS, nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("rule", sa.Integer(), nullable=True),
        sa.Column("parts", postgresql.JSONB(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_application_fees")),
    )
    for name, columns in (
        ("account", ["account_id", "livemode", "id"]),
        ("connected", ["connected", "livemode", "id"]),
        ("payment", ["payment_intent"]),
        ("source", ["source"]),
    ):
        op.create_index(f"ix_application_fees_{name}", "application_fees", columns, unique=False)
    op.create_index(
        "ix_application_fees_work",
        "application_fees",
        ["id"],
        unique=False,
        postgresql_where=sa.text("status = 'pending'"),
    )
    for table in ("payins", "payouts"):
        op.add_column(
            table, sa.Column("application_fee", UNITS, server_default="0", nullable=False)
        )
        op.add_column(table, sa.Column("application_terms", postgresql.JSONB(), nullable=True))
    op.add_column("payment_intents", sa.Column("application", postgresql.JSONB(), nullable=True))
    op.add_column("refunds", sa.Column("refund_application_fee", sa.Boolean(), nullable=True))
