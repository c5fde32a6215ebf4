"""Breaches: what was done in the name of an address of ours, and not by us."""

from collections.abc import Mapping
from typing import Final, Literal

from sakk.console.listing import ListQuery, created_within, csv_file, fields, listing, options
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Visit
from sakk.core.breach import Breach, BreachKind
from sakk.pages.language import mark
from sakk.store import network as networks
from sakk.store.breach import breaches
from sakk.store.page import fetch_window

PATH: Final = f"{ROOT}/breaches"
KINDS: Mapping[str, str] = {
    "transfer": mark("Coins left"),
    "transaction": mark("A transaction was sent"),
    "approval": mark("Somebody may spend its coins"),
    "operator": mark("Somebody may act for it"),
    "delegation": mark("It runs another's code"),
    "treasury": mark("A collecting contract pays elsewhere"),
    "recoverer": mark("A factory lets somebody else send"),
}
PLACES: Mapping[str, str] = {
    "treasury": mark("Treasury"),
    "deposit": mark("Deposit address"),
    "contract": mark("Contract"),
}


class BreachQuery(ListQuery):
    """Which breaches."""

    kind: BreachKind | None = None
    where: Literal["treasury", "deposit", "contract"] | None = None


def index(visit: Visit, query: BreachQuery) -> Page | Download:
    """The breaches, newest first."""
    c = breaches.c
    filters = [c.livemode == visit.livemode, *created_within(visit, query, breaches)]
    if query.kind is not None:
        filters.append(c.kind == query.kind.value)
    if query.where is not None:
        filters.append(c.place == query.where)
    if query.q is not None:
        asked = query.q.lower()
        filters.append(
            (c.address == asked) | (c.other == asked) | (c.tx_hash == asked) | (c.id == query.q)
        )
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            breaches,
            Breach,
            bound=[],
            filters=filters,
            limit=query.limit,
            **query.place,
        )
        assets = {each.asset: each for each in networks.list_assets(connection)}
        followed = networks.list_networks(connection, livemode=visit.livemode)
    if query.is_file:
        return csv_file(
            "breaches.csv",
            fields(
                "id",
                "created",
                "kind",
                "place",
                "network",
                "address",
                "other",
                "asset",
                "units",
                "tx_hash",
                "freeze",
                "case",
            ),
            window.rows,
        )
    values = {
        "followed": [(each.network, each.name) for each in followed],
        "list": listing(visit, query, window, window.rows),
        "assets": assets,
        "kinds": KINDS,
        "places": PLACES,
        "choices": {"kind": options(visit, KINDS), "where": options(visit, PLACES)},
    }
    return Page("console/breaches.html", values)


SCREENS = (
    Screen(
        "GET",
        PATH,
        index,
        "cases",
        operator_only=True,
        menu=Menu(mark("Risk"), mark("Breaches")),
    ),
)
