"""The API's gift cards: what they are worth, and what was moved onto them and off them."""

from collections.abc import Mapping, Sequence
from typing import Literal, Unpack

import msgspec

from sakk.client.endpoint import ListOptions, Retrievable, present
from sakk.client.objects import Resource
from sakk.client.page import Page


class GiftCard(Resource, frozen=True, kw_only=True):
    """A card, as its issuer sees it; `code` stands in the answer that makes it alone."""

    account: str
    amount: int
    balance: int
    currency: str
    status: str
    balance_decimal: str | None = None
    batch: str | None = None
    code: str | None = None
    country: str | None = None
    expires_at: int | None = None
    hint: str | None = None
    redeemable: str | None = None
    replaces: str | None = None


class GiftCardStanding(msgspec.Struct, frozen=True, kw_only=True):
    """What who knows a code may know."""

    object: str
    balance: int
    currency: str
    status: str
    balance_decimal: str | None = None
    expires_at: int | None = None
    issuer: str | None = None
    livemode: bool = False
    redeemable: str | None = None


class GiftCardMovement(Resource, frozen=True, kw_only=True):
    """Money onto a card or off it."""

    account: str
    amount: int
    currency: str
    gift_card: str
    kind: str
    status: str
    amount_decimal: str | None = None
    description: str | None = None
    failure_code: str | None = None
    other: str | None = None
    payment_intent: str | None = None


class GiftCards(Retrievable[GiftCard]):
    """Cards that the account has issued; looked up and redeemed by their code."""

    root = "/v1/gift_cards"
    kind = GiftCard

    def create(
        self,
        *,
        amount: int,
        currency: str,
        redeemable: Literal["issuer", "holder"] | None = None,
        country: str | None = None,
        expires_at: int | None = None,
        active: bool | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> GiftCard:
        """Issue a card, paid from the balance."""
        body = present(
            {
                "amount": amount,
                "currency": currency,
                "redeemable": redeemable,
                "country": country,
                "expires_at": expires_at,
                "active": active,
                "metadata": metadata,
            }
        )
        return self._post(GiftCard, self.root, body, idempotency_key)

    def activate(self, id: str, *, idempotency_key: str | None = None) -> GiftCard:
        """Let a card be redeemed."""
        return self._post(GiftCard, self._path(id, "activate"), {}, idempotency_key)

    def freeze(self, id: str, *, idempotency_key: str | None = None) -> GiftCard:
        """Stop a card that is lost."""
        return self._post(GiftCard, self._path(id, "freeze"), {}, idempotency_key)

    def unfreeze(self, id: str, *, idempotency_key: str | None = None) -> GiftCard:
        """Let a card that was found be redeemed again."""
        return self._post(GiftCard, self._path(id, "unfreeze"), {}, idempotency_key)

    def replace(self, id: str, *, idempotency_key: str | None = None) -> GiftCard:
        """Make another card for a frozen one."""
        return self._post(GiftCard, self._path(id, "replace"), {}, idempotency_key)

    def look_up(self, code: str) -> GiftCardStanding:
        """What is left of a card."""
        return self._post(GiftCardStanding, f"{self.root}/lookup", {"code": code}, None)

    def redeem(
        self,
        *,
        code: str,
        amount: int | None = None,
        description: str | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> GiftCardMovement:
        """Take what is left of a card, or a part, onto the balance."""
        body = present(
            {"code": code, "amount": amount, "description": description, "metadata": metadata}
        )
        return self._post(GiftCardMovement, f"{self.root}/redeem", body, idempotency_key)

    def list(self, *, status: str | None = None, **options: Unpack[ListOptions]) -> Page[GiftCard]:
        """Cards, newest first."""
        return self._list(self.root, GiftCard, {"status": status, **options})


class GiftCardMovements(Retrievable[GiftCardMovement]):
    """What cards moved to and from the account's balance."""

    root = "/v1/gift_card_movements"
    kind = GiftCardMovement

    def refund(
        self, id: str, *, amount: int | None = None, idempotency_key: str | None = None
    ) -> GiftCardMovement:
        """Give a redemption back to its card, or a part of it."""
        body = present({"amount": amount})
        return self._post(GiftCardMovement, self._path(id, "refund"), body, idempotency_key)

    def list(
        self,
        *,
        kind: str | None = None,
        gift_card: str | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[GiftCardMovement]:
        """Movements, newest first."""
        filters = {"kind": kind, "gift_card": gift_card}
        return self._list(self.root, GiftCardMovement, {**filters, **options})


class GiftCardBatch(Resource, frozen=True, kw_only=True):
    """Cards that were issued together."""

    amount: int
    cards: int
    currency: str
    status: str
    active: bool = True
    amount_decimal: str | None = None
    codes_taken_at: int | None = None
    rejected: int = 0


class GiftCardCodes(msgspec.Struct, frozen=True, kw_only=True):
    """The codes of a batch: CSV of gift_card, code, amount, currency, expires_at."""

    object: str
    batch: str
    file: str | None = None
    livemode: bool = False


class GiftCardBatches(Retrievable[GiftCardBatch]):
    """Gift cards by the thousand."""

    root = "/v1/gift_card_batches"
    kind = GiftCardBatch

    def create(
        self,
        *,
        cards: Sequence[Mapping[str, int]],
        currency: str,
        redeemable: Literal["issuer", "holder"] | None = None,
        country: str | None = None,
        expires_at: int | None = None,
        active: bool | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> GiftCardBatch:
        """Issue up to 10,000 cards: `cards` are `{"amount": …, "count": …}`."""
        body = present(
            {
                "cards": [dict(each) for each in cards],
                "currency": currency,
                "redeemable": redeemable,
                "country": country,
                "expires_at": expires_at,
                "active": active,
                "metadata": metadata,
            }
        )
        return self._post(GiftCardBatch, self.root, body, idempotency_key)

    def take_codes(self, id: str, *, idempotency_key: str | None = None) -> GiftCardCodes:
        """The file of a batch's codes, once."""
        return self._post(GiftCardCodes, self._path(id, "codes"), {}, idempotency_key)

    def list(self, **options: Unpack[ListOptions]) -> Page[GiftCardBatch]:
        """Batches, newest first."""
        return self._list(self.root, GiftCardBatch, {**options})
