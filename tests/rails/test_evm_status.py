"""What became of a transaction, on a real node that drops, replaces and rolls back."""

import pytest

from sakk.core.gas_price import GWEI, Fees
from sakk.rails.evm.rpc import Rpc, RpcInconsistent, RpcUnavailable
from sakk.rails.evm.send import broadcast, nonces
from sakk.rails.evm.status import TransactionState, TransactionStatus, status
from tests.chain import Chain
from tests.rails.conftest import OpenRpc
from tests.rails.lying_node import LyingNode, Refuse, always
from tests.rails.test_evm_send import sign, transfer

CONFIRMATIONS = 2


class Sent:
    """A USDC transfer of the payer that was handed to the node."""

    def __init__(self, chain: Chain, rpc: Rpc) -> None:
        self.sender = chain.payer.address.lower()
        self.since = chain.height()
        self.nonce = nonces(rpc, self.sender).latest
        self.signed = sign(chain, transfer(chain, rpc))
        self.tx_hash = broadcast(rpc, self.signed).tx_hash

    def status(self, rpc: Rpc) -> TransactionStatus:
        return status(
            rpc,
            [self.tx_hash],
            sender=self.sender,
            nonce=self.nonce,
            since_block=self.since,
            confirmations=CONFIRMATIONS,
        )


@pytest.fixture
def sent(chain: Chain, rpc: Rpc) -> Sent:
    return Sent(chain, rpc)


def replace(chain: Chain, rpc: Rpc, sent: Sent) -> str:
    """Take the nonce by another transaction with much higher fees."""
    dear = Fees(500 * GWEI, 50 * GWEI, 0)
    other = transfer(chain, rpc, nonce=sent.nonce, fees=dear, units=1)
    return broadcast(rpc, sign(chain, other)).tx_hash


def test_pending_then_mined_with_its_cost(chain: Chain, rpc: Rpc, sent: Sent) -> None:
    assert sent.status(rpc).state is TransactionState.pending
    before = chain.payer.native_balance(chain.payer.address)
    number = chain.mine(4) - 3
    mined = sent.status(rpc)
    assert mined.state is TransactionState.mined
    assert mined.succeeded
    assert (mined.block_number, mined.block_hash) == (number, chain.block_hash(number))
    assert mined.confirmations == 3
    assert mined.fee_wei == before - chain.payer.native_balance(chain.payer.address) > 0
    (log,) = mined.logs
    assert log.contract == chain.contracts.usdc.contract.lower()
    assert int(log.data, 16) == 5


def test_a_reverted_transaction_is_mined_and_failed(chain: Chain, rpc: Rpc) -> None:
    chain.issuer.call_contract(chain.contracts.usdc.contract, "pause()")
    chain.mine()
    failing = Sent(chain, rpc)
    chain.mine()
    mined = failing.status(rpc)
    assert (mined.state, mined.succeeded, mined.logs) == (TransactionState.mined, False, ())
    assert mined.fee_wei > 0
    chain.issuer.call_contract(chain.contracts.usdc.contract, "unpause()")
    chain.mine()


def test_a_rollup_fee_is_part_of_the_cost(
    chain: Chain, sent: Sent, rpc: Rpc, liar: LyingNode, open_rpc: OpenRpc
) -> None:
    chain.mine()
    liar.answer("eth_getTransactionReceipt", lambda params, each: {**each, "l1Fee": "0x64"})
    assert sent.status(open_rpc(liar.url)).fee_wei == sent.status(rpc).fee_wei + 100


def test_a_dropped_transaction_is_sent_again_byte_for_byte(
    chain: Chain, rpc: Rpc, sent: Sent
) -> None:
    chain.rpc.call("anvil_dropTransaction", sent.tx_hash)
    chain.mine(3)
    assert sent.status(rpc).state is TransactionState.dropped
    assert broadcast(rpc, sent.signed).tx_hash == sent.tx_hash
    chain.mine()
    assert sent.status(rpc).succeeded


