"""Mandates: what agents may spend, what is left of it, and ending one at once."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Literal

from sakk.console.channel import STATUSES as CHANNELS
from sakk.console.listing import ListQuery, created_within, csv_file, fields, listing
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Visit
from sakk.core import mandate as rules
from sakk.core.mandate import Mandate, MandateStatus
from sakk.flow import mandate as flow
from sakk.flow import mandate_life as life
from sakk.pages.language import mark
from sakk.store import channel as channels
from sakk.store import mandate as store
from sakk.store import network as networks
from sakk.store.page import fetch_window

PATH: Final = f"{ROOT}/mandates"
CHANNELS_SHOWN: Final = 50
STATUSES: Mapping[str, tuple[str, str]] = {
    "active": (mark("In force"), "good"),
    "waiting": (mark("Not begun yet"), "wait"),
    "expired": (mark("Run out"), "plain"),
    "revoked": (mark("Revoked"), "bad"),
}
LIMITS: Mapping[str, str] = {
    "total": mark("Altogether"),
    "count": mark("Number of payments"),
    "uses": mark("Number of payments"),
    "period": mark("In this period"),
    "payee": mark("To one payee"),
    "category": mark("In one category"),
}


class MandateQuery(ListQuery):
    """Which mandates."""

    status: Literal["active", "revoked"] | None = None


def index(visit: Visit, query: MandateQuery) -> Page | Download:
    """The mandates, newest first."""
    c = store.mandates.c
    is_whose = [c.livemode == visit.livemode]
    bound = [] if visit.account_id is None else [c.account_id == visit.account_id, *is_whose]
    filters = created_within(visit, query, store.mandates)
    filters += is_whose if visit.account_id is None else []
    if query.status is not None:
        is_active = c.status == MandateStatus.active.value
        filters.append(is_active if query.status == "active" else ~is_active)
    if query.q is not None:
        filters.append((c.id == query.q) | (c.agent == query.q.lower()) | (c.owner_key == query.q))
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            store.mandates,
            Mandate,
            bound=bound,
            filters=filters,
            limit=query.limit,
            **query.place,
        )
    if query.is_file:
        names = ("id", "created", "account_id", "agent", "currency", "status", "expires_at")
        return csv_file("mandates.csv", fields(*names), window.rows)
    shown = {each.id: rules.public_mandate(each, now=visit.now)["status"] for each in window.rows}
    gettext = visit.words.gettext
    values = {
        "list": listing(visit, query, window, window.rows),
        "shown": shown,
        "statuses": STATUSES,
        "choices": {"status": [("active", gettext("In force")), ("revoked", gettext("Revoked"))]},
    }
    return Page("console/mandates.html", values)


def show(visit: Visit, mandate: str) -> Page:
    """One mandate, with what is spent and left of each budget."""
    found = _found(visit, mandate)
    shown = flow.public(visit.parts, found)
    with visit.database.read() as connection:
        scales = {each.currency: each.decimals for each in networks.list_currencies(connection)}
        under = channels.list_of_mandate(connection, found.id, limit=CHANNELS_SHOWN)
    budgets = [
        {
            **each,
            "spent": max(0, each["amount"] - each["left"]),
            "word": LIMITS.get(each["name"].partition(":")[0], each["limit"]),
            "is_money": each["limit"] not in ("count", "uses"),
            "resets": None
            if each["resets_at"] is None
            else datetime.fromtimestamp(each["resets_at"], UTC),
        }
        for each in shown["budgets"]
    ]
    values = {
        "mandate": found,
        "shown": shown,
        "budgets": budgets,
        "decimals": scales.get(found.currency, 0),
        "channels": under,
        "statuses": STATUSES,
        "channel_statuses": CHANNELS,
        "may_revoke": found.status == MandateStatus.active and visit.may("mandates", "write"),
    }
    return Page("console/mandate.html", values)


def revoke(visit: Visit, mandate: str) -> Redirect:
    """End it for ever, at once."""
    found = _found(visit, mandate)
    life.revoke(
        visit.parts,
        found.id,
        by=visit.actor.signature,
        account_id=found.account_id,
        livemode=visit.livemode,
    )
    told = visit.words.gettext("Revoked: nothing more is spent under it.")
    return Redirect(f"{PATH}/{found.id}", told)


def _found(visit: Visit, identifier: str) -> Mandate:
    with visit.database.read() as connection:
        row = store.find_any(connection, identifier)
    is_theirs = row is not None and visit.account_id in (None, row.account_id)
    if row is None or row.livemode != visit.livemode or not is_theirs:
        raise flow.missing(identifier)
    return row


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "mandates", menu=Menu(mark("Agents"), mark("Mandates"))),
    Screen("GET", f"{PATH}/{{mandate}}", show, "mandates"),
    # What stops spending asks for no second proof.
    Screen("POST", f"{PATH}/{{mandate}}/revoke", revoke, "mandates"),
)
