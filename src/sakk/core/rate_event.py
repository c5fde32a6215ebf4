"""Events of rates: of sources and pegs, the operator's alone; merchants see what is refused."""

from typing import Final

from sakk.core.event_type import register

RATE_SOURCE_SILENT: Final = register(
    "rate_source", "silent", "A source of rates was not heard for too long.", "operator"
)
RATE_SOURCE_OUTLIER: Final = register(
    "rate_source",
    "outlier",
    "A source says something else than the others, and is left out.",
    "operator",
)
RATE_SOURCE_RECOVERED: Final = register(
    "rate_source", "recovered", "A source of rates counts again.", "operator"
)
PEG_STOPPED: Final = register(
    "peg",
    "stopped",
    "A coin left its peg, or a person stopped it: nothing is converted over it.",
    "operator",
)
PEG_RESUMED: Final = register(
    "peg", "resumed", "A coin was back for long enough, or a person let it go.", "operator"
)
