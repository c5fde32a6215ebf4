"""money at banks."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0052"
down_revision = "0051"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bank_accounts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("country", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("iban", sa.Text(), nullable=True),
        sa.Column("bic", sa.Text(), nullable=True),
        sa.Column("number", sa.Text(), nullable=True),
        sa.Column("bank_code", sa.Text(), nullable=True),
        sa.Column("usable_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("terms", postgresql.JSONB(), nullable=True),
        sa.Column("opening_units", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("metadata", postgresql.JSONB(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_accounts")),
    )
    op.create_index(
        "ix_bank_accounts_account", "bank_accounts", ["account_id", "livemode", "id"], unique=False
    )
    op.create_index(
        "uq_bank_accounts_own",
        "bank_accounts",
        ["livemode", sa.literal_column("coalesce(iban, number)"), "currency"],
        unique=True,
        postgresql_where=sa.text("role = 'own' and not deleted"),
    )
    op.create_table(
        "bank_file_contents",
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("content", postgresql.BYTEA(), nullable=False),
        sa.PrimaryKeyConstraint("file", name=op.f("pk_bank_file_contents")),
    )
    op.create_table(
        "bank_files",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("bank_account", sa.Text(), nullable=True),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_files")),
    )
    op.create_index(
        "ix_bank_files_work",
        "bank_files",
        ["status"],
        unique=False,
        postgresql_where=sa.text("status in ('ready', 'received')"),
    )
    op.create_index("uq_bank_files_hash", "bank_files", ["livemode", "way", "sha256"], unique=True)
    op.create_table(
        "bank_lines",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("bank_account", sa.Text(), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("booking_date", sa.Date(), nullable=False),
        sa.Column("value_date", sa.Date(), nullable=False),
        sa.Column("units", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("end_to_end_id", sa.Text(), nullable=True),
        sa.Column("bank_reference", sa.Text(), nullable=True),
        sa.Column("remittance", sa.Text(), nullable=True),
        sa.Column("creditor_reference", sa.Text(), nullable=True),
        sa.Column("counterparty_name", sa.Text(), nullable=True),
        sa.Column("counterparty_iban", sa.Text(), nullable=True),
        sa.Column("counterparty_bic", sa.Text(), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("return_code", sa.Text(), nullable=True),
        sa.Column("is_reversal", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("payment", sa.Text(), nullable=True),
        sa.Column("screening", sa.Text(), nullable=True),
        sa.Column("assigned_by", sa.Text(), nullable=True),
        sa.Column("booked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_lines")),
    )
    op.create_index(
        "ix_bank_lines_account", "bank_lines", ["bank_account", "booking_date", "id"], unique=False
    )
    op.create_index("ix_bank_lines_end_to_end", "bank_lines", ["end_to_end_id"], unique=False)
    op.create_index(
        "ix_bank_lines_merchant", "bank_lines", ["account_id", "livemode", "id"], unique=False
    )
    op.create_index(
        "ix_bank_lines_open",
        "bank_lines",
        ["bank_account", "id"],
        unique=False,
        postgresql_where=sa.text("outcome in ('suspense', 'held')"),
    )
    op.create_index(
        "ix_bank_lines_work",
        "bank_lines",
        ["status"],
        unique=False,
        postgresql_where=sa.text("status in ('new', 'matched')"),
    )
    op.create_index("uq_bank_lines_number", "bank_lines", ["statement", "number"], unique=True)
    op.create_table(
        "bank_payments",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("payout", sa.Text(), nullable=False),
        sa.Column("bank_account", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("units", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("end_to_end_id", sa.Text(), nullable=False),
        sa.Column("execution_date", sa.Date(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason_code", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("line", sa.Text(), nullable=True),
        sa.Column("return_line", sa.Text(), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_payments")),
    )
    op.create_index(
        "ix_bank_payments_account", "bank_payments", ["account_id", "livemode", "id"], unique=False
    )
    op.create_index("ix_bank_payments_file", "bank_payments", ["file", "number"], unique=False)
    op.create_index("uq_bank_payments_end_to_end", "bank_payments", ["end_to_end_id"], unique=True)
    op.create_index("uq_bank_payments_payout", "bank_payments", ["payout"], unique=True)
    op.create_table(
        "bank_references",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("bank_account", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("metadata", postgresql.JSONB(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_references")),
    )
    op.create_index(
        "ix_bank_references_account",
        "bank_references",
        ["account_id", "livemode", "id"],
        unique=False,
    )
    op.create_index(
        "uq_bank_references_reference", "bank_references", ["livemode", "reference"], unique=True
    )
    op.create_table(
        "bank_statements",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("bank_account", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("from_date", sa.Date(), nullable=False),
        sa.Column("to_date", sa.Date(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("opening_units", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("closing_units", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("credits", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("debits", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_statements")),
    )
    op.create_index(
        "ix_bank_statements_account",
        "bank_statements",
        ["bank_account", "to_date", "number"],
        unique=False,
    )
    op.create_index("ix_bank_statements_file", "bank_statements", ["file"], unique=False)
    op.create_index(
        "ix_bank_statements_status", "bank_statements", ["bank_account", "status"], unique=False
    )
