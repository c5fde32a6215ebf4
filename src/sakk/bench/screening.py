"""``sakk bench screening``: addresses against labels, transfers taken up, and money traced.

Each measure is a function of its own in a file beside this one, and looks afterwards at what it
measured: a wrong answer fails the bench.
"""

from collections.abc import Callable
from typing import Any

from sakk.bench import (
    screening_address,
    screening_decision,
    screening_exposure,
    screening_name,
    screening_rescreen,
)
from sakk.bench.machine import describe_machine

Say = Callable[[str], None]
Line = dict[str, Any]
Measure = Callable[[Say], list[Line]]

# In the order in which they are run and printed.
MEASURES: tuple[Measure, ...] = (
    screening_exposure.streaming,
    screening_exposure.walks,
    screening_address.lookups,
    screening_name.names,
    screening_decision.decisions,
    screening_rescreen.rescreens,
)


def run(*, say: Say = lambda _: None, measures: tuple[Measure, ...] = MEASURES) -> dict[str, Any]:
    """Measure all; the result is an object of ``sakk bench``'s shape."""
    machine = describe_machine()
    return {"machine": machine, "results": [line for each in measures for line in each(say)]}
