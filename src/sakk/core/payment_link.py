"""Payment links: an address that many people pay at, a session each.

The amount is fixed by its lines, or chosen by the payer within bounds: a gift, a shop's counter.
The words are those of Stripe's ``PaymentLink``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sakk.core import money
from sakk.core.errors import ParameterInvalid, UnexpectedState

PREFIX: Final = "plink"
# Sessions of one link that are open at once: each is an address that is watched for ever.
OPEN_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class PaymentLink:
    """One link. ``amount`` None: the payer says how much, within ``amount_min`` and ``amount_max``.

    ``uses_max``: how many sessions may be completed, ``uses`` how many were. ``application``: which
    platform takes what of each payment, as long as it is connected
    (``core.application_fee.Application``).
    """

    id: str
    account_id: str
    livemode: bool
    token_hash: str
    active: bool
    currency: str
    decimals: int
    lines: list[dict[str, Any]]
    amount: int | None
    amount_min: int | None
    amount_max: int | None
    amount_preset: int | None
    networks: list[str] | None
    currencies: list[str] | None
    uses_max: int | None
    uses: int
    success_url: str | None
    message: str | None
    inactive_message: str | None
    metadata: dict[str, str]
    created: datetime
    application: dict[str, Any] | None = None


def page_path(token: str) -> str:
    """Where a link is paid, below the server's public address."""
    return f"/pay/{token}"


def poster_path(token: str) -> str:
    """The page with the link's code, to be printed and put on a counter."""
    return f"/shop/{token}"


def is_usable(link: PaymentLink) -> bool:
    """May somebody begin to pay?"""
    return link.active and (link.uses_max is None or link.uses < link.uses_max)


def require_usable(link: PaymentLink, *, sessions_open: int) -> None:
    """UnexpectedState when nobody may begin to pay now."""
    if not is_usable(link):
        raise UnexpectedState("This payment link is not active, or was used as often as it may be.")
    if sessions_open >= OPEN_MAX:
        raise UnexpectedState(
            f"{OPEN_MAX} payments of this link are open at once. Try again in a few minutes."
        )


def chosen_amount(link: PaymentLink, given: int | None) -> int:
    """What is to be paid; ParameterInvalid for an amount that the link does not take."""
    if link.amount is not None:
        return link.amount
    if given is None:
        raise ParameterInvalid("Say how much you want to pay.", param="amount")
    least, most = link.amount_min or 1, link.amount_max or money.UNITS_MAX
    if not least <= given <= most:
        raise ParameterInvalid(
            f"An amount of this link is {money.format_decimal(least, link.decimals)} to "
            f"{money.format_decimal(most, link.decimals)} {link.currency}.",
            param="amount",
        )
    return given


def check_bounds(
    *, amount_min: int | None, amount_max: int | None, amount_preset: int | None
) -> None:
    """ParameterInvalid when no amount fits them, or the one that is proposed does not."""
    place = "line_items[0][price_data][custom_unit_amount]"
    least, most = amount_min or 1, amount_max or money.UNITS_MAX
    if least > most:
        raise ParameterInvalid(
            "The smallest amount is above the largest.", param=f"{place}[minimum]"
        )
    if amount_preset is not None and not least <= amount_preset <= most:
        raise ParameterInvalid(
            "The amount that is proposed is not within the bounds.", param=f"{place}[preset]"
        )


def public(link: PaymentLink, *, url: str) -> dict[str, Any]:
    """The API's object ``payment_link``."""
    return {
        "id": link.id,
        "object": "payment_link",
        "active": link.active,
        "after_completion": {
            "type": "hosted_confirmation" if link.success_url is None else "redirect",
            "hosted_confirmation": None
            if link.success_url is not None
            else {"custom_message": link.message},
            "redirect": None if link.success_url is None else {"url": link.success_url},
        },
        "amount": link.amount,
        "application": None if link.application is None else link.application["platform"],
        "application_fee_amount": None if link.application is None else link.application["amount"],
        "created": int(link.created.timestamp()),
        "currency": link.currency,
        "custom_unit_amount": None
        if link.amount is not None
        else {
            "maximum": link.amount_max,
            "minimum": link.amount_min,
            "preset": link.amount_preset,
        },
        "inactive_message": link.inactive_message,
        "livemode": link.livemode,
        "metadata": link.metadata,
        "payment_method_types": ["crypto"],
        "restrictions": None
        if link.uses_max is None
        else {"completed_sessions": {"count": link.uses, "limit": link.uses_max}},
        "url": url,
    }


def public_lines(link: PaymentLink) -> Sequence[dict[str, Any]]:
    """The API's objects ``item``: what is bought."""
    return [
        {
            "id": f"li_{link.id.removeprefix(f'{PREFIX}_')}_{number}",
            "object": "item",
            "amount_subtotal": line["amount"] * line["quantity"],
            "amount_total": line["amount"] * line["quantity"],
            "created": int(link.created.timestamp()),
            "currency": link.currency,
            "description": line["name"],
            "livemode": link.livemode,
            "metadata": {},
            "quantity": line["quantity"],
            "unit_amount": line["amount"],
        }
        for number, line in enumerate(link.lines, 1)
    ]
