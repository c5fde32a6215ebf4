"""charges between two accounts are lines."""

import sqlalchemy as sa
from alembic import op

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ledger_open_charges",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("debit_account_id", sa.Uuid(), nullable=False),
        sa.Column("credit_account_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("unit", sa.Numeric(precision=20, scale=0), nullable=False),
        sa.Column("user_data", sa.Uuid(), nullable=False),
        sa.Column("timestamp_ns", sa.BigInteger(), nullable=False),
        sa.Column("timeout_seconds", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_open_charges")),
    )
    op.add_column("ledger_transfers", sa.Column("charges", sa.LargeBinary(), nullable=True))
    op.execute("ALTER TABLE ledger_transfers ALTER COLUMN charges SET STORAGE EXTERNAL")
    # The rows follow from the journal: where charges stand as rows of their own, all are written
    # anew by the projection, which begins at the journal's start.
    op.execute(
        "DO $$ BEGIN IF EXISTS (SELECT FROM ledger_transfers WHERE code = 601) THEN"
        " TRUNCATE ledger_accounts, ledger_transfers, ledger_entries, ledger_balances;"
        " DELETE FROM ledger_cursors; END IF; END $$"
    )
