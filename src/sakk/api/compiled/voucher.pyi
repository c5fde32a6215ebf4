from collections.abc import Callable, Mapping
from typing import Any

from sakk.core.escrow_channel import EscrowChannel

class Channel:
    """What never changes of a channel that is remembered."""

    def __init__(
        self,
        channel: EscrowChannel,
        accounts: tuple[int, ...],
        unit: int,
        separator: bytes,
        voucher_type: bytes,
        tag: bytes,
    ) -> None: ...

class Asked:
    """A body that was read: ``answer`` or ``fail`` is to be called once."""

    @property
    def records(self) -> bytes: ...
    @property
    def vouchers(self) -> bytes: ...
    @property
    def later(self) -> list[int]: ...
    def answer(self, results: bytes) -> bytes | None: ...
    def fail(self) -> None: ...
    def joined(self, results: list[bytes]) -> bytes: ...

def ask(
    body: bytes,
    named: Mapping[bytes, Any],
    numbered: Mapping[bytes, Any],
    account: str,
    livemode: bool,
    now: float,
    why_not: Callable[[int], int],
) -> Asked | None: ...
