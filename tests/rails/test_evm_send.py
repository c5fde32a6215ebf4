"""Pricing, trying, building and broadcasting transfers on a real node."""

from typing import Any

import pytest
from eth_account import Account

from sakk.core import evm
from sakk.core.gas_price import GWEI, Caps, Fees
from sakk.rails.evm.gas_price import fees
from sakk.rails.evm.rpc import Rpc
from sakk.rails.evm.send import (
    BroadcastOutcome,
    TransferWouldFail,
    broadcast,
    build_transfer,
    estimate_transfer,
    nonces,
    revert_reason,
)
from tests.chain import Chain
from tests.rails.conftest import OpenRpc
from tests.rails.lying_node import LyingNode, Refuse, always

RECEIVER = "0x" + "77" * 20


def sign(chain: Chain, transaction: evm.Transaction) -> bytes:
    """Signed bytes by the payer's key."""
    signed = Account.from_key(chain.contracts.payer_private_key).sign_transaction(
        {
            "type": 2,
            "chainId": transaction.chain_id,
            "nonce": transaction.nonce,
            "maxPriorityFeePerGas": transaction.max_priority_fee_per_gas,
            "maxFeePerGas": transaction.max_fee_per_gas,
            "gas": transaction.gas_limit,
            "to": evm.checksum_address(transaction.to or ""),
            "value": transaction.value,
            "data": transaction.data,
        }
    )
    return bytes(signed.raw_transaction)


def transfer(chain: Chain, rpc: Rpc, *, units: int = 5, **changes: Any) -> evm.Transaction:
    """A USDC transfer of the payer at its next nonce."""
    fields: dict[str, Any] = {
        "chain_id": chain.contracts.chain_id,
        "nonce": nonces(rpc, chain.payer.address).pending,
        "fees": fees(rpc, Caps()),
        "gas_limit": 100_000,
        "receiver": RECEIVER,
        "contract": chain.contracts.usdc.contract,
        "units": units,
    }
    return build_transfer(**{**fields, **changes})


def test_a_built_transfer_is_mined_and_moves_exactly_its_units(chain: Chain, rpc: Rpc) -> None:
    usdc, payer = chain.contracts.usdc.contract, chain.payer
    before = payer.balance_of(usdc, payer.address)
    gas = estimate_transfer(
        rpc, sender=payer.address, receiver=RECEIVER, contract=usdc, units=25_000_000
    )
    signed = sign(chain, transfer(chain, rpc, units=25_000_000, gas_limit=gas))
    sent = broadcast(rpc, signed)
    assert sent.outcome is BroadcastOutcome.accepted
    chain.mine()
    assert payer.wait(sent.tx_hash)["status"] == "0x1"
    assert payer.balance_of(usdc, RECEIVER) == 25_000_000
    assert payer.balance_of(usdc, payer.address) == before - 25_000_000


def test_a_native_transfer_is_mined(chain: Chain, rpc: Rpc) -> None:
    sender = chain.payer.address
    gas = estimate_transfer(rpc, sender=sender, receiver=RECEIVER, contract=None, units=7)
    built = transfer(chain, rpc, contract=None, units=7, gas_limit=gas)
    assert (built.to, built.value, built.data) == (RECEIVER, 7, b"")
    assert broadcast(rpc, sign(chain, built)).outcome is BroadcastOutcome.accepted
    chain.mine()
    assert chain.payer.native_balance(RECEIVER) == 7


@pytest.mark.parametrize("units", [0, -1])
def test_nothing_cannot_be_sent(chain: Chain, rpc: Rpc, units: int) -> None:
    with pytest.raises(ValueError, match="more than nothing"):
        transfer(chain, rpc, units=units)


def test_nonces_count_the_mined_and_the_waiting(chain: Chain, rpc: Rpc) -> None:
    first = nonces(rpc, chain.payer.address)
    chain.payer.send_native(RECEIVER, 1)
    second = nonces(rpc, chain.payer.address)
    assert (second.latest, second.pending) == (first.latest, first.pending + 1)
    chain.mine()
    assert nonces(rpc, chain.payer.address).latest == first.latest + 1


def test_a_transfer_that_would_revert_is_refused_before_it_is_built(chain: Chain, rpc: Rpc) -> None:
    usdc, payer = chain.contracts.usdc.contract, chain.payer.address
    poor = "0x" + "66" * 20
    with pytest.raises(TransferWouldFail, match="exceeds balance"):
        estimate_transfer(rpc, sender=poor, receiver=RECEIVER, contract=usdc, units=1)
    chain.issuer.call_contract(usdc, "blacklist(address)", RECEIVER)
    chain.mine()
    with pytest.raises(TransferWouldFail, match="blacklisted"):
        estimate_transfer(rpc, sender=payer, receiver=RECEIVER, contract=usdc, units=1)


def test_the_same_bytes_again_are_known_and_then_used(chain: Chain, rpc: Rpc) -> None:
    signed = sign(chain, transfer(chain, rpc))
    assert broadcast(rpc, signed).outcome is BroadcastOutcome.accepted
    again = broadcast(rpc, signed)
    assert again.outcome is BroadcastOutcome.already_known
    assert again.tx_hash == evm.transaction_hash(signed)
    chain.mine()
    assert broadcast(rpc, signed).outcome is BroadcastOutcome.nonce_too_low


