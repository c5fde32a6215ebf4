"""Proposals: what one person proposes and another stands for, exactly as it was shown.

What takes two people has one shape: somebody proposes, a digest says all that is decided on,
another person says yes to that digest, and whoever may work on it says no.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from sakk.core.errors import ApprovalStale, SamePerson


def digest_words(words: Iterable[str]) -> str:
    """SHA-256, in hexadecimal, of all that is decided on; the first word says what it is of.

    Each word is a netstring, so that no break within one makes two of it.
    """
    parts = (word.encode() for word in words)
    return sha256(b"".join(b"%d:%b," % (len(part), part) for part in parts)).hexdigest()


@dataclass(frozen=True, slots=True)
class SecondPerson:
    """Who stands for a proposal. ``digest``: of what they were shown.

    ``is_person``: the sandbox's key, which is nobody's, stands for two people.
    """

    name: str
    is_person: bool
    digest: str | None

    def check(
        self,
        *,
        proposed_by: str | None,
        shown: str,
        stale: ApprovalStale,
        same: SamePerson | None = None,
    ) -> None:
        """Raise SamePerson for who proposed it, then ``stale`` for another digest than ``shown``,
        that of what stands there now."""
        if self.name == proposed_by and self.is_person:
            raise same or SamePerson("You proposed this: another person confirms it.")
        if self.digest != shown:
            raise stale
