"""Following a real chain: nothing twice, nothing left out, and no believing the node blindly."""

import secrets
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from sakk.bench.emitter import EMITTER_CODE, encode_events
from sakk.core import evm
from sakk.core.errors import Misconfigured
from sakk.rails.evm.rpc import Rpc, RpcDisagreement, RpcInconsistent, RpcUnavailable
from sakk.rails.evm.watch import AddressSet, BlockRef, BlockSeen, EvmWatcher, Follow, TransferSeen
from sakk.rails.sandbox.chain import deploy_contract
from sakk.rails.sandbox.wallet import Transfer
from tests.chain import NETWORK, Chain, StartChain
from tests.rails.conftest import OpenRpc
from tests.rails.lying_node import LyingNode, Refuse, lying_node

EMITTER = "0x" + "e1" * 20


def fresh_address() -> str:
    return "0x" + secrets.token_hex(20)


class Follower:
    """What the flow keeps for a network: the cursor, the hashes followed, and what was seen."""

    def __init__(self, watcher: EvmWatcher, *, start: int) -> None:
        self.watcher = watcher
        self.cursor: BlockRef | None = None
        self.start = start
        self.blocks: dict[int, BlockSeen] = {}
        self.orphaned: list[int] = []

    def known_hash(self, number: int) -> str | None:
        block = self.blocks.get(number)
        return None if block is None else block.ref.hash

    def step(self, *, blocks_max: int = 100) -> Follow:
        follow = self.watcher.next(
            self.cursor,
            until=self.watcher.head().number,
            blocks_max=blocks_max,
            known_hash=self.known_hash,
            start=self.start,
        )
        if follow.reorg is not None:
            self.orphaned.extend(follow.reorg.orphaned)
            for number in follow.reorg.orphaned:
                del self.blocks[number]
            self.cursor = follow.reorg.ancestor
        for block in follow.blocks:
            assert block.ref.number not in self.blocks
            self.blocks[block.ref.number] = block
            self.cursor = block.ref
        return follow

    def to_head(self, *, blocks_max: int = 100) -> list[TransferSeen]:
        """Step until there is nothing new; all transfers of the chain as followed."""
        while (follow := self.step(blocks_max=blocks_max)) != Follow():
            assert len(follow.blocks) <= blocks_max
        numbers = sorted(self.blocks)
        assert numbers == list(range(self.start, self.start + len(numbers)))
        for before, after in pairwise(numbers):
            assert self.blocks[after].ref.parent_hash == self.blocks[before].ref.hash
        return self.transfers()

    def transfers(self) -> list[TransferSeen]:
        return [seen for number in sorted(self.blocks) for seen in self.blocks[number].transfers]


@pytest.fixture
def ours() -> str:
    return fresh_address()


@pytest.fixture
def follower(chain: Chain, rpc: Rpc, ours: str) -> Follower:
    watcher = EvmWatcher(NETWORK, rpc, AddressSet([ours]))
    return Follower(watcher, start=chain.height())


@pytest.fixture
def lied_to(chain: Chain, liar: LyingNode, open_rpc: OpenRpc, ours: str) -> Follower:
    """A follower that knows the chain only through the lying node."""
    watcher = EvmWatcher(NETWORK, open_rpc(liar.url), AddressSet([ours]))
    return Follower(watcher, start=chain.height())


@pytest.fixture
def emitter(chain: Chain) -> Iterator[str]:
    chain.rpc.call("anvil_setCode", EMITTER, EMITTER_CODE)
    yield EMITTER
    chain.rpc.call("anvil_setCode", EMITTER, "0x")


def emit(chain: Chain, events: list[tuple[str, str, int]]) -> str:
    return chain.payer.send_data(EMITTER, encode_events(events), gas_limit=30_000_000)


def pay(chain: Chain, to: str, units: int = 1_000_000) -> str:
    return chain.payer.transfer(chain.contracts.usdc.contract, to, units)


def test_a_transfer_is_seen_once_with_all_its_facts(
    chain: Chain, follower: Follower, ours: str
) -> None:
    tx_hash = pay(chain, ours, 25_000_000)
    number = chain.mine()
    (seen,) = follower.to_head()
    contract = chain.contracts.usdc.contract.lower()
    assert seen == TransferSeen(
        network=NETWORK,
        asset=f"{NETWORK}/erc20:{contract}",
        contract=contract,
        tx_hash=tx_hash,
        log_index=0,
        block_number=number,
        block_hash=chain.block_hash(number),
        sender=chain.payer.address.lower(),
        receiver=ours,
        units=25_000_000,
        direction="in",
    )
    assert follower.step() == Follow()


