"""exemptions end with a reason."""

import sqlalchemy as sa
from alembic import op

revision = "0088"
down_revision = "0087"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("name_exemptions", sa.Column("ended_reason", sa.Text(), nullable=True))
    op.create_index("ix_name_exemptions_subject", "name_exemptions", ["subject", "id"])
    op.create_index("ix_name_exemptions_entity", "name_exemptions", ["entity_id", "id"])
    op.create_index(
        "ix_travel_rules_vasp",
        "travel_rules",
        ["vasp", "id"],
        postgresql_where=sa.text("vasp is not null"),
    )
