"""invoices of mandates are found by when they were made."""

revision = "0100"
down_revision = "0099"
branch_labels = None
depends_on = None

# Built when the transaction of all migrations is over: see `sakk.store.migrate`.
CONCURRENTLY = (("ix_mandate_invoices_created", "ON mandate_invoices (mandate, created)"),)


def upgrade() -> None:
    """The index is all."""
