"""what is given back follows its payout."""

import sqlalchemy as sa
from alembic import op

revision = "0068"
down_revision = "0067"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("charge_refunds", sa.Column("payout", sa.Text(), nullable=True))
    op.create_index(
        "ix_charge_refunds_payout",
        "charge_refunds",
        ["payout"],
        postgresql_where=sa.text("payout IS NOT NULL"),
    )
    op.add_column(
        "channel_disputes",
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
