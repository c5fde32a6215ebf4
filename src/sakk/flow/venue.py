"""Accounts at exchanges: written down with a sealed secret, and opened where orders are placed."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

import structlog
from sqlalchemy import Connection

from sakk.core import venue as rules
from sakk.core.errors import Misconfigured, ParameterInvalid, ResourceMissing
from sakk.core.router import VENUES_MAX
from sakk.core.venue import VenueAccount, VenueKey, VenueKind
from sakk.core.webhook import check_url
from sakk.flow.stage import wake
from sakk.rails.exchange.adapter import Adapter
from sakk.rails.exchange.binance import Binance
from sakk.rails.exchange.call import Caller
from sakk.rails.exchange.kraken import Kraken
from sakk.rails.venue import Venue
from sakk.store import network
from sakk.store import venue as store
from sakk.store.database import Database
from sakk.store.vault import Vault

_ADAPTERS: Final[Mapping[VenueKind, type[Adapter]]] = {
    VenueKind.binance: Binance,
    VenueKind.kraken: Kraken,
}
# Those that look at venues, and do so at once when one is written down.
_STAGES: Final = ("order.hedge", "order.route", "order.place")

log = structlog.get_logger(__name__)


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
    same_account: bool = False,
    now: datetime,
) -> VenueAccount:
    """Write an account down, or change it. It is not used with another mode's money, nor is a
    name's mode ever changed. ParameterInvalid.

    Another key is taken for one of another account at the exchange, and the one before it is kept:
    what it placed is still asked after by it. ``same_account``: it is a new key of the same one.
    """
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
    _require_currencies(connection, pairs)
    location = place.rstrip("/")
    former = [each for each in store.list_keys(connection) if each.name == name]
    number = rules.number_of(before, former, key=key, location=location, same_account=same_account)
    account = rules.check_account(
        VenueAccount(
            name=name,
            kind=kind.value,
            livemode=livemode,
            location=location,
            key=key,
            secret=vault.seal(secret, _owner(name)),
            pairs=dict(pairs),
            fee_ppm=fee_ppm,
            enabled=True,
            created=now if before is None else before.created,
            updated=now,
            number=number,
        )
    )
    _opened(account, (), vault)
    if before is not None and before.number != number:
        store.keep_key(connection, rules.kept(before, now))
    store.put(connection, account)
    wake(connection, *_STAGES)
    return account


def _require_currencies(connection: Connection, pairs: Mapping[str, str]) -> None:
    currencies = {each.currency for each in network.list_currencies(connection)}
    missing = {each for pair in pairs for each in pair.split("-")} - currencies
    if missing:
        raise ParameterInvalid(
            f"There is no currency {sorted(missing)[0]!r}. Add it first.", param="pair"
        )


def set_enabled(connection: Connection, name: str, *, enabled: bool, now: datetime) -> VenueAccount:
    """Give an account no more orders, or again. What it was asked for is still asked after."""
    found = next((each for each in store.list_all(connection) if each.name == name), None)
    if found is None:
        raise ResourceMissing("No such venue: {name}.", param="name", name=repr(name))
    changed = replace(found, enabled=enabled, updated=now)
    store.put(connection, changed)
    wake(connection, *_STAGES)
    return changed


class OpenVenues:
    """The venues as they are written down at the moment that they are asked for.

    What is not changed stays open, and remembers when it signed what. ``fixed``: the simulated
    ones. Safe to call from many threads.
    """

    def __init__(
        self, database: Database, vault: Vault | None, fixed: Sequence[Venue] = ()
    ) -> None:
        self._database = database
        self._vault = vault
        self._fixed = {each.name: each for each in fixed}
        self._open: dict[str, tuple[VenueAccount, tuple[VenueKey, ...], Venue]] = {}
        self._lock = threading.Lock()

    def __call__(self) -> dict[str, Venue]:
        if self._vault is None:
            # This machine can not open their secrets.
            return dict(self._fixed)
        with self._database.begin() as connection:
            accounts, keys = store.list_all(connection), store.list_keys(connection)
        with self._lock:
            found = dict(self._fixed)
            for account in accounts:
                former = tuple(each for each in keys if each.name == account.name)
                known = self._open.get(account.name)
                if known is None or known[:2] != (account, former):
                    try:
                        made = _opened(account, former, self._vault)
                    except Misconfigured as error:
                        # Sealed by another vault: its orders wait, and the others' do not.
                        log.error("venue.not_opened", venue=account.name, why=str(error))
                        continue
                    known = self._open[account.name] = (account, former, made)
                found[account.name] = known[2]
            return found


def _opened(account: VenueAccount, former: Sequence[VenueKey], vault: Vault) -> Venue:
    """An account's adapter, with those of the accounts that the name stood for before."""
    made = _adapter(account, vault)
    made.former = {
        each.number: _adapter(
            replace(
                account,
                location=each.location,
                key=each.key,
                secret=each.secret,
                number=each.number,
                enabled=False,
            ),
            vault,
        )
        for each in former
        if each.number != account.number
    }
    return made


def _adapter(account: VenueAccount, vault: Vault) -> Adapter:
    return _ADAPTERS[VenueKind(account.kind)](
        name=account.name,
        livemode=account.livemode,
        key=account.key,
        secret=vault.open(account.secret, _owner(account.name)),
        pairs=account.pairs,
        fee_ppm=account.fee_ppm,
        caller=Caller(account.name, account.location),
        enabled=account.enabled,
        number=account.number,
    )


def _owner(name: str) -> str:
    return f"venue\x1f{name}"
