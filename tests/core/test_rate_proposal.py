"""Proposals of rates: which take two people, and what a digest holds."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sakk.core.errors import ParameterInvalid
from sakk.core.rate import Peg
from sakk.core.rate_proposal import RateChange, digest_of, proposal, takes_two
from sakk.core.rate_source import RateSource

NOW = datetime(2026, 11, 27, tzinfo=UTC)
PEG = Peg("usdt", "usd", 10_000, 600, None, None, False, NOW)
PAIRS = [{"base": "usdt", "quote": "usd"}]
SOURCE = RateSource("desk", "csv", "/a", PAIRS, 15, 300, True, "ok", None, None, NOW, NOW)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, PEG, False),
        (PEG, PEG, False),
        (PEG, replace(PEG, bound_ppm=9_999), False),
        (PEG, replace(PEG, bound_ppm=10_001), True),
        (PEG, replace(PEG, recover_seconds=599), True),
        (PEG, replace(PEG, peg="eur"), True),
    ],
)
def test_what_stops_a_coin_later_takes_two(before: Peg | None, after: Peg, expected: bool) -> None:
    assert takes_two(before, after) is expected


def test_a_digest_is_of_what_is_wanted_and_of_what_stands() -> None:
    wider = proposal(
        RateChange.put, replace(PEG, bound_ppm=20_000), by="per_1", livemode=True, now=NOW
    )
    assert wider["wanted"] == {"peg": "usd", "bound_ppm": 20_000, "recover_seconds": 600}
    asked = proposal(RateChange.put, SOURCE, by="per_1", livemode=True, now=NOW)
    again = proposal(RateChange.enable, None, by="per_1", livemode=True, now=NOW)
    digests = [
        digest_of(each)
        for each in (
            replace(PEG, proposal=wider),
            replace(PEG, proposal={**wider, "by": "per_2"}),
            replace(PEG, proposal=wider, bound_ppm=1),
            replace(PEG, proposal=wider, stopped_at=NOW),
            replace(SOURCE, proposal=asked),
            replace(SOURCE, proposal=again),
            replace(SOURCE, proposal=asked, location="/b"),
            replace(SOURCE, proposal=asked, enabled=False),
        )
    ]
    assert len(set(digests)) == len(digests)
    with pytest.raises(ParameterInvalid):
        digest_of(PEG)
