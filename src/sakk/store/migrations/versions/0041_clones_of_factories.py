"""clones of factories."""

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "factories",
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("hub", sa.Text(), nullable=False),
        sa.Column("treasury", sa.Text(), nullable=False),
        sa.Column("recoverer", sa.Text(), nullable=True),
        sa.Column("wait_seconds", sa.BigInteger(), nullable=False),
        sa.Column("age_seconds_max", sa.BigInteger(), nullable=False),
        sa.Column("cost_percent_max", sa.BigInteger(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("proposed", sa.Text(), nullable=True),
        sa.Column("proposed_recoverer", sa.Text(), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("network", "address", name=op.f("pk_factories")),
    )
    op.add_column("addresses", sa.Column("factory", sa.Text(), nullable=True))
    op.add_column("addresses", sa.Column("networks", sa.ARRAY(sa.Text()), nullable=True))
    op.add_column("networks", sa.Column("deposit_factory", sa.Text(), nullable=True))
    op.add_column("sweeps", sa.Column("factory", sa.Text(), nullable=True))
