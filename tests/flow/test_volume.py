"""Volume: added up from what the ledger credited, once each, whatever the batches."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import text

from sakk.core.chart import AccountCode, TransferCode
from sakk.core.volume import Volume
from sakk.flow import volume as flow
from sakk.flow.context import Parts
from sakk.flow.volume import volume_stage
from sakk.store.database import Database
from sakk.store.volume import list_volumes

QUARTER = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
# When that day began in Kathmandu.
MIDNIGHT = datetime(2026, 2, 28, 18, 15, tzinfo=UTC)
SECOND = 1_000_000_000
START = int(QUARTER.timestamp()) * SECOND
ALICE, BOB, LIVE, BRIDGE, OWED, FEES = (UUID(int=number) for number in range(1, 7))
_NAME = text(
    "INSERT INTO ledger_account_names (id, name, unit, unit_id, code, account)"
    " VALUES (:id, :name, :unit, 1, :code, :account)"
)
_TRANSFER = text(
    "INSERT INTO ledger_transfers (id, shard, sequence, timestamp_ns, effective_at_ns,"
    " debit_account_id, credit_account_id, amount, unit, code, flags, timeout_seconds, user_data,"
    " status) VALUES (gen_random_uuid(), 0, 1, :at, :at, :debit, :credit, :amount, 1, :code, 0, 0,"
    " :of, 'posted')"
)
_CURSOR = text(
    "INSERT INTO ledger_cursors VALUES (0, 1, :at) ON CONFLICT (shard) DO UPDATE SET"
    " timestamp_ns = :at"
)


@pytest.mark.parametrize("batch", [1, 2, 1_000])
def test_every_credit_is_counted_once(
    database: Database, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "TRANSFERS_MAX", batch)
    with database.begin() as connection:
        for identifier, account, unit in (
            (ALICE, "acct_a", "test/usdc"),
            (BOB, "acct_b", "test/usdc"),
            (LIVE, "acct_a", "usdc"),
        ):
            code = int(AccountCode.merchant_available)
            given = {"id": identifier, "name": f"{account}#{unit}", "unit": unit, "code": code}
            connection.execute(_NAME, given | {"account": account})

    def book(
        at: int, debit: UUID, credit: UUID, amount: int, code: TransferCode, of: int = 1
    ) -> None:
        given = {"at": at, "debit": debit, "credit": credit, "amount": amount, "code": int(code)}
        given["of"] = UUID(int=of)
        with database.begin() as connection:
            connection.execute(_TRANSFER, given)
            connection.execute(_CURSOR, {"at": at})

    def count() -> None:
        stage = volume_stage(Parts(database))
        while stage.run():
            pass

    def counted(account: str | None, *, livemode: bool = False) -> list[Volume]:
        with database.begin() as connection:
            return sorted(
                list_volumes(connection, account_id=account, livemode=livemode, since=QUARTER),
                key=lambda each: each.quarter,
            )

    book(START, BRIDGE, ALICE, 5, TransferCode.payin)
    book(START + 1, BRIDGE, BOB, 7, TransferCode.payin_released, of=2)
    book(START + 2, ALICE, BRIDGE, 1, TransferCode.payout)
    book(START + 3, BRIDGE, LIVE, 11, TransferCode.payin, of=3)
    count()
    count()
    assert counted("acct_a") == [Volume("acct_a", False, QUARTER, "usdc", 1, 5)]
    assert counted("acct_a", livemode=True) == [Volume("acct_a", True, QUARTER, "usdc", 1, 11)]
    assert counted(None) == [Volume("", False, QUARTER, "usdc", 2, 12)]

    later = QUARTER.replace(minute=15)
    book(START + 4, BRIDGE, ALICE, 13, TransferCode.payin, of=4)
    book(START + 900 * SECOND, BRIDGE, ALICE, 17, TransferCode.payin, of=5)
    # All that a pay-in brought is gone, whoever gives it back: its merchant, now or later, and who
    # had a fee of it.
    for number, (giver, units) in enumerate(((ALICE, 2), (OWED, 1), (FEES, 1), (BOB, 1))):
        at = START + (901 + number) * SECOND
        book(at, giver, BRIDGE, units, TransferCode.payin_reversed)
    count()
    assert counted("acct_a") == [
        Volume("acct_a", False, QUARTER, "usdc", 2, 18),
        Volume("acct_a", False, later, "usdc", 1, 12),
    ]
    assert counted("acct_b") == [Volume("acct_b", False, QUARTER, "usdc", 1, 7)]
    with database.begin() as connection:
        [day] = list_volumes(
            connection, account_id="acct_a", livemode=False, since=QUARTER, zone="Asia/Kathmandu"
        )
    assert (day.quarter, day.payins, day.amount) == (MIDNIGHT, 3, 30)
