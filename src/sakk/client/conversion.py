"""The API's conversions: a price is asked for, held for a while, and converted by."""

from collections.abc import Mapping
from typing import Literal, Unpack

from sakk.client.endpoint import Endpoint, ListOptions, Retrievable, present
from sakk.client.objects import Resource
from sakk.client.page import Page

Fixed = Literal["source", "target"]
QuoteStatus = Literal["held", "used", "expired"]


class ConversionQuote(Resource, frozen=True, kw_only=True):
    """A price that is held until `expires_at`, for one conversion."""

    source_currency: str
    source_amount: int
    target_currency: str
    target_amount: int
    expires_at: int
    account: str | None = None
    price: str | None = None
    service_fee: int = 0
    service_fee_decimal: str | None = None
    source_amount_decimal: str | None = None
    spread: int = 0
    spread_decimal: str | None = None
    target_amount_decimal: str | None = None
    usd_cents: int = 0
    ask: str | None = None
    bid: str | None = None
    conversion: str | None = None
    path: tuple[str, ...] = ()
    rated_at: int | None = None
    sources: tuple[str, ...] = ()
    status: str | None = None


class Conversion(Resource, frozen=True, kw_only=True):
    """What one currency became of another, exactly as its quote had promised."""

    source_currency: str
    source_amount: int
    target_currency: str
    target_amount: int
    quote: str
    status: str
    account: str | None = None
    price: str | None = None
    service_fee: int = 0
    service_fee_decimal: str | None = None
    source_amount_decimal: str | None = None
    spread: int = 0
    spread_decimal: str | None = None
    target_amount_decimal: str | None = None
    usd_cents: int = 0
    failure_code: str | None = None


class FxPosition(Resource, frozen=True, kw_only=True):
    """What exchanges left the operator with in a currency."""

    amount: int
    currency: str
    amount_decimal: str | None = None
    usd_cents: int | None = None


class ConversionQuotes(Retrievable[ConversionQuote]):
    """Prices that are held."""

    root = "/v1/conversion_quotes"
    kind = ConversionQuote

    def create(
        self,
        *,
        source_currency: str,
        target_currency: str,
        amount: int,
        fixed: Fixed | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> ConversionQuote:
        """Ask for a price: `amount` of the source, or of the target that is to come out of it."""
        body = present(
            {
                "source_currency": source_currency,
                "target_currency": target_currency,
                "amount": amount,
                "fixed": fixed,
                "metadata": metadata,
            }
        )
        return self._post(ConversionQuote, self.root, body, idempotency_key)

    def list(
        self, *, status: QuoteStatus | None = None, **options: Unpack[ListOptions]
    ) -> Page[ConversionQuote]:
        """The quotes, newest first; those that nobody accepted too."""
        return self._list(self.root, ConversionQuote, {"status": status, **options})


class Conversions(Retrievable[Conversion]):
    """What was converted."""

    root = "/v1/conversions"
    kind = Conversion

    def create(
        self,
        *,
        quote: str,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Conversion:
        """Convert by a quote, at once."""
        body = present({"quote": quote, "metadata": metadata})
        return self._post(Conversion, self.root, body, idempotency_key)

    def list(self, **options: Unpack[ListOptions]) -> Page[Conversion]:
        """The conversions, newest first."""
        return self._list(self.root, Conversion, {**options})


class FxPositions(Endpoint[FxPosition]):
    """What exchanges left open; the operator's alone."""

    root = "/v1/fx_positions"
    kind = FxPosition

    def list(self, **options: Unpack[ListOptions]) -> Page[FxPosition]:
        """One of each currency."""
        return self._list(self.root, FxPosition, {**options})
