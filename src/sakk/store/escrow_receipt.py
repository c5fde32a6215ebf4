"""Where the chains of receipts of channels in escrow stand: each is carried on from there."""

from sqlalchemy import BigInteger, Column, Connection, Table, Text, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.escrow_receipt import EscrowHead
from sakk.store.schema import Bytes, Units, metadata

escrow_heads = Table(
    "escrow_heads",
    metadata,
    Column("channel_id", Text, primary_key=True),
    Column("charges", BigInteger, nullable=False),
    Column("spent", Units, nullable=False),
    Column("head", Bytes, nullable=False),
    Column("head_ns", BigInteger, nullable=False),
)


def lock(connection: Connection, channel_id: str, begin: EscrowHead) -> EscrowHead:
    """How far a channel's chain was followed, ``begin`` at first; others wait."""
    table = escrow_heads
    fresh = {"channel_id": channel_id} | _columns(begin)
    connection.execute(upsert(table).values(fresh).on_conflict_do_nothing())
    statement = select(table).where(table.c.channel_id == channel_id).with_for_update()
    row = connection.execute(statement).one()
    return EscrowHead(begin.channel, row.charges, int(row.spent), 0, bytes(row.head), row.head_ns)


def put(connection: Connection, channel_id: str, now: EscrowHead) -> None:
    """A chain was followed on; its row is locked."""
    table = escrow_heads
    connection.execute(update(table).where(table.c.channel_id == channel_id).values(_columns(now)))


def _columns(head: EscrowHead) -> dict[str, object]:
    return {
        "charges": head.charges,
        "spent": head.spent,
        "head": head.head,
        "head_ns": head.timestamp,
    }
