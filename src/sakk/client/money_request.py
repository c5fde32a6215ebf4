"""The API's requests for money, and bills that are split."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack

import msgspec

from sakk.client.endpoint import ListOptions, Retrievable, present
from sakk.client.objects import Resource
from sakk.client.page import Page


class MoneyRequest(Resource, frozen=True, kw_only=True):
    """One account asks another for money; without an amount the payer chooses it."""

    account: str
    currency: str
    status: str
    amount: int | None = None
    amount_decimal: str | None = None
    amount_paid: int = 0
    amount_released: int = 0
    bill: str | None = None
    expires_at: int | None = None
    note: str | None = None
    payer: str | None = None
    recipient: str | None = None
    reminded_at: int | None = None
    reminders: int = 0


class BillShare(msgspec.Struct, frozen=True, kw_only=True):
    """One share of a bill."""

    money_request: str
    status: str
    amount: int | None = None
    amount_paid: int = 0
    amount_released: int = 0
    payer: str | None = None
    recipient: str | None = None


class Bill(Resource, frozen=True, kw_only=True):
    """A bill that is split: `own_share` and the shares sum to its amount."""

    account: str
    amount: int
    currency: str
    own_share: int
    shares: list[BillShare]
    amount_decimal: str | None = None
    amount_open: int = 0
    amount_paid: int = 0
    note: str | None = None


class MoneyRequestBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Many asked at once."""

    object: str
    data: list[MoneyRequest]
    livemode: bool = False


class MoneyRequests(Retrievable[MoneyRequest]):
    """What accounts ask each other for."""

    root = "/v1/money_requests"
    kind = MoneyRequest

    def create(
        self,
        *,
        payer: str,
        currency: str,
        amount: int | None = None,
        note: str | None = None,
        expires_at: int | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> MoneyRequest:
        """Ask an account, an e-mail address or `@handle` for money."""
        body = present(
            {
                "payer": payer,
                "currency": currency,
                "amount": amount,
                "note": note,
                "expires_at": expires_at,
                "metadata": metadata,
            }
        )
        return self._post(MoneyRequest, self.root, body, idempotency_key)

    def create_many(
        self,
        *,
        payers: Sequence[str],
        currency: str,
        amount: int | None = None,
        note: str | None = None,
        expires_at: int | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> MoneyRequestBatch:
        """Ask many, each for the same: a request for each, or none at all."""
        body = present(
            {
                "payers": list(payers),
                "currency": currency,
                "amount": amount,
                "note": note,
                "expires_at": expires_at,
                "metadata": metadata,
            }
        )
        return self._post(MoneyRequestBatch, "/v1/money_request_batches", body, idempotency_key)

    def pay(
        self, id: str, *, amount: int | None = None, idempotency_key: str | None = None
    ) -> MoneyRequest:
        """Pay what is left of a request, or a part of it."""
        body = present({"amount": amount})
        return self._post(MoneyRequest, self._path(id, "pay"), body, idempotency_key)

    def decline(self, id: str, *, idempotency_key: str | None = None) -> MoneyRequest:
        """Say that the account does not pay it."""
        return self._post(MoneyRequest, self._path(id, "decline"), {}, idempotency_key)

    def cancel(self, id: str, *, idempotency_key: str | None = None) -> MoneyRequest:
        """Call a request off."""
        return self._post(MoneyRequest, self._path(id, "cancel"), {}, idempotency_key)

    def remind(self, id: str, *, idempotency_key: str | None = None) -> MoneyRequest:
        """Remind who is asked."""
        return self._post(MoneyRequest, self._path(id, "remind"), {}, idempotency_key)

    def list(
        self,
        *,
        direction: Literal["outgoing", "incoming"] | None = None,
        status: str | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[MoneyRequest]:
        """Requests that the account made, or is asked by, newest first."""
        filters = {"direction": direction, "status": status}
        return self._list(self.root, MoneyRequest, {**filters, **options})


class Bills(Retrievable[Bill]):
    """Bills that the account has split."""

    root = "/v1/bills"
    kind = Bill

    def create(
        self,
        *,
        amount: int,
        currency: str,
        shares: Sequence[Mapping[str, Any]],
        own_amount: int | None = None,
        own_weight: int | None = None,
        note: str | None = None,
        expires_at: int | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Bill:
        """Split a bill: shares are `{payer, amount}` or `{payer, weight}`."""
        body = present(
            {
                "amount": amount,
                "currency": currency,
                "shares": shares,
                "own_amount": own_amount,
                "own_weight": own_weight,
                "note": note,
                "expires_at": expires_at,
                "metadata": metadata,
            }
        )
        return self._post(Bill, self.root, body, idempotency_key)

    def reassign(
        self,
        id: str,
        *,
        money_request: str,
        payer: str | None = None,
        idempotency_key: str | None = None,
    ) -> Bill:
        """Give what is left of a share to somebody else, or take it on."""
        body = present({"money_request": money_request, "payer": payer})
        return self._post(Bill, self._path(id, "reassign"), body, idempotency_key)

    def list(self, **options: Unpack[ListOptions]) -> Page[Bill]:
        """Bills, newest first."""
        return self._list(self.root, Bill, {**options})
