"""conversions of the operator are marked, and transfers between two accounts are found.

Not concurrently, since all migrations are one transaction: while the two indexes are built, nobody
writes a transfer between accounts. These are what people send one another, not what is paid in or
out, and both indexes are partial.
"""

import sqlalchemy as sa
from alembic import op

revision = "0069"
down_revision = "0068"
branch_labels = None
depends_on = None


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
    op.create_index(
        "ix_transfers_between",
        "transfers",
        ["livemode", "account_id", "destination"],
        unique=False,
        postgresql_where=sa.text("status = 'posted'"),
    )
    op.create_index(
        "ix_transfers_unclaimed",
        "transfers",
        ["account_id", "livemode", "status", "created"],
        unique=False,
        postgresql_where=sa.text("destination is null"),
    )
