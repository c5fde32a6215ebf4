"""what is proposed to a hub."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("hubs", sa.Column("proposed", sa.Text(), nullable=True))
