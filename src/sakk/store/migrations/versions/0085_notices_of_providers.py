"""notices of providers."""

import sqlalchemy as sa
from alembic import op

revision = "0085"
down_revision = "0084"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "provider_notices",
        sa.Column("bank_account", sa.Text(), nullable=False),
        sa.Column("notice", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("bank_account", "notice", name=op.f("pk_provider_notices")),
    )
    op.create_index(
        "ix_provider_notices_received", "provider_notices", ["received_at"], unique=False
    )
