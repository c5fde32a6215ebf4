"""payers in escrow dispute charges."""

import sqlalchemy as sa
from alembic import op

revision = "0057"
down_revision = "0056"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("channel_disputes", sa.Column("payer", sa.Text(), nullable=True))
    op.alter_column("channel_disputes", "account_id", existing_type=sa.TEXT(), nullable=True)
