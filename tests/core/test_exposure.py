from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sakk.core.exposure import (
    ISSUANCE,
    PART_CATEGORIES,
    BatchKind,
    Exposure,
    Hop,
    Part,
    Path,
    Way,
    carry,
    category_of_labels,
    chain_hash,
    parts_of,
    place_of,
    ppm,
    to_public,
)
from sakk.core.label import Category

NETWORK = "eip155:1"
TETHER = "eip155:1/erc20:0xdac17f958d2ee523a2206206994597c13d831ec7"
ADDRESS = "0x" + "a1" * 20


def exposure(total: int, parts: tuple[Part, ...], unknown: int) -> Exposure:
    return Exposure(NETWORK, TETHER, ADDRESS, Way.source, total, parts, unknown, height=7)


def test_parts_and_the_unknown_sum_to_the_total_or_there_is_no_exposure() -> None:
    with pytest.raises(ValueError, match="sum to the total"):
        exposure(100, (Part("theft", 30),), 69)
    with pytest.raises(ValueError, match="below zero"):
        exposure(100, (Part("theft", 101),), -1)


@pytest.mark.parametrize(
    ("category", "units", "direct"), [("clean", 1, 0), ("theft", 1, 2), ("theft", 1, -1)]
)
def test_a_part_is_of_a_known_category_and_its_direct_units_are_within_it(
    category: str, units: int, direct: int
) -> None:
    with pytest.raises(ValueError):
        Part(category, units, direct)


def test_a_share_is_rounded_up_so_that_something_is_never_nothing() -> None:
    found = exposure(3_000_000, (Part("theft", 1), Part("mixer", 2_000_000)), 999_999)
    assert found.share_ppm(["theft"]) == 1
    assert found.share_ppm(["theft", "mixer"]) == 666_667
    assert found.units_of([Category.mixer]) == 2_000_000
    assert found.unknown_ppm == 333_333
    assert ppm(0, 0) == 0


@pytest.mark.parametrize(
    ("labels", "counts_as"),
    [
        (["exchange", "sanctions"], "sanctions"),
        (["known_good", "exchange"], "exchange"),
        (["other"], None),
        ([], None),
    ],
)
def test_an_address_counts_as_the_worst_of_its_labels(
    labels: list[str], counts_as: str | None
) -> None:
    assert category_of_labels(labels) == counts_as


def test_every_category_but_other_can_be_a_part() -> None:
    assert set(PART_CATEGORIES) == {*Category, ISSUANCE} - {"other"}
    assert [place_of(category) for category in PART_CATEGORIES] == list(range(len(PART_CATEGORIES)))
    assert parts_of({"mixer": 2, "sanctions": 1, "theft": 0}, {"mixer": 1}) == (
        Part("sanctions", 1),
        Part("mixer", 2, 1),
    )


@pytest.mark.parametrize(
    ("units", "weights", "shares"),
    [
        (10, [1, 1, 1], [3, 3, 4]),
        (1, [1, 1, 1], [0, 0, 1]),
        (0, [5, 7], [0, 0]),
        (7, [0, 7, 0], [0, 7, 0]),
    ],
)
def test_division_carries_what_is_left_over(
    units: int, weights: list[int], shares: list[int]
) -> None:
    assert carry(units, weights) == shares


@pytest.mark.parametrize("weights", [[0, 0], [3, -1]])
def test_there_must_be_something_to_divide_by(weights: list[int]) -> None:
    with pytest.raises(ValueError, match="weights"):
        carry(10, weights)


@given(
    st.integers(0, 2**256 - 1),
    st.lists(st.integers(0, 2**256 - 1), min_size=1).filter(lambda weights: sum(weights) > 0),
)
def test_shares_sum_exactly_and_none_is_off_by_one_or_more(units: int, weights: list[int]) -> None:
    shares = carry(units, weights)
    assert sum(shares) == units
    total = sum(weights)
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share * total - units * weight) < total


def test_what_is_shown_holds_whole_units_and_the_evidence() -> None:
    path = Path("theft", "Ronin", "hacks", (Hop(ADDRESS, "0x01"),), 30)
    found = Exposure(
        NETWORK, TETHER, ADDRESS, Way.source, 100, (Part("theft", 30, 30),), 70, 7, (path,), 3
    )
    assert to_public(found) == {
        "object": "exposure",
        "network": NETWORK,
        "asset": TETHER,
        "address": ADDRESS,
        "direction": "source",
        "method": "walk",
        "total_amount": "100",
        "parts": [
            {"category": "theft", "amount": "30", "direct_amount": "30", "share_ppm": 300_000}
        ],
        "unknown_amount": "70",
        "unknown_ppm": 700_000,
        "paths": [
            {
                "category": "theft",
                "entity": "Ronin",
                "list": "hacks",
                "amount": "30",
                "hops": [{"address": ADDRESS, "tx_hash": "0x01"}],
            }
        ],
        "is_cut": False,
        "height": 7,
        "lists_version": 3,
    }


def test_a_batchs_hash_is_of_all_that_it_says() -> None:
    known: dict[str, Any] = {
        "height": 1,
        "kind": BatchKind.followed,
        "blocks": (5, 6),
        "count": 2,
        "payload": b"ab",
    }
    base = chain_hash(b"\x00" * 32, **known)
    others = [
        chain_hash(b"\x01" * 32, **known),
        chain_hash(b"\x00" * 32, **known | {"height": 2}),
        chain_hash(b"\x00" * 32, **known | {"kind": BatchKind.undone}),
        chain_hash(b"\x00" * 32, **known | {"blocks": (5, 7)}),
        chain_hash(b"\x00" * 32, **known | {"count": 3}),
        chain_hash(b"\x00" * 32, **known | {"payload": b"ac"}),
    ]
    assert len({base, *others}) == 7
    assert chain_hash(b"\x00" * 32, **known) == base
