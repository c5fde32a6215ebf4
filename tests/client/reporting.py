"""The client's calls about reports and files, and what is answered to them."""

from collections.abc import Callable
from typing import Any

from sakk.client import SakkClient
from sakk.client.objects import Resource

from .escrow_calls import shown

FILE = shown(
    "file",
    account="acct_1",
    authority="00",
    filename="fees.csv",
    kind="fees",
    sha256="00",
    signature="00",
    size=7,
    type="csv",
)
REPORT = shown("report", report_type="fees", status="pending", result=FILE)

CALLS: list[tuple[Callable[[SakkClient], Resource], dict[str, Any], str, Any]] = [
    (lambda c: c.reports.retrieve("rpt_1"), REPORT, "GET /v1/reports/rpt_1", None),
    (lambda c: c.files.retrieve("file_1"), FILE, "GET /v1/files/file_1", None),
    (
        lambda c: c.reports.create(report_type="fees", parameters={"tax_ppm": 190_000}),
        REPORT,
        "POST /v1/reports",
        {"report_type": "fees", "parameters": {"tax_ppm": 190_000}},
    ),
    (lambda c: c.reports.cancel("rpt_1"), REPORT, "POST /v1/reports/rpt_1/cancel", {}),
]
LISTS: list[tuple[Callable[[SakkClient], Any], dict[str, Any], str]] = [
    (lambda c: c.reports.list(), REPORT, "/v1/reports"),
    (lambda c: c.files.list(), FILE, "/v1/files"),
]
