"""Coins: the currencies that there are, and the tokens that carry them on networks."""

from dataclasses import dataclass
from typing import Final

from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Page, Visit
from sakk.core.network import Asset, Currency, Network
from sakk.pages.language import mark
from sakk.store import network as store

PATH: Final = f"{ROOT}/coins"


@dataclass(frozen=True, slots=True)
class Coin:
    """A currency, with its tokens and the network of each."""

    currency: Currency
    tokens: list[tuple[Asset, Network]]


def index(visit: Visit) -> Page:
    """All of them; those that a network of this mode carries first."""
    with visit.database.read() as connection:
        networks = {
            each.network: each for each in store.list_networks(connection, livemode=visit.livemode)
        }
        assets = store.list_assets(connection)
        currencies = store.list_currencies(connection)
    coins = [
        Coin(
            currency,
            [
                (each, networks[each.network])
                for each in assets
                if each.currency == currency.currency and each.network in networks
            ],
        )
        for currency in currencies
    ]
    carried = [each for each in coins if each.tokens]
    others = [each.currency for each in coins if not each.tokens]
    return Page("console/coins.html", {"coins": carried, "others": others})


SCREENS = (Screen("GET", PATH, index, "currencies", menu=Menu("Settings", mark("Coins"))),)
