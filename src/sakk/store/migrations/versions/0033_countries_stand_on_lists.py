"""countries stand on lists."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "country_listings",
        sa.Column("list_id", sa.Text(), nullable=False),
        sa.Column("country", sa.Text(), nullable=False),
        sa.Column("listing", sa.Text(), nullable=False),
        sa.Column("opened_version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("closed_version", sa.BigInteger(), nullable=True),
        sa.Column("recorded_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_to", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint(
            "list_id", "country", "listing", "opened_version", name=op.f("pk_country_listings")
        ),
    )
    op.create_index(
        "uq_country_listings_open",
        "country_listings",
        ["list_id", "country", "listing"],
        unique=True,
        postgresql_where="closed_version IS NULL",
    )
