"""Refills: a rule funds what is signed, never more, and only when little is left."""

from datetime import UTC, datetime

import pytest

from sakk.core import refill as rules
from sakk.core.errors import ParameterInvalid
from sakk.core.refill import Refill

RULE = Refill(
    id="rfl_1",
    account_id="acct_1",
    livemode=False,
    channel="ch_1",
    mandate="mnd_1",
    below=20,
    up_to=100,
    status="active",
    failure_code=None,
    failures=0,
    retry_at=None,
    created=datetime(2026, 1, 1, tzinfo=UTC),
)


@pytest.mark.parametrize(
    ("ceiling", "funded", "left", "to"),
    [
        (1000, 100, 20, None),  # not below
        (1000, 100, 19, 181),
        (1000, 100, 0, 200),
        (150, 100, 0, 150),  # the agent signed no more
        (100, 100, 0, None),  # all that is signed is funded
    ],
)
def test_what_is_funded(ceiling: int, funded: int, left: int, to: int | None) -> None:
    assert rules.wanted(RULE, ceiling=ceiling, funded=funded, left=left) == to


@pytest.mark.parametrize(("below", "up_to"), [(0, 10), (-1, 10), (11, 10)])
def test_a_rule_that_can_not_be_meant_is_refused(below: int, up_to: int) -> None:
    with pytest.raises(ParameterInvalid):
        rules.check(below, up_to)


def test_a_rule_is_shown() -> None:
    rules.check(10, 10)
    assert rules.public_refill(RULE)["up_to"] == 100
