"""Webhook endpoints: who is told, what they answered, and sending again."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import ColumnElement, Connection

from sakk.console.listing import ROWS, ListQuery, listing, options
from sakk.console.payment import DELIVERY_STATUSES
from sakk.console.route import Menu, Screen
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core import event as event_rules
from sakk.core.errors import ResourceMissing
from sakk.core.event import EVENT_TYPES
from sakk.core.webhook import DeliveryStatus
from sakk.core.webhook_event import ADDRESSED
from sakk.flow import webhook as flow
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import event as events
from sakk.store import webhook as store
from sakk.store.page import fetch_window

PATH = "/console/webhooks"
DELIVERIES = "/console/deliveries"
URL_LENGTH_MAX = 2_000
REPLAY_HOURS_MAX = 24 * 30
# For so long who clicks twice sees the secret that the first click made.
SHOWN_AGAIN = timedelta(minutes=1)
# A try is followed until its lease is over.
FOLLOWED_SECONDS = 30.0


class EndpointForm(Form):
    """Where to, and what of. Nothing ticked is everything."""

    url: Annotated[str, Field(max_length=URL_LENGTH_MAX)]
    description: Annotated[str, Field(max_length=flow.DESCRIPTION_LENGTH_MAX)] | None = None
    events: list[Annotated[str, Field(max_length=100)]] = Field(default_factory=list)


class StateForm(Form):
    """On or off."""

    state: Literal["enabled", "disabled"]


class ReplayForm(Form):
    """How far back."""

    hours: Annotated[int, Field(ge=1, le=REPLAY_HOURS_MAX)] = 24


class DeliveryQuery(ListQuery):
    """Which deliveries."""

    status: DeliveryStatus | None = None


class BackForm(Form):
    """Where to go on: a page of the console."""

    back: Annotated[str, Field(max_length=300)] | None = None


def index(visit: Visit, query: ListQuery) -> Page:
    """The endpoints, and a form for a new one."""
    return _page(visit, query, None)


def again(visit: Visit, rejected: Rejected) -> Page:
    """The same with what was wrong in the form."""
    return _page(visit, ListQuery(), rejected)


def create(visit: Visit, form: EndpointForm) -> Page | Redirect:
    """Open an endpoint; its secret is on this page and nowhere else."""
    whose: dict[str, Any] = {"account_id": visit.account(), "livemode": visit.livemode}
    # Not the form's seed itself: who knows an endpoint's id could be shown its secret by it.
    identifier = visit.object_id(flow.PREFIX, 1)
    with visit.database.begin() as connection:
        made = store.get_endpoint(connection, identifier, **whose)
        if made is None:
            made = flow.create(
                connection,
                identifier=identifier,
                url=form.url,
                enabled_events=form.events or ["*"],
                description=form.description,
                allow_loopback=visit.settings.sandbox,
                now=visit.now,
                **whose,
            )
        elif visit.now - made.created > SHOWN_AGAIN:
            return Redirect(f"{PATH}/{made.id}")
    return Page("console/webhook_secret.html", {"endpoint": made, "is_new": True})


def show(visit: Visit, endpoint: str, query: DeliveryQuery) -> Page:
    """An endpoint with what was sent to it."""
    return _detail(visit, endpoint, query, None)


def show_again(visit: Visit, rejected: Rejected, endpoint: str) -> Page:
    """The same with what was wrong in the form."""
    return _detail(visit, endpoint, DeliveryQuery(), rejected)


def change(visit: Visit, endpoint: str, form: EndpointForm) -> Redirect:
    """Another address, or other events; what is still due goes to the new address."""
    with visit.database.begin() as connection:
        found = _found(connection, visit, endpoint)
        # Whole nouns stay whole where nothing was ticked otherwise: types of theirs may come later.
        is_same = sorted(form.events) == _events(found)
        flow.update(
            connection,
            found.id,
            account_id=found.account_id,
            livemode=visit.livemode,
            url=form.url,
            enabled_events=None if is_same else form.events or ["*"],
            description=form.description or "",
            allow_loopback=visit.settings.sandbox,
            now=visit.now,
        )
    return Redirect(f"{PATH}/{endpoint}", flash=visit.words.gettext("It is saved."))


def _detail(visit: Visit, endpoint: str, query: DeliveryQuery, rejected: Rejected | None) -> Page:
    message = None
    if rejected is not None and not rejected.values:
        # Of an act, which has no fields that could be mended.
        message, rejected = rejected.message, None
    c = store.webhook_deliveries.c
    with visit.database.read() as connection:
        found = _found(connection, visit, endpoint)
        window = fetch_window(
            connection,
            store.webhook_deliveries,
            store.WebhookDelivery,
            bound=[c.endpoint_id == found.id],
            filters=[] if query.status is None else [c.status == query.status.value],
            limit=query.limit,
            **query.place,
        )
        types = events.types_of(connection, [row.event_id for row in window.rows])
    return Page(
        "console/webhook.html",
        {
            "endpoint": found,
            "list": listing(visit, query, window, window.rows),
            "types": types,
            "statuses": DELIVERY_STATUSES,
            "may_write": visit.may("webhook_endpoints", "write"),
            "all_types": merchants_types(),
            "sent": _sent(found) if rejected is None else rejected.values,
            "faults": {} if rejected is None else rejected.faults,
            "rejected": rejected,
            "message": message,
            "choices": {"status": options(visit, DELIVERY_STATUSES)},
        },
    )


def switch(visit: Visit, endpoint: str, form: StateForm) -> Redirect:
    """Switch an endpoint off, or on again, which sends what has waited."""
    with visit.database.begin() as connection:
        found = _found(connection, visit, endpoint)
        flow.update(
            connection,
            found.id,
            account_id=found.account_id,
            livemode=visit.livemode,
            disabled=form.state == "disabled",
            allow_loopback=visit.settings.sandbox,
            now=visit.now,
        )
    return Redirect(f"{PATH}/{endpoint}", flash=visit.words.gettext("It is saved."))


def rotate(visit: Visit, endpoint: str) -> Page:
    """A new secret, shown once; both sign for a day. Clicked twice, it is one."""
    with visit.database.begin() as connection:
        found = _found(connection, visit, endpoint, lock=True)
        until = found.previous_secret_until
        overlap = timedelta(seconds=flow.ROTATION_OVERLAP_SECONDS)
        # A second one so soon would end the secret that the server still has. One that was made
        # by the API with a longer overlap looks as if it were still to come.
        made = found
        if until is None or abs(visit.now - (until - overlap)) > SHOWN_AGAIN:
            made = flow.rotate_secret(
                connection,
                found.id,
                account_id=found.account_id,
                livemode=visit.livemode,
                now=visit.now,
            )
    return Page("console/webhook_secret.html", {"endpoint": made, "is_new": False})


def remove(visit: Visit, endpoint: str) -> Redirect:
    """Delete an endpoint; what was still due to it is given up."""
    with visit.database.begin() as connection:
        found = _found(connection, visit, endpoint)
        flow.delete(
            connection,
            found.id,
            account_id=found.account_id,
            livemode=visit.livemode,
            now=visit.now,
        )
    return Redirect(PATH, flash=visit.words.gettext("The endpoint is deleted."))


def replay(visit: Visit, endpoint: str, form: ReplayForm) -> Redirect:
    """Send again what an endpoint did not take in the last hours."""
    since: datetime = visit.now - timedelta(hours=form.hours)
    with visit.database.begin() as connection:
        found = _found(connection, visit, endpoint)
        count = flow.replay(
            connection,
            found.id,
            account_id=found.account_id,
            livemode=visit.livemode,
            since=since,
            now=visit.now,
        )
    told = visit.words.ngettext(
        "{number} delivery is on its way again.",
        "{number} deliveries are on their way again.",
        count,
    )
    return Redirect(f"{PATH}/{endpoint}", flash=told)


def send_test(visit: Visit, endpoint: str) -> Redirect:
    """Send a test, and go to where its answer is shown."""
    with visit.database.begin() as connection:
        found = _found(connection, visit, endpoint)
        made = flow.send_test(
            connection,
            found.id,
            account_id=found.account_id,
            livemode=visit.livemode,
            now=visit.now,
            request_id=visit.request_id,
        )
    return Redirect(f"{DELIVERIES}/{made.id}")


def show_delivery(visit: Visit, delivery: str) -> Page:
    """One delivery with all its tries."""
    return Page("console/delivery.html", _shown(visit, delivery))


def tries(visit: Visit, delivery: str) -> Page:
    """What came of it so far, for the page that shows it."""
    return Page("console/delivery_tries.html", _shown(visit, delivery))


def _shown(visit: Visit, delivery: str) -> dict[str, object]:
    with visit.database.read() as connection:
        found, endpoint = _delivery(connection, visit, delivery)
        event = events.get(
            connection, found.event_id, account_id=found.account_id, livemode=visit.livemode
        )
        attempts = store.list_attempts(connection, found.id)
    soon = visit.now + timedelta(seconds=FOLLOWED_SECONDS)
    return {
        "delivery": found,
        "endpoint": endpoint,
        "event": event,
        "is_test": event is not None and event.type in ADDRESSED,
        "attempts": attempts,
        "statuses": DELIVERY_STATUSES,
        # Being sent, or about to be.
        "is_open": found.next_attempt_at is not None
        and endpoint.status == "enabled"
        and found.next_attempt_at <= soon,
        "may_write": visit.may("webhook_endpoints", "write"),
    }


def redeliver(visit: Visit, delivery: str, form: BackForm) -> Redirect:
    """Send one delivery again at once."""
    with visit.database.begin() as connection:
        found, _ = _delivery(connection, visit, delivery)
        flow.redeliver(
            connection,
            found.id,
            account_id=found.account_id,
            livemode=visit.livemode,
            now=visit.now,
        )
    back = form.back or ""
    where = back if back.startswith("/console/") else f"{DELIVERIES}/{found.id}"
    return Redirect(where, flash=visit.words.gettext("It is on its way again."))


def _sent(endpoint: store.WebhookEndpoint) -> dict[str, object]:
    """What is known of an endpoint, as its form has it."""
    return {
        "url": endpoint.url,
        "description": endpoint.description or "",
        "events": _events(endpoint),
    }


def _events(endpoint: store.WebhookEndpoint) -> list[str]:
    """What is ticked of an endpoint: a whole noun is each of its types, and everything is none."""
    wanted = endpoint.enabled_events
    if "*" in wanted:
        return []
    return [each for each in merchants_types() if event_rules.wants(wanted, each)]


def merchants_types() -> list[str]:
    """What a merchant is told of; the others are the operator's alone."""
    return sorted(name for name in EVENT_TYPES if event_rules.wants([event_rules.EVERYTHING], name))


