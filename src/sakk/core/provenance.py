"""Provenance: what a screening rule reads out of an exposure.

Shares are millionths of all that the address received (for a pay-in's sender) or sent (for a
payout's receiver), rounded up. `sakk.core.exposure` says what an exposure is and divides exactly.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from sakk.core.exposure import PPM, Exposure, Path, ppm


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule found: the evidence that its reason shows."""

    category: str = ""
    list: str | None = None
    version: int = 0
    entity: str | None = None
    path: tuple[str, ...] = ()
    share_ppm: int | None = None
    units: int | None = None
    detail: str | None = None


def exposed(
    exposure: Exposure,
    categories: Collection[str],
    *,
    share_min_ppm: int,
    via: Literal["any", "direct", "indirect"],
) -> Found | None:
    """Do these categories have so much of the money: over one transfer, over several, or either?"""
    parts = [part for part in exposure.parts if part.category in categories]
    match via:
        case "direct":
            units = sum(part.direct_units for part in parts)
        case "indirect":
            units = sum(part.units - part.direct_units for part in parts)
        case "any":
            units = sum(part.units for part in parts)
    share = ppm(units, exposure.total_units)
    if not units or share < share_min_ppm:
        return None
    heaviest = max(parts, key=lambda part: part.units).category
    return _led_to(exposure, heaviest, share=share, units=units)


def unresolved(exposure: Exposure, *, share_min_ppm: int) -> Found | None:
    """Is so much unknown? An address of which the graph knows no transfer is unknown whole."""
    share = exposure.unknown_ppm if exposure.total_units else PPM
    if share < share_min_ppm:
        return None
    detail = f"{exposure.unknown_units} of {exposure.total_units} units lead to nothing known"
    return Found(category="unknown", share_ppm=share, units=exposure.unknown_units, detail=detail)


def near(exposure: Exposure, category: str, *, share_min_ppm: int, hops_max: int) -> Found | None:
    """Is a category that near, with so much of the money?"""
    units = exposure.units_of([category])
    share = ppm(units, exposure.total_units)
    nearest = min(
        (len(path.hops) for path in exposure.paths if path.category == category), default=None
    )
    if nearest is None or nearest > hops_max or share < share_min_ppm:
        return None
    return _led_to(exposure, category, share=share, units=units, hops_max=hops_max)


def _led_to(
    exposure: Exposure, category: str, *, share: int, units: int, hops_max: int | None = None
) -> Found:
    path = _heaviest(exposure, category, hops_max)
    return Found(
        category=category,
        list=None if path is None else path.list,
        version=exposure.lists_version,
        entity=None if path is None else path.entity,
        path=() if path is None else tuple(hop.address for hop in path.hops),
        share_ppm=share,
        units=units,
        detail=f"by {exposure.method} at height {exposure.height}",
    )


def _heaviest(exposure: Exposure, category: str, hops_max: int | None) -> Path | None:
    """The way there that carried most, of those that are short enough."""
    return max(
        (
            path
            for path in exposure.paths
            if path.category == category and (hops_max is None or len(path.hops) <= hops_max)
        ),
        key=lambda path: (path.units, tuple(hop.address for hop in path.hops)),
        default=None,
    )
