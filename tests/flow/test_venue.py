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
            [opened] = flow.open_all(connection, vault)
            assert isinstance(opened, Kraken)
            assert (opened.secret, opened.enabled) == ("c2VjcmV0", True)
            assert "c2VjcmV0" not in repr(opened)
            flow.set_enabled(connection, "main", enabled=False, now=now())
            [opened] = flow.open_all(connection, vault)
            assert isinstance(opened, Kraken)
            assert not opened.enabled
            with pytest.raises(ResourceMissing):
                flow.set_enabled(connection, "other", enabled=True, now=now())
            for number in range(1, VENUES_MAX):
                flow.put(connection, vault, **{**WANTED, "name": f"v{number}"}, now=now())
            with pytest.raises(ParameterInvalid, match="At most"):
                flow.put(connection, vault, **{**WANTED, "name": "more"}, now=now())
            assert len(store.list_all(connection)) == VENUES_MAX
    finally:
        database.close()
