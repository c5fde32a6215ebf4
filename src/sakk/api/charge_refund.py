"""Refunds of charges: a payee gives back what a call cost, in one request."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from sakk.api.channel import found
from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import Amount, Identifier, ListParameters, Parameters
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import charge_refund as rules
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.session import NONCE_MAX
from sakk.flow import charge_refund as flow
from sakk.store.charge_refund import charge_refunds
from sakk.store.page import fetch_page

resource = Resource("channels")

Nonce = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,18})$")]


class ChargeRefundCreate(Parameters):
    """Which call, and how much of it: all that is left of it where nothing is said."""

    session: Identifier
    nonce: Nonce
    amount: Amount | None = None


class ChargeRefundListParameters(ListParameters):
    """Which refunds."""


class ChargeRefundShape(Shape):
    """A charge, or a part of one, that was given back."""

    id: str
    object: Literal["charge_refund"]
    amount: int
    amount_decimal: str
    channel: str
    charge: Annotated[str | None, Field(description="The name of a charge by voucher.")]
    created: Created
    currency: str
    dispute: str | None
    livemode: Livemode
    metadata: ObjectMetadata
    nonce: str | None
    payout: Annotated[
        str | None, Field(description="The payout that carries it to its payer's address.")
    ]
    session: str | None
    status: Annotated[
        Literal["requested", "sent", "posted", "rejected", "failed"],
        Field(
            description="`sent` while its payout is on its way; `failed` when that did not arrive."
        ),
    ]
    to: Literal["channel", "payer"]


@resource.post(
    "/v1/channels/{channel}/refunds",
    returns=ChargeRefundShape,
    operation="create_charge_refund",
    two_steps=True,
)
def create(context: Context, channel: str, body: ChargeRefundCreate) -> Document:
    """Give back what a call cost, of which the account was the payee.

    It goes back to the channel, where it can be spent again, and to the payer when that is closed.
    """
    paid = found(context, channel)
    if paid.payee != context.account_id:
        raise ResourceMissing(f"The account is not paid by channel {channel!r}.", param="channel")
    refund = flow.create(
        context.parts,
        paid,
        body.session,
        read_nonce(body.nonce),
        identifier=context.object_id(rules.PREFIX),
        amount=body.amount,
    )
    return rules.public_charge_refund(refund)


@resource.get(
    "/v1/channels/{channel}/refunds",
    returns=Page[ChargeRefundShape],
    operation="list_charge_refunds",
    asks_outside=True,
)
def list_refunds(context: Context, channel: str, query: ChargeRefundListParameters) -> Listing:
    """List what was given back on a channel, newest first."""
    of = found(context, channel)
    with context.database.begin() as connection:
        rows, has_more = fetch_page(
            connection,
            charge_refunds,
            rules.ChargeRefund,
            account_id=None,
            livemode=context.livemode,
            page=query.page(),
            filters=[charge_refunds.c.channel_id == of.id],
        )
    return Listing(data=[rules.public_charge_refund(row) for row in rows], has_more=has_more)


def read_nonce(text: str) -> int:
    """A call's nonce; ParameterInvalid where it can be none's."""
    nonce = int(text)
    if nonce > NONCE_MAX:
        raise ParameterInvalid(f"A nonce is at most {NONCE_MAX}.", param="nonce")
    return nonce
