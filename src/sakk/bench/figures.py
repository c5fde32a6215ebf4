"""Figures: from samples to a line of ``results``."""

from collections.abc import Sequence
from typing import Any

from sakk.core.errors import SakkError


class WrongResult(SakkError):
    """What was measured did not do its job: its speed means nothing."""

    code = "bench_wrong_result"


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that ``percent`` of 100 values do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]


def times(name: str, milliseconds: Sequence[float], *, repeats: int) -> dict[str, Any]:
    """A line for times: ``p99`` is what 99 of 100 of them do not exceed."""
    return _line(
        name,
        "ms",
        percentile(milliseconds, 50),
        percentile(milliseconds, 99),
        repeats=repeats,
    )


def micros(name: str, microseconds: Sequence[float]) -> dict[str, Any]:
    """A line for times of one call each: ``p99`` is what 99 of 100 calls do not exceed."""
    return _line(
        name,
        "µs",
        percentile(microseconds, 50),
        percentile(microseconds, 99),
        repeats=len(microseconds),
    )


def rate(
    name: str, unit: str, values: Sequence[float], *, baselines: Sequence[float] = ()
) -> dict[str, Any]:
    """A line for rates, one value a repeat: ``p99`` is what 99 of 100 repeats reach."""
    return _line(
        name,
        unit,
        percentile(values, 50),
        min(values),
        repeats=len(values),
        baseline=percentile(baselines, 50) if baselines else None,
    )


def cost(name: str, unit: str, values: Sequence[float]) -> dict[str, Any]:
    """A line for what a thing costs, one value a repeat: ``p99`` is the dearest repeat."""
    return _line(name, unit, percentile(values, 50), max(values), repeats=len(values))


def _line(
    name: str,
    unit: str,
    median: float,
    p99: float,
    *,
    repeats: int,
    baseline: float | None = None,
) -> dict[str, Any]:
    return {
        "name": name,
        "unit": unit,
        "median": round(median, 2),
        "p99": round(p99, 2),
        "repeats": repeats,
        "baseline": None if baseline is None else round(baseline, 2),
        "ratio": None if baseline is None else round(median / baseline, 3),
    }
