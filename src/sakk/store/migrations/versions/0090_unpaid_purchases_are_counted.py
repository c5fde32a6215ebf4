"""unpaid purchases are counted by who began them."""

import sqlalchemy as sa
from alembic import op

revision = "0090"
down_revision = "0089"
branch_labels = None
depends_on = None

# Built when the transaction of all migrations is over: see `sakk.store.migrate`.
CONCURRENTLY = (
    (
        "ix_purchases_unpaid",
        "ON purchases (visitor, shop, created) WHERE status <> 'paid' AND visitor IS NOT NULL",
    ),
)


def upgrade() -> None:
    op.add_column("purchases", sa.Column("visitor", sa.Text(), nullable=True))
