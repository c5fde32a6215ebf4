"""Adoptions, as rules: what is beyond the rows goes to suspense."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sakk.core import chart
from sakk.core.adoption import Adoption, differences, postings, public
from sakk.core.chart import TransferCode
from sakk.core.posting import Posting

NATIVE = "eip155:84532/slip44:60"
ADOPTION = Adoption(
    id="ad_1",
    livemode=False,
    network="eip155:84532",
    asset=NATIVE,
    address="0x70997970c51812dc3a010c7d01b50e0d17dc79c8",
    place="deposit",
    token_amount=5,
    block_number=9,
    block_hash="0xab",
    status="requested",
    created=datetime(2026, 1, 2, tzinfo=UTC),
)


@pytest.mark.parametrize(
    ("held", "expected", "found"),
    [
        ({}, {}, {}),
        ({"a": 5}, {"a": 5}, {}),
        ({"a": 5}, {}, {"a": 5}),
        ({"a": 5, "b": 1}, {"a": 3, "b": 1}, {"a": 2}),
        ({"a": 5}, {"a": 7}, {"a": -2}),
    ],
)
def test_differences(held: dict[str, int], expected: dict[str, int], found: dict[str, int]) -> None:
    assert differences(held, expected) == found


@pytest.mark.parametrize("place", ["deposit", "hot"])
def test_it_is_in_custody_and_nobodys(place: chart.Custody) -> None:
    assert postings(replace(ADOPTION, place=place)) == [
        Posting(chart.custody(NATIVE, place), chart.suspense(NATIVE), 5, TransferCode.adopted)
    ]


def test_what_is_shown() -> None:
    shown = public(ADOPTION)
    assert shown["address"] == "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    assert (shown["token_amount"], shown["block_number"]) == ("5", 9)
