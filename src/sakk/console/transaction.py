"""Outgoing transactions: what keys of ours sent, its attempts, and what to do when one hangs."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Field

from sakk.console.listing import ListQuery, created_within, csv_file, fields, listing, options
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core.errors import ResourceMissing
from sakk.core.transaction import (
    ChainTransaction,
    Purpose,
    TransactionStatus,
    is_replaceable,
)
from sakk.flow import transaction as flow
from sakk.pages.language import mark
from sakk.store import network as networks
from sakk.store import transaction as store
from sakk.store.page import fetch_window

PATH: Final = f"{ROOT}/transactions"
NETWORK_LENGTH_MAX: Final = 100
STATUSES: Mapping[str, tuple[str, str]] = {
    "built": (mark("Built"), "wait"),
    "signed": (mark("Signed"), "wait"),
    "broadcast": (mark("Sent"), "wait"),
    "unknown": (mark("Sent, not seen yet"), "warn"),
    "confirmed": (mark("Confirmed"), "good"),
    "posted": (mark("Booked"), "good"),
    "failed": (mark("Failed"), "bad"),
    "refused": (mark("Refused by the signer"), "bad"),
}
TRIES: Mapping[str, tuple[str, str]] = {
    "built": (mark("Built"), "wait"),
    "signed": (mark("Signed"), "good"),
    "refused": (mark("Refused by the signer"), "bad"),
}
PURPOSES: Mapping[str, str] = {
    "payout": mark("Payout"),
    "refund": mark("Refund"),
    "sweep": mark("Sweep"),
    "collect": mark("Collection of many"),
    "topup": mark("Gas for an address"),
    "cancel": mark("Uses a nonce up"),
    "withdrawal": mark("To a vault"),
    "recovery": mark("Given back"),
    "disperse": mark("Payouts of many"),
    "allowance": mark("Allowance"),
    "deploy": mark("Contract"),
    "capture": mark("Payment of an agent"),
    "rotation": mark("Change of keys"),
    "redemption": mark("Redemption of vouchers"),
    "escrow": mark("Escrow"),
    "forgotten": mark("Known to the signer alone"),
}


class TransactionQuery(ListQuery):
    """Which transactions."""

    status: TransactionStatus | None = None
    purpose: Purpose | None = None
    network: Annotated[str, Field(max_length=NETWORK_LENGTH_MAX)] | None = None


def index(visit: Visit, query: TransactionQuery) -> Page | Download:
    """The transactions, newest first."""
    c = store.transactions.c
    filters = [c.livemode == visit.livemode, *created_within(visit, query, store.transactions)]
    for name in ("status", "purpose", "network"):
        if (value := getattr(query, name)) is not None:
            filters.append(c[name] == str(value))
    if query.q is not None:
        asked = query.q.lower()
        filters.append(
            (c.id == query.q) | (c.subject == query.q) | (c.sender == asked) | store.has_hash(asked)
        )
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            store.transactions,
            ChainTransaction,
            bound=[],
            filters=filters,
            limit=query.limit,
            **query.place,
        )
        assets = {each.asset: each for each in networks.list_assets(connection)}
        known = networks.list_networks(connection, livemode=visit.livemode)
    if query.is_file:
        names = (
            "id",
            "created",
            "status",
            "purpose",
            "subject",
            "network",
            "sender",
            "nonce",
            "hash",
            "replacements",
            "broadcast_at",
            "confirmed_at",
            "gas_cost",
        )
        return csv_file(
            "transactions.csv",
            fields(*names),
            window.rows,
        )
    values = {
        "list": listing(visit, query, window, window.rows),
        "assets": assets,
        "statuses": STATUSES,
        "purposes": PURPOSES,
        "choices": {
            "status": options(visit, STATUSES),
            "purpose": options(visit, PURPOSES),
            "network": [(each.network, each.name) for each in known],
        },
    }
    return Page("console/transactions.html", values)


def show(visit: Visit, transaction: str) -> Page:
    """One transaction with every attempt of it."""
    return _detail(visit, transaction, None)


def again(visit: Visit, rejected: Rejected, transaction: str) -> Page:
    """The same with why it could not be done."""
    return _detail(visit, transaction, rejected)


def replace(visit: Visit, transaction: str) -> Redirect:
    """Have it signed anew at once, for a higher fee."""
    return _ask(visit, transaction, "replace")


def cancel(visit: Visit, transaction: str) -> Redirect:
    """Have its nonce used up by one that does nothing."""
    return _ask(visit, transaction, "cancel")


def _ask(visit: Visit, identifier: str, wish: str) -> Redirect:
    row = _found(visit, identifier)
    flow.ask(visit.parts, row.id, wish, livemode=visit.livemode)
    told = visit.words.gettext("Asked for: the next attempt appears here in a moment.")
    return Redirect(f"{PATH}/{row.id}", told)


def _found(visit: Visit, identifier: str) -> ChainTransaction:
    with visit.database.read() as connection:
        row = store.find(connection, identifier)
    if (
        row is None
        or row.livemode != visit.livemode
        or visit.account_id not in (None, row.account_id)
    ):
        raise ResourceMissing("There is no such transaction.")
    return row


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    row = _found(visit, identifier)
    with visit.database.read() as connection:
        attempts = store.list_attempts(connection, [row.id])[row.id]
        assets = {each.asset: each for each in networks.list_assets(connection)}
        network = networks.find_network(connection, row.network)
    native = None if network is None else assets.get(network.native_asset)
    values: dict[str, Any] = {
        "row": row,
        "asset": assets.get(row.asset),
        "native": ("wei", 0) if native is None else (native.symbol, native.decimals),
        "attempts": attempts,
        "statuses": STATUSES,
        "purposes": PURPOSES,
        "tries": TRIES,
        "may_act": is_replaceable(row) and visit.may("chain_transactions", "write"),
        "fault": None if rejected is None else rejected.message,
    }
    return Page("console/transaction.html", values)


def _act(name: str, handler: Any) -> Screen:
    return Screen(
        "POST",
        f"{PATH}/{{transaction}}/{name}",
        handler,
        "chain_transactions",
        step_up=True,
        operator_only=True,
        again=again,
    )


SCREENS = (
    Screen(
        "GET",
        PATH,
        index,
        "chain_transactions",
        operator_only=True,
        menu=Menu(mark("Money"), mark("Transactions")),
    ),
    Screen("GET", f"{PATH}/{{transaction}}", show, "chain_transactions", operator_only=True),
    _act("replace", replace),
    _act("cancel", cancel),
)
