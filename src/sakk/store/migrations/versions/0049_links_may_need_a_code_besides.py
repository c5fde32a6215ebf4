"""links may need a code besides."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "invitations",
        sa.Column("needs_code", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column("invitations", sa.Column("code_digest", postgresql.BYTEA(), nullable=True))
    op.add_column(
        "invitations", sa.Column("failures", sa.Integer(), server_default="0", nullable=False)
    )
