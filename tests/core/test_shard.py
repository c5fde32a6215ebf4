"""The shard map is explicit, and everything that the ledger keeps names its shard."""

import pytest

from sakk.core.errors import Misconfigured
from sakk.core.ledger import account_id
from sakk.core.shard import CHART, SHARD_MAP, SHARDS_MAX, LedgerKey, ShardMap


def test_there_is_one_shard() -> None:
    assert SHARD_MAP.shards == {0}
    assert SHARD_MAP.shard_of(CHART) == 0
    assert SHARD_MAP.shard_of(LedgerKey("operator", "7")) == 0


def test_a_ledger_that_is_placed_moves_and_no_other_does() -> None:
    moved = ShardMap({LedgerKey("operator", "7"): 3})
    assert moved.shard_of(LedgerKey("operator", "7")) == 3
    assert moved.shard_of(LedgerKey("operator", "8")) == 0
    assert moved.shard_of(LedgerKey("other", "7")) == 0
    assert moved.shards == {0, 3}


@pytest.mark.parametrize("shard", [-1, SHARDS_MAX])
def test_a_shard_has_a_most(shard: int) -> None:
    with pytest.raises(Misconfigured, match=r"operator/chart is on shard"):
        ShardMap({CHART: shard})


def test_an_account_of_the_chart_has_another_id_on_another_shard() -> None:
    assert account_id("loss:x") == account_id("loss:x", shard=SHARD_MAP.shard_of(CHART))
    assert account_id("loss:x") != account_id("loss:x", shard=1)
