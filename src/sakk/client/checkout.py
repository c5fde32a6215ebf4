"""Checkout: pages on which payers pay, links that many pay at, tills, and how they look.

session = sakk.checkout_sessions.create(
    line_items=[{"price_data": {"currency": "usd", "unit_amount": 2_500,
                                "product_data": {"name": "A lamp"}}}],
    success_url="https://shop.example/thanks",
)
session.url  # send the payer there
"""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import msgspec

from sakk.client.endpoint import Endpoint, ListOptions, Retrievable, present
from sakk.client.gift_card import GiftCardMovement
from sakk.client.objects import Reference, Resource
from sakk.client.page import Page


class CheckoutSession(Resource, frozen=True, kw_only=True):
    """A page on which one payment intent is paid."""

    amount_total: int
    currency: str
    status: str
    payment_intent: Reference
    payment_status: str = "unpaid"
    url: str | None = None
    amount_subtotal: int | None = None
    amount_total_decimal: str | None = None
    cancel_url: str | None = None
    client_reference_id: str | None = None
    customer: Reference = None
    expires_at: int | None = None
    locale: str | None = None
    mode: str = "payment"
    payment_link: str | None = None
    payment_method_types: tuple[str, ...] = ()
    pos_device: str | None = None
    success_url: str | None = None
    ui_mode: str = "hosted"


class PaymentLink(Resource, frozen=True, kw_only=True):
    """An address that many people pay at; ``amount`` None where each chooses."""

    active: bool
    currency: str
    url: str
    amount: int | None = None
    application: str | None = None
    application_fee_amount: int | None = None
    after_completion: dict[str, Any] | None = None
    custom_unit_amount: dict[str, int | None] | None = None
    inactive_message: str | None = None
    payment_method_types: tuple[str, ...] = ()
    restrictions: dict[str, Any] | None = None


class PosDevice(Resource, frozen=True, kw_only=True):
    """A till. ``pairing_url`` is told once."""

    active: bool
    currency: str
    name: str
    paired_at: int | None = None
    pairing_url: str | None = None
    payment_method_options: dict[str, Any] | None = None


class Branding(msgspec.Struct, frozen=True, kw_only=True):
    """How the account's pages look."""

    object: str = "branding"
    color: str | None = None
    embed_origins: tuple[str, ...] = ()
    logo_url: str | None = None
    support_email: str | None = None
    support_phone: str | None = None
    support_url: str | None = None
    updated: int | None = None


