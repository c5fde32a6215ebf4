"""chains of receipts in escrow are kept."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0071"
down_revision = "0070"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "escrow_heads",
        sa.Column("channel_id", sa.Text(), primary_key=True),
        sa.Column("charges", sa.BigInteger(), nullable=False),
        sa.Column("spent", sa.Numeric(78, 0), nullable=False),
        sa.Column("head", postgresql.BYTEA(), nullable=False),
        sa.Column("head_ns", sa.BigInteger(), nullable=False),
    )
