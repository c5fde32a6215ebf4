"""Pay-ins: every transfer that came, and those that a person may have to do something about."""

import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field
from sqlalchemy import ColumnElement, Connection, or_

from sakk.console import booking
from sakk.console.listing import Exact, ListQuery, created_within, csv_file, listing, options
from sakk.console.payment import (
    DELIVERY_STATUSES,
    PAYIN_STATUSES,
    REASONS,
    REFUND_STATUSES,
    STEPS,
    arrivals,
    ledger_lines,
    payin_status,
    symbols,
)
from sakk.console.route import Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core import claim, money
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.payin import (
    SCREENED,
    PayIn,
    PayInRole,
    PayInStatus,
    is_screened_reason,
    shown_status,
)
from sakk.core.payout import Initiator
from sakk.core.refund import LIVE, Reason
from sakk.core.search import Search, SearchKind, like, read_search
from sakk.flow import refund as refund_flow
from sakk.flow.refund_draft import Place, RefundRequest
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import network as networks
from sakk.store import payin as store
from sakk.store import payment_story as story
from sakk.store.page import Window, fetch_window

PATH = "/console/payins"
EXCEPTIONS = "/console/exceptions"
IDENTIFIER_LENGTH_MAX = 255

Kind = Literal["late", "over", "wrong_token", "suspense", "under_review"]
KINDS: Mapping[str, str] = {
    "late": mark("Late"),
    "over": mark("Too much"),
    "wrong_token": mark("Wrong token"),
    "suspense": mark("Nobody's yet"),
    "under_review": mark("Under review"),
}
# What can be done about each, told beside it.
REMEDIES: Mapping[str, str] = {
    "late": mark("It came after the payment had expired. Deliver, or give it back."),
    "over": mark(
        "More came than was asked for. Give the difference back, or keep it by agreement."
    ),
    "wrong_token": mark("It is a coin that was not asked for. Give it back to its sender."),
    "suspense": mark("It waits until somebody decides whose it is. Give it back to its sender."),
    "under_review": mark("A person looks at it. There is nothing for you to do; you will be told."),
    "unlisted": mark("It is a token that is not accepted here. Your operator can send it back."),
}
_WRONG = (PayInRole.wrong_asset.value, PayInRole.unlisted.value, PayInRole.excessive.value)


class PayinQuery(ListQuery):
    """Which pay-ins."""

    status: Annotated[str, Field(max_length=20)] | None = None
    network: Annotated[str, Field(max_length=IDENTIFIER_LENGTH_MAX)] | None = None


class ExceptionQuery(ListQuery):
    """Which of those that somebody may have to act on."""

    kind: Kind | None = None


class ReturnForm(Form):
    """What a pay-in left in suspense goes back. Without an address its payer says where to."""

    reason: Reason | None = None
    address: Annotated[str, Field(max_length=100)] | None = None


def index(visit: Visit, query: PayinQuery) -> Page | Download:
    """The pay-ins, newest first."""
    c = store.payins.c
    filters: list[ColumnElement[bool]] = []
    if query.status is not None:
        filters.append(c.status.in_(_statuses(visit, query.status)))
    if query.network is not None:
        filters.append(c.network == query.network)
    with visit.database.read() as connection:
        window = _window(connection, visit, query, filters)
        if query.is_file:
            return _file(visit, window.rows)
        followed = networks.list_networks(connection, livemode=visit.livemode)
        signs = symbols(connection)
    shown = PAYIN_STATUSES if visit.is_operator else _merchants_statuses()
    return Page(
        "console/payins.html",
        {
            "list": listing(visit, query, window, window.rows),
            "statuses": PAYIN_STATUSES,
            "status_of": payin_status(visit),
            "symbols": signs,
            "choices": {
                "status": options(visit, shown),
                "network": [(each.network, each.name) for each in followed],
            },
        },
    )


