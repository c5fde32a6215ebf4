"""Channels of agents: what was put in and spent, their sessions, receipts, and closing one."""

from collections.abc import Mapping
from typing import Final, Literal

from sqlalchemy import ColumnElement

from sakk.console.listing import ListQuery, created_within, csv_file, fields, listing, options
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core.channel import Channel, ChannelKind, ChannelStatus
from sakk.core.errors import ResourceMissing
from sakk.flow import channel as flow
from sakk.flow import receipt
from sakk.flow import session as flow_session
from sakk.pages.language import mark, mark_in
from sakk.store import channel as store
from sakk.store import session as sessions
from sakk.store.page import fetch_window

PATH: Final = f"{ROOT}/channels"
SESSIONS_SHOWN: Final = 50
STATUSES: Mapping[str, tuple[str, str]] = {
    "opening": (mark("Being opened"), "wait"),
    "open": (mark_in("channel", "Open"), "good"),
    "closing": (mark("Being closed"), "wait"),
    "closed": (mark("Closed"), "plain"),
}
KINDS: Mapping[str, str] = {
    "balance": mark("From a balance"),
    "escrow": mark("In escrow on a chain"),
}


class ChannelQuery(ListQuery):
    """Which channels. ``side``: those that the account pays into, or those that pay it."""

    side: Literal["payer", "payee"] = "payer"
    status: ChannelStatus | None = None
    kind: ChannelKind | None = None


def index(visit: Visit, query: ChannelQuery) -> Page | Download:
    """The channels, newest first: an account's as payer or as payee, or all."""
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            store.channels,
            Channel,
            bound=_bound(visit, query),
            filters=_filters(visit, query),
            limit=query.limit,
            **query.place,
        )
    if query.is_file:
        names = (
            "id",
            "created",
            "account_id",
            "payee",
            "kind",
            "status",
            "currency",
            "decimals",
            "funded",
            "spent",
            "returned",
            "charges",
            "mandate",
            "expires_at",
            "closed_at",
        )
        return csv_file("channels.csv", fields(*names), window.rows)
    values = {
        "list": listing(visit, query, window, window.rows),
        "statuses": STATUSES,
        "kinds": KINDS,
        "side": query.side,
        "choices": {"status": options(visit, STATUSES), "kind": options(visit, KINDS)},
    }
    return Page("console/channels.html", values)


def show(visit: Visit, channel: str) -> Page:
    """One channel with its sessions."""
    return _detail(visit, channel, None)


def again(visit: Visit, rejected: Rejected, channel: str) -> Page:
    """The same with why it could not be done."""
    return _detail(visit, channel, rejected)


def close(visit: Visit, channel: str) -> Redirect:
    """End a channel; what is not reserved is back at once, and its sessions end with it."""
    found = _found(visit, channel)
    if visit.account_id not in (None, found.account_id):
        raise ResourceMissing("There is no such channel of yours to close.")
    flow.close(visit.parts, found.id)
    return Redirect(f"{PATH}/{found.id}", visit.words.gettext("The channel is being closed."))


def revoke(visit: Visit, channel: str, session: str) -> Redirect:
    """End one session of it; nothing is reserved by its key any more."""
    found = _found(visit, channel)
    if visit.account_id not in (None, found.account_id):
        raise ResourceMissing("There is no such channel.")
    flow_session.revoke(visit.parts, found, session)
    told = visit.words.gettext("Revoked: nothing more is paid by this session.")
    return Redirect(f"{PATH}/{found.id}", told)


def receipts(visit: Visit, channel: str) -> Download:
    """Every charge of it, as a file for a spreadsheet."""
    found = receipt.carried_on(visit.database, _found(visit, channel).id)
    pieces = receipt.export(visit.database, visit.parts.secrets_vault(), found, form="csv")
    return Download(f"{found.id}.csv", pieces, "text/csv; charset=utf-8")


def proofs(visit: Visit, channel: str) -> Download:
    """The same with all that both sides signed, which can be checked offline."""
    found = receipt.carried_on(visit.database, _found(visit, channel).id)
    pieces = receipt.export(visit.database, visit.parts.secrets_vault(), found, form="jsonl")
    return Download(f"{found.id}.jsonl", pieces, "application/x-ndjson")


def _bound(visit: Visit, query: ChannelQuery) -> list[ColumnElement[bool]]:
    """One side a list: each has an index, both together have none."""
    c = store.channels.c
    if visit.account_id is None:
        return []
    side = c.account_id if query.side == "payer" else c.payee
    return [side == visit.account_id, c.livemode == visit.livemode]


def _filters(visit: Visit, query: ChannelQuery) -> list[ColumnElement[bool]]:
    c = store.channels.c
    found = created_within(visit, query, store.channels)
    if visit.account_id is None:
        found.append(c.livemode == visit.livemode)
    if query.status is not None:
        found.append(c.status == query.status.value)
    if query.kind is not None:
        found.append(c.kind == query.kind.value)
    if query.q is not None:
        asked = query.q
        found.append((c.id == asked) | (c.mandate == asked) | (c.signer == asked.lower()))
    return found


def _found(visit: Visit, identifier: str) -> Channel:
    with visit.database.read() as connection:
        row = store.find_of(
            connection, identifier, account_id=visit.account_id, livemode=visit.livemode
        )
    if row is None:
        raise ResourceMissing("There is no such channel.")
    return row


def _carried_on(visit: Visit, channel: Channel) -> Channel:
    """With its chain of receipts as far as the ledger's rows are."""
    with visit.database.begin() as connection:
        locked = store.lock(connection, channel.id)
        assert locked is not None
        return receipt.carry_on(connection, locked)


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    found = _found(visit, identifier)
    [left] = flow.available(visit.parts, [found])
    found = _carried_on(visit, found)
    with visit.database.read() as connection:
        opened = sessions.list_of_channel(connection, found.id, limit=SESSIONS_SHOWN)
    is_open = found.status in (ChannelStatus.opening, ChannelStatus.open)
    may_write = visit.may("channels", "write")
    is_payer = visit.account_id in (None, found.account_id)
    values = {
        "channel": found,
        "left": left,
        "sessions": opened,
        "now": visit.now,
        "statuses": STATUSES,
        "kinds": KINDS,
        "may_close": is_open and is_payer and found.kind == ChannelKind.balance and may_write,
        "may_revoke": is_open and is_payer and may_write,
        "fault": None if rejected is None else rejected.message,
    }
    return Page("console/channel.html", values)


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "channels", menu=Menu(mark("Agents"), mark("Channels"))),
    Screen("GET", f"{PATH}/{{channel}}", show, "channels"),
    Screen("GET", f"{PATH}/{{channel}}/receipts", receipts, "channels"),
    Screen("GET", f"{PATH}/{{channel}}/proofs", proofs, "channels"),
    # What gives money back to its payer, or stops spending, asks for no second proof.
    Screen("POST", f"{PATH}/{{channel}}/close", close, "channels", again=again),
    Screen("POST", f"{PATH}/{{channel}}/sessions/{{session}}/revoke", revoke, "channels"),
)
