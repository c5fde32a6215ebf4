"""What a rule reads out of an exposure, with numbers worked by hand.

A thousand units came in: 100 of them over one transfer from a thief and 60 over several, 40 from
two mixers far away, 5 from a sanctioned address, and of 300 nothing is known.
"""

from typing import Any

import pytest

from sakk.core.exposure import Exposure, Hop, Part, Path, Way
from sakk.core.provenance import Found, exposed, near, unresolved

EXPOSURE = Exposure(
    network="eip155:1",
    asset="eip155:1/erc20:0x1",
    address="0xa",
    direction=Way.source,
    total_units=1_000,
    parts=(
        Part("sanctions", 5),
        Part("theft", 160, 100),
        Part("mixer", 40),
        Part("exchange", 495, 495),
    ),
    unknown_units=300,
    height=77,
    paths=(
        Path("theft", "thief", "a list", (Hop("0xb", "0x1"),), 100),
        Path("theft", "other", "a list", (Hop("0xc", "0x2"), Hop("0xd", "0x3")), 600),
        Path("mixer", "m", "a list", (Hop("0xc", "0x2"), Hop("0xe", "0x4")), 10),
        Path("mixer", "m", "a list", (Hop("0xc", "0x2"), Hop("0xe", "0x4"), Hop("0xf", "0x5")), 99),
    ),
    lists_version=9,
)
NOTHING = Exposure(
    network="eip155:1",
    asset="eip155:1/erc20:0x1",
    address="0xa",
    direction=Way.source,
    total_units=0,
    parts=(),
    unknown_units=0,
    height=77,
)


@pytest.mark.parametrize(
    ("categories", "share_min_ppm", "via", "share", "units"),
    [
        (["theft"], 160_000, "any", 160_000, 160),
        (["theft"], 160_001, "any", None, None),
        (["theft"], 100_000, "direct", 100_000, 100),
        (["theft"], 100_001, "direct", None, None),
        (["theft"], 60_000, "indirect", 60_000, 60),
        (["theft"], 60_001, "indirect", None, None),
        (["theft", "ransomware", "mixer"], 200_000, "any", 200_000, 200),
        (["sanctions"], 10_000, "any", None, None),
        (["sanctions"], 5_000, "any", 5_000, 5),
        (["sanctions"], 1, "direct", None, None),
        (["ransomware"], 1, "any", None, None),
    ],
)
def test_exposure(
    categories: list[str], share_min_ppm: int, via: Any, share: int | None, units: int | None
) -> None:
    found = exposed(EXPOSURE, categories, share_min_ppm=share_min_ppm, via=via)
    assert (None if found is None else (found.share_ppm, found.units)) == (
        None if share is None else (share, units)
    )


def test_the_evidence_is_the_heaviest_way() -> None:
    found = exposed(EXPOSURE, ["theft", "mixer"], share_min_ppm=1, via="any")
    assert found == Found(
        category="theft",
        list="a list",
        version=9,
        entity="other",
        path=("0xc", "0xd"),
        share_ppm=200_000,
        units=200,
        detail="by walk at height 77",
    )
    # A part without a way that was kept is evidence too.
    found = exposed(EXPOSURE, ["sanctions"], share_min_ppm=1, via="any")
    assert found is not None
    assert (found.path, found.list, found.entity) == ((), None, None)


@pytest.mark.parametrize(
    ("exposure", "share_min_ppm", "share"),
    [
        (EXPOSURE, 300_000, 300_000),
        (EXPOSURE, 300_001, None),
        # Where the graph is fed and knows no transfer of an address, all of it is unknown.
        (NOTHING, 1_000_000, 1_000_000),
    ],
)
def test_unknown(exposure: Exposure, share_min_ppm: int, share: int | None) -> None:
    found = unresolved(exposure, share_min_ppm=share_min_ppm)
    assert (None if found is None else found.share_ppm) == share


@pytest.mark.parametrize(
    ("exposure", "hops_max", "share_min_ppm", "path"),
    [
        (EXPOSURE, 2, 40_000, ("0xc", "0xe")),
        (EXPOSURE, 3, 40_000, ("0xc", "0xe", "0xf")),
        (EXPOSURE, 1, 40_000, None),
        (EXPOSURE, 2, 40_001, None),
        (NOTHING, 5, 1, None),
    ],
)
def test_a_mixer_or_a_bridge_nearby(
    exposure: Exposure, hops_max: int, share_min_ppm: int, path: tuple[str, ...] | None
) -> None:
    found = near(exposure, "mixer", share_min_ppm=share_min_ppm, hops_max=hops_max)
    assert (None if found is None else found.path) == path
