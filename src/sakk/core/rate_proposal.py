"""Proposals of rates: what decides prices is said by one person and confirmed by another.

A proposal stands in the row of the source or peg that it is about. What takes a word away, or stops
more, is one person's to say: a source that is asked no more, a coin that is stopped, a narrower
bound.
"""

import json
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sakk.core.errors import ParameterInvalid
from sakk.core.proposal import digest_words
from sakk.core.rate import Peg
from sakk.core.rate_source import RateSource

SOURCE_FIELDS: Final = ("kind", "location", "pairs", "every_seconds", "age_seconds")
PEG_FIELDS: Final = ("peg", "bound_ppm", "recover_seconds")


class RateChange(StrEnum):
    """What is proposed: other settings, or that a source is asked, or a coin let go."""

    put = "put"
    enable = "enable"
    clear = "clear"


def proposal(
    change: RateChange, wanted: RateSource | Peg | None, *, by: str, livemode: bool, now: datetime
) -> dict[str, Any]:
    """What a row keeps of it until another person has decided."""
    fields = SOURCE_FIELDS if isinstance(wanted, RateSource) else PEG_FIELDS
    return {
        "change": change.value,
        "wanted": None if wanted is None else {name: getattr(wanted, name) for name in fields},
        "by": by,
        "livemode": livemode,
        "at": now.isoformat(),
    }


def takes_two(before: Peg | None, after: Peg) -> bool:
    """Would a coin be stopped later, or let go sooner, than it is now?"""
    return before is not None and (
        after.peg != before.peg
        or after.bound_ppm > before.bound_ppm
        or after.recover_seconds < before.recover_seconds
    )


def digest_of(row: RateSource | Peg) -> str:
    """Of what is confirmed: the proposal, and what it takes the place of."""
    if row.proposal is None:
        raise ParameterInvalid("Nothing is proposed of it.", param="digest")
    is_source = isinstance(row, RateSource)
    name = row.id if isinstance(row, RateSource) else row.currency
    stands = {each: getattr(row, each) for each in (SOURCE_FIELDS if is_source else PEG_FIELDS)}
    stands["on"] = row.enabled if isinstance(row, RateSource) else row.stopped_at is None
    words = ["sakk rate v1", "source" if is_source else "peg", name]
    words += [json.dumps(each, sort_keys=True) for each in (stands, row.proposal)]
    return digest_words(words)
