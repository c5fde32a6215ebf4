"""Every transfer of a token: on a real chain, and logs that are none."""

import secrets
from typing import Any

import msgspec
import pytest

from sakk.bench.emitter import EMITTER_CODE, encode_events
from sakk.core.abi import TRANSFER_TOPIC
from sakk.core.exposure_batch import Block, Transfer, encode, transfers
from sakk.rails.evm.flows import pack_flows
from sakk.rails.evm.raw import RawLog
from sakk.rails.evm.rpc import Rpc, RpcInconsistent
from sakk.rails.evm.watch import AddressSet, BlockRef, EvmWatcher
from tests.chain import NETWORK, Chain

EMITTER = "0x" + "e1" * 20
REF = BlockRef(7, "0x" + "77" * 32, "0x" + "66" * 32, 84)
LOG = RawLog(
    address=EMITTER.upper().replace("0X", "0x"),
    topics=(TRANSFER_TOPIC, "0x" + "0" * 24 + "aa" * 20, "0x" + "0" * 24 + "bb" * 20),
    data=f"0x{5:064x}",
    block_hash=REF.hash,
    transaction_hash="0x" + "cc" * 32,
    log_index="0x3",
)


def fresh_address() -> str:
    return "0x" + secrets.token_hex(20)


def unpacked(rows: bytes, number: int = 7) -> list[Transfer]:
    return list(transfers(encode([Block(number, 84, rows)])))


def test_every_transfer_of_a_token_that_is_asked_for_is_handed_over(chain: Chain, rpc: Rpc) -> None:
    ends = [(fresh_address(), fresh_address()) for _ in range(3)]
    watcher = EvmWatcher(NETWORK, rpc, AddressSet([ends[2][1]]))
    watcher.tokens = {EMITTER: "the asset"}
    chain.rpc.call("anvil_setCode", EMITTER, EMITTER_CODE)
    before = watcher.head()
    emitted = [(*ends[0], 5), (*ends[1], 2**128 - 1), (*ends[1], 0), (*ends[2], 2**128)]
    data = encode_events([*emitted, (*ends[2], 7)])
    tx_hash = chain.payer.send_data(EMITTER, data, gas_limit=30_000_000)
    chain.payer.transfer(chain.contracts.usdc.contract, ends[0][0], 1)
    number = chain.mine()
    (block,) = watcher.next(before, until=number, blocks_max=9, known_hash=lambda _: None).blocks
    ((asset, rows),) = block.flows
    assert asset == "the asset"
    kept = unpacked(rows, number)
    assert [(row.log_index, row.units) for row in kept] == [(0, 5), (1, 2**128 - 1), (4, 7)]
    assert {"0x" + row.tx_hash.hex() for row in kept} == {tx_hash}
    assert [("0x" + row.sender.hex(), "0x" + row.receiver.hex()) for row in kept] == ends
    chain.rpc.call("anvil_setCode", EMITTER, "0x")


def test_contracts_are_told_apart_and_written_in_any_case() -> None:
    other = msgspec.structs.replace(LOG, address="0x" + "e2" * 20)
    flows = pack_flows(REF, [LOG, other, other], {EMITTER: "one", other.address: "two"})
    assert [(asset, len(unpacked(rows))) for asset, rows in flows] == [("one", 1), ("two", 2)]
    assert pack_flows(REF, [LOG], {}) == pack_flows(REF, [other], {EMITTER: "one"}) == ()


@pytest.mark.parametrize(
    "change",
    [
        {"topics": LOG.topics[:2]},
        {"topics": ("0x" + "11" * 32, *LOG.topics[1:])},
        {"topics": (LOG.topics[0], "0x" + "1" * 64, LOG.topics[2])},
        {"data": "0x"},
        {"data": "0x" + "0" * 64},
        {"data": f"0x{2**128:064x}"},
        {"removed": True},
    ],
)
def test_what_is_no_transfer_is_left_out(change: dict[str, Any]) -> None:
    assert pack_flows(REF, [msgspec.structs.replace(LOG, **change)], {EMITTER: "one"}) == ()


@pytest.mark.parametrize(
    "change",
    [
        {"transaction_hash": "0x12"},
        {"transaction_hash": "0x" + "zz" * 32},
        {"topics": (LOG.topics[0], LOG.topics[1][:-2], LOG.topics[2] + "aa")},
        {"data": "0x" + "0" * 62 + " 1"},
        {"log_index": "0x1" + "0" * 9},
    ],
)
def test_a_log_that_is_none_is_the_nodes_fault(change: dict[str, Any]) -> None:
    with pytest.raises(RpcInconsistent):
        pack_flows(REF, [msgspec.structs.replace(LOG, **change)], {EMITTER: "one"})
