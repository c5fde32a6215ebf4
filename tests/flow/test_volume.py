"""Volume: counted from pay-ins, again and again, and never twice."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from sakk.core.volume import Volume, quarter_of
from sakk.flow.context import Parts
from sakk.flow.volume import FRESH, volume_stage
from sakk.store.database import Database
from sakk.store.volume import list_volumes

START = datetime(2026, 3, 1, 12, 4, tzinfo=UTC)

_PAYIN = text(
    "INSERT INTO payins (id, account_id, livemode, network, asset, currency, token_amount, amount,"
    " address, sender, tx_hash, log_index, block_number, block_hash, block_timestamp, status,"
    " counts, quarantined, reviewed, orphaned, posted_at, created)"
    " VALUES (:id, :account, false, 'n', 'a', 'usdc', 1, :amount, 'x', 'y', :id, 0, 1, 'b', 1,"
    " :status, true, false, false, false, :posted_at, :posted_at)"
)


def test_quarters_are_counted_and_late_ones_are_not_missed(database: Database) -> None:
    now = START
    stage = volume_stage(Parts(database, clock=lambda: now))

    def post(identifier: str, account: str, amount: int, at: datetime, status: str) -> None:
        given = {"id": identifier, "account": account, "amount": amount}
        with database.begin() as connection:
            connection.execute(_PAYIN, given | {"posted_at": at, "status": status})

    def counted(
        account: str | None, *, since: datetime = START - timedelta(days=1)
    ) -> list[Volume]:
        with database.begin() as connection:
            found = list_volumes(connection, account_id=account, livemode=False, since=since)
        return sorted(found, key=lambda each: each.quarter)

    post("pin_1", "acct_a", 5, START - timedelta(hours=2), "posted")
    post("pin_2", "acct_a", 7, START, "released")
    post("pin_3", "acct_b", 11, START, "posted")
    post("pin_4", "acct_a", 13, START, "reversed")
    assert stage.run() == 0
    quarter = quarter_of(START)
    before = Volume("acct_a", False, "usdc", quarter_of(START - timedelta(hours=2)), 1, 5)
    assert counted("acct_a") == [before, Volume("acct_a", False, "usdc", quarter, 1, 7)]
    assert counted(None, since=quarter) == [Volume("", False, "usdc", quarter, 2, 18)]

    # Its transaction was open while the others were counted; its time lies before the count.
    post("pin_5", "acct_a", 17, START - timedelta(seconds=30), "posted")
    stage.run()
    assert counted("acct_a", since=quarter)[0].amount == 7  # too soon to be counted again
    now = START + FRESH + timedelta(seconds=1)
    for _ in range(2):
        stage.run()
        assert counted("acct_a") == [before, Volume("acct_a", False, "usdc", quarter, 2, 24)]
    assert counted("acct_b", since=quarter + timedelta(minutes=15)) == []
