"""x402 payments: what was paid by HTTP 402's ``exact`` scheme, and what became of it."""

from typing import Literal

from sakk.api.context import Context, Listing
from sakk.api.parameters import Identifier, ListParameters
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core.x402_payment import X402Payment, X402Status, public
from sakk.store import x402_payment as store
from sakk.store.page import fetch_page

resource = Resource("x402_payments")


class X402PaymentListParameters(ListParameters):
    """Which payments."""

    network: Identifier | None = None
    nonce: Identifier | None = None
    status: X402Status | None = None
    tx_hash: Identifier | None = None


class X402PaymentShape(Shape):
    """One signed authorization, carried out at most once; ``payin`` is the credit that it became.

    ``token_amount`` in atomic units. ``resource``: what was paid for, as the payer says it.
    """

    id: str
    object: Literal["x402_payment"]
    account: str | None
    asset: str
    block_number: int | None
    created: Created
    failure_code: str | None
    livemode: Livemode
    metadata: ObjectMetadata
    method: str
    network: str
    nonce: str
    pay_to: str
    payer: str
    payin: str | None
    resource: str | None
    status: str
    token_amount: str
    tx_hash: str | None


@resource.get("/v1/x402_payments", returns=Page[X402PaymentShape], operation="list_x402_payments")
def list_x402_payments(context: Context, query: X402PaymentListParameters) -> Listing:
    """List the payments, newest first: an account's, or all for the operator."""
    columns = store.x402_payments.c
    filters = [
        columns[name] == value
        for name in ("network", "nonce", "status", "tx_hash")
        if (value := getattr(query, name)) is not None
    ]
    rows, has_more = fetch_page(
        context.connection,
        store.x402_payments,
        X402Payment,
        account_id=context.visible_account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    payins = store.payins_of(context.connection, rows)
    return Listing(data=[public(row, payin=payins.get(row.id)) for row in rows], has_more=has_more)