def test_refusals_by_a_real_node_are_named(chain: Chain, rpc: Rpc) -> None:
    def outcome(built: evm.Transaction) -> BroadcastOutcome:
        return broadcast(rpc, sign(chain, built)).outcome

    nonce = nonces(rpc, chain.payer.address).pending
    dear, cheaper = Fees(20 * GWEI, GWEI, 0), Fees(19 * GWEI, GWEI, 0)
    assert outcome(transfer(chain, rpc, fees=dear)) is BroadcastOutcome.accepted
    assert outcome(transfer(chain, rpc, nonce=nonce, fees=cheaper)) is BroadcastOutcome.underpriced
    poor = transfer(chain, rpc, contract=None, units=10**30)
    assert outcome(poor) is BroadcastOutcome.insufficient_funds
    assert outcome(transfer(chain, rpc, gas_limit=20_000)) is BroadcastOutcome.rejected
    assert outcome(transfer(chain, rpc, chain_id=5)) is BroadcastOutcome.rejected
    assert broadcast(rpc, b"\x02\xaa").outcome is BroadcastOutcome.rejected


@pytest.mark.parametrize(
    ("number", "message", "outcome"),
    [
        (-32000, "already known", BroadcastOutcome.already_known),
        (-32010, "Known transaction", BroadcastOutcome.already_known),
        (-32000, "AlreadyKnown", BroadcastOutcome.already_known),
        (-32000, "nonce too low: next nonce 5, tx nonce 4", BroadcastOutcome.nonce_too_low),
        (-32000, "replacement transaction underpriced", BroadcastOutcome.underpriced),
        (-32000, "txpool is full", BroadcastOutcome.underpriced),
        (-32000, "insufficient funds for gas * price + value", BroadcastOutcome.insufficient_funds),
        (-32000, "Upfront cost exceeds account balance", BroadcastOutcome.insufficient_funds),
        (-32000, "intrinsic gas too low", BroadcastOutcome.rejected),
        (-32603, "Internal error", BroadcastOutcome.unknown),
        (-32000, "request timed out", BroadcastOutcome.unknown),
        (-32005, "limit exceeded", BroadcastOutcome.unknown),
    ],
)
def test_other_nodes_words(
    liar: LyingNode,
    open_rpc: OpenRpc,
    number: int,
    message: str,
    outcome: BroadcastOutcome,
) -> None:
    def refuse(params: object, result: object) -> object:
        raise Refuse(number, message)

    liar.answer("eth_sendRawTransaction", refuse)
    assert broadcast(open_rpc(liar.url), b"\x02\xaa").outcome is outcome


def test_a_connection_cut_after_the_node_had_the_bytes_is_unknown(
    chain: Chain, liar: LyingNode, open_rpc: OpenRpc, rpc: Rpc
) -> None:
    signed = sign(chain, transfer(chain, rpc, units=3))
    liar.cut_after.add("eth_sendRawTransaction")
    cut = broadcast(open_rpc(liar.url), signed)
    assert cut.outcome is BroadcastOutcome.unknown
    # Sent once: a write is not repeated behind the caller's back.
    assert liar.calls.count("eth_sendRawTransaction") == 1
    assert broadcast(rpc, signed).outcome is BroadcastOutcome.already_known
    chain.mine()
    assert chain.payer.balance_of(chain.contracts.usdc.contract, RECEIVER) == 3


def test_another_provider_is_asked_after_a_silent_one(
    chain: Chain, liar: LyingNode, open_rpc: OpenRpc, rpc: Rpc
) -> None:
    signed = sign(chain, transfer(chain, rpc))
    liar.cut_after.add("eth_sendRawTransaction")
    both = open_rpc(liar.url, chain.rpc_url)
    assert broadcast(both, signed).outcome is BroadcastOutcome.already_known


def test_a_silent_provider_outweighs_a_refusing_one(
    chain: Chain, liar: LyingNode, open_rpc: OpenRpc, rpc: Rpc
) -> None:
    signed = sign(chain, transfer(chain, rpc, gas_limit=20_000))
    liar.status = 503
    both = open_rpc(liar.url, chain.rpc_url)
    assert broadcast(both, signed).outcome is BroadcastOutcome.unknown


def test_a_wrong_hash_for_our_bytes_is_unknown(
    chain: Chain, liar: LyingNode, open_rpc: OpenRpc, rpc: Rpc
) -> None:
    signed = sign(chain, transfer(chain, rpc))
    for wrong in ("0x" + "11" * 32, None, 7):
        liar.answer("eth_sendRawTransaction", always(wrong))
        assert broadcast(open_rpc(liar.url), signed).outcome is BroadcastOutcome.unknown


def test_revert_reasons_are_read() -> None:
    text = "0x08c379a0" + f"{32:064x}" + f"{4:064x}" + b"full".hex().ljust(64, "0")
    assert revert_reason(text) == "full"
    assert revert_reason("0x4e487b71" + f"{17:064x}") == "panic 0x11"
    assert revert_reason("0xdeadbeef") == "custom error 0xdeadbeef"
    for nothing in (None, "0x", "0xzz", ""):
        assert revert_reason(nothing) == ""
