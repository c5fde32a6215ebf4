"""Breakage: what nobody redeemed of cards that have expired, given back to who issued them.

It is never done by itself: of a country whose law lets an issuer keep it, two persons say after how
many days of a card's expiry. Where the law has it as unclaimed property, or a card never expires,
there is no such policy.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sakk.core.errors import ParameterInvalid
from sakk.core.gift_card import MINIMUMS
from sakk.core.proposal import digest_words

PREFIX: Final = "gbr"
DAYS_MAX: Final = 3_650
NOTE_LENGTH_MAX: Final = 500
# Whose law gives to the state what nobody claims, or lets no card expire.
OWED_FOR_EVER: Final = {
    "CA": "cards may not expire",
    "US": "unclaimed property goes to the states (such as N.Y. Abandoned Property Law)",
}


class BreakageState(StrEnum):
    proposed = "proposed"
    active = "active"
    ended = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakage:
    """A country's policy: so many days after a card's expiry what is left goes to its issuer."""

    id: str
    livemode: bool
    country: str
    days: int
    note: str | None
    state: str
    proposed_by: str
    created: datetime
    decided_by: str | None
    decided_at: datetime | None


def check(country: str, days: int) -> None:
    """ParameterInvalid for a country whose law does not let an issuer keep it, or is not known."""
    if country not in MINIMUMS:
        raise ParameterInvalid(
            "What the law of {country} asks of gift cards is not written down here.",
            param="country",
            country=country,
        )
    if country in OWED_FOR_EVER:
        raise ParameterInvalid(
            "In {country} nobody keeps what is not redeemed: {why}.",
            param="country",
            country=country,
            why=OWED_FOR_EVER[country],
        )
    if not 0 <= days <= DAYS_MAX:
        raise ParameterInvalid("days is 0 to {most}.", param="days", most=DAYS_MAX)


def digest_of(proposal: Breakage) -> str:
    """SHA-256 of what is confirmed."""
    words = (
        "sakk gift card breakage v1",
        proposal.id,
        str(proposal.livemode),
        proposal.country,
        str(proposal.days),
        proposal.proposed_by,
        proposal.created.isoformat(),
        str(proposal.note),
    )
    return digest_words(words)


def public(row: Breakage) -> dict[str, Any]:
    """What commands show of it."""
    return {
        "id": row.id,
        "country": row.country,
        "days": row.days,
        "state": row.state,
        "note": row.note,
        "source": MINIMUMS[row.country].source,
        "proposed_by": row.proposed_by,
        "decided_by": row.decided_by,
        "digest": digest_of(row),
        "livemode": row.livemode,
        "created": int(row.created.timestamp()),
    }
