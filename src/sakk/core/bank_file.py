"""Bank files: what is told to a bank and by it, byte for byte, each delivered once by its hash.

Going out: ``ready → sent``. The bytes are committed before they are put out, and put out again they
are the same bytes under the same name. What was never tried may be ``withdrawn`` instead, when its
orders go in other files: where some of them are stopped, the rest goes without them.

Coming in: ``received → read``, or ``refused``: a file that can not be read whole is not read at
all, and kept. What a person brings is ``awaiting`` until another has released it by its hash: who
brings a statement says to whom money came, and who brings a refusal that it is back.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sakk.core.errors import ApprovalStale, SamePerson, UnexpectedState
from sakk.core.proposal import SecondPerson

PREFIX: Final = "bf"
# A larger file is not taken in: no bank's statement of a day comes near it.
FILE_BYTES_MAX: Final = 64 << 20
NAME_LENGTH_MAX: Final = 200
REASON_LENGTH_MAX: Final = 500


class Way(StrEnum):
    """Which way a file went."""

    incoming = "in"
    outgoing = "out"


class FileKind(StrEnum):
    """What a file holds."""

    orders = "pain.001"
    status = "pain.002"
    intraday = "camt.052"
    statement = "camt.053"
    mt940 = "mt940"
    unknown = "unknown"


class FileStatus(StrEnum):
    ready = "ready"
    sent = "sent"
    withdrawn = "withdrawn"
    awaiting = "awaiting"
    received = "received"
    read = "read"
    refused = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class BankFile:
    """One file; ``sha256`` of its bytes, which stand in a column of their own.

    ``bank_account``: the operator's own, where it is known before the file is read. ``tried_at``:
    when it was first put out, whatever came of that. ``brought_by``: who brought it by hand, where
    no adapter did, and ``released_by`` who else stands for it.
    """

    id: str
    livemode: bool
    bank_account: str | None
    way: str
    kind: str
    name: str
    sha256: str
    size: int
    status: str
    reason: str | None = None
    done_at: datetime | None = None
    tried_at: datetime | None = None
    brought_by: str | None = None
    released_by: str | None = None
    released_at: datetime | None = None
    attempt: int = 0
    retry_at: datetime | None = None
    failures: int = 0
    lease_token: str | None = None
    lease_until: datetime | None = None
    created: datetime


def safe_name(name: str) -> str:
    """A file's name as it is kept: no path, and nothing that is not printed."""
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(each if each.isprintable() else "_" for each in last)
    return kept[:NAME_LENGTH_MAX] or "unnamed"


def check_awaiting(row: BankFile) -> None:
    """UnexpectedState for a file that waits for nobody."""
    if row.status != FileStatus.awaiting:
        raise UnexpectedState("This file is {status}: it waits for nobody.", status=row.status)


def released(row: BankFile, second: SecondPerson, *, now: datetime) -> BankFile:
    """A file that was brought by hand, as a second person leaves it; SamePerson, ApprovalStale."""
    check_awaiting(row)
    second.check(
        proposed_by=row.brought_by,
        shown=row.sha256,
        stale=ApprovalStale("This is not the file that you were shown.", param="sha256"),
        same=SamePerson("You brought this file: another person releases it."),
    )
    return replace(row, status=FileStatus.received.value, released_by=second.name, released_at=now)


def public(row: BankFile) -> dict[str, Any]:
    """The API's object ``bank_file``."""
    return {
        "id": row.id,
        "object": "bank_file",
        "bank_account": row.bank_account,
        "brought_by": row.brought_by,
        "created": int(row.created.timestamp()),
        "done_at": None if row.done_at is None else int(row.done_at.timestamp()),
        "kind": row.kind,
        "livemode": row.livemode,
        "metadata": {},
        "name": row.name,
        "reason": row.reason,
        "released_at": None if row.released_at is None else int(row.released_at.timestamp()),
        "released_by": row.released_by,
        "sha256": row.sha256,
        "size": row.size,
        "status": row.status,
        "way": row.way,
    }
