"""what goes back at once of the fee of a pay-in whose payment was refunded before."""

import sqlalchemy as sa
from alembic import op

revision = "0094"
down_revision = "0093"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "payins",
        sa.Column("fee_returned", sa.Numeric(78, 0), nullable=False, server_default="0"),
    )
