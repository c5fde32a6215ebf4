from datetime import UTC, datetime, timedelta

import pytest

from sakk.core.errors import ParameterInvalid
from sakk.screening.engine import Engine
from sakk.screening.importers import import_list
from sakk.screening.override import OVERRIDES, allow_address, disallow_address
from sakk.store.database import Database
from sakk.store.identity import now
from sakk.store.label import find_list

from .conftest import SUSPECT, ListFile, request

NETWORK = "eip155:84532"


def verdict(engine: Engine) -> str:
    return engine.screen([request()])[0].verdict


def allow(database: Database, *, expires_at: datetime | None = None, reason: str = "ours") -> None:
    allow_address(
        database,
        network=NETWORK,
        address=SUSPECT.upper().replace("0X", "0x"),
        reason=reason,
        expires_at=expires_at,
        now=now(),
    )


def test_an_override_lets_a_review_pass_until_it_is_taken_back(
    database: Database, list_file: ListFile
) -> None:
    engine = Engine(database)
    import_list(database, list_file(f"address,category\n{SUSPECT},mixer\n"), now=now())
    assert verdict(engine) == "review"
    allow(database)
    (screening,) = engine.screen([request()])
    assert screening.verdict == "clear"
    (reason,) = screening.reasons
    assert (reason.rule, reason.list, reason.entity) == ("known_good", OVERRIDES, "ours")
    assert disallow_address(database, network=NETWORK, address=SUSPECT, now=now())
    assert verdict(engine) == "review"
    assert not disallow_address(database, network=NETWORK, address=SUSPECT, now=now())
    with database.begin() as connection:
        standing = find_list(connection, OVERRIDES)
    assert standing is not None
    assert (standing.row_count, standing.kind, standing.version) == (0, "operator", 3)
    assert engine.replay(screening) == (screening.verdict, screening.reasons)


def test_an_override_never_lets_sanctions_pass(database: Database, list_file: ListFile) -> None:
    import_list(database, list_file(f"address,category\n{SUSPECT},sanctions\n"), now=now())
    allow(database)
    assert verdict(Engine(database)) == "block"


def test_an_override_ends_at_its_expiry(database: Database, list_file: ListFile) -> None:
    engine = Engine(database)
    import_list(database, list_file(f"address,category\n{SUSPECT},mixer\n"), now=now())
    long_ago = now() - timedelta(days=9)
    allow_address(
        database,
        network=NETWORK,
        address=SUSPECT,
        reason="ours",
        expires_at=long_ago + timedelta(days=1),
        now=long_ago,
    )
    assert verdict(engine) == "review"
    allow(database, expires_at=now() + timedelta(days=1))
    assert verdict(engine) == "clear"


def test_nothing_to_take_back(database: Database) -> None:
    assert not disallow_address(database, network=NETWORK, address=SUSPECT, now=now())


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"reason": " "}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"reason": "a\0b"}, "reason"),
        ({"address": "0x12"}, "address"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "expires_at"),
    ],
)
def test_an_override_needs_a_reason_an_address_and_a_future(
    database: Database, changes: dict[str, object], param: str
) -> None:
    arguments: dict[str, object] = {
        "network": NETWORK,
        "address": SUSPECT,
        "reason": "ours",
        "expires_at": None,
        "now": now(),
    }
    with pytest.raises(ParameterInvalid) as caught:
        allow_address(database, **{**arguments, **changes})  # type: ignore[arg-type]
    assert caught.value.param == param
