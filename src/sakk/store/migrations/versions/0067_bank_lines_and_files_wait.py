"""bank lines and files know since when they wait."""

import sqlalchemy as sa
from alembic import op

revision = "0067"
down_revision = "0066"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("bank_lines", sa.Column("waits_since", sa.DateTime(timezone=True)))
    op.add_column("bank_files", sa.Column("tried_at", sa.DateTime(timezone=True)))
    # Of what is under way nobody knows whether a bank has it.
    op.execute("UPDATE bank_files SET tried_at = created WHERE way = 'out' AND status = 'ready'")
