"""What a figure was measured on: cores, and how busy the machine was before the measurement."""

import os
import time
from pathlib import Path
from typing import Any

SAMPLE_SECONDS = 0.5
# Columns of /proc/stat in which a core does nothing: idle and iowait (proc(5)).
_IDLE_COLUMNS = (3, 4)


def describe_machine() -> dict[str, Any]:
    """Cores, and the percentage of them that others use; None where /proc is missing."""
    before = _ticks()
    time.sleep(SAMPLE_SECONDS)
    after = _ticks()
    background: int | None = None
    if before is not None and after is not None:
        total, idle = after[0] - before[0], after[1] - before[1]
        background = 100 * (total - idle) // total if total else 0
    return {"cores": os.cpu_count(), "background_cpu_percent": background}


def _ticks() -> tuple[int, int] | None:
    """Clock ticks since boot, of all cores: all, and idle."""
    try:
        line = Path("/proc/stat").read_text().splitlines()[0]
    except OSError:
        return None
    columns = [int(column) for column in line.split()[1:9]]
    return sum(columns), sum(columns[place] for place in _IDLE_COLUMNS)
