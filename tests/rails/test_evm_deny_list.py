"""Whom a token denies: asked of real tokens, with and without Multicall3."""

import pytest

from sakk.rails.evm import deny_list
from sakk.rails.evm.deny_list import ADDRESSES_MAX, denied
from sakk.rails.evm.rpc import Rpc
from tests.chain import Chain

DENIED = "0x" + "d1" * 20
FINE = "0x" + "f1" * 20
NOBODY = "0x" + "77" * 20


@pytest.mark.parametrize("by_multicall", [True, False])
def test_every_token_is_asked_in_its_own_words(
    chain: Chain, rpc: Rpc, monkeypatch: pytest.MonkeyPatch, by_multicall: bool
) -> None:
    usdc, usdt = (each.contract.lower() for each in chain.contracts.tokens)
    chain.issuer.call_contract(usdc, "blacklist(address)", DENIED)
    chain.issuer.call_contract(usdt, "addBlackList(address)", DENIED)
    chain.mine()
    if not by_multicall:
        monkeypatch.setattr(deny_list, "MULTICALL3", NOBODY)
    height = int(rpc.call("eth_blockNumber", [], str), 16)
    asked = [(token, who) for token in (usdc, usdt) for who in (DENIED, FINE)]
    many = [(usdc, f"0x{place:040x}") for place in range(1, ADDRESSES_MAX + 5)]
    found = denied(rpc, [*asked, *many, (NOBODY, DENIED)], height)
    assert [found[each] for each in asked] == [True, False, True, False]
    assert {found[each] for each in many} == {False}
    # What answers no such call is never taken for one that denies nobody.
    assert found[NOBODY, DENIED] is None
    # As it stood at that block, not as it stands now.
    assert denied(rpc, asked[:1], height - 1) == {asked[0]: False}
    assert denied(rpc, [], height) == {}
