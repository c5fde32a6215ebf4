"""screening rules have versions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rules_in_force",
        sa.Column("livemode", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("livemode", name=op.f("pk_rules_in_force")),
    )
    op.create_table(
        "screening_rules",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("rules", postgresql.JSONB(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("base", sa.Integer(), nullable=False),
        sa.Column("proposed_by", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("in_force_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("in_force_to", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_screening_rules")),
    )
    op.create_index(
        "uq_screening_rules_in_force",
        "screening_rules",
        ["livemode"],
        unique=True,
        postgresql_where="state = 'in_force'",
    )
    op.create_index(
        "uq_screening_rules_number", "screening_rules", ["livemode", "number"], unique=True
    )
    op.add_column("screenings", sa.Column("inputs", postgresql.JSONB(), nullable=True))
