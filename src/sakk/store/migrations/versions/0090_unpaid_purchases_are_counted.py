"""unpaid purchases are counted by who began them."""

import sqlalchemy as sa
from alembic import op

revision = "0090"
down_revision = "0089"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("purchases", sa.Column("visitor", sa.Text(), nullable=True))
    op.create_index(
        "ix_purchases_unpaid",
        "purchases",
        ["visitor", "shop", "created"],
        unique=False,
        postgresql_where=sa.text("status <> 'paid' AND visitor IS NOT NULL"),
    )
