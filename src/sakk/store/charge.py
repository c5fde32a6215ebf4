"""Charges as the projection keeps them: lines, and reservations that stand open.

A line is a row of the ledger's transfers with ``charges``: all those between two accounts in one
row of the journal, packed (`sakk.core.charge`). Its time is that of the last of them, its amount
what they moved together.
"""

from sqlalchemy import DDL, BigInteger, Column, Integer, Numeric, Table, Uuid, event

from sakk.store.ledger import ledger_transfers
from sakk.store.schema import Units, metadata

# Ids, amounts and times do not compress.
event.listen(
    ledger_transfers,
    "after_create",
    DDL("ALTER TABLE ledger_transfers ALTER COLUMN charges SET STORAGE EXTERNAL"),  # type: ignore[no-untyped-call]
)

ledger_open_charges = Table(
    "ledger_open_charges",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("shard", Integer, nullable=False),
    Column("debit_account_id", Uuid, nullable=False),
    Column("credit_account_id", Uuid, nullable=False),
    Column("amount", Units, nullable=False),
    Column("unit", Numeric(20, 0), nullable=False),
    Column("user_data", Uuid, nullable=False),
    Column("timestamp_ns", BigInteger, nullable=False),
    Column("timeout_seconds", BigInteger, nullable=False),
)