class CheckoutSessions(Retrievable[CheckoutSession]):
    """Pages to be paid on."""

    root = "/v1/checkout/sessions"
    kind = CheckoutSession

    def create(
        self,
        *,
        line_items: Sequence[Mapping[str, Any]],
        success_url: str | None = None,
        cancel_url: str | None = None,
        client_reference_id: str | None = None,
        customer: str | None = None,
        expires_at: int | None = None,
        locale: str | None = None,
        metadata: Mapping[str, str] | None = None,
        payment_intent_data: Mapping[str, Any] | None = None,
        payment_method_options: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> CheckoutSession:
        """Make a page; send the payer to its ``url``."""
        body = present(
            {
                "line_items": [dict(line) for line in line_items],
                "success_url": success_url,
                "cancel_url": cancel_url,
                "client_reference_id": client_reference_id,
                "customer": customer,
                "expires_at": expires_at,
                "locale": locale,
                "metadata": metadata,
                "payment_intent_data": payment_intent_data,
                "payment_method_options": payment_method_options,
            }
        )
        return self._post(CheckoutSession, self.root, body, idempotency_key)

    def apply_gift_card(
        self, id: str, *, code: str, idempotency_key: str | None = None
    ) -> GiftCardMovement:
        """Let a gift card pay what is due, or as much as it has; the rest is paid another way."""
        path = self._path(id, "gift_cards")
        return self._post(GiftCardMovement, path, {"code": code}, idempotency_key)

    def remove_gift_card(
        self, id: str, movement: str, *, idempotency_key: str | None = None
    ) -> CheckoutSession:
        """Take a gift card off again that has not paid yet."""
        path = self._path(id, "gift_cards", movement, "remove")
        return self._post(CheckoutSession, path, {}, idempotency_key)

    def expire(self, id: str, *, idempotency_key: str | None = None) -> CheckoutSession:
        """Call an open one off that nobody has begun to pay."""
        return self._post(CheckoutSession, self._path(id, "expire"), {}, idempotency_key)

    def list(
        self,
        *,
        payment_intent: str | None = None,
        payment_link: str | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[CheckoutSession]:
        """Sessions, newest first."""
        query = {"payment_intent": payment_intent, "payment_link": payment_link, **options}
        return self._list(self.root, CheckoutSession, query)


class PaymentLinks(Retrievable[PaymentLink]):
    """Addresses that many people pay at."""

    root = "/v1/payment_links"
    kind = PaymentLink

    def create(
        self,
        *,
        line_items: Sequence[Mapping[str, Any]],
        after_completion: Mapping[str, Any] | None = None,
        application_fee_amount: int | None = None,
        inactive_message: str | None = None,
        metadata: Mapping[str, str] | None = None,
        payment_method_options: Mapping[str, Any] | None = None,
        restrictions: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> PaymentLink:
        """Make a link; whoever opens its ``url`` begins a session.

        ``application_fee_amount``: what the platform that asks takes of each payment.
        """
        body = present(
            {
                "line_items": [dict(line) for line in line_items],
                "after_completion": after_completion,
                "application_fee_amount": application_fee_amount,
                "inactive_message": inactive_message,
                "metadata": metadata,
                "payment_method_options": payment_method_options,
                "restrictions": restrictions,
            }
        )
        return self._post(PaymentLink, self.root, body, idempotency_key)

    def update(
        self,
        id: str,
        *,
        active: bool | None = None,
        metadata: Mapping[str, str | None] | None = None,
        restrictions: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> PaymentLink:
        """Switch a link on or off, or limit it."""
        body = present({"active": active, "metadata": metadata, "restrictions": restrictions})
        return self._post(PaymentLink, self._path(id), body, idempotency_key)

    def list(
        self, *, active: bool | None = None, **options: Unpack[ListOptions]
    ) -> Page[PaymentLink]:
        """Links, newest first."""
        return self._list(self.root, PaymentLink, {"active": active, **options})


class PosDevices(Endpoint[PosDevice]):
    """Tills: phones that may ask to be paid."""

    root = "/v1/pos_devices"
    kind = PosDevice

    def create(
        self,
        *,
        name: str,
        currency: str,
        metadata: Mapping[str, str] | None = None,
        payment_method_options: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> PosDevice:
        """Set up a till; open its ``pairing_url`` on the phone that becomes it."""
        body = present(
            {
                "name": name,
                "currency": currency,
                "metadata": metadata,
                "payment_method_options": payment_method_options,
            }
        )
        return self._post(PosDevice, self.root, body, idempotency_key)

    def update(
        self,
        id: str,
        *,
        active: bool | None = None,
        name: str | None = None,
        pair: bool | None = None,
        idempotency_key: str | None = None,
    ) -> PosDevice:
        """Switch it off or on, name it, or pair it with another phone."""
        body = present({"active": active, "name": name, "pair": pair})
        return self._post(PosDevice, self._path(id), body, idempotency_key)

    def list(self, **options: Unpack[ListOptions]) -> Page[PosDevice]:
        """Tills, newest first."""
        return self._list(self.root, PosDevice, options)


class Brandings(Endpoint[Resource]):
    """How the account's pages look."""

    root = "/v1/branding"
    kind = Resource

    def retrieve(self) -> Branding:
        """The account's branding."""
        return self._get(Branding, self.root)

    def update(
        self,
        *,
        logo: str | None = None,
        color: str | None = None,
        support_email: str | None = None,
        support_phone: str | None = None,
        support_url: str | None = None,
        embed_origins: Sequence[str] | None = None,
        idempotency_key: str | None = None,
    ) -> Branding:
        """Change what is given; ``logo`` is a PNG in base64."""
        body = present(
            {
                "logo": logo,
                "color": color,
                "support_email": support_email,
                "support_phone": support_phone,
                "support_url": support_url,
                "embed_origins": None if embed_origins is None else list(embed_origins),
            }
        )
        return self._post(Branding, self.root, body, idempotency_key)
