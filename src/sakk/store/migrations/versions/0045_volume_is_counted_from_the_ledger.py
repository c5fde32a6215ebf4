"""volume is counted from the ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "volume_cursors",
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("timestamp_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shard", name=op.f("pk_volume_cursors")),
    )
    op.drop_table("volume_cursor")
    # Counted again from the first transfer on.
    op.execute("TRUNCATE volumes")
    op.drop_index("ix_customers_email", table_name="customers")
    op.create_index(
        "ix_customers_email",
        "customers",
        ["email", "id"],
        unique=False,
        postgresql_where=sa.text("email is not null"),
    )
    op.drop_index("ix_payins_exceptional", table_name="payins")
    op.drop_index("ix_payins_posted", table_name="payins")
    op.drop_index("ix_payment_intents_short", table_name="payment_intents")
    op.drop_index("ix_payment_intents_status", table_name="payment_intents")
