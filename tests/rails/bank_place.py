"""What was taken from a bank's place, in memory."""

from collections.abc import Sequence


class Memory:
    """As `sakk.store.bank_download.Downloads`, without a database."""

    def __init__(self) -> None:
        self.taken: set[tuple[str, str]] = set()

    def fresh(self, files: Sequence[tuple[str, str]]) -> list[str]:
        return [name for name, version in files if (name, version) not in self.taken]

    def remember(self, name: str, version: str) -> None:
        self.taken.add((name, version))
