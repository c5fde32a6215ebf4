"""what waits of orders is decided by two."""

import sqlalchemy as sa
from alembic import op

revision = "0070"
down_revision = "0069"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hedge_proposals",
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("against", sa.Text(), nullable=False),
        sa.Column("threshold_usd_cents", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("auto_usd_cents", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("proposed_by", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("currency", "livemode", name=op.f("pk_hedge_proposals")),
    )
    op.create_index("ix_orders_livemode", "orders", ["livemode", "id"])
