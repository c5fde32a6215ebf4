"""Events of reports."""

from typing import Final

from sakk.core.event_type import register

REPORT_SUCCEEDED: Final = register(
    "report", "succeeded", "A report is written: its file can be downloaded."
)
REPORT_FAILED: Final = register("report", "failed", "A report could not be written.")
