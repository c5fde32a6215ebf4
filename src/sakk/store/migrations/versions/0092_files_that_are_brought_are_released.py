"""files that are brought are released."""

import sqlalchemy as sa
from alembic import op

revision = "0092"
down_revision = "0091"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("bank_files", sa.Column("brought_by", sa.Text(), nullable=True))
    op.add_column("bank_files", sa.Column("released_by", sa.Text(), nullable=True))
    op.add_column("bank_files", sa.Column("released_at", sa.DateTime(timezone=True), nullable=True))