def exceptions(visit: Visit, query: ExceptionQuery) -> Page | Download:
    """What somebody may have to act on, with what can be done."""
    with visit.database.read() as connection:
        window = _window(connection, visit, query, [exceptional(visit, query.kind)])
        if query.is_file:
            return _file(visit, window.rows)
        signs = symbols(connection)
    return Page(
        "console/exceptions.html",
        {
            "list": listing(visit, query, window, window.rows),
            "kinds": KINDS,
            "kind_of": kind_of,
            "remedies": REMEDIES,
            "statuses": PAYIN_STATUSES,
            "status_of": payin_status(visit),
            "symbols": signs,
            "choices": {"kind": options(visit, KINDS)},
        },
    )


def show(visit: Visit, payin: str) -> Page:
    """One pay-in with its whole way."""
    return _detail(visit, payin, None)


def again(visit: Visit, rejected: Rejected, payin: str) -> Page:
    """The same with what was wrong in the form."""
    return _detail(visit, payin, rejected)


def give_back(visit: Visit, payin: str, form: ReturnForm) -> Page | Redirect:
    """Give back what stands in suspense of a pay-in, or what was credited of it."""
    found = _found(visit, payin)
    if found.account_id is None:
        raise ParameterInvalid("This pay-in is nobody's account's: it can not be refunded.")
    token = claim.make_token(os.urandom(claim.TOKEN_RANDOM_BYTES))
    made = refund_flow.create(
        visit.parts,
        RefundRequest(
            payin=found.id,
            destination=None if form.address is None else Place(found.network, form.address),
            claim_hash=claim.token_hash(token),
            reason=form.reason,
            metadata={},
            initiator=Initiator(visit.actor.key, visit.actor.person),
        ),
        identifier=visit.object_id("re"),
        account_id=found.account_id,
        livemode=visit.livemode,
    )
    if made.claim_hash != claim.token_hash(token):
        told = visit.words.gettext("The refund is on its way.")
        return Redirect(f"{PATH}/{found.id}", flash=told, tone="good")
    url = (visit.parts.public_url or "") + claim.claim_path(token)
    return Page("console/refund_made.html", {"refund": made, "url": url, "intent": None})


def exceptional(visit: Visit, kind: str | None) -> ColumnElement[bool]:
    """The condition under which somebody may have to act. What screening held is only that."""
    c = store.payins.c
    held = c.status == PayInStatus.held.value
    # A reason of screening's stays when it has let go; nobody reads then that it ever had one.
    plain = ~held & (c.reason.is_(None) | ~c.reason.startswith(SCREENED))
    conditions: dict[str, ColumnElement[bool]] = {
        "late": plain & (c.reason.startswith("late") | (c.role == PayInRole.late.value)),
        "over": plain & c.reason.startswith("over"),
        "wrong_token": or_(plain, c.role.in_(_WRONG[1:])) & c.role.in_(_WRONG),
        "suspense": plain & (c.suspense_units > 0),
        "under_review": held & ~c.role.in_(_WRONG[1:]),
    }
    return or_(*conditions.values()) if kind is None else conditions[kind]


def kind_of(payin: PayIn) -> str:
    """What is the matter with a pay-in: a word of ``REMEDIES``."""
    if payin.role in _WRONG[1:]:
        return "unlisted"
    if payin.status == PayInStatus.held:
        return "under_review"
    reason = "" if is_screened_reason(payin.reason) else payin.reason or ""
    if payin.role == PayInRole.wrong_asset:
        return "wrong_token"
    if reason.startswith("over"):
        return "over"
    if payin.role == PayInRole.late or reason.startswith("late"):
        return "late"
    return "suspense"


def _window(
    connection: Connection, visit: Visit, query: ListQuery, more: Sequence[ColumnElement[bool]]
) -> Window[PayIn]:
    c = store.payins.c
    mode = c.livemode == visit.livemode
    bound: list[ColumnElement[bool]] = []
    filters = [*more, *created_within(visit, query, store.payins)]
    if visit.account_id is None:
        filters.append(mode)
    else:
        bound += [c.account_id == visit.account_id, mode]
    search = read_search(query.q or "")
    if search is not None:
        (bound if _is_indexed(search) else filters).append(_condition(search))
    return fetch_window(
        connection,
        store.payins,
        PayIn,
        bound=bound,
        filters=filters,
        limit=query.limit,
        **query.place,
    )


