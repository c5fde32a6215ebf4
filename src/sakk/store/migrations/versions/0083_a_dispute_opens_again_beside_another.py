"""a dispute opens again beside another."""

import sqlalchemy as sa
from alembic import op

revision = "0083"
down_revision = "0082"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_charge_refunds_sent",
        "charge_refunds",
        ["payout"],
        postgresql_where=sa.text("status = 'sent'"),
    )
    op.create_index(
        "ix_channel_disputes_charge",
        "channel_disputes",
        ["session_id", "nonce"],
        postgresql_where=sa.text("status IN ('requested', 'open')"),
    )
    op.drop_index("uq_channel_disputes_charge", table_name="channel_disputes")
    op.create_index(
        "uq_channel_disputes_charge",
        "channel_disputes",
        ["session_id", "nonce"],
        unique=True,
        postgresql_where=sa.text("status IN ('requested', 'open') AND attempt = 0"),
    )
