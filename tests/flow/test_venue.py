"""Accounts at exchanges: their secrets are sealed, and their mode never changes."""

from typing import Any

import pytest

from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.router import VENUES_MAX
from sakk.core.venue import VenueKind
from sakk.flow import venue as flow
from sakk.rails.exchange.kraken import Kraken
from sakk.store import venue as store
from sakk.store.database import open_database
from sakk.store.identity import now
from sakk.store.seed import seed_currencies
from sakk.store.vault import KEY_BYTES, Vault

WANTED: dict[str, Any] = {
    "name": "main",
    "kind": VenueKind.kraken,
    "livemode": True,
    "location": None,
    "key": "abcdefgh",
    "secret": "c2VjcmV0",
    "pairs": {"usdt-usd": "USDTZUSD"},
    "fee_ppm": 2_000,
}


def test_an_account_is_sealed_and_opened(database_url: str) -> None:
    database, vault = open_database(database_url), Vault(bytes(KEY_BYTES))
    try:
        with database.begin() as connection:
            seed_currencies(connection)
            made = flow.put(connection, vault, **WANTED, now=now())
            assert made.location == "https://api.kraken.com"
            assert b"c2VjcmV0" not in made.secret
            for changes, param in (
                ({"livemode": False}, "name"),
                ({"kind": VenueKind.binance}, "name"),
                ({"location": "http://127.0.0.1:1"}, "url"),
                ({"pairs": {"xyz-usd": "XYZUSD"}}, "pair"),
            ):
                with pytest.raises(ParameterInvalid) as caught:
                    flow.put(connection, vault, **{**WANTED, **changes}, now=now())
                assert caught.value.param == param
        venues = flow.OpenVenues(database, vault)
        [opened] = venues().values()
        assert isinstance(opened, Kraken)
        assert (opened.secret, opened.enabled) == ("c2VjcmV0", True)
        assert "c2VjcmV0" not in repr(opened)
        # What did not change stays open, with what it knows of its orders.
        assert venues()["main"] is opened
        with database.begin() as connection:
            flow.set_enabled(connection, "main", enabled=False, now=now())
        [opened] = venues().values()
        assert isinstance(opened, Kraken)
        assert not opened.enabled
        # Another vault opens none, and without one there are the simulated ones alone.
        for other in (Vault(bytes([1]) * KEY_BYTES), None):
            assert flow.OpenVenues(database, other)() == {}
        with database.begin() as connection:
            with pytest.raises(ResourceMissing):
                flow.set_enabled(connection, "other", enabled=True, now=now())
            for number in range(1, VENUES_MAX):
                flow.put(connection, vault, **{**WANTED, "name": f"v{number}"}, now=now())
            with pytest.raises(ParameterInvalid, match="At most"):
                flow.put(connection, vault, **{**WANTED, "name": "more"}, now=now())
            assert len(store.list_all(connection)) == VENUES_MAX
        assert len(venues()) == VENUES_MAX
    finally:
        database.close()


def test_another_key_is_another_account_unless_somebody_says_so(database_url: str) -> None:
    database, vault = open_database(database_url), Vault(bytes(KEY_BYTES))
    try:
        with database.begin() as connection:
            seed_currencies(connection)

        def put(key: str, **more: Any) -> tuple[int, dict[int, str]]:
            """Which account it is, and the keys of those before it."""
            with database.begin() as connection:
                made = flow.put(connection, vault, **{**WANTED, "key": key, **more}, now=now())
            opened = venues()["main"]
            assert isinstance(opened, Kraken)
            assert (opened.key, opened.number) == (key, made.number)
            return made.number, {number: each.key for number, each in opened.former.items()}

        venues = flow.OpenVenues(database, vault)
        assert put("first") == (1, {})
        # The same key with another secret is the same; so is one of which a person says so.
        assert put("first", secret="b3RoZXI=") == (1, {})
        assert put("renewed", same_account=True) == (1, {})
        assert put("second") == (2, {1: "renewed"})
        assert put("third") == (3, {1: "renewed", 2: "second"})
        # One that stood here before is itself, and the other is kept.
        assert put("second") == (2, {1: "renewed", 3: "third"})
        assert put("fourth") == (4, {1: "renewed", 2: "second", 3: "third"})
        kept = store.list_keys
        with database.begin() as connection:
            assert all(b"c2VjcmV0" not in each.secret for each in kept(connection))
    finally:
        database.close()
