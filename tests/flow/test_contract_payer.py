"""Payers that are contracts (ERC-1271): what the chain says of their signature is what counts."""

from dataclasses import replace
from typing import Any

import pytest
from tests.core.x402ing import wrapped
from tests.flow.conftest import MakeWorld
from tests.flow.harness import World
from tests.flow.paying import Till
from tests.flow.test_escrow import PRICE, UNITS, Shop
from tests.flow.test_x402_payment import fund, settle

from sakk.core.escrow_channel import Refusal
from sakk.core.evm import ZERO_ADDRESS
from sakk.core.x402 import Reason
from sakk.flow.escrow_channel import Refused, order_deposit

WALLET = "0x" + "c0de" * 10
FROM: dict[str, Any] = {"from": WALLET}
# Any call of it answers 0x1626ba7e, as isValidSignature does for a signature that it takes; or 0.
TAKES = "0x631626ba7e60e01b60005260206000f3"
REFUSES = "0x600060005260206000f3"


def stands(world: World, code: str) -> None:
    world.chain.rpc.call("anvil_setCode", WALLET, code)
    world.mine()


def test_a_wallet_contract_pays_by_exact_if_the_chain_takes_its_signature(world: World) -> None:
    till = Till(world)
    fund(world, WALLET, 3_000)
    # As long as a key's, and longer: neither is recovered to the payer.
    for signature in ("0x" + "11" * 64 + "1b", "0x" + "22" * 130):
        payload = till.authorized(1_000, **FROM) | {"signature": signature}
        stands(world, "0x")
        is_key = len(signature) == 132
        reason = Reason.invalid_signature if is_key else Reason.undeployed_wallet
        assert till.verify(payload).invalid_reason == reason.value
        stands(world, REFUSES)
        assert not till.verify(payload).is_valid
        stands(world, TAKES)
        assert till.verify(payload).is_valid
        [told] = settle(world, till, till.asked(payload))
        assert told is not None
        assert told.success, told
    # Beside it may stand how to create the wallet: nobody does, and one that stands needs it not.
    created_first = till.authorized(1_000, **FROM) | {"signature": wrapped("0x" + "22" * 130)}
    stands(world, "0x")
    assert till.verify(created_first).invalid_reason == Reason.factory_not_allowed.value
    stands(world, TAKES)
    assert till.verify(created_first).is_valid
    [told] = settle(world, till, till.asked(created_first))
    assert told is not None
    assert told.success, told
    world.finalize()
    assert world.balance("usdc") == 3_000
    world.check()


def test_a_wallet_contract_pays_by_vouchers_of_a_key_that_its_channel_names(
    make_world: MakeWorld,
) -> None:
    shop = Shop(make_world())
    payer = shop.payer
    fund(shop.world, WALLET, UNITS)
    stands(shop.world, TAKES)
    payer.holder = WALLET
    channel = shop.deposit()
    assert channel.payer == WALLET
    assert channel.payer_authorizer != WALLET
    shop.pay(PRICE)
    assert shop.totals().charged == PRICE
    shop.check()
    # Without a key it is the account's own code that would say later what it signed.
    deposit = payer.deposit(UNITS, PRICE)
    unnamed = replace(deposit, config=replace(deposit.config, payer_authorizer=ZERO_ADDRESS))
    with pytest.raises(Refused) as caught:
        order_deposit(shop.world.parts, shop.terms, unnamed)
    assert caught.value.code == Refusal.signature
    assert "payerAuthorizer" in caught.value.message
