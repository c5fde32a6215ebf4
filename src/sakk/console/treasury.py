"""The treasury: what stands where, what should move, gas, senders and their nonces, and nodes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection

from sakk.console.home import STATES, rails
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Page, Visit
from sakk.core import chart
from sakk.core.caip import asset_network
from sakk.core.network import Asset, Network
from sakk.flow import treasury as flow
from sakk.pages.language import mark
from sakk.store import address as addresses
from sakk.store import network as networks
from sakk.store import sender as senders
from sakk.store import tank as tanks
from sakk.store import transaction as transactions

PATH: Final = f"{ROOT}/treasury"
# A nonce that was sent and is in no block for so long is shown as stuck.
STUCK_SECONDS: Final = 180
PROPOSALS: Mapping[str, str] = {
    "withdraw": mark("Move to a vault"),
    "supply": mark("Bring from a vault"),
}


@dataclass(frozen=True, slots=True)
class Held:
    """What is held of one asset, by place; units of the token."""

    asset: Asset
    network: str
    deposit: int
    hot: int
    warm: int
    cold: int
    vaults: Sequence[Mapping[str, Any]]
    target: Mapping[str, Any] | None
    proposals: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Sender:
    """An address of the treasury on a network: its next nonce, and what of it waits."""

    network: str
    address: str
    next_nonce: int
    in_flight: int
    stuck_nonce: int | None
    stuck_since: Any
    frozen: str | None


def show(visit: Visit) -> Page:
    """Coins by place, gas by network, senders, and how the networks are followed."""
    with visit.database.read() as connection:
        live = networks.list_networks(connection, livemode=visit.livemode)
        names = {each.network: each for each in live}
        assets = {
            each.asset: each
            for each in networks.list_assets(connection)
            if asset_network(each.asset) in names
        }
        native = _native(connection, live)
        sending = _senders(connection, visit, live)
        kept = [each for each in tanks.list_tanks(connection) if each.network in names]
        followed = rails(connection, visit)
    values = {
        "held_coins": _held(visit, assets, names),
        "tanks": [(each, names[each.network].name, native.get(each.network)) for each in kept],
        "senders": sending,
        "rails": followed,
        "states": STATES,
        "proposals": PROPOSALS,
        "late": [each.name for each in followed if each.state in ("behind", "silent")],
    }
    return Page("console/treasury.html", values)


def _held(visit: Visit, assets: Mapping[str, Asset], names: Mapping[str, Network]) -> list[Held]:
    """By the books: what our keys reach, what vaults hold, and what waits on deposit addresses."""
    planned = {each["asset"]: each for each in flow.plan(visit.parts, livemode=visit.livemode)}
    deposits = visit.parts.books.balances([chart.custody(each, "deposit") for each in assets])
    found = []
    for (name, asset), deposit in zip(assets.items(), deposits, strict=True):
        plan = planned.get(name)
        if plan is None:
            continue
        balances = plan["balances"]
        found.append(
            Held(
                asset=asset,
                network=names[asset_network(name)].name,
                # Credits less debits: an account of coins held shows what it holds below zero.
                deposit=-deposit,
                hot=int(balances["hot"]),
                warm=int(balances["warm"]),
                cold=int(balances["cold"]),
                vaults=plan["vaults"],
                target=plan["target"],
                proposals=plan["proposals"],
            )
        )
    return found


def _native(connection: Connection, live: Sequence[Network]) -> dict[str, tuple[str, int]]:
    """The sign and the scale of each network's own coin."""
    listed = {each.asset: each for each in networks.list_assets(connection)}
    found = {}
    for each in live:
        asset = listed.get(each.native_asset)
        found[each.network] = ("wei", 0) if asset is None else (asset.symbol, asset.decimals)
    return found


def _senders(connection: Connection, visit: Visit, live: Sequence[Network]) -> list[Sender]:
    ours = [each.address for each in addresses.list_treasury(connection)]
    before = visit.now - timedelta(seconds=STUCK_SECONDS)
    stuck = {
        (each.network, each.sender): each for each in senders.waiting(connection, before=before)
    }
    found = []
    for network in live:
        frozen = senders.frozen(connection, network.network)
        queues = senders.queues(connection, network.network, ours)
        for address in ours:
            number = transactions.next_nonce(connection, network.network, address)
            if number is None:
                continue
            waits = stuck.get((network.network, address))
            queue = queues.get(address, senders.Queue())
            found.append(
                Sender(
                    network=network.name,
                    address=address,
                    next_nonce=number,
                    in_flight=queue.in_flight,
                    stuck_nonce=None if waits is None else waits.nonce,
                    stuck_since=None if waits is None else waits.since,
                    frozen=frozen.get(address),
                )
            )
    return found


SCREENS = (
    Screen(
        "GET",
        PATH,
        show,
        "treasury",
        operator_only=True,
        menu=Menu(mark("Money"), mark("Treasury")),
    ),
)
