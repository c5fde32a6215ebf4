"""``batch-settlement`` as servers ask for it: ordered, awaited, and told what it came to."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from tests.escrowing import Payer
from tests.flow.conftest import MakeWorld
from tests.flow.test_escrow import PRICE, UNITS, Shop, settle

from sakk.core import evm
from sakk.core.escrow_channel import Refusal
from sakk.core.x402 import Request, Settled, read_request
from sakk.flow.escrow import OWN, EscrowFacilitator, Ordered
from sakk.flow.escrow_channel import DEPOSIT_FAILED, PENDING


class Server:
    """A server that keeps no channels: this Sakk does, for the account whose key it has."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.facilitator = EscrowFacilitator(shop.world.parts)

    def request(self, payer: Payer, type_: str, ceiling: int, **fields: Any) -> Request:
        terms = self.shop.terms
        wanted = {
            "scheme": "batch-settlement",
            "network": terms.network.network,
            "asset": evm.checksum_address(terms.asset.contract or ""),
            "amount": str(PRICE),
            "payTo": evm.checksum_address(terms.receiver),
            "maxTimeoutSeconds": 60,
            "extra": {"channels": OWN, "receiverAuthorizer": terms.authorizer},
        }
        payload = {
            "type": type_,
            "channelConfig": wire(payer),
            "voucher": {
                "channelId": "0x" + payer.channel.hex(),
                "maxClaimableAmount": str(ceiling),
                "signature": "0x" + payer.voucher(ceiling).hex(),
            },
        } | fields
        payment = {"x402Version": 2, "accepted": wanted, "payload": payload}
        message = {"x402Version": 2, "paymentPayload": payment, "paymentRequirements": wanted}
        return read_request(msgspec.json.encode(message))

    def deposit(self, payer: Payer, units: int = UNITS, ceiling: int = PRICE) -> Request:
        signed = payer.authorization(units)
        authorization = {
            "validAfter": str(signed.valid_after),
            "validBefore": str(signed.valid_before),
            "salt": f"0x{signed.salt:064x}",
            "signature": "0x" + signed.signature.hex(),
        }
        deposit = {
            "amount": str(units),
            "authorization": {"erc3009Authorization": authorization},
        }
        return self.request(payer, "deposit", ceiling, deposit=deposit)

    def begin(self, request: Request) -> Settled | Ordered:
        account = self.shop.world.account
        return self.facilitator.begin(request, livemode=False, account=account)

    def ordered(self, request: Request) -> Ordered:
        begun = self.begin(request)
        assert isinstance(begun, Ordered), begun
        return begun

    def ended(self, *ordered: Ordered) -> Sequence[str]:
        return list(self.facilitator.ended([each.call for each in ordered]))


def wire(payer: Payer) -> dict[str, Any]:
    config = payer.config
    return {
        "payer": config.payer,
        "payerAuthorizer": config.payer_authorizer,
        "receiver": config.receiver,
        "receiverAuthorizer": config.receiver_authorizer,
        "token": config.token,
        "withdrawDelay": config.withdraw_delay,
        "salt": "0x" + config.salt.hex(),
    }


@pytest.fixture
def server(make_world: MakeWorld) -> Server:
    return Server(Shop(make_world()))


def test_a_deposit_is_awaited_and_its_call_charged(server: Server) -> None:
    payer, world = server.shop.payer, server.shop.world
    request = server.deposit(payer)
    ordered = server.ordered(request)
    # Asked again meanwhile it is the same call, and nobody is told that it is over.
    assert server.ordered(request).call == ordered.call
    assert server.ended(ordered) == []
    pending = ordered.finish()
    assert (pending.success, pending.error_reason) == (False, PENDING)
    settle(world)
    assert server.ended(ordered) == [ordered.call]
    told = ordered.finish()
    assert (told.success, told.amount) == (True, str(UNITS)), told
    assert told.transaction.startswith("0x")
    assert server.shop.totals().charged == PRICE
    # The next call needs no transaction, and is taken at once.
    voucher = server.request(payer, "voucher", 2 * PRICE)
    verified = server.facilitator.verify(voucher, livemode=False, account=world.account)
    assert verified.is_valid, verified
    taken = server.begin(voucher)
    assert isinstance(taken, Settled)
    assert taken.success, taken
    assert server.shop.totals().charged == 2 * PRICE
    refund = server.ordered(server.request(payer, "refund", 2 * PRICE))
    settle(world, 3)
    assert server.ended(refund) == [refund.call]
    back = refund.finish()
    assert (back.success, back.amount) == (True, str(UNITS - 2 * PRICE)), back
    server.shop.check()


def test_a_deposit_of_a_payer_that_lost_its_place_is_not_sent(server: Server) -> None:
    """Its voucher could not pay: it is told where the channel stands, and keeps its coins."""
    payer, world = server.shop.payer, server.shop.world
    first = server.deposit(payer)
    ordered = server.ordered(first)
    settle(world)
    assert ordered.finish().success
    held = payer.state().balance
    for ceiling, error in (
        (PRICE, Refusal.amount_mismatch),
        (2 * PRICE - 1, Refusal.amount_mismatch),
        (2 * UNITS + 1, Refusal.exceeds_balance),
    ):
        told = server.begin(server.deposit(payer, ceiling=ceiling))
        assert isinstance(told, Settled)
        assert (told.success, told.error_reason) == (False, error)
        assert told.extra is not None
        assert told.extra["channelState"]["chargedCumulativeAmount"] == str(PRICE)
        assert told.extra["voucherState"]["signedMaxClaimable"] == str(PRICE)
    settle(world)
    assert payer.state().balance == held == UNITS
    # What was ordered before is told again, and one that can pay is sent.
    assert server.ordered(first).call == ordered.call
    more = server.ordered(server.deposit(payer, ceiling=2 * PRICE))
    settle(world)
    assert more.finish().success
    assert (payer.state().balance, server.shop.totals().charged) == (2 * UNITS, 2 * PRICE)
    server.shop.check()


def test_a_deposit_whose_coins_have_gone_is_told_as_failed(server: Server) -> None:
    payer, world = server.shop.another(), server.shop.world
    ordered = server.ordered(server.deposit(payer))
    wallet = world.chain.wallet(payer.account.key.hex())
    wallet.transfer(world.contract("usdc"), world.chain.payer.address, 10 * UNITS)
    world.mine()
    settle(world, 4)
    assert server.ended(ordered) == [ordered.call]
    told = ordered.finish()
    assert (told.success, told.error_reason) == (False, DEPOSIT_FAILED)
    used = server.begin(server.request(payer, "voucher", PRICE))
    assert isinstance(used, Settled)
    assert used.error_reason in (Refusal.missing_channel, Refusal.not_found)