@pytest.mark.parametrize("blocks_max", [1, 3, 100])
def test_a_chain_faster_than_the_watcher_is_followed_without_gaps(
    chain: Chain, follower: Follower, ours: str, blocks_max: int
) -> None:
    for units in range(1, 6):
        pay(chain, ours, units)
        chain.mine(9)
    assert [seen.units for seen in follower.to_head(blocks_max=blocks_max)] == [1, 2, 3, 4, 5]


def test_several_payments_in_one_block_and_in_one_transaction(
    chain: Chain, follower: Follower, ours: str
) -> None:
    usdc, usdt = chain.contracts.usdc.contract, chain.contracts.usdt.contract
    batcher = deploy_contract(chain.contracts, "Batcher")
    for token in (usdc, usdt):
        chain.payer.call_contract(token, "approve(address,uint256)", batcher, 10**12)
    chain.payer.transfer_many([Transfer(usdc, ours, 1), Transfer(usdt, ours, 2)])
    payments = [(usdc, ours, 3), (usdt, ours, 4), (usdc, fresh_address(), 5), (usdc, ours, 6)]
    together = chain.payer.call_contract(
        batcher, "transferMany((address,address,uint256)[])", payments, gas_limit=2_000_000
    )
    chain.mine()
    seen = follower.to_head()
    assert sorted(transfer.units for transfer in seen) == [1, 2, 3, 4, 6]
    assert [each.units for each in seen if each.tx_hash == together] == [3, 4, 6]
    assert len({(each.tx_hash, each.log_index) for each in seen}) == 5


def test_amounts_and_ends_of_a_transfer(
    chain: Chain, follower: Follower, ours: str, emitter: str
) -> None:
    nobody, other = evm.ZERO_ADDRESS, fresh_address()
    emit(
        chain,
        [
            (nobody, ours, 7),  # mint
            (ours, nobody, 8),  # burn
            (ours, ours, 9),  # to itself
            (other, ours, evm.UINT256_MAX),
            (ours, other, 0),  # address poisoning
            (other, other, 10),  # not ours
        ],
    )
    chain.mine()
    assert [(seen.direction, seen.units) for seen in follower.to_head()] == [
        ("in", 7),
        ("out", 8),
        ("within", 9),
        ("in", evm.UINT256_MAX),
    ]
    assert follower.watcher.skipped == {"zero": 1}


