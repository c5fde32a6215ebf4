"""Payouts: money sent out to an address."""

from collections.abc import Mapping
from typing import Any, Literal, Unpack

import msgspec

from sakk.client.endpoint import ListOptions, Retrievable, present
from sakk.client.objects import Reference, Resource
from sakk.client.page import Page


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """Where a payout goes."""

    network: str
    address: str
    bank_account: str | None = None
    beneficiary: str | None = None


class Payout(Resource, frozen=True, kw_only=True):
    """Money sent out to an address."""

    amount: int
    currency: str
    status: str
    destination: Destination
    amount_decimal: str | None = None
    asset: str | None = None
    network: str | None = None
    token_amount: str | None = None
    fee: int | None = None
    fee_mode: str | None = None
    description: str | None = None
    failure_code: str | None = None
    failure_message: str | None = None
    screening: Reference = None
    travel_rule: str | None = None
    tx_hash: str | None = None
    under_review: bool = False
    waits_for: str | None = None
    awaiting_approvals: bool = False
    approvals_needed: int | None = None
    approver_role: str | None = None
    initiator: str | None = None
    policy_version: str | None = None
    rule: str | None = None
    batch: Reference = None
    line: int | None = None
    quote: Reference = None
    reference: str | None = None
    scheduled_at: int | None = None
    service_fee: int = 0
    application: str | None = None
    application_fee_amount: int = 0


class Payouts(Retrievable[Payout]):
    """Money sent out."""

    root = "/v1/payouts"
    kind = Payout

    def create(
        self,
        *,
        amount: int,
        currency: str,
        network: str | None = None,
        address: str | None = None,
        beneficiary: str | None = None,
        fee_mode: Literal["sender", "receiver"] | None = None,
        scheduled_at: int | None = None,
        quote: str | None = None,
        travel_rule: Mapping[str, Any] | None = None,
        application_fee_amount: int | None = None,
        description: str | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Payout:
        """Send ``amount`` smallest units of a coin to an address on a network, or a beneficiary.

        ``scheduled_at``, seconds since 1970: not before then; the money is reserved at once.
        ``quote``: its fee is what is charged. ``travel_rule``: who stands behind the address.
        ``application_fee_amount``: what the platform that asks takes for it, on top.

        If no answer comes, `ConnectionFailedError` carries the key under which the same payout can
        be sent again without paying twice. Raises `BalanceInsufficientError`.
        """
        body = present(
            {
                "amount": amount,
                "currency": currency,
                "destination": present(
                    {"network": network, "address": address, "beneficiary": beneficiary}
                ),
                "fee_mode": fee_mode,
                "scheduled_at": scheduled_at,
                "quote": quote,
                "travel_rule": travel_rule,
                "application_fee_amount": application_fee_amount,
                "description": description,
                "metadata": metadata,
            }
        )
        return self._post(Payout, self.root, body, idempotency_key)

    def cancel(self, id: str, *, idempotency_key: str | None = None) -> Payout:
        """Call a payout off, while nothing is signed."""
        return self._post(Payout, self._path(id, "cancel"), {}, idempotency_key)

    def approve(
        self,
        id: str,
        *,
        digest: str | None = None,
        code: str | None = None,
        signature: str | None = None,
        comment: str | None = None,
        idempotency_key: str | None = None,
    ) -> Payout:
        """Approve a payout that waits, or let one under review go on; the operator's people's.

        ``digest`` is that of what was shown (its explanation). A person proves to be there by a
        fresh one-time ``code``, or by a ``signature`` of the explanation's message.
        """
        body = present({"digest": digest, "code": code, "signature": signature, "comment": comment})
        return self._post(Payout, self._path(id, "approve"), body, idempotency_key)

    def reject(
        self, id: str, *, reason: str | None = None, idempotency_key: str | None = None
    ) -> Payout:
        """Refuse a payout that waits or is under review; the merchant reads the reason."""
        return self._post(
            Payout, self._path(id, "reject"), present({"reason": reason}), idempotency_key
        )

    def list(
        self,
        *,
        status: str | None = None,
        destination: str | None = None,
        beneficiary: str | None = None,
        awaiting_approvals: bool | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[Payout]:
        """Payouts, newest first; ``destination`` is an address."""
        query = {
            "status": status,
            "destination": destination,
            "beneficiary": beneficiary,
            "awaiting_approvals": awaiting_approvals,
            **options,
        }
        return self._list(self.root, Payout, query)