def _page(visit: Visit, query: ListQuery, rejected: Rejected | None) -> Page:
    c = store.webhook_endpoints.c
    mode = c.livemode == visit.livemode
    bound: list[ColumnElement[bool]] = []
    if visit.account_id is not None:
        bound = [c.account_id == visit.account_id, mode]
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            store.webhook_endpoints,
            store.WebhookEndpoint,
            bound=bound,
            filters=[mode] if visit.account_id is None else (),
            limit=ROWS,
            **query.place,
        )
    may_write = visit.may("webhook_endpoints", "write")
    return Page(
        "console/webhooks.html",
        {
            "list": listing(visit, query, window, window.rows),
            "may_create": may_write and visit.account_id is not None,
            "types": merchants_types(),
            "rejected": rejected,
        },
    )


def _found(
    connection: Connection, visit: Visit, endpoint: str, *, lock: bool = False
) -> store.WebhookEndpoint:
    found = store.find_visible(
        connection, endpoint, account_id=visit.account_id, livemode=visit.livemode, lock=lock
    )
    if found is None:
        raise ResourceMissing(
            "No such webhook endpoint: {endpoint}", param="endpoint", endpoint=repr(endpoint)
        )
    return found


def _delivery(
    connection: Connection, visit: Visit, delivery: str
) -> tuple[store.WebhookDelivery, store.WebhookEndpoint]:
    found = store.find_delivery(connection, delivery)
    if found is None or visit.account_id not in (None, found.account_id):
        raise ResourceMissing(
            "No such delivery: {delivery}", param="delivery", delivery=repr(delivery)
        )
    return found, _found(connection, visit, found.endpoint_id)


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "webhook_endpoints", menu=Menu("Developers", mark("Webhooks"))),
    Screen("POST", PATH, create, "webhook_endpoints", again=again),
    Screen("GET", PATH + "/{endpoint}", show, "webhook_endpoints"),
    Screen(
        "POST",
        PATH + "/{endpoint}/change",
        change,
        "webhook_endpoints",
        step_up=True,
        again=show_again,
    ),
    Screen("POST", PATH + "/{endpoint}/switch", switch, "webhook_endpoints"),
    Screen("POST", PATH + "/{endpoint}/rotate", rotate, "webhook_endpoints", step_up=True),
    Screen("POST", PATH + "/{endpoint}/delete", remove, "webhook_endpoints"),
    Screen("POST", PATH + "/{endpoint}/replay", replay, "webhook_endpoints"),
    Screen("POST", PATH + "/{endpoint}/test", send_test, "webhook_endpoints", again=show_again),
    Screen("GET", DELIVERIES + "/{delivery}/tries", tries, "webhook_endpoints"),
    Screen("GET", DELIVERIES + "/{delivery}", show_delivery, "webhook_endpoints"),
    Screen("POST", DELIVERIES + "/{delivery}/redeliver", redeliver, "webhook_endpoints"),
)
