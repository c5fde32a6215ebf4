"""Accounts at exchanges: written down with a sealed secret, and opened where orders are placed."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from sakk.core import venue as rules
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.router import VENUES_MAX
from sakk.core.venue import VenueAccount, VenueKind
from sakk.core.webhook import check_url
from sakk.rails.exchange.binance import Binance
from sakk.rails.exchange.call import Caller
from sakk.rails.exchange.kraken import Kraken
from sakk.rails.venue import Venue
from sakk.store import network
from sakk.store import venue as store
from sakk.store.vault import Vault

_ADAPTERS: Final = {VenueKind.binance: Binance, VenueKind.kraken: Kraken}


def put(
    connection: Connection,
    vault: Vault,
    *,
    name: str,
    kind: VenueKind,
    livemode: bool,
    location: str | None,
    key: str,
    secret: str,
    pairs: Mapping[str, str],
    fee_ppm: int,
    now: datetime,
) -> VenueAccount:
    """Write an account down, or change it. It is not used with another mode's money, nor is a
    name's mode ever changed. ParameterInvalid."""
    known = {each.name: each for each in store.list_all(connection)}
    before = known.get(name)
    if before is None and len(known) >= VENUES_MAX:
        raise ParameterInvalid(f"At most {VENUES_MAX} venues are compared.", param="name")
    if before is not None and (before.livemode, before.kind) != (livemode, kind):
        raise ParameterInvalid(
            "A venue's kind and mode stay: what it holds is booked by its name. Take another name.",
            param="name",
        )
    place = check_url(location or rules.DEFAULT_ADDRESSES[kind], allow_loopback=not livemode)
    currencies = {each.currency for each in network.list_currencies(connection)}
    missing = {each for pair in pairs for each in pair.split("-")} - currencies
    if missing:
        raise ParameterInvalid(
            f"There is no currency {sorted(missing)[0]!r}. Add it first.", param="pair"
        )
    account = rules.check_account(
        VenueAccount(
            name=name,
            kind=kind.value,
            livemode=livemode,
            location=place.rstrip("/"),
            key=key,
            secret=vault.seal(secret, _owner(name)),
            pairs=dict(pairs),
            fee_ppm=fee_ppm,
            enabled=True,
            created=now if before is None else before.created,
            updated=now,
        )
    )
    _opened(account, vault)
    store.put(connection, account)
    return account


def set_enabled(connection: Connection, name: str, *, enabled: bool, now: datetime) -> VenueAccount:
    """Give an account no more orders, or again. What it was asked for is still asked after."""
    found = next((each for each in store.list_all(connection) if each.name == name), None)
    if found is None:
        raise ResourceMissing(f"No such venue: {name!r}.", param="name")
    changed = replace(found, enabled=enabled, updated=now)
    store.put(connection, changed)
    return changed


def open_all(connection: Connection, vault: Vault) -> list[Venue]:
    """The adapters of all accounts; one that is disabled shows no book."""
    return [_opened(account, vault) for account in store.list_all(connection)]


def _opened(account: VenueAccount, vault: Vault) -> Venue:
    made: Venue = _ADAPTERS[VenueKind(account.kind)](
        name=account.name,
        livemode=account.livemode,
        key=account.key,
        secret=vault.open(account.secret, _owner(account.name)),
        pairs=account.pairs,
        fee_ppm=account.fee_ppm,
        caller=Caller(account.name, account.location),
        enabled=account.enabled,
    )
    return made


def _owner(name: str) -> str:
    return f"venue\x1f{name}"
