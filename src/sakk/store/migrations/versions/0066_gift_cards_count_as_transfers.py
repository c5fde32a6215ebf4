"""gift cards count as transfers."""

import sqlalchemy as sa
from alembic import op

revision = "0066"
down_revision = "0065"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("destination", "initiator", "initiator_person"):
        op.add_column("gift_card_movements", sa.Column(name, sa.Text(), nullable=True))
    op.create_index(
        "ix_gift_card_movements_destination",
        "gift_card_movements",
        ["destination", "id"],
        unique=False,
        postgresql_where=sa.text("destination is not null"),
    )
