"""The treasury's tiers, as rules: what should move."""

import pytest

from sakk.core.treasury import (
    Holding,
    Proposal,
    ProposalKind,
    Target,
    Tier,
    propose,
    public_holding,
)

ASSET = "eip155:84532/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"
OTHER = "eip155:84532/slip44:60"
COLD = "0x" + "c0" * 20
WARM = "0x" + "aa" * 20
TARGET = Target(ASSET, low_units=100, target_units=200, high_units=300)


def standing(hot: int, *, warm: int | None = None, cold: int | None = None) -> list[Holding]:
    found = [Holding(ASSET, Tier.hot, hot), Holding(OTHER, Tier.hot, 10**18)]
    if warm is not None:
        found.append(Holding(ASSET, Tier.warm, warm, WARM, "safe"))
    if cold is not None:
        found.append(Holding(ASSET, Tier.cold, cold, COLD, "bank"))
    return found


@pytest.mark.parametrize(
    ("holdings", "moves"),
    [
        # In the band nothing moves, at either end of it.
        (standing(100, cold=0), []),
        (standing(300, cold=0), []),
        # Too much: back to the middle, to a cold vault before a warm one.
        (standing(301, warm=0, cold=5), [("withdraw", 101, None, COLD)]),
        (standing(301, warm=0), [("withdraw", 101, None, WARM)]),
        (standing(301), [("withdraw", 101, None, None)]),
        # Lacking: of warm first, then of cold, then of the operator.
        (standing(99, warm=500, cold=500), [("supply", 101, WARM, None)]),
        (
            standing(99, warm=1, cold=500),
            [("supply", 1, WARM, None), ("supply", 100, COLD, None)],
        ),
        (
            standing(0, warm=0, cold=50),
            [("supply", 50, COLD, None), ("supply", 150, None, None)],
        ),
        (standing(0), [("supply", 200, None, None)]),
    ],
)
def test_what_should_move(
    holdings: list[Holding], moves: list[tuple[str, int, str | None, str | None]]
) -> None:
    found = propose(TARGET, holdings)
    assert [(each.kind, each.units, each.source, each.destination) for each in found] == [
        (ProposalKind(kind), units, source, destination)
        for kind, units, source, destination in moves
    ]
    assert all(isinstance(each, Proposal) and "are hot" in each.reason for each in found)


def test_what_is_shown_of_an_asset() -> None:
    shown = public_holding(ASSET, TARGET, standing(301, warm=7, cold=5))
    assert shown["balances"] == {"hot": "301", "warm": "7", "cold": "5"}
    assert [each["label"] for each in shown["vaults"]] == ["safe", "bank"]
    assert shown["target"] == {"low": "100", "target": "200", "high": "300"}
    [proposal] = shown["proposals"]
    assert (proposal["kind"], proposal["source"]) == ("withdraw", None)
    bare = public_holding(ASSET, None, standing(0))
    assert (bare["target"], bare["proposals"], bare["vaults"]) == (None, [], [])
    [supply] = public_holding(ASSET, TARGET, standing(99, warm=500))["proposals"]
    assert (supply["kind"], supply["destination"]) == ("supply", None)
