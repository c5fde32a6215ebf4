"""Wallet proofs: a beneficiary shows by a small transfer that an address is theirs."""

from typing import Annotated, Any, Literal

from pydantic import Field

from sakk.api.context import Context, Document
from sakk.api.parameters import CurrencyCode, Parameters
from sakk.api.payment import expand_payment_intents
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, Shape
from sakk.core import wallet_proof as rules
from sakk.flow import wallet_proof as flow

resource = Resource("wallet_proofs", expands={"payment_intent": expand_payment_intents})


class WalletProofCreate(Parameters):
    """In which currency the small amount is named, and how long it may take."""

    currency: CurrencyCode = "usd"
    seconds: Annotated[
        int | None,
        Field(
            ge=int(rules.TIME_MIN.total_seconds()),
            le=int(rules.TIME_MAX.total_seconds()),
            description="A day by default.",
        ),
    ] = None


class WalletProofShape(Shape):
    """A test transfer that was asked for; the payment intent says where it goes.

    It is `proved` by exactly `amount` from exactly `address`, in time.
    """

    id: str
    object: Literal["wallet_proof"]
    address: str
    amount: Annotated[int, Field(description="In the currency's smallest unit.")]
    beneficiary: str
    created: Created
    currency: str
    expires_at: int
    livemode: Livemode
    payin: str | None
    payment_intent: str | dict[str, Any]
    status: rules.WalletProofStatus


@resource.post(
    "/v1/beneficiaries/{beneficiary}/wallet_proofs",
    returns=WalletProofShape,
    operation="create_wallet_proof",
)
def create(context: Context, beneficiary: str, body: WalletProofCreate) -> Document:
    """Ask for a small, named amount from a beneficiary's address.

    It is paid like any payment, and credited to the account; who can send from the address has
    shown that it is theirs. Expand `payment_intent` for where to send it.
    """
    proof = flow.create(
        context.connection,
        context.catalogue,
        beneficiary,
        currency=body.currency.lower(),
        seconds=body.seconds,
        identifier=context.object_id(rules.PREFIX),
        intent=context.object_id("pi"),
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
        request_id=context.request_id,
    )
    return flow.public(proof)


@resource.get(
    "/v1/wallet_proofs/{wallet_proof}",
    returns=WalletProofShape,
    operation="retrieve_wallet_proof",
)
def retrieve(context: Context, wallet_proof: str) -> Document:
    """Retrieve a test transfer that was asked for."""
    return flow.public(
        flow.find(
            context.connection,
            wallet_proof,
            account_id=context.account_id,
            livemode=context.livemode,
        )
    )