def test_a_mined_transaction_that_a_reorg_took_away_is_dropped(
    chain: Chain, rpc: Rpc, sent: Sent
) -> None:
    chain.mine(3)
    assert sent.status(rpc).state is TransactionState.mined
    chain.reorg(3)
    assert sent.status(rpc).state is TransactionState.dropped


def test_a_replacement_is_believed_only_at_final_depth(chain: Chain, rpc: Rpc, sent: Sent) -> None:
    other = replace(chain, rpc, sent)
    number = chain.mine()
    assert sent.status(rpc).state is TransactionState.contested
    chain.mine(CONFIRMATIONS - 1)
    assert sent.status(rpc).state is TransactionState.contested
    chain.mine()
    replaced = sent.status(rpc)
    assert replaced.state is TransactionState.replaced
    assert (replaced.replaced_by, replaced.block_number) == (other, number)


@pytest.mark.parametrize("later", [5, 17])
def test_a_replacement_is_found_wherever_it_lies(
    chain: Chain, rpc: Rpc, sent: Sent, later: int
) -> None:
    chain.rpc.call("anvil_dropTransaction", sent.tx_hash)
    chain.mine(later)
    other = replace(chain, rpc, sent)
    number = chain.mine()
    chain.mine(20)
    replaced = sent.status(rpc)
    assert (replaced.replaced_by, replaced.block_number) == (other, number)


def test_a_lost_receipt_is_no_proof_of_replacement(
    chain: Chain, rpc: Rpc, sent: Sent, liar: LyingNode, open_rpc: OpenRpc
) -> None:
    """A node that pruned its index finds neither receipt nor transaction: it was mined all the
    same."""
    chain.mine(10)
    for method in ("eth_getTransactionReceipt", "eth_getTransactionByHash"):
        liar.answer(method, lambda params, result: None)
    assert sent.status(open_rpc(liar.url)).state is TransactionState.contested
    assert sent.status(rpc).state is TransactionState.mined


def test_a_node_without_old_state_proves_nothing(
    chain: Chain, rpc: Rpc, sent: Sent, liar: LyingNode, open_rpc: OpenRpc
) -> None:
    replace(chain, rpc, sent)
    head = chain.mine(10)

    def forget(params: list[str], result: object) -> object:
        if int(params[1], 16) < head - CONFIRMATIONS:
            raise Refuse(-32000, "missing trie node")
        return result

    liar.answer("eth_getTransactionCount", forget)
    assert sent.status(open_rpc(liar.url)).state is TransactionState.contested


def test_known_to_any_provider_is_pending_and_silence_is_not_dropped(
    chain: Chain, sent: Sent, liar: LyingNode, open_rpc: OpenRpc
) -> None:
    liar.answer("eth_getTransactionByHash", lambda params, result: None)
    assert sent.status(open_rpc(liar.url)).state is TransactionState.dropped
    both = open_rpc(liar.url, chain.rpc_url)
    assert sent.status(both).state is TransactionState.pending
    liar.cut_after.add("eth_getTransactionByHash")
    with pytest.raises(RpcUnavailable):
        sent.status(open_rpc(liar.url))


def test_forged_receipts_are_inconsistent(
    chain: Chain, sent: Sent, liar: LyingNode, open_rpc: OpenRpc
) -> None:
    chain.mine()
    receipt = chain.rpc.call("eth_getTransactionReceipt", sent.tx_hash)
    for change in ({"blockHash": "0x" + "11" * 32}, {"transactionHash": "0x" + "22" * 32}):
        liar.answer("eth_getTransactionReceipt", always({**receipt, **change}))
        with pytest.raises(RpcInconsistent):
            sent.status(open_rpc(liar.url))


def test_a_nonce_used_before_it_was_signed_is_found_from_the_beginning(
    chain: Chain, rpc: Rpc, sent: Sent
) -> None:
    other = replace(chain, rpc, sent)
    sent.since = chain.mine(6)
    replaced = sent.status(rpc)
    assert (replaced.state, replaced.replaced_by) == (TransactionState.replaced, other)
