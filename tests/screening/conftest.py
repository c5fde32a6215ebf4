from collections.abc import Callable
from pathlib import Path

import pytest

from sakk.core.screening import Direction, ScreeningRequest

CLEAN = "0x" + "7e" * 20
SUSPECT = "0x" + "5a" * 20

ListFile = Callable[..., Path]


def request(
    sender: str = SUSPECT, receiver: str = CLEAN, *, network: str = "eip155:84532"
) -> ScreeningRequest:
    return ScreeningRequest(
        subject="pin_1",
        account_id="acct_1",
        livemode=False,
        network=network,
        asset=f"{network}/slip44:60",
        direction=Direction.incoming,
        sender=sender,
        receiver=receiver,
        token_units=25_000_000,
    )


@pytest.fixture
def list_file(tmp_path: Path) -> ListFile:
    """Write a file of a given text or bytes and return its path."""

    def write(content: str | bytes, name: str = "list.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write
