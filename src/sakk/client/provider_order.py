"""Orders at providers that pay out, and what they ask."""

from base64 import b64encode
from typing import Unpack

import msgspec

from sakk.client.endpoint import ListOptions, Retrievable, present
from sakk.client.objects import Resource
from sakk.client.page import Page


class ProviderQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider asks; ``answer`` is the id of what was answered."""

    id: str
    text: str
    asked_at: int = 0
    wants_file: bool = False
    answer: str | None = None


class ProviderOrder(Resource, frozen=True, kw_only=True):
    """One order at a provider: a payout's."""

    amount: int
    currency: str
    payout: str
    status: str
    account: str | None = None
    amount_decimal: str | None = None
    bank_account: str | None = None
    ended_at: int | None = None
    fee: int = 0
    payment: str | None = None
    provider: str | None = None
    questions: list[ProviderQuestion] = msgspec.field(default_factory=list)
    quote: str | None = None
    quote_expires_at: int | None = None
    reason: str | None = None
    reason_code: str | None = None
    reference: str | None = None
    round: int = 1


class ProviderOrders(Retrievable[ProviderOrder]):
    """What providers carry out; the operator's."""

    root = "/v1/provider_orders"
    kind = ProviderOrder

    def list(
        self,
        *,
        payout: str | None = None,
        status: str | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[ProviderOrder]:
        """The orders, newest first."""
        return self._list(self.root, ProviderOrder, {"payout": payout, "status": status, **options})

    def answer(
        self,
        id: str,
        *,
        question: str,
        text: str,
        file: bytes | None = None,
        file_name: str | None = None,
        idempotency_key: str | None = None,
    ) -> ProviderOrder:
        """Answer what a provider asks; the first answer stands."""
        body = present(
            {
                "question": question,
                "text": text,
                "file": None if file is None else b64encode(file).decode(),
                "file_name": file_name,
            }
        )
        return self._post(ProviderOrder, self._path(id, "answer"), body, idempotency_key)
