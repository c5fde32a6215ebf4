"""Breakage as rules: where the law allows it, and what is confirmed."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sakk.core.errors import ParameterInvalid
from sakk.core.gift_card import MINIMUMS
from sakk.core.gift_card_breakage import DAYS_MAX, OWED_FOR_EVER, Breakage, check, digest_of, public

ROW = Breakage(
    id="gbr_1",
    livemode=False,
    country="DE",
    days=30,
    note=None,
    state="proposed",
    proposed_by="per_1",
    created=datetime(2026, 2, 3, tzinfo=UTC),
    decided_by=None,
    decided_at=None,
)


def test_where_the_law_lets_an_issuer_keep_it() -> None:
    for country in MINIMUMS.keys() - OWED_FOR_EVER.keys():
        check(country, DAYS_MAX)
    for country, days in (("US", 0), ("CA", 0), ("FR", 0), ("DE", -1), ("DE", DAYS_MAX + 1)):
        with pytest.raises(ParameterInvalid):
            check(country, days)


def test_a_digest_is_of_what_is_shown() -> None:
    shown = public(ROW)
    assert (shown["digest"], shown["source"]) == (digest_of(ROW), MINIMUMS["DE"].source)
    for other in ({"days": 31}, {"country": "AT"}, {"note": "x"}, {"proposed_by": "per_2"}):
        assert digest_of(replace(ROW, **other)) != digest_of(ROW)
