"""Trying calls out on a real node, in each of the ways that nodes know."""

from typing import Any

import pytest

from sakk.core import abi, evm
from sakk.core.trial import APPROVAL_TOPIC, NO_CODE, Grant, Holding, Move, Trial, designation
from sakk.rails.evm.rpc import Rpc, RpcRefused
from sakk.rails.evm.send import transfer_call
from sakk.rails.evm.trial import try_out
from sakk.rails.sandbox.chain import TokenKind, deploy_token, mint
from tests.chain import Chain
from tests.rails.conftest import OpenRpc
from tests.rails.lying_node import Change, LyingNode, Refuse

RECEIVER = "0x" + "77" * 20
SPENDER = "0x" + "55" * 20
WAYS = {"simulated": (), "traced": ("eth_simulateV1",)}


def missing(number: int = -32601) -> Change:
    def change(params: object, result: object) -> object:
        raise Refuse(number, "the method does not exist")

    return change


def transfer(
    rpc: Rpc, sender: str, contract: str | None, units: int, receiver: str = RECEIVER
) -> Trial:
    to, value, data = transfer_call(receiver, contract, units)
    holdings: list[Holding] = [(sender, contract), (receiver, contract)]
    return try_out(
        rpc,
        sender=sender,
        to=to,
        value=value,
        data=data,
        holdings=holdings,
        answers_true=contract is not None,
    )


@pytest.fixture(params=list(WAYS))
def either(request: pytest.FixtureRequest, liar: LyingNode, open_rpc: OpenRpc) -> Rpc:
    """A node that simulates, or one that only traces."""
    for method in WAYS[request.param]:
        liar.answer(method, missing())
    return open_rpc(liar.url)


@pytest.mark.parametrize("currency", ["usdc", "usdt"])
def test_the_exact_differences(chain: Chain, either: Rpc, currency: str) -> None:
    token = getattr(chain.contracts, currency).contract.lower()
    payer = chain.payer.address.lower()
    seen = transfer(either, payer, token, 9)
    assert (seen.succeeds, seen.grants) == (True, ())
    assert seen.changes == {(payer, token): -9, (RECEIVER, token): 9}
    assert seen.moves == (Move(token, payer, RECEIVER, 9),)
    to_itself = transfer(either, payer, token, 9, receiver=payer)
    assert to_itself.changes == {(payer, token): 0}


def test_native_coin_is_traced(chain: Chain, rpc: Rpc) -> None:
    payer = chain.payer.address.lower()
    seen = transfer(rpc, payer, None, 11)
    assert seen.changes == {(payer, None): -11, (RECEIVER, None): 11}
    assert seen.moves == (Move(None, payer, RECEIVER, 11),)


def test_what_would_revert_says_why(chain: Chain, either: Rpc) -> None:
    usdc = chain.contracts.usdc.contract.lower()
    seen = transfer(either, RECEIVER, usdc, 1, receiver=SPENDER)
    assert not seen.succeeds
    assert "exceeds balance" in seen.reason


def test_the_fee_that_the_event_hides_is_seen(chain: Chain, rpc: Rpc) -> None:
    made = deploy_token(
        chain.contracts,
        TokenKind.gross_fee,
        name="Gross",
        symbol="GROSS",
        decimals=6,
        fee_basis_points=100,
    )
    mint(chain.contracts, made, chain.payer.address, 1_000_000)
    token, payer = made.contract.lower(), chain.payer.address.lower()
    seen = transfer(rpc, payer, token, 10_000)
    assert seen.changes == {(payer, token): -10_000, (RECEIVER, token): 9_900}


def test_an_approval_is_a_grant(chain: Chain, either: Rpc) -> None:
    usdc, payer = chain.contracts.usdc.contract.lower(), chain.payer.address.lower()
    data = abi.selector("approve(address,uint256)") + bytes.fromhex(SPENDER[2:].rjust(64, "0"))
    seen = try_out(
        either,
        sender=payer,
        to=usdc,
        value=0,
        data=data + (7).to_bytes(32, "big"),
        holdings=[(payer, usdc)],
    )
    assert seen.grants == (Grant("approves", payer, SPENDER),)
    assert seen.changes == {(payer, usdc): 0}


def test_the_code_that_the_sender_runs_is_known(chain: Chain, either: Rpc) -> None:
    payer, usdc = chain.payer.address.lower(), chain.contracts.usdc.contract.lower()
    assert transfer(either, payer, usdc, 1).code in NO_CODE
    chain.rpc.call("anvil_setCode", payer, "0xef0100" + SPENDER[2:])
    assert transfer(either, payer, usdc, 1).code == designation(SPENDER)


def test_a_node_that_knows_neither_still_finds_reverts(
    chain: Chain, liar: LyingNode, open_rpc: OpenRpc
) -> None:
    liar.answer("eth_simulateV1", missing())
    liar.answer("debug_traceCall", missing(-32004))
    rpc, usdc = open_rpc(liar.url), chain.contracts.usdc.contract.lower()
    payer = chain.payer.address.lower()
    fine = transfer(rpc, payer, usdc, 1)
    assert (fine.succeeds, fine.changes, fine.moves) == (True, None, ())
    assert not transfer(rpc, RECEIVER, usdc, 1).succeeds
    liar.answer("eth_call", lambda params, result: "0x" + "00" * 32)
    refused = transfer(rpc, payer, usdc, 1)
    assert (refused.succeeds, refused.reason) == (False, "transfer returned false")


def test_an_approval_hidden_in_a_transfer_is_shown(
    chain: Chain, liar: LyingNode, open_rpc: OpenRpc
) -> None:
    payer, usdc = chain.payer.address.lower(), chain.contracts.usdc.contract.lower()

    def approve(params: object, blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        log = dict(blocks[0]["calls"][2]["logs"][0])
        words = ["0x" + address[2:].rjust(64, "0") for address in (payer, SPENDER)]
        blocks[0]["calls"][2]["logs"].append({**log, "topics": [APPROVAL_TOPIC, *words]})
        return blocks

    liar.answer("eth_simulateV1", approve)
    seen = transfer(open_rpc(liar.url), payer, usdc, 1)
    assert seen.grants == (Grant("approves", payer, SPENDER),)


def test_a_refusal_for_another_reason_is_not_hidden(
    chain: Chain, liar: LyingNode, open_rpc: OpenRpc
) -> None:
    liar.answer("eth_simulateV1", missing(-38013))
    with pytest.raises(RpcRefused):
        transfer(open_rpc(liar.url), chain.payer.address, None, 1)


def test_the_topic_is_that_of_the_event() -> None:
    assert "0x" + evm.keccak256(b"Approval(address,address,uint256)").hex() == APPROVAL_TOPIC
