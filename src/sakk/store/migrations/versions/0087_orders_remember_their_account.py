"""orders at venues remember which account they were given to."""

import sqlalchemy as sa
from alembic import op

revision = "0087"
down_revision = "0086"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("venues", sa.Column("number", sa.Integer(), server_default="1", nullable=False))
    op.create_table(
        "venue_keys",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("replaced", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", "number", name=op.f("pk_venue_keys")),
    )
    op.add_column("child_orders", sa.Column("venue_number", sa.Integer(), nullable=True))
    op.add_column("child_orders", sa.Column("waits_for", sa.Text(), nullable=True))
    # Those that are open were given to the account that there was.
    op.execute("UPDATE child_orders SET venue_number = 1 WHERE asked AND status = 'intended'")
