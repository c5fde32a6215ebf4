"""Volume: counted by the quarter of an hour, so that no page adds up a million pay-ins."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import insert

from sakk.core.chart import AccountCode, TransferCode
from sakk.core.volume import Volume
from sakk.store.ledger import NO_USER_DATA
from sakk.store.schema import Timestamp, Units, metadata

volumes = Table(
    "volumes",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("livemode", Boolean, primary_key=True),
    Column("quarter", Timestamp, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("payins", BigInteger, nullable=False),
    Column("amount", Units, nullable=False),
    Index("ix_volumes_quarter", "livemode", "quarter"),
)

# By shard, the ledger's time up to which its transfers are counted.
volume_cursors = Table(
    "volume_cursors",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("timestamp_ns", BigInteger, nullable=False),
)


def count(connection: Connection, *, transfers_max: int) -> int:
    """Add up what the projection has credited to merchants since the last count.

    The ledger's time never repeats and the projection is in its order, so every transfer is
    counted once, in the transaction that moves the cursor. Returns how many transfers were read:
    ``transfers_max`` says that there is more.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('sakk volumes'))"))
    read = 0
    for shard, after, until in connection.execute(_SHARDS).all():
        given = {
            "shard": shard,
            "after": after,
            "until": until,
            "codes": CODES,
            "available": int(AccountCode.merchant_available),
            "taken_back": int(TransferCode.payin_reversed),
            "limit": transfers_max,
        }
        found = connection.execute(_PAGE, given).one()
        if found.transfers:
            connection.execute(_ADD, given | {"until": found.last})
        last = found.last if found.transfers == transfers_max else until
        statement = insert(volume_cursors).values(shard=shard, timestamp_ns=last)
        moved = statement.on_conflict_do_update(
            index_elements=["shard"], set_={"timestamp_ns": statement.excluded.timestamp_ns}
        )
        connection.execute(moved)
        read = max(read, found.transfers)
    return read


CODES = [
    int(code)
    for code in (TransferCode.payin, TransferCode.payin_released, TransferCode.payin_reversed)
]
_SHARDS = text(
    "SELECT l.shard, coalesce(v.timestamp_ns, 0), l.timestamp_ns FROM ledger_cursors l"
    " LEFT JOIN volume_cursors v ON v.shard = l.shard"
    " WHERE l.timestamp_ns > coalesce(v.timestamp_ns, 0) ORDER BY l.shard"
)
# Of each code as many as may be read, in the order of its index; then of all of them.
_TRANSFERS = """
(SELECT t.* FROM unnest(CAST(:codes AS int[])) AS wanted(code)
    CROSS JOIN LATERAL (
        SELECT timestamp_ns, code, debit_account_id, credit_account_id, amount, user_data
        FROM ledger_transfers
        WHERE code = wanted.code AND shard = :shard AND status = 'posted'
            AND timestamp_ns > :after AND timestamp_ns <= :until
        ORDER BY timestamp_ns LIMIT :limit
    ) AS t
    ORDER BY t.timestamp_ns LIMIT :limit)
"""
_PAGE = text(
    f"SELECT count(*) AS transfers, max(timestamp_ns) AS last FROM {_TRANSFERS} AS t"  # noqa: S608
)
# What was taken back is its merchant's whoever gives it: by the credit that it undoes.
_ADD = text(
    f"""
INSERT INTO volumes AS v (account_id, livemode, quarter, currency, payins, amount)
SELECT n.account, n.unit NOT LIKE 'test/%',
    to_timestamp(t.timestamp_ns / 900000000000 * 900), regexp_replace(n.unit, '^test/', ''),
    count(*) FILTER (WHERE t.code <> :taken_back),
    sum(CASE WHEN t.code = :taken_back THEN -t.amount ELSE t.amount END)
FROM {_TRANSFERS} AS t
JOIN ledger_account_names n ON n.code = :available AND n.account IS NOT NULL AND n.id =
    CASE WHEN t.code = :taken_back THEN (
        SELECT made.credit_account_id FROM ledger_transfers made
        WHERE made.user_data = t.user_data AND made.user_data <> {NO_USER_DATA}
            AND made.code = ANY(:codes) AND made.code <> :taken_back
            AND made.debit_account_id = t.credit_account_id AND made.status = 'posted'
        LIMIT 1
    ) ELSE t.credit_account_id END
GROUP BY 1, 2, 3, 4
ON CONFLICT (account_id, livemode, quarter, currency)
    DO UPDATE SET payins = v.payins + excluded.payins, amount = v.amount + excluded.amount
"""  # noqa: S608
)


def list_volumes(
    connection: Connection,
    *,
    account_id: str | None,
    livemode: bool,
    since: datetime,
    zone: str | None = None,
) -> list[Volume]:
    """What was counted since a time, of an account, or of all added up for the operator (None).

    By quarters; in a ``zone`` (IANA) by its days, each at its beginning.
    """
    c = volumes.c
    at = c.quarter if zone is None else func.date_trunc("day", c.quarter, zone)
    whose = [] if account_id is None else [c.account_id == account_id]
    rows = connection.execute(
        select(
            c.currency,
            at.label("at"),
            func.sum(c.payins).label("payins"),
            func.sum(c.amount).label("amount"),
        )
        .where(c.livemode == livemode, c.quarter >= since, *whose)
        .group_by(c.currency, text("at"))
    )
    return [
        Volume(account_id or "", livemode, row.at, row.currency, int(row.payins), int(row.amount))
        for row in rows
    ]
