"""answers that providers refuse."""

import sqlalchemy as sa
from alembic import op

revision = "0084"
down_revision = "0083"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "provider_answers", sa.Column("refused_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column(
        "provider_orders", sa.Column("hints", sa.Integer(), server_default="0", nullable=False)
    )
    op.drop_index("uq_provider_answers_question", "provider_answers")
    op.create_index(
        "uq_provider_answers_question",
        "provider_answers",
        ["order_id", "question"],
        unique=True,
        postgresql_where=sa.text("refused_at is null"),
    )
