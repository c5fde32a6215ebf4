"""Numbers of units and accounts are the same on every machine, for ever."""

from sakk.core.ledger import account_id, unit_id


def test_numbers_are_fixed_for_ever() -> None:
    assert unit_id("usdc") == 0x70CBDEFC0FFFE65A
    assert account_id("custody:hot#usdc") == 0x25B924E42DCDCBF01F0E73D6CDA7C0FF


def test_names_and_shards_differ() -> None:
    assert unit_id("usdc") != unit_id("test/usdc")
    assert account_id("a") != account_id("a", shard=1)
    assert 0 < unit_id("eur") < 2**63
