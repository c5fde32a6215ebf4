"""The API's refunds: of a payment, to an address or to where the payer says by a link."""

from collections.abc import Mapping
from typing import Literal, Unpack

import msgspec

from sakk.client.endpoint import ListOptions, Retrievable, present
from sakk.client.objects import Reference, Resource
from sakk.client.page import Page
from sakk.client.payout import Destination

Reason = Literal["duplicate", "fraudulent", "requested_by_customer"]


class ClaimLink(msgspec.Struct, frozen=True, kw_only=True):
    """Where the payer says where to; ``url`` only in the answer that made the link."""

    expires_at: int
    url: str | None = None


class RefundNextAction(msgspec.Struct, frozen=True, kw_only=True):
    """What a refund waits for."""

    type: str
    claim: ClaimLink | None = None


class Refund(Resource, frozen=True, kw_only=True):
    """Money sent back: ``amount`` in the payment's currency, ``sent_amount`` in the coin's."""

    amount: int
    currency: str
    status: str
    amount_decimal: str | None = None
    asset: str | None = None
    description: str | None = None
    destination: Destination | None = None
    failure_reason: str | None = None
    fee: int | None = None
    fee_decimal: str | None = None
    fee_mode: str | None = None
    fee_returned: int = 0
    network: str | None = None
    next_action: RefundNextAction | None = None
    payin: str | None = None
    payment_intent: Reference = None
    payout: str | None = None
    reason: str | None = None
    sent_amount: int | None = None
    sent_amount_decimal: str | None = None
    sent_currency: str | None = None
    service_fee: int = 0
    token_amount: str | None = None
    tx_hash: str | None = None


class Refunds(Retrievable[Refund]):
    """Money sent back."""

    root = "/v1/refunds"
    kind = Refund

    def create(
        self,
        *,
        payment_intent: str | None = None,
        payin: str | None = None,
        amount: int | None = None,
        currency: str | None = None,
        network: str | None = None,
        address: str | None = None,
        claim_expires_at: int | None = None,
        reason: Reason | None = None,
        description: str | None = None,
        fee_mode: Literal["merchant", "payer"] | None = None,
        refund_application_fee: bool | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Refund:
        """Give back ``amount`` of a payment, all that is left when None, to an address.

        Without ``network`` and ``address`` the answer has a claim link for the payer. ``payin``
        instead of ``payment_intent``: what one transfer left in suspense. ``fee_mode``: who bears
        the fee, where one is charged. ``refund_application_fee``: the platform gives its own back.
        """
        place = present({"network": network, "address": address})
        body = present(
            {
                "payment_intent": payment_intent,
                "payin": payin,
                "amount": amount,
                "currency": currency,
                "destination": place or None,
                "claim_expires_at": claim_expires_at,
                "reason": reason,
                "description": description,
                "fee_mode": fee_mode,
                "refund_application_fee": refund_application_fee,
                "metadata": metadata,
            }
        )
        return self._post(Refund, self.root, body, idempotency_key)

    def update(
        self,
        id: str,
        *,
        metadata: Mapping[str, str | None] | None,
        idempotency_key: str | None = None,
    ) -> Refund:
        """Change the metadata; a key with the value None is removed, None removes all."""
        return self._post(Refund, self._path(id), {"metadata": metadata}, idempotency_key)

    def cancel(self, id: str, *, idempotency_key: str | None = None) -> Refund:
        """Call a refund off before a transaction carries it."""
        return self._post(Refund, self._path(id, "cancel"), {}, idempotency_key)

    def create_claim_link(
        self, id: str, *, claim_expires_at: int | None = None, idempotency_key: str | None = None
    ) -> Refund:
        """A fresh link for a refund that waits for its payer; the one before is void."""
        body = present({"claim_expires_at": claim_expires_at})
        return self._post(Refund, self._path(id, "claim_link"), body, idempotency_key)

    def redirect(
        self, id: str, *, network: str, address: str, idempotency_key: str | None = None
    ) -> Refund:
        """Change where a refund goes, before a transaction carries it; the operator's."""
        body = {"destination": {"network": network, "address": address}}
        return self._post(Refund, self._path(id, "redirect"), body, idempotency_key)

    def list(
        self,
        *,
        payment_intent: str | None = None,
        payin: str | None = None,
        status: str | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[Refund]:
        """Refunds, newest first."""
        query = {"payment_intent": payment_intent, "payin": payin, "status": status, **options}
        return self._list(self.root, Refund, query)
