"""payouts share transactions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "assets", sa.Column("disperse_min", sa.Integer(), server_default="2", nullable=False)
    )
    op.add_column("payouts", sa.Column("transaction_line", sa.Integer(), nullable=True))
    op.add_column(
        "payouts", sa.Column("alone", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("transactions", sa.Column("failed_lines", postgresql.JSONB(), nullable=True))
