"""The pool: what is parked leaves the available balance, and comes back the same way."""

from datetime import UTC, datetime

import pytest

from sakk.core import chart, pool
from sakk.core.chart import TransferCode
from sakk.core.pool import PoolMovement
from sakk.core.posting import Posting

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AVAILABLE = chart.merchant("acct_1", "available", "test/usdc")
PARKED = chart.pool("acct_1", "test/usdc")


def movement(direction: str) -> PoolMovement:
    return PoolMovement(
        id="prk_1",
        account_id="acct_1",
        livemode=False,
        mandate=None,
        reference=None,
        direction=direction,
        amount=2_500_000,
        currency="usdc",
        decimals=6,
        status="posted",
        failure_code=None,
        created=NOW,
    )


@pytest.mark.parametrize(
    ("direction", "posting"),
    [
        ("park", Posting(AVAILABLE, PARKED, 2_500_000, TransferCode.parked)),
        ("unpark", Posting(PARKED, AVAILABLE, 2_500_000, TransferCode.unparked)),
    ],
)
def test_it_moves(direction: str, posting: Posting) -> None:
    assert pool.postings(movement(direction)) == [posting]


def test_it_is_shown() -> None:
    shown = pool.public_movement(movement("park"))
    assert (shown["amount_decimal"], shown["direction"]) == ("2.500000", "park")


def test_what_is_parked_is_shown_by_currency() -> None:
    shown = pool.public_pool({"usdt": 1, "usdc": 2}, {"usdc": 6, "usdt": 6}, livemode=True)
    assert [each["currency"] for each in shown["parked"]] == ["usdc", "usdt"]
    assert shown["livemode"] is True
