"""The API's orders at venues, and the policies by which positions are closed; the operator's."""

from typing import Any, Unpack

import msgspec

from sakk.client.endpoint import ListOptions, Retrievable, present
from sakk.client.objects import Resource
from sakk.client.page import Page


class Order(Resource, frozen=True, kw_only=True):
    """Buy or sell ``units`` of ``base`` for ``quote``; ``route`` says why each venue has its part.

    ``expires_at``: until when people may say yes, while it waits for them.
    """

    base: str
    quote: str
    side: str
    status: str
    units: int
    approvals: list[str] = msgspec.field(default_factory=list)
    children: list[dict[str, Any]] = msgspec.field(default_factory=list)
    ended_at: int | None = None
    expires_at: int | None = None
    fee_units: int = 0
    filled_units: int = 0
    limit: str | None = None
    quote_units: int = 0
    reason: str | None = None
    route: dict[str, Any] | None = None
    usd_cents: int = 0


class HedgePolicy(Resource, frozen=True, kw_only=True):
    """When a currency's position is closed; ``proposal`` waits for another person."""

    against: str | None = None
    auto_usd_cents: int | None = None
    digest: str | None = None
    proposal: dict[str, Any] | None = None
    threshold_usd_cents: int | None = None


class Orders(Retrievable[Order]):
    """What closes open positions outside."""

    root = "/v1/orders"
    kind = Order

    def list(self, *, status: str | None = None, **options: Unpack[ListOptions]) -> Page[Order]:
        """Orders, newest first."""
        return self._list(self.root, Order, {"status": status, **options})

    def approve(
        self, id: str, *, code: str | None = None, idempotency_key: str | None = None
    ) -> Order:
        """Say yes to an order that waits for people, with a fresh code."""
        return self._post(
            Order, self._path(id, "approve"), present({"code": code}), idempotency_key
        )

    def cancel(self, id: str, *, idempotency_key: str | None = None) -> Order:
        """Call off an order that waits for people."""
        return self._post(Order, self._path(id, "cancel"), {}, idempotency_key)


class HedgePolicies(Retrievable[HedgePolicy]):
    """When positions are closed; each by its currency."""

    root = "/v1/hedge_policies"
    kind = HedgePolicy

    def list(self, **options: Unpack[ListOptions]) -> Page[HedgePolicy]:
        """The policies, with what is proposed of them."""
        return self._list(self.root, HedgePolicy, {**options})

    def propose(
        self,
        *,
        currency: str,
        against: str,
        threshold_usd_cents: int,
        auto_usd_cents: int = 0,
        note: str | None = None,
        idempotency_key: str | None = None,
    ) -> HedgePolicy:
        """Say when a position is closed; what lets more go by itself waits for another person."""
        body = present(
            {
                "currency": currency,
                "against": against,
                "threshold_usd_cents": threshold_usd_cents,
                "auto_usd_cents": auto_usd_cents,
                "note": note,
            }
        )
        return self._post(HedgePolicy, self.root, body, idempotency_key)

    def confirm(
        self, id: str, *, digest: str, code: str | None = None, idempotency_key: str | None = None
    ) -> HedgePolicy:
        """Confirm what another person proposed, as it was shown."""
        body = present({"digest": digest, "code": code})
        return self._post(HedgePolicy, self._path(id, "confirm"), body, idempotency_key)

    def decline(self, id: str, *, idempotency_key: str | None = None) -> HedgePolicy:
        """Refuse what was proposed, or take it back."""
        return self._post(HedgePolicy, self._path(id, "decline"), {}, idempotency_key)
