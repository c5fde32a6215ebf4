"""x402 payments: what agents paid by HTTP 402 with coins on a chain, and what became of it."""

from collections.abc import Mapping
from typing import Final

from sakk.console.failure import FAILURES
from sakk.console.listing import ListQuery, created_within, csv_file, fields, listing, options
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Visit
from sakk.core.x402_payment import X402Payment, X402Status
from sakk.pages.language import mark
from sakk.store import network as networks
from sakk.store import x402_payment as store
from sakk.store.page import fetch_window

PATH: Final = f"{ROOT}/x402"
STATUSES: Mapping[str, tuple[str, str]] = {
    "reserved": (mark("Checked"), "wait"),
    "requested": (mark("To be sent"), "wait"),
    "sent": (mark("Sent"), "wait"),
    "settled": (mark("Paid"), "good"),
    "posted": (mark("Credited"), "good"),
    "failed": (mark("Failed"), "bad"),
}


class PaymentQuery(ListQuery):
    """Which payments."""

    status: X402Status | None = None


def index(visit: Visit, query: PaymentQuery) -> Page | Download:
    """The payments, newest first."""
    c = store.x402_payments.c
    mode = c.livemode == visit.livemode
    bound = [] if visit.account_id is None else [c.account_id == visit.account_id, mode]
    filters = created_within(visit, query, store.x402_payments)
    if visit.account_id is None:
        filters.append(mode)
    if query.status is not None:
        filters.append(c.status == query.status.value)
    if query.q is not None:
        asked = query.q.lower()
        filters.append(
            (c.id == query.q) | (c.payer == asked) | (c.tx_hash == asked) | (c.nonce == asked)
        )
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            store.x402_payments,
            X402Payment,
            bound=bound,
            filters=filters,
            limit=query.limit,
            **query.place,
        )
        assets = {each.asset: each for each in networks.list_assets(connection)}
        followed = networks.list_networks(connection, livemode=visit.livemode)
        payins = store.payins_of(connection, window.rows)
    if query.is_file:
        names = (
            "id",
            "created",
            "status",
            "network",
            "asset",
            "token_amount",
            "payer",
            "pay_to",
            "resource",
            "tx_hash",
            "failure_code",
        )
        return csv_file("x402_payments.csv", fields(*names), window.rows)
    values = {
        "followed": [(each.network, each.name) for each in followed],
        "list": listing(visit, query, window, window.rows),
        "assets": assets,
        "payins": payins,
        "statuses": STATUSES,
        "failures": FAILURES,
        "choices": {"status": options(visit, STATUSES)},
    }
    return Page("console/x402_payments.html", values)


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "x402_payments", menu=Menu(mark("Agents"), mark("x402 payments"))),
)
