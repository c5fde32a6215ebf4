"""Who owns in the end, against chains worked by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sakk.core.errors import ParameterInvalid
from sakk.core.ownership import (
    DEPTH_MAX,
    WHOLE_PPM,
    Holding,
    Owner,
    Relation,
    overheld,
    owners_of,
)

OWNER = Relation.owner
PERSONS = {"ann", "bob", "cem"}


def shares(holdings: list[Holding]) -> dict[str, tuple[int, bool]]:
    found = owners_of("firm", holdings, PERSONS)
    return {each.party: (each.share_ppm, each.controls) for each in found.owners}


@pytest.mark.parametrize(
    ("holdings", "expected", "gap"),
    [
        # Held directly; a quarter is enough, and is no control.
        (
            [Holding("ann", "firm", OWNER, 750_000), Holding("bob", "firm", OWNER, 250_000)],
            {"ann": (750_000, True), "bob": (250_000, False)},
            0,
        ),
        # Half of what holds half: a quarter; half is no majority.
        (
            [Holding("top", "firm", OWNER, 500_000), Holding("ann", "top", OWNER, 500_000)],
            {"ann": (250_000, False)},
            750_000,
        ),
        # 51 % of 51 % is a quarter and a bit, and a majority all the way: control.
        (
            [Holding("top", "firm", OWNER, 510_000), Holding("ann", "top", OWNER, 510_000)],
            {"ann": (260_100, True)},
            739_900,
        ),
        # Two chains to one person add up: 0.6 x 0.3 + 0.4 x 0.5.
        (
            [
                Holding("left", "firm", OWNER, 600_000),
                Holding("right", "firm", OWNER, 400_000),
                Holding("ann", "left", OWNER, 300_000),
                Holding("ann", "right", OWNER, 500_000),
            ],
            {"ann": (380_000, False)},
            620_000,
        ),
        # A controller holds nothing and controls; beyond a minority they do not.
        (
            [Holding("ann", "firm", Relation.controller), Holding("bob", "firm", OWNER, 10_000)],
            {"bob": (10_000, False), "ann": (0, True)},
            990_000,
        ),
        (
            [Holding("top", "firm", OWNER, 100_000), Holding("ann", "top", Relation.controller)],
            {"ann": (0, False)},
            1_000_000,
        ),
        # A ring: the firm holds its own holder. It ends, and what circles is nobody's.
        (
            [
                Holding("top", "firm", OWNER, 1_000_000),
                Holding("firm", "top", OWNER, 400_000),
                Holding("ann", "top", OWNER, 600_000),
            ],
            {"ann": (600_000, True)},
            400_000,
        ),
        # Directors and signatories own nothing.
        ([Holding("ann", "firm", Relation.director)], {}, 1_000_000),
        # A third of a third is rounded down, and the gap up.
        (
            [Holding("top", "firm", OWNER, 333_333), Holding("ann", "top", OWNER, 333_333)],
            {"ann": (111_110, False)},
            888_890,
        ),
    ],
)
def test_chains(holdings: list[Holding], expected: dict[str, tuple[int, bool]], gap: int) -> None:
    assert shares(holdings) == expected
    assert owners_of("firm", holdings, PERSONS).unattributed_ppm == gap


def test_beneficial_are_those_with_a_quarter_or_control() -> None:
    found = owners_of(
        "firm",
        [
            Holding("ann", "firm", OWNER, 250_000),
            Holding("bob", "firm", OWNER, 249_999),
            Holding("cem", "firm", Relation.controller),
        ],
        PERSONS,
    )
    assert [each.party for each in found.beneficial()] == ["ann", "cem"]
    assert [each.party for each in found.beneficial(100_000)] == ["ann", "bob", "cem"]
    assert found.owners[0] == Owner("ann", 250_000, False, (("firm", "ann"),))


def test_a_chain_has_an_end() -> None:
    firms = ["firm", *(f"firm{k}" for k in range(DEPTH_MAX))]
    chain = [
        Holding(upper, lower, OWNER, WHOLE_PPM)
        for lower, upper in zip(firms, [*firms[1:], "ann"], strict=True)
    ]
    assert owners_of("firm", chain, PERSONS).owners == ()
    assert shares([*chain[: DEPTH_MAX - 1], Holding("ann", firms[-2], OWNER, WHOLE_PPM)]) == {
        "ann": (WHOLE_PPM, True)
    }


def test_entangled_holdings_are_refused_and_not_followed_for_ever() -> None:
    firms = ["firm", *(f"firm{k}" for k in range(12))]
    every = [Holding(one, other, OWNER, 1) for one in firms for other in firms if one != other]
    with pytest.raises(ParameterInvalid, match=r"More than 10000 chains"):
        owners_of("firm", every, PERSONS)


def test_more_than_the_whole_is_named() -> None:
    holdings = [
        Holding("ann", "firm", OWNER, 600_000),
        Holding("bob", "firm", OWNER, 400_001),
        Holding("ann", "top", OWNER, 1_000_000),
        Holding("bob", "top", Relation.director, 0),
    ]
    assert overheld(holdings) == ["firm"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c", "ann", "bob"]),
            st.sampled_from(["firm", "a", "b", "c"]),
            st.integers(0, 250_000),
        ),
        max_size=12,
        unique_by=lambda each: each[:2],
    )
)
def test_owners_and_gap_are_never_more_than_the_whole(links: list[tuple[str, str, int]]) -> None:
    """At most four holders of a quarter each: nobody is held more than whole."""
    seen: dict[str, int] = {}
    holdings = []
    for holder, held, share in links:
        seen[held] = seen.get(held, 0) + 1
        if seen[held] <= 4:
            holdings.append(Holding(holder, held, OWNER, share))
    found = owners_of("firm", holdings, PERSONS)
    held_ppm = sum(each.share_ppm for each in found.owners)
    assert WHOLE_PPM - len(found.owners) <= held_ppm + found.unattributed_ppm <= WHOLE_PPM + 1
