"""lists know when they were told stale."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "label_lists", sa.Column("stale_told_at", sa.DateTime(timezone=True), nullable=True)
    )
