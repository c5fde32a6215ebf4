"""The day's limits: what each has used of its last hours, and which limit a signature uses."""

from collections import deque

from sakk.signing.protocol import Purpose
from sakk.signing.rules import Decoded


class Spent:
    """What a budget used in a rolling window; amounts in the budget's own units."""

    def __init__(self, window_ms: int) -> None:
        self._window_ms = window_ms
        self._entries: deque[tuple[int, int]] = deque()
        self._total = 0

    def add(self, at: int, amount: int) -> None:
        self._entries.append((at, amount))
        self._total += amount

    def total(self, now: int) -> int:
        """What counts at ``now``. A clock that went back keeps counting what it had counted."""
        while self._entries and self._entries[0][0] <= now - self._window_ms:
            self._total -= self._entries.popleft()[1]
        return self._total


def beyond(decoded: Decoded, left: int) -> list[str]:
    """The payments of a dispersal for which a budget is too small, taken in their order."""
    beyond = []
    for each in decoded.lines:
        if each.amount > left:
            beyond.append(each.request.intent_id)
        else:
            left -= each.amount
    return beyond


def budget(purpose: Purpose, network: str, asset: str) -> str:
    return f"{network}/topup" if purpose is Purpose.topup else asset


def gas_key(network: str) -> str:
    return f"{network}/gas_key"


def fees(network: str) -> str:
    return f"{network}/fees"
