"""Travel Rule: who stands behind transfers, what is missing, and what institutions told another."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field
from sqlalchemy import ColumnElement

from sakk.console.listing import ListQuery, created_within, csv_file, fields, listing, options
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core.ivms101 import write
from sakk.core.travel_rule import TransferDirection, TravelRule, TravelRuleStatus
from sakk.flow import travel_rule as flow
from sakk.flow.travel_need import opened
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import network as networks
from sakk.store import person as persons
from sakk.store import regime as regimes
from sakk.store import travel_rule as store
from sakk.store.page import fetch_window

PATH: Final = f"{ROOT}/travel_rules"
REASON_LENGTH_MAX: Final = 500
STATUSES: Mapping[str, tuple[str, str]] = {
    "not_required": (mark("Not needed"), "plain"),
    "required": (mark("Something is missing"), "warn"),
    "pending": (mark("Waits for the other institution"), "wait"),
    "complete": (mark("Complete"), "good"),
    "refused": (mark("Refused"), "bad"),
}
EXCHANGES: Mapping[str, str] = {
    "none": mark("Nobody to ask"),
    "queued": mark("To be asked"),
    "asked": mark("Asked"),
    "approved": mark("Agreed"),
    "rejected": mark("Not agreed"),
    "unanswered": mark("No answer"),
    "concluded": mark("Concluded"),
}
DIRECTIONS: Mapping[str, str] = {"outgoing": mark("Sent"), "incoming": mark("Received")}
COUNTERPARTIES: Mapping[str, str] = {
    "vasp": mark("An institution"),
    "self_hosted": mark("A wallet of their own"),
    "own": mark("An address of ours"),
    "unknown": mark("Not known"),
}
MESSAGES: Mapping[str, tuple[str, str]] = {
    "queued": (mark("Waiting"), "wait"),
    "sent": (mark("Delivered"), "good"),
    "failed": (mark("Given up"), "bad"),
}


class TravelQuery(ListQuery):
    """Which records. ``due``: those that wait, whether for us or for the other side."""

    status: TravelRuleStatus | None = None
    direction: TransferDirection | None = None
    due: Literal["yes", "late"] | None = None


class DecideForm(Form):
    """Why; it is kept with the record."""

    reason: Annotated[str, Field(max_length=REASON_LENGTH_MAX)]


class HoldForm(Form):
    """Whether its data are kept for longer."""

    hold: Literal["yes", "no"]


def index(visit: Visit, query: TravelQuery) -> Page | Download:
    """The records, newest first."""
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            store.travel_rules,
            TravelRule,
            bound=[],
            filters=_filters(visit, query),
            limit=query.limit,
            **query.place,
        )
        scales = {each.currency: each.decimals for each in networks.list_currencies(connection)}
        regime = regimes.find_active(connection, livemode=visit.livemode)
    if query.is_file:
        names = (
            "id",
            "created",
            "direction",
            "status",
            "exchange",
            "subject",
            "counterparty",
            "network",
            "address",
            "deadline_at",
            "completed_at",
            "tx_hash",
        )
        return csv_file(
            "travel_rules.csv",
            fields(*names),
            window.rows,
        )
    gettext = visit.words.gettext
    values = {
        "list": listing(visit, query, window, window.rows),
        "scales": scales,
        "regime": regime,
        "statuses": STATUSES,
        "exchanges": EXCHANGES,
        "directions": DIRECTIONS,
        "now": visit.now,
        "choices": {
            "status": options(visit, STATUSES),
            "direction": options(visit, DIRECTIONS),
            "due": [("yes", gettext("Waiting")), ("late", gettext("Past their deadline"))],
        },
    }
    return Page("console/travel_rules.html", values)


def show(visit: Visit, travel_rule: str) -> Page:
    """One record: what is known, what is missing, and what was told."""
    return _detail(visit, travel_rule, None)


def again(visit: Visit, rejected: Rejected, travel_rule: str) -> Page:
    """The same with what was wrong in the form."""
    return _detail(visit, travel_rule, rejected)


def complete(visit: Visit, travel_rule: str, form: DecideForm) -> Redirect:
    """Say that all is there, because the data went another way."""
    record = _found(visit, travel_rule)
    with visit.database.begin() as connection:
        flow.complete(
            connection,
            record.id,
            livemode=visit.livemode,
            by=visit.actor.name,
            reason=form.reason,
            now=visit.now,
        )
    return Redirect(f"{PATH}/{record.id}", visit.words.gettext("Complete: the transfer goes on."))


def refuse(visit: Visit, travel_rule: str, form: DecideForm) -> Redirect:
    """Refuse the transfer."""
    record = _found(visit, travel_rule)
    with visit.database.begin() as connection:
        flow.refuse(
            connection,
            record.id,
            livemode=visit.livemode,
            by=visit.actor.name,
            reason=form.reason,
            now=visit.now,
        )
    return Redirect(f"{PATH}/{record.id}", visit.words.gettext("The transfer is refused."))


def hold(visit: Visit, travel_rule: str, form: HoldForm) -> Redirect:
    """Keep the record's data for longer, or no longer so."""
    record = _found(visit, travel_rule)
    with visit.database.begin() as connection:
        flow.hold_data(
            connection, record.id, livemode=visit.livemode, legal_hold=form.hold == "yes"
        )
    return Redirect(f"{PATH}/{record.id}", visit.words.gettext("Kept."))


