"""``sakk doctor``."""

import sys

from sakk.cli.open import begin
from sakk.cli.out import Json, console, print_json
from sakk.runtime.doctor import Finding, examine


def doctor(as_json: Json = False) -> None:
    """Say what is misconfigured, and how to mend it; exit 1 if anything is."""
    findings = examine(begin(log_level="error"))
    if as_json:
        print_json([_document(each) for each in findings])
    else:
        for each in findings:
            console.print(f"{'ok  ' if each.ok else 'MEND'}  {each.subject}: {each.message}")
    sys.exit(0 if all(each.ok for each in findings) else 1)


def _document(finding: Finding) -> dict[str, object]:
    return {"ok": finding.ok, "subject": finding.subject, "message": finding.message}
