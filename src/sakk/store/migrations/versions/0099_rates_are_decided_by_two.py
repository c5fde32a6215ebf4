"""what somebody proposes of a source of rates, or of a peg."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0099"
down_revision = "0098"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("rate_sources", "rate_pegs"):
        op.add_column(table, sa.Column("proposal", postgresql.JSONB(), nullable=True))
