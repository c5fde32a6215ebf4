"""money in suspense goes back to its sender."""

import sqlalchemy as sa
from alembic import op

revision = "0089"
down_revision = "0088"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bank_returns",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("bank_account", sa.Text(), nullable=False),
        sa.Column("units", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("country", sa.Text(), nullable=True),
        sa.Column("iban", sa.Text(), nullable=True),
        sa.Column("bic", sa.Text(), nullable=True),
        sa.Column("number", sa.Text(), nullable=True),
        sa.Column("bank_code", sa.Text(), nullable=True),
        sa.Column("by_hand", sa.Boolean(), nullable=False),
        sa.Column("fee_max", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("line_outcome", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("end_to_end_id", sa.Text(), nullable=False),
        sa.Column("proposed_by", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("file", sa.Text(), nullable=True),
        sa.Column("number_in_file", sa.Integer(), nullable=True),
        sa.Column("execution_date", sa.Date(), nullable=True),
        sa.Column("fee_units", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("screening", sa.Text(), nullable=True),
        sa.Column("reason_code", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("debit_line", sa.Text(), nullable=True),
        sa.Column("return_line", sa.Text(), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_returns")),
    )
    op.create_index(
        "ix_bank_returns_confirmed",
        "bank_returns",
        ["bank_account"],
        unique=False,
        postgresql_where=sa.text("status = 'confirmed'"),
    )
    op.create_index("ix_bank_returns_file", "bank_returns", ["file"], unique=False)
    op.create_index("ix_bank_returns_line", "bank_returns", ["line", "id"], unique=False)
    op.create_index("uq_bank_returns_end_to_end", "bank_returns", ["end_to_end_id"], unique=True)
    op.create_index(
        "uq_bank_returns_line",
        "bank_returns",
        ["line"],
        unique=True,
        postgresql_where=sa.text(
            "status in ('awaiting', 'confirmed', 'ordered', 'sent', 'accepted')"
        ),
    )
