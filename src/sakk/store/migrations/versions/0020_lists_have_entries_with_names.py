"""lists have entries with names."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "entities",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("entity_id", sa.Text(), nullable=False),
        sa.Column("list_id", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("content", postgresql.JSONB(), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("valid_to", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recorded_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_to", sa.DateTime(timezone=True), nullable=True),
        sa.Column("opened_version", sa.BigInteger(), nullable=False),
        sa.Column("closed_version", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entities")),
    )
    op.create_index(
        "ix_entities_closed_version",
        "entities",
        ["closed_version"],
        unique=False,
        postgresql_where="closed_version IS NOT NULL",
    )
    op.create_index(op.f("ix_entities_entity_id"), "entities", ["entity_id"], unique=False)
    op.create_index("ix_entities_opened_version", "entities", ["opened_version"], unique=False)
    op.create_index("ix_entities_ref", "entities", ["list_id", "ref", "id"], unique=False)
    op.create_index(
        "uq_entities_open",
        "entities",
        ["list_id", "ref"],
        unique=True,
        postgresql_where="closed_version IS NULL",
    )
    op.add_column(
        "label_lists",
        sa.Column("entity_count", sa.BigInteger(), server_default="0", nullable=False),
    )