def _is_indexed(search: Search) -> bool:
    return search.kind in (SearchKind.id, SearchKind.hash) or search.name == "pi"


def _condition(search: Search) -> ColumnElement[bool]:
    c = store.payins.c
    match search.kind:
        case SearchKind.id if search.name == "pi":
            return c.payment_intent == search.value
        case SearchKind.id if search.name == "cus":
            return c.customer == search.value
        case SearchKind.id:
            return c.id == search.value
        case SearchKind.hash:
            return c.tx_hash == search.value
        case SearchKind.address:
            return or_(c.address == search.value, c.sender == search.value)
        case SearchKind.amount | SearchKind.pair | SearchKind.email | SearchKind.words:
            return or_(c.asset.ilike(like(search.value)), c.currency == search.value.lower())


def _detail(visit: Visit, payin: str, rejected: Rejected | None) -> Page:
    found = _found(visit, payin)
    with visit.database.read() as connection:
        [arrival] = arrivals(connection, visit, [found])
        refunds = story.list_refunds(connection, payin=found.id)
        told = story.list_told(connection, [found.id])
        lines = ledger_lines(connection, visit, [found.id])
    # A refund that failed, or was called off, left what stands in suspense to be given back again.
    given = sum(each.token_amount or 0 for each in refunds if each.status in LIVE)
    is_exception = kind_of(found) != "suspense" or bool(found.suspense_units)
    return Page(
        "console/payin.html",
        {
            "each": arrival,
            "refunds": refunds,
            "told": told,
            "lines": lines,
            "remedy": REMEDIES[kind_of(found)] if is_exception else None,
            "may_give_back": (found.suspense_units or 0) > given
            and found.status in (PayInStatus.posted, PayInStatus.released)
            and found.account_id is not None
            and visit.may("refunds", "write"),
            "rejected": rejected,
            "choices": {"reason": options(visit, REASONS)},
            "words": {
                "booked": booking.REASONS,
                "payin": PAYIN_STATUSES,
                "step": STEPS,
                "refund": REFUND_STATUSES,
                "delivery": DELIVERY_STATUSES,
            },
        },
    )


def _found(visit: Visit, payin: str) -> PayIn:
    with visit.database.read() as connection:
        found = store.find(connection, payin, account_id=visit.account_id, livemode=visit.livemode)
    if found is None:
        raise ResourceMissing("No such pay-in: {payin}", param="payin", payin=repr(payin))
    return found


def _statuses(visit: Visit, status: str) -> list[str]:
    """The rows' statuses behind a word that this visitor reads."""
    if visit.is_operator and status in set(PayInStatus):
        return [status]
    return [each.value for each in PayInStatus if shown_status(each.value) == status]


def _merchants_statuses() -> dict[str, tuple[str, str]]:
    shown = {shown_status(each.value) for each in PayInStatus}
    return {name: word for name, word in PAYIN_STATUSES.items() if name in shown}


def _file(visit: Visit, rows: Sequence[PayIn]) -> Download:
    return csv_file(
        "payins.csv",
        [
            ("id", lambda row: row.id),
            ("created", lambda row: row.created),
            ("status", payin_status(visit)),
            ("network", lambda row: row.network),
            ("asset", lambda row: row.asset),
            ("token_amount", lambda row: row.token_amount),
            (
                "amount",
                lambda row: (
                    None
                    if row.amount is None or row.decimals is None
                    else Exact(money.format_decimal(row.amount, row.decimals))
                ),
            ),
            ("currency", lambda row: row.currency),
            ("sender", lambda row: row.sender),
            ("address", lambda row: row.address),
            ("tx_hash", lambda row: row.tx_hash),
            ("payment_intent", lambda row: row.payment_intent),
            ("customer", lambda row: row.customer),
        ],
        rows,
    )


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "payins", menu=Menu("Payments", mark("Pay-ins"))),
    Screen("GET", EXCEPTIONS, exceptions, "payins", menu=Menu("Payments", mark("Exceptions"))),
    Screen("GET", PATH + "/{payin}", show, "payins"),
    Screen("POST", PATH + "/{payin}/refund", give_back, "refunds", step_up=True, again=again),
)
