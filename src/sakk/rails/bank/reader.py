"""Files that banks send: which kind one is, and what it says, or why it can not be read.

A file is read whole or not at all. XML goes through `sakk.core.xml`, which refuses document types
and entities; whatever is wrong is an `Unreadable` with the place, and never another exception.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from sakk.core import money
from sakk.core.bank_account import minor_units
from sakk.core.bank_file import FileKind
from sakk.core.bank_statement import TEXT_LENGTH_MAX, UNITS_MAX, ReadStatement
from sakk.core.xml import Node, read_records

CHUNK_BYTES: Final = 1 << 16
AMOUNT_LENGTH_MAX: Final = 24
PAYMENTS_MAX: Final = 200_000
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_KINDS: Final = {
    "BkToCstmrStmt": FileKind.statement,
    "BkToCstmrAcctRpt": FileKind.intraday,
    "CstmrPmtStsRpt": FileKind.status,
    "CstmrCdtTrfInitn": FileKind.orders,
}


class Unreadable(Exception):
    """A file that says nothing that can be believed; with what is wrong, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentStatus:
    """What a status report says of one payment."""

    end_to_end_id: str
    code: str
    reason_code: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """A pain.002: of which message, what it says of all of it, and of payments of it."""

    message_id: str
    code: str | None
    reason_code: str | None = None
    reason: str | None = None
    payments: Sequence[PaymentStatus] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class ReadFile:
    """What a file says."""

    kind: FileKind
    statements: Sequence[ReadStatement] = ()
    reports: Sequence[StatusReport] = ()


def kind_of(content: bytes) -> FileKind:
    """What a file seems to hold, by its beginning; Unreadable where that can not be read."""
    if is_mt940(content):
        return FileKind.mt940
    for node in records(content, frozenset(), marks=frozenset(_KINDS)):
        return _KINDS[node.name]
    return FileKind.unknown


def is_mt940(content: bytes) -> bool:
    """Does it begin as a SWIFT message does, in a block or bare?"""
    head = content[:1024].lstrip(b"\xef\xbb\xbf \r\n\t\x01")
    return head.startswith((b":20:", b"{1:", b"{4:", b"-\r\n:20:", b"-\n:20:"))


def records(
    content: bytes, names: frozenset[str], *, marks: frozenset[str] = frozenset()
) -> Iterator[Node]:
    """The records of an ISO 20022 document; Unreadable."""
    # Its byte order mark says UTF-16, which expat reads by itself; other text by its declaration.
    return read_records(
        (content[place : place + CHUNK_BYTES] for place in range(0, len(content), CHUNK_BYTES)),
        root="Document",
        names=names,
        marks=marks,
        refuse=lambda problem, line: Unreadable(f"line {line}: {problem}"),
    )


def amount_of(text: str, currency: str, line: int) -> int:
    """A decimal amount above zero, or zero, in the currency's smallest unit."""
    if _CURRENCY.fullmatch(currency) is None:
        raise Unreadable(f"line {line}: {currency[:10]!r} is no currency")
    decimals = minor_units(currency.lower())
    try:
        if len(text) > AMOUNT_LENGTH_MAX:
            raise ValueError("too long")
        units = money.parse_decimal(text.removeprefix("+"), decimals)
    except ValueError:
        raise Unreadable(f"line {line}: {text[:30]!r} is no amount of {currency}") from None
    if not 0 <= units <= UNITS_MAX:
        raise Unreadable(f"line {line}: an amount of {text[:30]} is out of range")
    return units


def date_of(text: str, line: int) -> date:
    """A date, of a date or of a time."""
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        raise Unreadable(f"line {line}: {text[:30]!r} is no date") from None


def kept(text: str | None) -> str | None:
    """A text as rows hold it: no NUL, white space folded, not longer than any bank's."""
    if text is None:
        return None
    folded = " ".join(text.replace("\x00", " ").split())[:TEXT_LENGTH_MAX]
    return folded or None
