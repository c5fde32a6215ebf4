"""refunds may have a fee."""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "refunds",
        sa.Column("fee", sa.Numeric(precision=78, scale=0), server_default="0", nullable=True),
    )
    op.add_column(
        "refunds", sa.Column("fee_mode", sa.Text(), server_default="merchant", nullable=False)
    )
