"""Refunds: what was given back, how far each is, and calling one off."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from sakk.console.failure import FAILURES
from sakk.console.listing import (
    Exact,
    ListQuery,
    created_within,
    csv_file,
    listing,
    options,
)
from sakk.console.payment import REASONS
from sakk.console.payment import REFUND_STATUSES as STATUSES
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core import claim, money
from sakk.core.errors import ResourceMissing
from sakk.core.evm import checksum_address
from sakk.core.payout import Initiator
from sakk.core.refund import Refund, RefundStatus
from sakk.core.search import SearchKind, like, read_search
from sakk.flow import refund as flow
from sakk.pages.language import mark
from sakk.store import network as networks
from sakk.store import refund as store
from sakk.store.page import Window, fetch_window

PATH: Final = f"{ROOT}/refunds"
STEPS: Final[Mapping[str, str]] = {
    "asked": mark("Asked for"),
    "placed": mark("Address known"),
    "sent": mark("Sent"),
    "ended": mark("Refunded"),
}
# Which column is asked for an id, by its prefix; an index of each has the id behind it.
_COLUMNS: Final = {"pi": "payment_intent", "pin": "payin", "po": "payout"}


class RefundQuery(ListQuery):
    """Which refunds."""

    status: RefundStatus | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a refund's way: done, current, ahead or stopped."""

    name: str
    state: str
    at: datetime | None = None


def index(visit: Visit, query: RefundQuery) -> Page | Download:
    """The refunds, newest first."""
    with visit.database.read() as connection:
        window = _window(connection, visit, query)
    if query.is_file:
        return _file(window.rows)
    return Page(
        "console/refunds.html",
        {
            "list": listing(visit, query, window, window.rows),
            "words": STATUSES,
            "choices": {"status": options(visit, STATUSES)},
        },
    )


def show(visit: Visit, refund: str) -> Page:
    """One refund with its way."""
    return _detail(visit, refund, None)


def again(visit: Visit, rejected: Rejected, refund: str) -> Page:
    """The same with why something could not be done."""
    return _detail(visit, refund, rejected)


def cancel(visit: Visit, refund: str) -> Redirect:
    """Call it off before a transaction carries it."""
    found = _found(visit, refund)
    with visit.database.begin() as connection:
        flow.cancel(
            connection,
            found.id,
            account_id=found.account_id,
            livemode=visit.livemode,
            now=visit.now,
            request_id=visit.request_id,
        )
    return Redirect(f"{PATH}/{refund}", visit.words.gettext("The refund is called off."))


def renew(visit: Visit, refund: str) -> Page:
    """A fresh link for the payer, shown once; the one before is worth nothing more."""
    found = _found(visit, refund)
    token = claim.make_token(os.urandom(claim.TOKEN_RANDOM_BYTES))
    with visit.database.begin() as connection:
        renewed = flow.renew_claim(
            connection,
            found.id,
            account_id=found.account_id,
            livemode=visit.livemode,
            claim_hash=claim.token_hash(token),
            expires_at=None,
            now=visit.now,
            initiator=Initiator(visit.actor.key, visit.actor.person),
        )
    url = visit.settings.public_url + claim.claim_path(token)
    return Page("console/refund_made.html", {"refund": renewed, "url": url, "intent": None})


def steps(row: Refund) -> list[Step]:
    """The way of a refund, as far as it came and as it goes on."""
    is_over = row.status in (RefundStatus.failed, RefundStatus.canceled)
    reached = [
        (True, row.created),
        (row.destination is not None, row.claimed_at or (row.created if row.payout else None)),
        (row.tx_hash is not None, None),
        (row.status == RefundStatus.succeeded, row.succeeded_at),
    ]
    found = [
        Step(name, "done", at)
        for name, (is_done, at) in zip(STEPS, reached, strict=True)
        if is_done
    ]
    left = [name for name, (is_done, _) in zip(STEPS, reached, strict=True) if not is_done]
    if not left:
        return found
    first = Step(left[0], "stopped" if is_over else "current", row.canceled_at)
    rest = [] if is_over else [Step(name, "ahead") for name in left[1:]]
    return [*found, first, *rest]


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    row = _found(visit, identifier)
    with visit.database.read() as connection:
        rail = None if row.network is None else networks.find_network(connection, row.network)
    under_way = row.status in (RefundStatus.requires_action, RefundStatus.pending)
    may_write = visit.may("refunds", "write")
    return Page(
        "console/refund.html",
        {
            "row": row,
            "steps": steps(row),
            "network": row.network if rail is None else rail.name,
            "words": {"status": STATUSES, "step": STEPS, "reason": REASONS, "failure": FAILURES},
            "may_cancel": may_write and under_way and row.tx_hash is None,
            "may_renew": may_write and row.status == RefundStatus.requires_action,
            "fault": None if rejected is None else rejected.message,
        },
    )


def _window(connection: Connection, visit: Visit, query: RefundQuery) -> Window[Refund]:
    c = store.refunds.c
    mode = c.livemode == visit.livemode
    bound = [] if visit.account_id is None else [c.account_id == visit.account_id, mode]
    filters = [mode] if visit.account_id is None else []
    search = read_search(query.q or "")
    match search:
        case None:
            pass
        case search if search.kind is SearchKind.id:
            named = c[_COLUMNS.get(search.name, "id")] == search.value
            bound, filters = [named], [*bound, *filters]
        case search if search.kind is SearchKind.address:
            filters.append(c.destination == search.value)
        case search if search.kind is SearchKind.hash:
            filters.append(c.tx_hash == search.value)
        case _:
            filters.append(c.description.ilike(like(query.q or "")))
    if query.status is not None:
        filters.append(c.status == query.status.value)
    filters += created_within(visit, query, store.refunds)
    return fetch_window(
        connection,
        store.refunds,
        Refund,
        bound=bound,
        filters=filters,
        limit=query.limit,
        **query.place,
    )


def _file(rows: Sequence[Refund]) -> Download:
    return csv_file(
        "refunds.csv",
        [
            ("id", lambda row: row.id),
            ("created", lambda row: row.created),
            ("status", lambda row: row.status),
            ("amount", lambda row: Exact(money.format_decimal(row.amount, row.decimals))),
            ("currency", lambda row: row.currency),
            (
                "sent_amount",
                lambda row: Exact(money.format_decimal(row.coin_amount, row.coin_decimals)),
            ),
            ("sent_currency", lambda row: row.coin),
            ("payment", lambda row: row.payment_intent),
            ("payin", lambda row: row.payin),
            ("network", lambda row: row.network),
            (
                "address",
                lambda row: None if row.destination is None else checksum_address(row.destination),
            ),
            ("reason", lambda row: row.reason),
            ("description", lambda row: row.description),
            ("tx_hash", lambda row: row.tx_hash),
            ("succeeded_at", lambda row: row.succeeded_at),
        ],
        rows,
    )


def _found(visit: Visit, identifier: str) -> Refund:
    with visit.database.read() as connection:
        found = store.find(
            connection, identifier, account_id=visit.account_id, livemode=visit.livemode
        )
    if found is None:
        raise ResourceMissing("There is no such refund.")
    return found


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "refunds", menu=Menu("Payments", mark("Refunds"))),
    Screen("GET", PATH + "/{refund}", show, "refunds"),
    Screen("POST", PATH + "/{refund}/cancel", cancel, "refunds", again=again),
    Screen("POST", PATH + "/{refund}/link", renew, "refunds", step_up=True, again=again),
)
