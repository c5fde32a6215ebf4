"""The way to a bank: files are put out to it, and what it left is taken. Adapters are of this kind.

Whatever is put out is put out again after a crash, under the same name with the same bytes, and
what was taken is taken again until it is said to be done: both must be safe to repeat.
"""

from collections.abc import Sequence
from typing import Final, Protocol

FILES_MAX: Final = 1_000
# A place that has more is not looked through: somebody has to clear it.
LISTED_MAX: Final = 200_000
# Names that tools give to files that they still write.
UNFINISHED: Final = (".part", ".tmp", ".filepart", ".partial", "~")


class BankUnreachable(Exception):
    """A bank's place can not be reached, or does not do as it should; it is tried again."""


class FileTooLarge(Exception):
    """A file that is not taken in, whatever it says; with its name."""


class Taken(Protocol):
    """What was taken from a place that keeps its files, so that nothing is taken twice."""

    def fresh(self, files: Sequence[tuple[str, str]]) -> list[str]:
        """Of files by name and version those that were not taken, in their order."""

    def remember(self, name: str, version: str) -> None:
        """One was taken."""


class BankRail(Protocol):
    """One account's way to its bank."""

    def put(self, name: str, content: bytes) -> None:
        """Put a file out whole or not at all; the same again changes nothing."""

    def list(self) -> list[str]:
        """The names of files that the bank left, whole, the oldest first."""

    def take(self, name: str, *, bytes_max: int) -> bytes:
        """A file's bytes; FileTooLarge as soon as it has more than ``bytes_max``."""

    def done(self, name: str) -> None:
        """A file was taken in, or refused for good: it is not listed again."""

    def close(self) -> None:
        """End whatever is open; the next call opens it again."""
