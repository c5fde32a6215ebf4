"""What proves that something is older than what was done with it, and what is left to settle."""

from datetime import UTC, datetime
from typing import Any

import pytest

from sakk.core.restore import (
    Finding,
    Head,
    Restore,
    head_finding,
    next_index,
    open_findings,
    public,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("found", "here", "code"),
    [("aa", 7, None), ("aa", 9, None), (None, 6, "log.behind"), ("bb", 9, "log.differs")],
)
def test_a_head_that_was_kept_is_still_there_or_is_not(
    found: str | None, here: int, code: str | None
) -> None:
    finding = head_finding("log", Head(7, "aa"), found=found, here=here)
    assert (None if finding is None else finding.code) == code
    if finding is not None:
        assert finding.name == f"{code}:7"


@pytest.mark.parametrize(
    ("restored", "anchored", "expected"), [(10, None, 110), (10, 64, 164), (90, 64, 190)]
)
def test_indices_are_skipped_beyond_what_anybody_remembers(
    restored: int, anchored: int | None, expected: int
) -> None:
    assert next_index(restored=restored, anchored=anchored, gap=100) == expected


def test_what_is_acknowledged_by_name_is_open_no_more() -> None:
    one, two = Finding("a", "1", "said so"), Finding("a", "2", "said so")
    again = Finding("a", "1", "said otherwise")
    assert open_findings([one, two, again], ["a:2"]) == [again]
    assert one.document() == {"code": "a", "subject": "1", "message": "said so"}


def make(**fields: Any) -> Restore:
    given: dict[str, Any] = {
        "id": "rst_1",
        "status": "restoring",
        "reason": "drill",
        "first_index": 4,
        "next_index": 9,
        "imported": 2,
        "notes": [],
        "acknowledged": ["a:2"],
        "created": NOW,
    }
    return Restore(**{**given, **fields})


def test_the_object() -> None:
    shown = public(make(), livemode=True)
    assert (shown["status"], shown["finished_at"], shown["skipped_indices"]) == (
        "restoring",
        None,
        [4, 9],
    )
    done = public(make(status="finished", finished_at=NOW), livemode=True)
    assert done["finished_at"] == int(NOW.timestamp())
