"""ledger rows are partitioned by month.

The projection's rows are dropped and its cursor begins anew: the projector writes them again from
the journal, which holds everything that they said.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

WITHOUT_ENTRY = "((flags & 10) <> 0 OR amount = 0)"
MINUTE_NS = 60_000_000_000
BY_TIME = "RANGE (timestamp_ns)"


def upgrade() -> None:
    op.execute("DROP TABLE ledger_transfers, ledger_entries, ledger_balances")
    op.execute("TRUNCATE ledger_accounts, ledger_cursors")
    op.execute("ALTER TABLE ledger_accounts SET (fillfactor = 50)")
    op.drop_column("ledger_accounts", "timestamp")
    op.drop_column("ledger_cursors", "entry_sequence")
    _create_transfers()
    _create_entries()
    op.create_table(
        "ledger_balances",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("timestamp_ns", sa.BigInteger(), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("debits_pending", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("debits_posted", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("credits_pending", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("credits_posted", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.PrimaryKeyConstraint(
            "account_id", "timestamp_ns", "shard", name=op.f("pk_ledger_balances")
        ),
        postgresql_partition_by=BY_TIME,
    )
    for table in ("ledger_transfers", "ledger_entries", "ledger_balances"):
        op.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")


def _create_transfers() -> None:
    op.create_table(
        "ledger_transfers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("timestamp_ns", sa.BigInteger(), nullable=False),
        sa.Column("effective_at_ns", sa.BigInteger(), nullable=False),
        sa.Column("debit_account_id", sa.Uuid(), nullable=False),
        sa.Column("credit_account_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("unit", sa.Numeric(precision=20, scale=0), nullable=False),
        sa.Column("code", sa.Integer(), nullable=False),
        sa.Column("flags", sa.Integer(), nullable=False),
        sa.Column("timeout_seconds", sa.BigInteger(), nullable=False),
        sa.Column("user_data", sa.Uuid(), nullable=False),
        sa.Column("pending_id", sa.Uuid(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "timestamp_ns", name=op.f("pk_ledger_transfers")),
        postgresql_partition_by=BY_TIME,
    )
    for name, columns, where in (
        ("code", ["code", "timestamp_ns"], None),
        (
            "user_data",
            ["user_data", "timestamp_ns"],
            "user_data <> '00000000-0000-0000-0000-000000000000'",
        ),
        ("hold", ["id"], "(flags & 2) <> 0"),
        ("status", ["status", "timestamp_ns"], "status <> 'posted'"),
        ("debit", ["debit_account_id", "timestamp_ns"], WITHOUT_ENTRY),
        ("credit", ["credit_account_id", "timestamp_ns"], WITHOUT_ENTRY),
    ):
        op.create_index(
            f"ix_ledger_transfers_{name}",
            "ledger_transfers",
            columns,
            unique=False,
            postgresql_where=None if where is None else sa.text(where),
        )


def _create_entries() -> None:
    op.create_table(
        "ledger_entries",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("timestamp_ns", sa.BigInteger(), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("effective_at_ns", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("balance_after", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.PrimaryKeyConstraint(
            "account_id", "timestamp_ns", "shard", name=op.f("pk_ledger_entries")
        ),
        postgresql_partition_by=BY_TIME,
    )
    op.create_index(
        "ix_ledger_entries_effective",
        "ledger_entries",
        ["account_id", "effective_at_ns", "timestamp_ns"],
        unique=False,
    )
    op.create_index(
        "ix_ledger_entries_far",
        "ledger_entries",
        ["account_id", "effective_at_ns"],
        unique=False,
        postgresql_include=["timestamp_ns", "amount"],
        postgresql_where=sa.text(
            f"(effective_at_ns - timestamp_ns NOT BETWEEN -{MINUTE_NS} AND {MINUTE_NS})"
        ),
    )
