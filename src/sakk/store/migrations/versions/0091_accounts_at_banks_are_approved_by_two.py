"""accounts at banks are approved by two."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0091"
down_revision = "0090"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bank_account_changes",
        sa.Column("bank_account", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("terms", postgresql.JSONB(), nullable=False),
        sa.Column("secret", postgresql.BYTEA(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("proposed_by", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("bank_account", name=op.f("pk_bank_account_changes")),
    )
    op.add_column(
        "bank_accounts", sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True)
    )
    # Those that are in use stay so.
    op.execute("UPDATE bank_accounts SET approved_at = created WHERE role = 'own'")
