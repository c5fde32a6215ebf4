"""Balances at one pinned block, and what a token says of itself."""

import secrets

import pytest

from sakk.core import evm
from sakk.core.errors import Misconfigured
from sakk.rails.evm.balances import (
    CALLS_PER_MULTICALL,
    MULTICALL3,
    BalanceUnreadable,
    balances,
    net_changes,
    token_facts,
)
from sakk.rails.evm.rpc import Rpc, RpcRefused
from sakk.rails.evm.watch import AddressSet, EvmWatcher
from sakk.rails.sandbox.chain import TokenKind, deploy_token, mint
from tests.chain import NETWORK, Chain
from tests.rails.conftest import OpenRpc
from tests.rails.lying_node import LyingNode

HOLDER = "0x" + "77" * 20
NATIVE = f"{NETWORK}/slip44:60"


def asset(contract: str) -> str:
    return f"{NETWORK}/erc20:{contract.lower()}"


def hold(chain: Chain, *, usdc: int, wei: int) -> list[tuple[str, str]]:
    chain.payer.transfer(chain.contracts.usdc.contract, HOLDER, usdc)
    chain.payer.send_native(HOLDER, wei)
    chain.mine()
    usdc_asset, usdt_asset = (asset(token.contract) for token in chain.contracts.tokens)
    return [(HOLDER, usdc_asset), (HOLDER, usdt_asset), (HOLDER, NATIVE)]


@pytest.mark.parametrize("multicall", [True, False])
def test_balances_are_pinned_to_their_block(chain: Chain, rpc: Rpc, multicall: bool) -> None:
    holdings = hold(chain, usdc=25, wei=7)
    code = chain.rpc.call("eth_getCode", MULTICALL3, "latest")
    if not multicall:
        chain.rpc.call("anvil_setCode", MULTICALL3, "0x")
    number = chain.mine()
    block_hash = chain.block_hash(number)
    hold(chain, usdc=100, wei=100)
    expected = dict(zip(holdings, (25, 0, 7), strict=True))
    assert balances(rpc, holdings, number) == expected
    assert balances(rpc, holdings, block_hash) == expected
    assert balances(rpc, holdings, chain.height())[HOLDER, NATIVE] == 107
    chain.rpc.call("anvil_setCode", MULTICALL3, code)


def test_more_holdings_than_one_call_takes(
    chain: Chain, liar: LyingNode, open_rpc: OpenRpc
) -> None:
    holdings = hold(chain, usdc=25, wei=7)
    usdc = holdings[0][1]
    others = [("0x" + secrets.token_hex(20), usdc) for _ in range(CALLS_PER_MULTICALL + 3)]
    found = balances(open_rpc(liar.url), [*others, *holdings, holdings[0]], chain.height())
    assert len(found) == len(others) + len(holdings)
    assert sum(found.values()) == 32
    assert liar.calls.count("eth_call") == 2


def test_a_block_that_left_the_chain_is_refused(chain: Chain, rpc: Rpc) -> None:
    holdings = hold(chain, usdc=25, wei=7)
    orphan = chain.block_hash(chain.height())
    chain.reorg(1)
    with pytest.raises(RpcRefused):
        balances(rpc, holdings, orphan)


@pytest.mark.parametrize(
    "code",
    [
        "0x",  # no contract at all
        "0x5f5ffd",  # reverts
        "0x5b5f56",  # jumps for ever: eats all gas
        "0x60015ff3",  # answers one byte
    ],
)
def test_an_unreadable_balance_is_no_zero(chain: Chain, rpc: Rpc, code: str) -> None:
    holdings = hold(chain, usdc=25, wei=7)
    broken = "0x" + "b0" * 20
    chain.rpc.call("anvil_setCode", broken, code)
    number = chain.mine()
    with pytest.raises(BalanceUnreadable, match=f"{HOLDER} in {asset(broken)}"):
        balances(rpc, [*holdings, (HOLDER, asset(broken))], number)
    chain.rpc.call("anvil_setCode", broken, "0x")


def test_what_arrived_where_the_event_says_more(chain: Chain, rpc: Rpc) -> None:
    token = deploy_token(
        chain.contracts,
        TokenKind.gross_fee,
        name="Gross",
        symbol="GROSS",
        decimals=6,
        fee_basis_points=100,
    )
    mint(chain.contracts, token, chain.payer.address, 1_000_000)
    chain.payer.transfer(token.contract, HOLDER, 10_000)
    number = chain.mine()
    block = EvmWatcher(NETWORK, rpc, AddressSet()).head()
    assert block.number == number
    holding = (HOLDER, asset(token.contract))
    assert net_changes(rpc, [holding], block) == {holding: 9_900}


def test_token_facts(chain: Chain, rpc: Rpc) -> None:
    facts = token_facts(rpc, chain.contracts.usdc.contract)
    assert (facts.decimals, facts.symbol, facts.name) == (6, "USDC", "USDC")
    for nowhere in (HOLDER, evm.ZERO_ADDRESS):
        with pytest.raises(Misconfigured, match="no contract"):
            token_facts(rpc, nowhere)
    with pytest.raises(Misconfigured, match="states no decimals"):
        token_facts(rpc, chain.contracts.multicall3)
