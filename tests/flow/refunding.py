"""What tests of refunds need of a world: paid payments, rows as they stand, and claims."""

import hashlib

from tests.flow.harness import World
from tests.flow.money import fund_treasury

from sakk.core.claim import Claim
from sakk.core.payin import PayIn
from sakk.core.payment import PaymentIntent
from sakk.core.refund import Refund
from sakk.flow import claim as claims
from sakk.flow import refund as flow
from sakk.flow.refund_draft import Place, RefundRequest
from sakk.store import refund as store
from sakk.store.identity import new_id

PAYER = "0x8ba1f109551bd432803012645ac136ddd64dba72"
OTHER = "0x4838b106fce9647bdf1e7877bf73ce8b0bad5f97"
CLAIM = hashlib.sha256(b"a token").hexdigest()


def paid(world: World, cents: int = 2_500, *, liquidity: int = 1_000) -> PaymentIntent:
    """A payment that succeeded, and a treasury that can give it back."""
    fund_treasury(world, liquidity)
    intent = world.intent(cents)
    world.pay(intent)
    world.finalize()
    return world.refresh(intent)


def refund(
    world: World,
    what: PaymentIntent | PayIn,
    amount: int | None = None,
    *,
    address: str | None = None,
    network: str | None = None,
    coin: str | None = None,
    claim_hash: str | None = None,
    identifier: str | None = None,
    fee_mode: str | None = None,
) -> Refund:
    """Refund a payment, or a pay-in in suspense, as its merchant.

    To an ``address``, or to where the holder of the claim token with ``claim_hash`` says.
    """
    place = None if address is None else Place(network or world.chain.network, address)
    return flow.create(
        world.parts,
        RefundRequest(
            payment_intent=what.id if isinstance(what, PaymentIntent) else None,
            payin=what.id if isinstance(what, PayIn) else None,
            amount=amount,
            coin=coin,
            destination=place,
            claim_hash=claim_hash,
            fee_mode=fee_mode,
        ),
        identifier=identifier or new_id("re"),
        account_id=what.account_id or world.account,
        livemode=False,
    )


def refund_now(world: World, row: Refund) -> Refund:
    """A refund's row as it stands."""
    with world.database.begin() as connection:
        found = store.find(connection, row.id, account_id=None, livemode=False)
    assert found is not None
    return found


def claim(
    world: World,
    address: str = PAYER,
    *,
    network: str | None = None,
    token_hash: str = CLAIM,
    confirm: bool = True,
) -> Claim:
    """The payer says where to."""
    with world.database.begin() as connection:
        return claims.give(
            connection,
            token_hash,
            Place(network or world.chain.network, address),
            now=world.clock(),
            confirm=confirm,
        )


def cancel(world: World, row: Refund) -> Refund:
    """Call a refund off as its merchant."""
    with world.database.begin() as connection:
        return flow.cancel(
            connection, row.id, account_id=row.account_id, livemode=False, now=world.clock()
        )


def refunded(world: World, intent: PaymentIntent) -> int:
    """What the payment intent says was refunded, in its own unit."""
    return world.refresh(intent).amount_refunded
