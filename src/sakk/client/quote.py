"""Quotes: what the network takes for a payout, promised for a while."""

from collections.abc import Mapping
from typing import Unpack

from sakk.client.endpoint import ListOptions, Retrievable, present
from sakk.client.objects import Resource
from sakk.client.page import Page


class Quote(Resource, frozen=True, kw_only=True):
    """A fee in the currency's smallest unit; ``gas_price`` in wei."""

    kind: str
    network: str
    asset: str
    currency: str
    fee: int
    network_fee: int
    expires_at: int
    fee_decimal: str | None = None
    network_fee_decimal: str | None = None
    amount: int | None = None
    service_fee: int | None = None
    service_fee_decimal: str | None = None
    gas: int = 0
    gas_price: str = "0"


class Quotes(Retrievable[Quote]):
    """What a payout would cost."""

    root = "/v1/quotes"
    kind = Quote

    def create(
        self,
        *,
        network: str,
        currency: str,
        amount: int | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Quote:
        """Have a fee promised; name it in a payout's ``quote`` before it expires.

        ``amount``: then what the account's fee schedule charges for just that is promised too.
        """
        body = present(
            {"network": network, "currency": currency, "amount": amount, "metadata": metadata}
        )
        return self._post(Quote, self.root, body, idempotency_key)

    def list(self, **options: Unpack[ListOptions]) -> Page[Quote]:
        """Quotes, newest first."""
        return self._list(self.root, Quote, options)
