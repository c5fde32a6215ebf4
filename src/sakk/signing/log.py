"""The signer's own log: what it signed and refused, appended, hash-chained and fsynced.

One JSON object a line: ``{"sequence", "at", "previous", "entry", "hash"}``; ``hash`` is the SHA-256
of the line without it, so each line pins all before it. A line is durable before its answer leaves.
At opening everything is read again. A last line without its newline was never answered and is cut
off; anything else that does not fit is tampering or a broken disk, and the log does not open.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from sakk.core.errors import Misconfigured, Unavailable
from sakk.signing.files import PRIVATE_MODE, check_directory, check_private, sync_directory

GENESIS: Final = "0" * 64
LINE_BYTES_MAX: Final = 512 * 1024
_HASH_MARK: Final = b',"hash":"'
_HASH_TAIL_BYTES: Final = len(_HASH_MARK) + 64 + len(b'"}')


class OpenedEntry(msgspec.Struct, frozen=True, tag="opened", tag_field="kind"):
    """The log begins: for which keystore."""

    fingerprint: str


class PolicyEntry(msgspec.Struct, frozen=True, tag="policy", tag_field="kind"):
    """From here on this policy file is in force."""

    digest: str


class PaidEntry(msgspec.Struct, frozen=True):
    """One payment of a signed dispersal. Units are decimal digits."""

    intent_id: str
    destination: str
    amount: str
    purpose: str = "payout"


class SignedEntry(msgspec.Struct, frozen=True, tag="signed", tag_field="kind"):
    """An intent was signed: what makes it that intent, and the bytes. Units are decimal digits.

    ``budget``: which day's limit it used, where that is not the asset's or the top-ups'.
    """

    intent_id: str
    attempt: int
    digest: str
    purpose: str
    network: str
    source: str
    nonce: int
    asset: str
    destination: str
    amount: str
    fee_max: str
    raw: str
    hash: str
    explanation: str
    payments: tuple[PaidEntry, ...] = ()
    budget: str = ""


class RefusedEntry(msgspec.Struct, frozen=True, tag="refused", tag_field="kind"):
    """A request was refused."""

    intent_id: str
    attempt: int
    digest: str
    reason: str
    message: str


class DestinationEntry(msgspec.Struct, frozen=True, tag="destination", tag_field="kind"):
    """A new destination was named for the first time: its time lock runs from here."""

    network: str
    destination: str


class DestinationsEntry(msgspec.Struct, frozen=True, tag="destinations", tag_field="kind"):
    """New destinations of one dispersal, named for the first time together."""

    network: str
    destinations: tuple[str, ...]


class FrozenEntry(msgspec.Struct, frozen=True, tag="frozen", tag_field="kind", omit_defaults=True):
    """Signing stopped: all of it, or what fits the network and the asset that are named."""

    reason: str
    freeze: str = ""
    network: str | None = None
    asset: str | None = None


class UnfrozenEntry(
    msgspec.Struct, frozen=True, tag="unfrozen", tag_field="kind", omit_defaults=True
):
    """Signing was allowed again at the signer's own files: one freeze ended, or all."""

    reason: str
    freeze: str | None = None


Entry = (
    OpenedEntry
    | PolicyEntry
    | SignedEntry
    | RefusedEntry
    | DestinationEntry
    | DestinationsEntry
    | FrozenEntry
    | UnfrozenEntry
)


class Place(NamedTuple):
    """Where a line stands in the file, without its newline."""

    offset: int
    length: int


class Replayed(NamedTuple):
    """One line, read and verified: ``at`` is in milliseconds since 1970."""

    place: Place
    at: int
    entry: Entry
    sequence: int
    hash: str


class _Unhashed(msgspec.Struct, frozen=True):
    sequence: int
    at: int
    previous: str
    entry: Entry


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sequence: int
    at: int
    previous: str
    entry: Entry
    hash: str


_line_decoder = msgspec.json.Decoder(_Line)


