"""withdrawals and recoveries ask the policy."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("approvals", "payout", new_column_name="subject")
    op.alter_column("approvals", "account_id", existing_type=sa.TEXT(), nullable=True)
    op.add_column("recoveries", sa.Column("initiator", sa.Text(), nullable=True))
    op.add_column("recoveries", sa.Column("initiator_person", sa.Text(), nullable=True))
    op.add_column("recoveries", sa.Column("policy_version", sa.Text(), nullable=True))
    op.add_column("recoveries", sa.Column("rule", sa.Text(), nullable=True))
    op.add_column(
        "recoveries",
        sa.Column("approvals_needed", sa.Integer(), server_default="0", nullable=False),
    )
    op.add_column("recoveries", sa.Column("approver_role", sa.Text(), nullable=True))
    op.add_column("recoveries", sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("withdrawals", sa.Column("currency", sa.Text(), nullable=True))
    op.add_column("withdrawals", sa.Column("decimals", sa.Integer(), nullable=True))
    op.add_column(
        "withdrawals", sa.Column("amount", sa.Numeric(precision=78, scale=0), nullable=True)
    )
    # Those of before have the currency of their asset; they are few, and were decided then.
    op.execute(
        "UPDATE withdrawals AS w SET currency = a.currency, decimals = c.decimals,"
        " amount = ceil(w.token_amount * power(10::numeric, c.decimals - a.decimals))"
        " FROM assets AS a JOIN currencies AS c ON c.currency = a.currency"
        " WHERE a.asset = w.asset"
    )
    for column in ("currency", "decimals", "amount"):
        op.alter_column("withdrawals", column, nullable=False)
    op.add_column("withdrawals", sa.Column("initiator", sa.Text(), nullable=True))
    op.add_column("withdrawals", sa.Column("initiator_person", sa.Text(), nullable=True))
    op.add_column("withdrawals", sa.Column("policy_version", sa.Text(), nullable=True))
    op.add_column("withdrawals", sa.Column("rule", sa.Text(), nullable=True))
    op.add_column(
        "withdrawals",
        sa.Column("approvals_needed", sa.Integer(), server_default="0", nullable=False),
    )
    op.add_column("withdrawals", sa.Column("approver_role", sa.Text(), nullable=True))
    op.add_column("withdrawals", sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_withdrawals_decided", "withdrawals", ["currency", "decided_at"], unique=False
    )
