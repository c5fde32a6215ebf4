"""what gift cards and accounts pay of a payment bears a fee."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0097"
down_revision = "0096"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("gift_card_movements", "transfers"):
        op.add_column(
            table, sa.Column("fee", sa.Numeric(78, 0), nullable=False, server_default="0")
        )
        op.add_column(table, sa.Column("fee_terms", postgresql.JSONB(), nullable=True))
    op.add_column(
        "gift_card_movements",
        sa.Column("fee_returned", sa.Numeric(78, 0), nullable=False, server_default="0"),
    )
