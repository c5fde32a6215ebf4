"""Networks: how they are followed, when a payment is final, their tokens, and their nodes."""

from collections.abc import Mapping
from typing import Final

from sakk.console.home import STATES, rails
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Page, Visit
from sakk.core.errors import ResourceMissing
from sakk.core.network import Network
from sakk.core.node import NodeState
from sakk.flow.node import look
from sakk.pages.language import mark
from sakk.store import network as store

PATH: Final = f"{ROOT}/networks"
NODES: Mapping[str, tuple[str, str]] = {
    NodeState.well: (mark("Agrees"), "good"),
    NodeState.behind: (mark("Behind"), "warn"),
    NodeState.silent: (mark("No answer"), "bad"),
    NodeState.differs: (mark("Tells another chain"), "bad"),
}


def index(visit: Visit) -> Page:
    """The networks of the mode, and how each is followed."""
    with visit.database.read() as connection:
        followed = {each.network: each for each in rails(connection, visit)}
        found = store.list_networks(connection, livemode=visit.livemode)
    rows = [(each, followed[each.network]) for each in found]
    return Page("console/networks.html", {"rows": rows, "states": STATES, "final": _final})


def show(visit: Visit, network: str) -> Page:
    """One network: what is final there, and which tokens it has."""
    found = _found(visit, network)
    with visit.database.read() as connection:
        followed = {each.network: each for each in rails(connection, visit)}
        assets = store.list_assets(connection, network=network)
    values = {
        "network": found,
        "rail": followed[found.network],
        "states": STATES,
        "assets": [each for each in assets if each.asset != found.native_asset],
        "native": next((each for each in assets if each.asset == found.native_asset), None),
        "final": _final(found),
        "may_see_nodes": visit.is_operator and visit.may("treasury"),
    }
    return Page("console/network.html", values)


def nodes(visit: Visit, network: str) -> Page:
    """Every node of it, asked now and held against the others."""
    found = _found(visit, network)
    values = {"network": found, "looked": look(visit.parts, found), "nodes": NODES}
    return Page("console/network_nodes.html", values, fragment="console/network_looked.html")


def _found(visit: Visit, identifier: str) -> Network:
    with visit.database.read() as connection:
        found = store.find_network(connection, identifier)
    if found is None or found.livemode != visit.livemode:
        raise ResourceMissing("There is no such network.")
    return found


def _final(network: Network) -> int:
    """Seconds after which a payment is final, about."""
    return network.confirmations * network.block_seconds


SCREENS = (
    Screen("GET", PATH, index, "networks", menu=Menu(mark("Settings"), mark("Networks"))),
    Screen("GET", f"{PATH}/{{network}}", show, "networks"),
    Screen("GET", f"{PATH}/{{network}}/nodes", nodes, "treasury", operator_only=True),
)
