"""changed lists are held against past transfers."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rescreen_cursor",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rescreen_cursor")),
    )
    op.create_table(
        "rescreens",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_rescreens")),
    )
    op.add_column(
        "payouts",
        sa.Column("screening_stale", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