def _filters(visit: Visit, query: TravelQuery) -> list[ColumnElement[bool]]:
    c = store.travel_rules.c
    found = [c.livemode == visit.livemode, *created_within(visit, query, store.travel_rules)]
    if visit.account_id is not None:
        found.append(c.account_id == visit.account_id)
    if query.status is not None:
        found.append(c.status == query.status.value)
    if query.direction is not None:
        found.append(c.direction == query.direction.value)
    if query.due is not None:
        waits = (TravelRuleStatus.required.value, TravelRuleStatus.pending.value)
        found += [c.status.in_(waits), c.ended_at.is_(None)]
        if query.due == "late":
            found.append(c.deadline_at < visit.now)
    if query.q is not None:
        found.append((c.id == query.q) | (c.subject == query.q) | (c.address == query.q.lower()))
    return found


def _found(visit: Visit, identifier: str) -> TravelRule:
    with visit.database.read() as connection:
        return flow.find(
            connection, identifier, account_id=visit.account_id, livemode=visit.livemode
        )


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    record = _found(visit, identifier)
    with visit.database.read() as connection:
        messages = store.list_messages(connection, record.id)
        scales = {each.currency: each.decimals for each in networks.list_currencies(connection)}
        names = persons.names(connection, [record.decided_by] if record.decided_by else [])
    known: dict[str, Any] | None = None
    if record.payload is not None and visit.parts.vault is not None:
        document, _ = opened(visit.parts.vault, record)
        known = write(document)
    waits = record.status in ("required", "pending") and record.ended_at is None
    values = {
        "record": record,
        "decimals": scales.get(record.currency or "", 0),
        "messages": [(each, urlsplit(each.url).hostname or "–") for each in messages],
        "known": known,
        "names": names,
        "may_decide": waits and visit.may("travel_rule", "write"),
        "may_hold": visit.may("travel_rule", "write"),
        "now": visit.now,
        "rejected": rejected,
        "sent": {} if rejected is None else rejected.values,
        "faults": {} if rejected is None else rejected.faults,
        "words": {
            "status": STATUSES,
            "exchange": EXCHANGES,
            "direction": DIRECTIONS,
            "counterparty": COUNTERPARTIES,
            "message": MESSAGES,
        },
    }
    return Page("console/travel_rule.html", values)


def _act(name: str, handler: Any, *, step_up: bool = False) -> Screen:
    return Screen(
        "POST",
        f"{PATH}/{{travel_rule}}/{name}",
        handler,
        "travel_rule",
        step_up=step_up,
        operator_only=True,
        again=again,
    )


SCREENS = (
    Screen(
        "GET",
        PATH,
        index,
        "travel_rule",
        operator_only=True,
        menu=Menu(mark("Risk"), mark("Travel Rule")),
    ),
    Screen("GET", f"{PATH}/{{travel_rule}}", show, "travel_rule", operator_only=True),
    _act("complete", complete, step_up=True),
    _act("refuse", refuse, step_up=True),
    _act("hold", hold),
)
