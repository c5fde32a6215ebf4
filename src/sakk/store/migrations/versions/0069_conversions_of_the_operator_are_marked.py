"""conversions of the operator are marked, and transfers between two accounts are found."""

import sqlalchemy as sa
from alembic import op

revision = "0069"
down_revision = "0068"
branch_labels = None
depends_on = None

# Built when the transaction of all migrations is over: see `sakk.store.migrate`.
CONCURRENTLY = (
    (
        "ix_transfers_between",
        "ON transfers (livemode, account_id, destination) WHERE status = 'posted'",
    ),
    (
        "ix_transfers_unclaimed",
        "ON transfers (account_id, livemode, status, created) WHERE destination IS NULL",
    ),
)


def upgrade() -> None:
    for table in ("conversion_quotes", "conversions"):
        op.add_column(
            table,
            sa.Column("of_operator", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        )
    # Those of settlements were the operator's before it was written down.
    op.execute(
        "UPDATE conversions c SET of_operator = true FROM settlements s"
        " WHERE s.exchange ->> 'conversion' = c.id"
    )
