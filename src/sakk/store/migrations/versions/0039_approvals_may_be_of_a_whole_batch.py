"""approvals may be of a whole batch."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("approvals", sa.Column("batch", sa.Text(), nullable=True))
    op.add_column("approvals", sa.Column("batch_size", sa.Integer(), nullable=True))
    op.add_column("approvals", sa.Column("batch_place", sa.Integer(), nullable=True))
    op.add_column("approvals", sa.Column("batch_path", postgresql.BYTEA(), nullable=True))
