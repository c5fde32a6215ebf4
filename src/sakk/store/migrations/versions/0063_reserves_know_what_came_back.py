"""reserves know what came back."""

import sqlalchemy as sa
from alembic import op

revision = "0063"
down_revision = "0062"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "settlements",
        sa.Column(
            "returned", sa.Numeric(precision=78, scale=0), server_default="0", nullable=False
        ),
    )
