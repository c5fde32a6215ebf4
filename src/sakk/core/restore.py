"""Restores: a database that is older than what was done with it, brought back in line.

The chain and the signer's log know what the database forgot. Nothing is signed or sent until that
is imported and looked at; what a person has to settle is a finding with a name, and is acknowledged
by that name.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

PREFIX = "rst"
# How many addresses may have been given out since the backup beyond what anybody remembers.
GAP_DEFAULT = 2_000
GAP_MAX = 1_000_000


class RestoreStatus(StrEnum):
    restoring = "restoring"
    finished = "finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """One restore. Indices from ``first_index`` up to, not including, ``next_index`` are skipped.

    ``imported`` counts transactions; ``notes`` are findings from the time when it began.
    """

    id: str
    status: str
    reason: str
    first_index: int
    next_index: int
    imported: int
    notes: list[dict[str, str]]
    acknowledged: list[str]
    finished_at: datetime | None = None
    created: datetime


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person has to see; its name stays the same from one look to the next."""

    code: str
    subject: str
    message: str

    @property
    def name(self) -> str:
        return f"{self.code}:{self.subject}"

    def document(self) -> dict[str, str]:
        return {"code": self.code, "subject": self.subject, "message": self.message}


@dataclass(frozen=True, slots=True)
class Head:
    """How far a journal or a log had come: its newest line and that line's hash, hexadecimal."""

    sequence: int
    hash: str


def head_finding(what: str, kept: Head, *, found: str | None, here: int) -> Finding | None:
    """Does what is here hold what was anchored? ``found``: the hash here at the anchor's line."""
    if here < kept.sequence:
        message = f"ends at line {here}, and line {kept.sequence} was there: it is older, or cut"
        return Finding(f"{what}.behind", str(kept.sequence), f"the {what} {message}")
    if found != kept.hash:
        message = f"line {kept.sequence} of the {what} is another one than was anchored"
        return Finding(f"{what}.differs", str(kept.sequence), message)
    return None


def next_index(*, restored: int, anchored: int | None, gap: int) -> int:
    """The first index that may be given out: beyond all that is remembered, by a gap."""
    return max(restored, anchored or 0) + gap


def open_findings(findings: Iterable[Finding], acknowledged: Sequence[str]) -> list[Finding]:
    """Those that nobody has acknowledged by name, each once."""
    known = set(acknowledged)
    return list({each.name: each for each in findings if each.name not in known}.values())


def public(restore: Restore, *, livemode: bool) -> dict[str, Any]:
    """The operator's object ``restore``."""
    return {
        "id": restore.id,
        "object": "restore",
        "acknowledged": restore.acknowledged,
        "created": int(restore.created.timestamp()),
        "finished_at": (
            None if restore.finished_at is None else int(restore.finished_at.timestamp())
        ),
        "imported": restore.imported,
        "livemode": livemode,
        "metadata": {},
        "notes": restore.notes,
        "reason": restore.reason,
        "skipped_indices": [restore.first_index, restore.next_index],
        "status": restore.status,
    }
