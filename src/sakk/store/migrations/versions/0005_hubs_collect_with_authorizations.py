"""hubs collect, with authorizations."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "authorizations",
        sa.Column("delegate", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("key_index", sa.BigInteger(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("delegate", "address", name=op.f("pk_authorizations")),
    )
    op.create_table(
        "hubs",
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("delegate", sa.Text(), nullable=False),
        sa.Column("treasury", sa.Text(), nullable=False),
        sa.Column("wait_seconds", sa.BigInteger(), nullable=False),
        sa.Column("age_seconds_max", sa.BigInteger(), nullable=False),
        sa.Column("cost_percent_max", sa.BigInteger(), nullable=False),
        sa.Column("alone", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("network", name=op.f("pk_hubs")),
    )
    op.add_column("deposits", sa.Column("since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("sweeps", sa.Column("method", sa.Text(), server_default="key", nullable=False))
    op.add_column(
        "sweeps", sa.Column("arrived_units", sa.Numeric(precision=78, scale=0), nullable=True)
    )
