"""ledger lists by unit.

Not concurrently: PostgreSQL can not build an index of a partitioned table so, and
``ledger_transfers`` is one. While it is built the projector waits, and with it statements; the
ledger goes on, because nothing but the projector writes these rows.
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index(op.f("ix_ledger_accounts_code"), table_name="ledger_accounts")
    op.create_index(
        "ix_ledger_accounts_code", "ledger_accounts", ["code", "timestamp_ns"], unique=False
    )
    op.drop_index(op.f("ix_ledger_accounts_user_data"), table_name="ledger_accounts")
    op.create_index(
        "ix_ledger_accounts_user_data",
        "ledger_accounts",
        ["user_data", "timestamp_ns"],
        unique=False,
    )
    op.create_index(
        "ix_ledger_accounts_timestamp", "ledger_accounts", ["timestamp_ns"], unique=False
    )
    op.create_index(
        "ix_ledger_accounts_unit", "ledger_accounts", ["unit", "timestamp_ns"], unique=False
    )
    op.create_index(
        "ix_ledger_transfers_unit", "ledger_transfers", ["unit", "timestamp_ns"], unique=False
    )
