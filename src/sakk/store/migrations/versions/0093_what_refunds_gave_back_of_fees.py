"""what refunds gave back of the fee of a pay-in that the chain undid."""

import sqlalchemy as sa
from alembic import op

revision = "0093"
down_revision = "0092"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("payins", sa.Column("fee_given_back", sa.Numeric(78, 0), nullable=True))
