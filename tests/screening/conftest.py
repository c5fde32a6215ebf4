from collections.abc import Callable
from pathlib import Path

import pytest

from sakk.core.rule import (
    PREFIX,
    Rule,
    RulesState,
    RulesVersion,
    rules_digest,
    rules_document,
)
from sakk.core.screening import Direction, ScreeningRequest
from sakk.store import rule as store
from sakk.store.database import Database
from sakk.store.identity import new_id, now

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


def enact(database: Database, *rules: Rule, livemode: bool = False) -> RulesVersion:
    """Put rules in force, as two people would."""
    with database.begin() as connection:
        base = store.lock_change(connection, livemode=livemode)
        version = RulesVersion(
            id=new_id(PREFIX),
            livemode=livemode,
            number=store.next_number(connection, livemode=livemode),
            state=RulesState.proposed.value,
            rules=rules_document(rules),
            digest=rules_digest(rules),
            note=None,
            base=base,
            proposed_by="per_1",
            decided_by=None,
            created=now(),
            in_force_from=None,
            in_force_to=None,
            closed_at=None,
        )
        store.insert(connection, version)
        store.put_in_force(connection, version, by="per_2", now=now())
    return version


@pytest.fixture
def list_file(tmp_path: Path) -> ListFile:
    """Write a file of a given text or bytes and return its path."""

    def write(content: str | bytes, name: str = "list.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write
