"""Checks: what screening would say of an address before anything is asked for.

A check is a screening of its own, recorded like any other and about no transfer; it changes
nothing. It is judged by the lists, rules and facts of this moment, and a withdrawal that is asked
for later is judged again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection

from sakk.core import money
from sakk.core.caip import asset_network
from sakk.core.errors import ParameterInvalid, ParameterMissing, Unavailable
from sakk.core.label import family_of_network, normalise_address
from sakk.core.network import Asset
from sakk.core.screening import CHECK, Direction, Screening, ScreeningRequest
from sakk.flow.context import Parts
from sakk.flow.issuer import ask_issuers
from sakk.store import address as addresses
from sakk.store import beneficiary as beneficiaries
from sakk.store import network as networks
from sakk.store.screening import insert_screenings

NETWORKS_MAX: Final = 20
CHECKS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Check:
    """What is asked. With ``asset``: a withdrawal attempt. Without: a wallet on ``networks``.

    ``amount`` in the smallest unit of the asset's currency; ``account_id`` whose withdrawal it is.
    """

    address: str
    networks: Sequence[str]
    asset: str | None = None
    amount: int | None = None
    account_id: str | None = None


def check(
    parts: Parts, asked: Check, *, livemode: bool, ids: Sequence[str] = ()
) -> list[Screening]:
    """Judge and record: a screening for each token and, for a wallet, each direction.

    ``ids``: of the screenings, so that a repeated request is the same check. Raises
    ParameterInvalid, ParameterMissing, and `Unavailable` where it can not be judged.
    """
    engine = parts.screening_engine()
    now = parts.clock()
    with parts.database.begin() as connection:
        requests = _requests(connection, asked, livemode=livemode)
        wanted = engine.issuer_wanted(connection, requests)
    asking = ask_issuers(parts, wanted)
    if not all(asking.is_answered(each) for each in requests):
        raise Unavailable("A network's node does not answer, so nothing is said. Ask again soon.")
    with parts.database.begin() as connection:
        found = engine.screen(requests, connection=connection, at=now, issuer=asking.answers)
        found = [
            replace(each, id=ids[place]) if place < len(ids) else each
            for place, each in enumerate(found)
        ]
        insert_screenings(connection, found)
    return found


def network_of(asset: str) -> str:
    """The network that an asset is on; ParameterInvalid for what is no asset."""
    try:
        return asset_network(asset)
    except ValueError as error:
        raise ParameterInvalid(f"{error}.", param="asset") from None


def _requests(connection: Connection, asked: Check, *, livemode: bool) -> list[ScreeningRequest]:
    known = {each.network: each for each in networks.list_networks(connection, livemode=livemode)}
    for place, name in enumerate(asked.networks):
        if name not in known:
            raise ParameterInvalid(
                f"{name!r} is not a network here. GET /v1/networks lists them.",
                param=f"networks[{place}]",
            )
    assets = [
        each
        for each in networks.list_assets(connection)
        if each.network in asked.networks and asked.asset in (None, each.asset)
    ]
    if not assets:
        raise ParameterInvalid(
            "No such token is listed on these networks; see `sakk assets list`.", param="asset"
        )
    if asked.amount is not None and asked.asset is None:
        raise ParameterMissing("An amount is of an asset: name it.", param="asset")
    wallet = asked.asset is None
    treasury = [each.address for each in addresses.list_payers(connection)]
    requests = [
        _request(connection, asked, asset, direction, treasury, livemode=livemode)
        for asset in assets
        for direction in (Direction if wallet else (Direction.outgoing,))
    ]
    if len(requests) > CHECKS_MAX:
        raise ParameterInvalid(
            f"These networks have too many tokens for one check ({CHECKS_MAX} at most)."
            " Name an asset, or fewer networks.",
            param="networks",
        )
    return requests


def _request(
    connection: Connection,
    asked: Check,
    asset: Asset,
    direction: Direction,
    treasury: Sequence[str],
    *,
    livemode: bool,
) -> ScreeningRequest:
    try:
        other = normalise_address(family_of_network(asset.network), asked.address)
    except ValueError as error:
        raise ParameterInvalid(f"{error}.", param="address") from None
    ours = treasury[0] if treasury else other
    incoming = direction is Direction.incoming
    decimals = {each.currency: each.decimals for each in networks.list_currencies(connection)}
    places = decimals[asset.currency]
    units, remainder = money.rescale(
        asked.amount or 0, from_decimals=places, to_decimals=asset.decimals
    )
    if remainder:
        raise ParameterInvalid(
            f"{asset.symbol} has {asset.decimals} decimal places: this amount is finer.",
            param="amount",
        )
    entries = (
        beneficiaries.find_all(
            connection,
            identifiers=(),
            addresses=[other],
            account_id=asked.account_id,
            livemode=livemode,
        )
        if asked.account_id is not None
        else []
    )
    return ScreeningRequest(
        subject=CHECK,
        account_id=asked.account_id,
        livemode=livemode,
        network=asset.network,
        asset=asset.asset,
        direction=direction,
        sender=other if incoming else ours,
        receiver=ours if incoming else other,
        token_units=units,
        currency=asset.currency,
        decimals=places,
        amount=asked.amount or 0,
        beneficiary=entries[0].id if entries else None,
    )
