"""Checkout sessions: pages on which somebody is asked to pay, and where each of them stands."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection

from sakk.console.listing import ListQuery, created_within, listing
from sakk.console.payment import AMOUNTS, STATUSES
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core import checkout_session as rules
from sakk.core.checkout_session import CheckoutSession
from sakk.core.payment import PaymentIntent
from sakk.core.search import SearchKind, like, read_search
from sakk.flow import checkout_session as flow
from sakk.pages.language import mark
from sakk.store import checkout_session as store
from sakk.store import payment as payments
from sakk.store.page import Window, fetch_window

PATH: Final = f"{ROOT}/sessions"
# Which column is asked for an id, by its prefix.
_COLUMNS: Final = {"pi": "payment_intent", "plink": "payment_link", "pos": "pos_device"}


def index(visit: Visit, query: ListQuery) -> Page:
    """The sessions, newest first."""
    with visit.database.read() as connection:
        window = _window(connection, visit, query)
        rows = with_payments(connection, window.rows)
    return Page(
        "console/checkout_sessions.html",
        {"list": listing(visit, query, window, rows), "words": STATUSES},
    )


def show(visit: Visit, session: str) -> Page:
    """One session: what is asked, its page while it is open, and its payment."""
    return _detail(visit, session, None)


def again(visit: Visit, rejected: Rejected, session: str) -> Page:
    """The same with why it could not be called off."""
    return _detail(visit, session, rejected)


def expire(visit: Visit, session: str) -> Redirect:
    """Call off a session that nobody has begun to pay; its addresses stay watched."""
    with visit.database.begin() as connection:
        found, _ = flow.find(
            connection, session, account_id=visit.account_id, livemode=visit.livemode
        )
        flow.expire(
            connection,
            found.id,
            account_id=found.account_id,
            livemode=visit.livemode,
            now=visit.now,
            request_id=visit.request_id,
        )
    return Redirect(f"{PATH}/{session}", visit.words.gettext("The session is called off."))


def with_payments(
    connection: Connection, rows: Sequence[CheckoutSession]
) -> list[tuple[CheckoutSession, PaymentIntent]]:
    """Sessions, each with its payment."""
    intents = payments.find_many(connection, [each.payment_intent for each in rows])
    return [(each, intents[each.payment_intent]) for each in rows]


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        session, intent = flow.find(
            connection, identifier, account_id=visit.account_id, livemode=visit.livemode
        )
    token = flow.token_of(visit.parts.secrets_vault(), session.id)
    is_open = rules.is_open(intent)
    return Page(
        "console/checkout_session.html",
        {
            "session": session,
            "intent": intent,
            "url": visit.settings.public_url + rules.page_path(token) if is_open else None,
            "may_expire": is_open
            and not intent.amount_received
            and visit.may("checkout_sessions", "write"),
            "words": {"status": STATUSES, "amount": AMOUNTS},
            "fault": None if rejected is None else rejected.message,
        },
    )


def _window(connection: Connection, visit: Visit, query: ListQuery) -> Window[CheckoutSession]:
    c = store.checkout_sessions.c
    mode = c.livemode == visit.livemode
    bound = [] if visit.account_id is None else [c.account_id == visit.account_id, mode]
    filters = [mode] if visit.account_id is None else []
    search = read_search(query.q or "")
    if search is not None and search.kind is SearchKind.id:
        named = c[_COLUMNS.get(search.name, "id")] == search.value
        # An index of these has them before the id; an account's own has not.
        bound, filters = [named], [*bound, *filters]
    elif search is not None:
        filters.append(c.client_reference_id.ilike(like(query.q or "")))
    filters += created_within(visit, query, store.checkout_sessions)
    return fetch_window(
        connection,
        store.checkout_sessions,
        CheckoutSession,
        bound=bound,
        filters=filters,
        limit=query.limit,
        **query.place,
    )


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "checkout_sessions", menu=Menu("Payments", mark("Checkout"))),
    Screen("GET", PATH + "/{session}", show, "checkout_sessions"),
    Screen("POST", PATH + "/{session}/expire", expire, "checkout_sessions", again=again),
)
