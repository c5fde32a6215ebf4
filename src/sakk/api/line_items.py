"""Line items: what is bought, as Stripe's client sends it for sessions and payment links."""

from typing import Annotated, Literal

from pydantic import Field

from sakk.api.context import Document, Listing
from sakk.api.parameters import Amount, CurrencyCode, LongText, ShortText, Strict
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Shape
from sakk.core.checkout_session import LINES_MAX, Line
from sakk.core.errors import ParameterInvalid

QUANTITY_MAX = 1_000_000


class ProductData(Strict):
    """What it is called."""

    name: ShortText
    description: LongText | None = None


class CustomAmount(Strict):
    """The payer says how much: within bounds, beginning with what is proposed."""

    enabled: bool
    minimum: Amount | None = None
    maximum: Amount | None = None
    preset: Amount | None = None


class PriceData(Strict):
    """What one of it costs, in the currency's smallest unit."""

    currency: CurrencyCode
    product_data: ProductData
    unit_amount: Amount | None = None
    custom_unit_amount: CustomAmount | None = None


class LineItem(Strict):
    """One thing that is bought."""

    price_data: PriceData
    quantity: Annotated[int, Field(ge=1, le=QUANTITY_MAX)] = 1


LineItems = Annotated[list[LineItem], Field(min_length=1, max_length=LINES_MAX)]


class ItemShape(Shape):
    """One line of what is bought."""

    id: str
    object: Literal["item"]
    amount_subtotal: int
    amount_total: int
    created: Created
    currency: str
    description: str
    livemode: Livemode
    metadata: ObjectMetadata
    quantity: int
    unit_amount: int


def read_lines(items: list[LineItem]) -> tuple[list[Line], str]:
    """Lines of a fixed price and their one currency; ParameterInvalid."""
    currency = currency_of(items)
    lines = []
    for number, item in enumerate(items):
        price = item.price_data
        if price.unit_amount is None or price.custom_unit_amount is not None:
            raise ParameterInvalid(
                "Give unit_amount: only a payment link of one line lets the payer choose.",
                param=f"line_items[{number}][price_data][unit_amount]",
            )
        lines.append(Line(price.product_data.name, price.unit_amount, item.quantity))
    return lines, currency


def currency_of(items: list[LineItem]) -> str:
    """The one currency of all lines; ParameterInvalid."""
    currency = items[0].price_data.currency.lower()
    for number, item in enumerate(items):
        if item.price_data.currency.lower() != currency:
            raise ParameterInvalid(
                "All lines have one currency.",
                param=f"line_items[{number}][price_data][currency]",
            )
    return currency


def listed(lines: list[Document]) -> Listing:
    """Lines as a list that has no second page."""
    return Listing(data=lines, has_more=False)
