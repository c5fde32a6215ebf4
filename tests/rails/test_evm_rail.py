"""One EVM network behind the rails' protocol: a transfer from intent to receipt."""

from dataclasses import replace

import pytest

from sakk.core import evm
from sakk.core.gas_price import Caps, FeesAboveCap
from sakk.rails.evm.rail import EvmRail, TransactionReference, TransferIntent
from sakk.rails.evm.rpc import Rpc
from sakk.rails.evm.send import (
    Broadcast,
    BroadcastOutcome,
    TransferWouldFail,
    nonces,
)
from sakk.rails.evm.status import TransactionState, TransactionStatus
from sakk.rails.evm.watch import AddressSet, EvmWatcher
from sakk.rails.rail import Rail
from tests.chain import NETWORK, Chain
from tests.rails.test_evm_send import sign

RECEIVER = "0x" + "77" * 20

EvmProtocol = Rail[
    TransferIntent, evm.Transaction, TransactionReference, Broadcast, TransactionStatus
]


@pytest.fixture
def rail(rpc: Rpc) -> EvmProtocol:
    return EvmRail(NETWORK, rpc, EvmWatcher(NETWORK, rpc, AddressSet([RECEIVER])))


@pytest.fixture
def intent(chain: Chain, rpc: Rpc) -> TransferIntent:
    return TransferIntent(
        sender=chain.payer.address.lower(),
        receiver=RECEIVER,
        asset=f"{NETWORK}/erc20:{chain.contracts.usdc.contract.lower()}",
        units=25_000_000,
        nonce=nonces(rpc, chain.payer.address).pending,
    )


@pytest.mark.parametrize("native", [False, True])
def test_a_transfer_from_intent_to_receipt(
    chain: Chain, rail: EvmProtocol, intent: TransferIntent, native: bool
) -> None:
    if native:
        intent = replace(intent, asset=f"{NETWORK}/slip44:60")
    cursor = rail.head()
    signed = sign(chain, rail.build(intent))
    sent = rail.broadcast(signed)
    assert sent.outcome is BroadcastOutcome.accepted
    chain.mine(3)
    follow = rail.watch(
        cursor, until=rail.head().number, blocks_max=10, known_hash=lambda number: None
    )
    (seen,) = [transfer for block in follow.blocks for transfer in block.transfers]
    assert (seen.asset, seen.units, seen.tx_hash) == (intent.asset, intent.units, sent.tx_hash)
    became = rail.status(
        TransactionReference(
            hashes=(sent.tx_hash,),
            sender=intent.sender,
            nonce=intent.nonce,
            since_block=cursor.number,
            confirmations=2,
        )
    )
    assert (became.state, became.succeeded) == (TransactionState.mined, True)
    assert became.block_hash == seen.block_hash


def test_a_transfer_that_cannot_be_made_is_not_built(
    rail: EvmProtocol, intent: TransferIntent
) -> None:
    with pytest.raises(TransferWouldFail):
        rail.build(replace(intent, units=1 << 200))
    with pytest.raises(FeesAboveCap):
        rail.build(replace(intent, caps=Caps(1, 1)))
