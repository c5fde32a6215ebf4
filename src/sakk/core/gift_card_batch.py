"""Gift cards by the thousand: issued in one call, their codes handed out in one file, once.

``requested → posted``. Each card is paid for by a movement of its own, so that a balance that
covers only some issues those: the others are ``rejected``, and the batch says how many.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sakk.core import money
from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.gift_card import GiftCard

PREFIX: Final = "gcb"
CARDS_MAX: Final = 10_000
LINES_MAX: Final = 200
# A download that broke off may be repeated for so long, and never after.
CODES_AGAIN: Final = timedelta(minutes=10)
COLUMNS: Final = ("gift_card", "code", "amount", "currency", "expires_at")


@dataclass(frozen=True, slots=True)
class Kind:
    """So many cards of one worth."""

    amount: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GiftCardBatch:
    """Cards that were issued together. ``amount``: of all; ``rejected``: how many were not paid.

    ``codes_taken_at``: when the file of codes was first handed out.
    """

    id: str
    account_id: str
    livemode: bool
    cards: int
    rejected: int
    amount: int
    currency: str
    decimals: int
    active: bool
    status: str
    codes_taken_at: datetime | None
    metadata: dict[str, str]
    created: datetime


def check_kinds(kinds: Sequence[Kind]) -> tuple[int, int]:
    """How many cards, and what they are worth together; ParameterInvalid for too many."""
    count = sum(each.count for each in kinds)
    total = sum(each.amount * each.count for each in kinds)
    if count > CARDS_MAX:
        raise ParameterInvalid(
            "At most {most} cards are issued at once.", param="cards", most=CARDS_MAX
        )
    if total > money.UNITS_MAX:
        raise ParameterInvalid("Together that is more than an amount can be.", param="cards")
    return count, total


def check_may_take(batch: GiftCardBatch, *, now: datetime) -> None:
    """UnexpectedState for codes that were handed out, or that are no cards yet."""
    if batch.status != "posted":
        raise UnexpectedState("These cards are being issued. Try again in a moment.")
    if batch.codes_taken_at is not None and now - batch.codes_taken_at > CODES_AGAIN:
        raise UnexpectedState(
            "The codes were handed out once. A card whose code is lost is frozen and replaced."
        )


def file_name(batch: GiftCardBatch) -> str:
    """What the file of a batch's codes is called."""
    return f"{batch.id}.csv"


def write_codes(cards: Sequence[tuple[GiftCard, str]]) -> str:
    """The file of codes: CSV, a card a line. No cell can be a formula."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(COLUMNS)
    for card, code in cards:
        expires = "" if card.expires_at is None else card.expires_at.date().isoformat()
        amount = money.format_decimal(card.amount, card.decimals)
        writer.writerow((card.id, code, amount, card.currency, expires))
    return written.getvalue()


def public(batch: GiftCardBatch) -> dict[str, Any]:
    """The API's object ``gift_card_batch``."""
    taken = batch.codes_taken_at
    return {
        "id": batch.id,
        "object": "gift_card_batch",
        "active": batch.active,
        "amount": batch.amount,
        "amount_decimal": money.format_decimal(batch.amount, batch.decimals),
        "cards": batch.cards,
        "codes_taken_at": None if taken is None else int(taken.timestamp()),
        "created": int(batch.created.timestamp()),
        "currency": batch.currency,
        "livemode": batch.livemode,
        "metadata": batch.metadata,
        "rejected": batch.rejected,
        "status": batch.status,
    }
