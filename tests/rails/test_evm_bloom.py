"""The bloom against headers that a real node made."""

from sakk.rails.evm.bloom import BLOOM_BITS, bloom_of, positions
from tests.chain import Chain


def test_bits_are_a_union_within_the_filter() -> None:
    words = ["0x" + text.encode().hex() for text in ("testtest", "test", "hallo", "other")]
    assert all(0 <= place < BLOOM_BITS for word in words for place in positions(word))
    assert bloom_of(words) == sum(1 << place for place in {p for w in words for p in positions(w)})
    assert bloom_of([]) == 0


def test_a_blocks_bloom_is_that_of_its_logs(chain: Chain) -> None:
    for token in chain.contracts.tokens:
        chain.payer.transfer(token.contract, "0x" + "77" * 20, 5)
    chain.mine()
    block = chain.rpc.call("eth_getBlockByNumber", "latest", False)
    logs = chain.rpc.call("eth_getLogs", {"blockHash": block["hash"]})
    assert len(logs) == 2
    words = {word for log in logs for word in (log["address"], *log["topics"])}
    assert bloom_of(words) == int(block["logsBloom"], 16)
    assert bloom_of(words - {logs[0]["topics"][2]}) != int(block["logsBloom"], 16)