def test_logs_that_are_no_erc20_transfer_are_counted_and_passed_over(
    chain: Chain, lied_to: Follower, liar: LyingNode, ours: str, emitter: str
) -> None:
    lied_to.to_head()
    emit(chain, [(fresh_address(), ours, units) for units in range(1, 8)])
    chain.mine()

    def malform(params: list[Any], logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        changes: list[dict[str, Any]] = [
            {"topics": [*logs[0]["topics"], "0x" + "00" * 32]},  # ERC-721
            {"data": "0x"},
            {"data": "0x" + "00" * 31},
            {"data": "0x" + "00" * 64},
            {"removed": True},
            {"topics": logs[5]["topics"][::2]},
            {},
        ]
        return [{**log, **change} for log, change in zip(logs, changes, strict=True)]

    liar.answer("eth_getLogs", malform)
    lied_to.watcher._bloom = "none"
    assert [seen.units for seen in lied_to.to_head()] == [7]
    assert lied_to.watcher.skipped == {"topics": 2, "malformed": 3, "removed": 1}


def test_an_address_with_dirty_high_bytes_is_not_ours(
    chain: Chain, follower: Follower, ours: str, emitter: str
) -> None:
    dirty = "0x" + "01" * 12 + ours[2:]
    emit(chain, [(dirty, ours, 1), (fresh_address(), dirty, 2)])
    chain.mine()
    assert follower.to_head() == []
    assert follower.watcher.skipped == {"malformed": 1}


def test_native_coins_are_seen_when_the_transaction_succeeded(
    chain: Chain, follower: Follower, ours: str
) -> None:
    first = chain.payer.send_native(ours, 10**18)
    pay(chain, ours)
    # USDC takes no native coin: this one is mined and reverts.
    chain.payer.send_data(chain.contracts.usdc.contract, b"", gas_limit=100_000, value_wei=5)
    chain.mine()
    follower.watcher.addresses.add(chain.contracts.usdc.contract.lower())
    native = [seen for seen in follower.to_head() if not seen.contract]
    assert [(seen.tx_hash, seen.log_index, seen.units) for seen in native] == [(first, -1, 10**18)]
    assert native[0].asset == f"{NETWORK}/slip44:60"
    assert native[0].direction == "in"


def test_native_coins_that_leave_us(chain: Chain, rpc: Rpc) -> None:
    payer = chain.payer.address.lower()
    follower = Follower(EvmWatcher(NETWORK, rpc, AddressSet([payer])), start=chain.height())
    chain.payer.send_native(fresh_address(), 3)
    creation = chain.payer.create(bytes.fromhex("00"))
    chain.mine()
    seen = follower.to_head()
    assert [(each.direction, each.units) for each in seen] == [("out", 3)]
    assert creation not in {each.tx_hash for each in seen}


@pytest.mark.parametrize("depth", [1, 5, 40])
def test_a_reorg_orphans_exactly_the_blocks_that_left(
    chain: Chain, follower: Follower, ours: str, depth: int
) -> None:
    pay(chain, ours, 1)
    kept = chain.mine(2)
    pay(chain, ours, 2)
    height = chain.mine(depth)
    assert [seen.units for seen in follower.to_head()] == [1, 2]
    chain.reorg(depth)
    assert [seen.units for seen in follower.to_head()] == [1]
    assert follower.orphaned == list(range(kept + 1, height + 1))
    assert follower.blocks[height].ref.hash == chain.block_hash(height)


def test_a_transaction_mined_again_after_a_reorg_counts_under_its_hash(
    chain: Chain, follower: Follower, ours: str
) -> None:
    tx_hash = pay(chain, ours, 2)
    dropped = pay(chain, fresh_address(), 1)
    chain.mine(3)
    (before,) = follower.to_head()
    chain.reorg(3, again=[tx_hash])
    (after,) = follower.to_head()
    assert (after.tx_hash, after.log_index, after.units) == (tx_hash, 0, 2)
    assert after.block_hash != before.block_hash
    assert chain.rpc.call("eth_getTransactionReceipt", dropped) is None


def test_a_shorter_chain_is_waited_for_and_then_a_reorg(
    chain: Chain, follower: Follower, ours: str
) -> None:
    height = chain.mine(8)
    follower.to_head()
    chain.rollback(5)
    # A node that is behind and a chain that was cut look the same: nothing is orphaned yet.
    assert follower.step() == Follow()
    pay(chain, ours, 3)
    chain.mine()
    assert [seen.units for seen in follower.to_head()] == [3]
    assert follower.orphaned == list(range(height - 4, height + 1))
    assert max(follower.blocks) == height - 4


def test_a_chain_reverted_to_its_past_while_we_were_away(
    chain: Chain, follower: Follower, ours: str
) -> None:
    snapshot = chain.rpc.call("evm_snapshot")
    pay(chain, ours, 1)
    chain.mine(3)
    follower.to_head()
    chain.rpc.call("evm_revert", snapshot)
    chain.payer.forget_nonce()
    chain.mine(10)
    assert follower.to_head() == []


def test_a_reorg_of_all_that_we_know_begins_again(chain: Chain, rpc: Rpc, ours: str) -> None:
    chain.mine(5)
    pay(chain, fresh_address(), 1)
    follower = Follower(EvmWatcher(NETWORK, rpc, AddressSet([ours])), start=chain.mine())
    follower.to_head()
    chain.reorg(3)
    follow = follower.step()
    assert follow.reorg is not None
    assert follow.reorg.ancestor is None
    assert follow.reorg.orphaned == (follower.start,)
    follower.to_head()


def test_a_node_that_was_away_is_caught_up_with(
    chain: Chain, follower: Follower, ours: str, liar: LyingNode, lied_to: Follower
) -> None:
    lied_to.to_head()
    liar.status = 502
    with pytest.raises(RpcUnavailable):
        lied_to.step()
    for units in range(1, 4):
        pay(chain, ours, units)
        chain.mine(20)
    liar.honest()
    assert [seen.units for seen in lied_to.to_head()] == [1, 2, 3]
    assert lied_to.transfers() == follower.to_head()


def test_finalized_is_below_the_head(chain: Chain, follower: Follower) -> None:
    chain.mine(3)
    finalized = follower.watcher.finalized()
    assert finalized is not None
    assert finalized.number == chain.height() - 4
    assert finalized.hash == chain.block_hash(finalized.number)


def test_a_chain_without_finality_tag(lied_to: Follower, liar: LyingNode) -> None:
    def refuse(params: object, result: object) -> object:
        raise Refuse(-39001, "finalized block not found")

    liar.answer("eth_getBlockByNumber", refuse)
    assert lied_to.watcher.finalized() is None


def test_another_chain_behind_the_url_is_refused(chain: Chain, rpc: Rpc, ours: str) -> None:
    follower = Follower(EvmWatcher("eip155:1", rpc, AddressSet([ours])), start=0)
    with pytest.raises(Misconfigured, match="leads to chain 84532"):
        follower.step()


def drop_all(params: list[Any], logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return []


def drop_last(params: list[Any], logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return logs[:-1]


@pytest.mark.parametrize("mode", ["exact", "suspicious"])
def test_a_node_that_leaves_all_logs_out_is_found(
    chain: Chain, lied_to: Follower, liar: LyingNode, ours: str, mode: Any
) -> None:
    lied_to.watcher._bloom = mode
    pay(chain, ours, 5)
    chain.mine()
    liar.answer("eth_getLogs", drop_all)
    with pytest.raises(RpcInconsistent, match="left out"):
        lied_to.to_head()
    assert lied_to.transfers() == []
    liar.honest()
    assert [seen.units for seen in lied_to.to_head()] == [5]


def test_a_node_that_leaves_out_logs_only_when_filtered_is_found(
    chain: Chain, lied_to: Follower, liar: LyingNode, ours: str
) -> None:
    lied_to.watcher._bloom = "suspicious"
    pay(chain, ours, 5)
    chain.mine()
    liar.answer("eth_getLogs", lambda params, logs: [] if "topics" in params[0] else logs)
    with pytest.raises(RpcInconsistent, match="left out transfers"):
        lied_to.to_head()


def test_a_node_that_leaves_one_log_out_is_found(
    chain: Chain, lied_to: Follower, liar: LyingNode, ours: str
) -> None:
    pay(chain, fresh_address(), 4)
    pay(chain, ours, 5)
    chain.mine()
    liar.answer("eth_getLogs", drop_last)
    with pytest.raises(RpcInconsistent, match="left out logs"):
        lied_to.to_head()


@pytest.mark.parametrize("mode", ["exact", "suspicious"])
def test_an_invented_transfer_is_found(
    chain: Chain, lied_to: Follower, liar: LyingNode, ours: str, mode: Any
) -> None:
    lied_to.watcher._bloom = mode
    pay(chain, fresh_address(), 5)
    chain.mine()

    def forge(params: list[Any], logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for log in logs:
            log["topics"][2] = "0x" + "00" * 12 + ours[2:]
        return logs

    liar.answer("eth_getLogs", forge)
    with pytest.raises(RpcInconsistent, match="bloom excludes"):
        lied_to.to_head()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blockHash": "0x" + "11" * 32}, "names block"),
        ({"address": "0x12"}, "names no contract"),
        ({"logIndex": "0x01"}, "malformed quantity"),
        ({"data": "0xzz"}, "malformed data"),
    ],
)
def test_a_malformed_log_of_ours_is_inconsistent(
    chain: Chain,
    lied_to: Follower,
    liar: LyingNode,
    ours: str,
    change: dict[str, str],
    message: str,
) -> None:
    pay(chain, ours, 5)
    chain.mine()
    liar.answer("eth_getLogs", lambda params, logs: [{**log, **change} for log in logs])
    with pytest.raises(RpcInconsistent, match=message):
        lied_to.to_head()


def test_a_log_given_twice_is_inconsistent(
    chain: Chain, lied_to: Follower, liar: LyingNode, ours: str
) -> None:
    pay(chain, ours, 5)
    chain.mine()
    liar.answer("eth_getLogs", lambda params, logs: logs + logs)
    with pytest.raises(RpcInconsistent, match="twice"):
        lied_to.to_head()


def test_topics_in_upper_case_are_not_missed_silently(
    chain: Chain, lied_to: Follower, liar: LyingNode, ours: str
) -> None:
    pay(chain, ours, 5)
    chain.mine()

    def shout(params: list[Any], logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for log in logs:
            log["topics"] = ["0x" + topic[2:].upper() for topic in log["topics"]]
        return logs

    liar.answer("eth_getLogs", shout)
    with pytest.raises(RpcInconsistent, match="upper case"):
        lied_to.to_head()


def test_a_header_without_bloom_asks_for_a_decision(
    chain: Chain, lied_to: Follower, liar: LyingNode
) -> None:
    liar.answer("eth_getBlockByNumber", lambda params, block: {**block, "logsBloom": "0x"})
    with pytest.raises(RpcInconsistent, match="set the network's bloom mode"):
        lied_to.to_head()


def test_a_reorg_between_block_and_logs_loses_nothing(
    chain: Chain, lied_to: Follower, liar: LyingNode, ours: str
) -> None:
    pay(chain, ours, 1)
    chain.mine(2)
    fired: list[int] = []

    def reorg_first(params: list[Any], block: Any) -> Any:
        if not fired and params[0] != "latest":
            fired.append(1)
            chain.reorg(2)
            pay(chain, ours, 2)
            chain.mine()
        return block

    liar.answer("eth_getBlockByNumber", reorg_first)
    seen: list[TransferSeen] = []
    for _ in range(5):
        try:
            seen = lied_to.to_head()
            break
        except RpcInconsistent:
            continue
    assert fired
    assert [each.units for each in seen] == [2]


def test_a_receipt_is_confirmed_by_two_providers(
    chain: Chain, follower: Follower, liar: LyingNode, open_rpc: OpenRpc, ours: str
) -> None:
    chain.payer.send_native(ours, 9)
    pay(chain, ours, 5)
    chain.mine()
    native, token = follower.to_head()
    both = EvmWatcher(NETWORK, open_rpc(chain.rpc_url, liar.url), AddressSet([ours]))
    both.confirm(token)
    both.confirm(native)
    # Of a token that takes a fee less arrives than its log says, and never more.
    both.confirm(replace(token, units=4), takes_fee=True)
    for wrong in (replace(token, units=4), replace(native, units=8)):
        with pytest.raises(RpcDisagreement):
            both.confirm(wrong)
    with pytest.raises(RpcDisagreement):
        both.confirm(replace(token, units=6), takes_fee=True)

    def forge(params: list[Any], receipt: dict[str, Any]) -> dict[str, Any]:
        for log in receipt["logs"]:
            log["data"] = "0x" + "ff" * 32
        return {**receipt, "status": "0x0"}

    liar.answer("eth_getTransactionReceipt", forge)
    for transfer in (token, native):
        with pytest.raises(RpcDisagreement):
            both.confirm(transfer)


def test_two_lying_providers_cannot_invent_a_transfer_in_a_receipt(
    chain: Chain, follower: Follower, liar: LyingNode, open_rpc: OpenRpc, ours: str
) -> None:
    pay(chain, ours, 5)
    chain.mine()
    (seen,) = follower.to_head()
    with lying_node(chain.rpc_url) as accomplice:
        both = EvmWatcher(NETWORK, open_rpc(liar.url, accomplice.url), AddressSet([ours]))
        for node in (liar, accomplice):
            node.answer("eth_getTransactionReceipt", lambda params, receipt: None)
        with pytest.raises(RpcDisagreement, match="is not in block"):
            both.confirm(seen)
        for node in (liar, accomplice):
            node.answer("eth_getTransactionReceipt", lambda params, each: {**each, "logs": []})
        with pytest.raises(RpcDisagreement, match="not in its receipt"):
            both.confirm(seen)


def test_blocks_without_transactions_wanted(chain: Chain, rpc: Rpc, ours: str) -> None:
    watcher = EvmWatcher(NETWORK, rpc, AddressSet([ours]), native=False)
    follower = Follower(watcher, start=chain.height())
    chain.payer.send_native(ours, 9)
    pay(chain, ours, 5)
    chain.mine()
    assert [seen.units for seen in follower.to_head()] == [5]


def test_a_chain_that_mines_by_itself(start_chain: StartChain, open_rpc: OpenRpc) -> None:
    mining = start_chain("eip155:31337", block_time_seconds=0.05)
    ours = fresh_address()
    watcher = EvmWatcher("eip155:31337", open_rpc(mining.rpc_url), AddressSet([ours]))
    follower = Follower(watcher, start=mining.height())
    wallet = mining.payer
    hashes = [wallet.transfer(mining.contracts.usdc.contract, ours, n) for n in range(1, 30)]
    wallet.wait(hashes[-1])
    assert [seen.units for seen in follower.to_head()] == list(range(1, 30))


def test_address_set_takes_lower_case_hex_only() -> None:
    ours = AddressSet(["0x" + "ab" * 20])
    assert len(ours) == 1
    assert "0x" + "AB" * 20 in ours
    assert "0x" + "cd" * 20 not in ours
    for wrong in ("0x" + "AB" * 20, "0x12", "ab" * 21, "0x" + "ab" * 20 + "\n"):
        with pytest.raises(ValueError, match="lower-case"):
            ours.add(wrong)