class SignerLog:
    """An open log, locked against a second signer. Not for use by several threads at once."""

    def __init__(self, path: Path) -> None:
        """Open or create. Misconfigured if open to others or in use. `replay` comes first."""
        check_directory(path.parent)
        created = not path.exists()
        if not created:
            check_private(path)
        self.path = path
        self.sequence = 0
        self.head = GENESIS
        self._end = 0
        self.broken = False
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_MODE)
        try:
            if created:
                sync_directory(path.parent)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise Misconfigured(f"{path} is in use by another signer") from None

    def close(self) -> None:
        """Close the file and let go of its lock; nothing can be written afterwards."""
        if self._file < 0:
            return
        # The number may soon be another file's: it must not be written to by mistake.
        descriptor, self._file, self.broken = self._file, -1, True
        os.close(descriptor)

    def replay(self) -> Iterator[Replayed]:
        """Read and verify every line, and cut off a torn last one; Misconfigured if broken."""
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(0)
            while line := file.readline(LINE_BYTES_MAX):
                if not line.endswith(b"\n"):
                    if len(line) == LINE_BYTES_MAX:
                        raise self._corrupt("a line is too long")
                    # The crash came before its fsync: no answer was given for it.
                    os.ftruncate(self._file, self._end)
                    os.fsync(self._file)
                    return
                yield self._read(line[:-1])

    def append(self, entry: Entry, *, at: int) -> Place:
        """Write one line; it is durable when this returns.

        Unavailable if the disk refuses. After a failed fsync what the disk holds is not known, and
        nothing more is written until the log is opened and read again.
        """
        if self.broken:
            raise Unavailable("the signer's log failed to write: restart the signer")
        bare = msgspec.json.encode(_Unhashed(self.sequence + 1, at, self.head, entry))
        head = hashlib.sha256(bare).hexdigest()
        line = bare[:-1] + _HASH_MARK + head.encode() + b'"}\n'
        if len(line) > LINE_BYTES_MAX:
            raise ValueError(f"a line of the log has at most {LINE_BYTES_MAX} bytes")
        try:
            written = os.pwrite(self._file, line, self._end)
            if written != len(line):
                raise OSError(f"wrote {written} of {len(line)} bytes")
            os.fdatasync(self._file)
        except OSError as error:
            self.broken = True
            raise Unavailable(f"the signer's log cannot be written: {error}") from error
        place = Place(self._end, len(line) - 1)
        self._advance(head, len(line))
        return place

    def read(self, place: Place) -> Replayed:
        """A line that was appended or replayed."""
        line = _line_decoder.decode(os.pread(self._file, place.length, place.offset))
        return Replayed(place, line.at, line.entry, line.sequence, line.hash)

    def hash_at(self, sequence: int) -> str | None:
        """The hash of a line by its number; None if the log ends before it."""
        if not 1 <= sequence <= self.sequence:
            return None
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(0)
            for _ in range(sequence - 1):
                file.readline(LINE_BYTES_MAX)
            return _line_decoder.decode(file.readline(LINE_BYTES_MAX)).hash

    def _read(self, line: bytes) -> Replayed:
        """Check a line against the one before it."""
        try:
            found = _verified(line, sequence=self.sequence + 1, previous=self.head)
        except ValueError as error:
            raise self._corrupt(str(error)) from None
        place = Place(self._end, len(line))
        self._advance(found.hash, len(line) + 1)
        return Replayed(place, found.at, found.entry, found.sequence, found.hash)

    def _advance(self, head: str, length: int) -> None:
        self.sequence += 1
        self.head = head
        self._end += length

    def _corrupt(self, what: str) -> Misconfigured:
        return Misconfigured(
            f"{self.path} is broken after line {self.sequence}: {what}. The signer does not start"
            " on a log that it cannot trust: restore it, and reconcile before signing again"
        )


def read_log(path: Path) -> Iterator[Replayed]:
    """Read and verify a log that is not ours to write: a copy, or one whose signer is running.

    A last line without its newline is left out. Misconfigured where the chain breaks.
    """
    sequence, previous, offset = 0, GENESIS, 0
    with path.open("rb") as file:
        while (line := file.readline(LINE_BYTES_MAX)).endswith(b"\n"):
            try:
                found = _verified(line[:-1], sequence=sequence + 1, previous=previous)
            except ValueError as error:
                raise Misconfigured(f"{path} is broken after line {sequence}: {error}") from None
            place = Place(offset, len(line) - 1)
            yield Replayed(place, found.at, found.entry, found.sequence, found.hash)
            sequence, previous, offset = found.sequence, found.hash, offset + len(line)


def _verified(line: bytes, *, sequence: int, previous: str) -> _Line:
    """A line that follows from the one before it; ValueError says what does not fit."""
    bare = line[:-_HASH_TAIL_BYTES] + b"}"
    head = hashlib.sha256(bare).hexdigest()
    if line[-_HASH_TAIL_BYTES:] != _HASH_MARK + head.encode() + b'"}':
        raise ValueError("the hash does not fit the line")
    found = _line_decoder.decode(line)
    if found.sequence != sequence or found.previous != previous:
        raise ValueError("a line is missing or out of order")
    return found
