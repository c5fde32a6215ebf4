"""Amounts that people type into forms, and the currencies that they choose from."""

from decimal import Decimal, DecimalException

from sqlalchemy import Connection

from sakk.console.visit import Visit
from sakk.core.errors import ParameterInvalid
from sakk.pages.amount import read_amount
from sakk.store import network as networks


def currencies(connection: Connection) -> list[tuple[str, str]]:
    """What may be chosen: pairs of a code and its text."""
    return [(each.currency, each.currency.upper()) for each in networks.list_currencies(connection)]


def units_of(
    visit: Visit, connection: Connection, text: str, currency: str, *, param: str = "amount"
) -> int:
    """What was typed, in the currency's smallest unit; ParameterInvalid names the field."""
    scales = {each.currency: each.decimals for each in networks.list_currencies(connection)}
    if currency not in scales:
        raise ParameterInvalid(visit.words.gettext("Choose one from the list."), param="currency")
    try:
        return read_amount(text, scales[currency])
    except ValueError:
        told = visit.words.gettext("Write an amount, as 12.50.")
        raise ParameterInvalid(told, param=param) from None


def ppm_of(text: str | None, *, param: str) -> int:
    """A percentage that was typed, in parts per million, exactly; ParameterInvalid."""
    try:
        found = Decimal((text or "0").replace(",", ".").removesuffix("%").strip()) * 10_000
    except DecimalException:
        found = Decimal("NaN")
    if not found.is_finite() or found != found.to_integral_value() or not 0 <= found <= 1_000_000:
        raise ParameterInvalid(
            "Write a percentage from 0 to 100, with at most four places.", param=param
        )
    return int(found)
