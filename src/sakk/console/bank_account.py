"""Banks: the operator's accounts, by the ledger and by their banks' statements."""

from typing import Final

from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Page, Visit
from sakk.pages.language import mark
from sakk.store import bank_account as store
from sakk.store import bank_proof as proof
from sakk.store import bank_statement as statements

PATH: Final = f"{ROOT}/banks"


def index(visit: Visit) -> Page:
    """Every account: what the ledger has, what its bank last said, and what waits in between."""
    with visit.database.read() as connection:
        own = store.list_own(connection, store.bank_accounts.c.livemode == visit.livemode)
        balances = {
            each.bank_account: each
            for each in proof.list_balances(connection, livemode=visit.livemode)
        }
        newest = statements.newest_of(connection, [each.id for each in own])
        suspense = statements.count_open(connection, [each.id for each in own])
    values = {
        "own": own,
        "balances": balances,
        "newest": newest,
        "suspense": suspense,
        "most": statements.OPEN_COUNTED_MAX,
    }
    return Page("console/banks.html", values)


SCREENS: tuple[Screen, ...] = (
    Screen(
        "GET", PATH, index, "bank_accounts", operator_only=True, menu=Menu("Money", mark("Banks"))
    ),
)
