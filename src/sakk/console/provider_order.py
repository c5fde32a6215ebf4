"""Provider orders: payouts that a provider carries out, what it asks of them, and the answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import Field
from sqlalchemy import ColumnElement

from sakk.console.listing import ListQuery, created_within, csv_file, fields, listing, options
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core import provider_order as rules
from sakk.core.errors import ResourceMissing
from sakk.core.provider_order import Answer, ProviderOrder, ProviderOrderStatus
from sakk.core.search import SearchKind, read_search
from sakk.flow import bank_payment as payments_flow
from sakk.flow import provider_order as flow
from sakk.pages.form import Form, Upload
from sakk.pages.language import mark
from sakk.store import account as merchants
from sakk.store import bank_account as accounts
from sakk.store import bank_payment as payments
from sakk.store import payout as payouts
from sakk.store import person as persons
from sakk.store import provider_order as store
from sakk.store.page import fetch_window

PATH: Final = f"{ROOT}/provider_orders"
# A document as it was chosen, or as it comes back in base64 with a fresh proof, and its fields.
ANSWER_BYTES_MAX: Final = rules.ATTACHMENT_BYTES_MAX * 3 // 2
STATUSES: Final[Mapping[str, tuple[str, str]]] = {
    "new": (mark("A price is asked for"), "wait"),
    "locked": (mark("Its price is held"), "wait"),
    "placing": (mark("Being placed"), "wait"),
    "placed": (mark("At the provider"), "wait"),
    "information_required": (mark("Waits for an answer"), "warn"),
    "paid": (mark("Paid"), "good"),
    "failed": (mark("Failed"), "bad"),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as the page shows it. ``refusal``: why the last answer was not taken."""

    id: str
    text: str
    wants_file: bool
    at: datetime
    refusal: str | None
    given: Answer | None


class OrderQuery(ListQuery):
    """Which orders."""

    status: ProviderOrderStatus | None = None


class AnswerForm(Form):
    """What is answered to which question; a document where the provider asks for one."""

    question: Annotated[str, Field(max_length=255)]
    text: Annotated[str, Field(max_length=rules.ANSWER_LENGTH_MAX)]
    file: Upload | None = None


def index(visit: Visit, query: OrderQuery) -> Page | Download:
    """The orders, newest first."""
    c = store.provider_orders.c
    mode = c.livemode == visit.livemode
    bound: list[ColumnElement[bool]] = (
        [] if visit.account_id is None else [c.account_id == visit.account_id, mode]
    )
    filters = created_within(visit, query, store.provider_orders)
    if visit.account_id is None:
        filters.append(mode)
    search = read_search(query.q or "")
    if search is not None and search.kind is SearchKind.id:
        by_id = {rules.PREFIX: c.id, "po": c.payout}.get(search.name, c.id)
        bound.append(by_id == search.value)
    elif query.q is not None:
        filters.append(c.reference == query.q)
    if query.status is not None:
        filters.append(c.status == query.status.value)
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            store.provider_orders,
            ProviderOrder,
            bound=bound,
            filters=filters,
            limit=query.limit,
            **query.place,
        )
        names = merchants.names(connection, {each.account_id for each in window.rows})
    if query.is_file:
        plain = ("id", "created", "status", "account_id", "payout", "provider", "reference")
        units = ("units", "fee_units", "currency", "reason_code", "reason", "ended_at")
        return csv_file("provider-orders.csv", fields(*plain, *units), window.rows)
    values = {
        "list": listing(visit, query, window, window.rows),
        "statuses": STATUSES,
        "names": names,
        "choices": {"status": options(visit, STATUSES)},
    }
    return Page("console/provider_orders.html", values)


def show(visit: Visit, provider_order: str) -> Page:
    """One order: what is known of it, what the provider asks, and what was answered."""
    return _detail(visit, provider_order, None)


def again(visit: Visit, rejected: Rejected, provider_order: str) -> Page:
    """The same with what was wrong in the answer."""
    return _detail(visit, provider_order, rejected)


def answer(visit: Visit, provider_order: str, form: AnswerForm) -> Redirect:
    """Answer one question; a worker sends it a moment later, and once."""
    answer_id = visit.object_id(rules.ANSWER_PREFIX)
    told = visit.words.gettext("Answered: the provider is told in a moment.")
    found = _found(visit, provider_order)
    if not any(each["answer"] == answer_id for each in found.questions):
        with visit.database.begin() as connection:
            flow.answer(
                connection,
                provider_order,
                answer_id=answer_id,
                question=form.question,
                text=form.text,
                file=None if form.file is None else (form.file.name, form.file.content),
                by=visit.person.id,
                livemode=visit.livemode,
                vault=visit.parts.secrets_vault(),
                now=visit.now,
            )
    return Redirect(f"{PATH}/{provider_order}", told)


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    row = _found(visit, identifier)
    with visit.database.read() as connection:
        order = payments.list_by_ids(connection, [row.payment]).get(row.payment)
        payout = payouts.list_by_ids(connection, [row.payout]).get(row.payout)
        ids = [row.bank_account] if order is None else [row.bank_account, order.destination]
        places = accounts.list_by_ids(connection, ids)
        answers = {each.id: each for each in store.answers_of(connection, row.id)}
        people = persons.names(connection, [each.answered_by for each in answers.values()])
        names = merchants.names(connection, {row.account_id})
    waits = row.status == ProviderOrderStatus.information_required
    values: dict[str, Any] = {
        "row": row,
        "own": places.get(row.bank_account),
        "payee": None if order is None else places.get(order.destination),
        "remittance": None if payout is None else payments_flow.remittance_of(payout),
        "order": order,
        "asked": [
            Asked(
                each["id"],
                each["text"],
                each["wants_file"],
                datetime.fromtimestamp(each["asked_at"], UTC),
                each.get("refusal"),
                answers.get(each["answer"]),
            )
            for each in row.questions
        ],
        "people": people,
        "names": names,
        "statuses": STATUSES,
        "may_answer": waits and visit.may("provider_orders", "write"),
        "message": None if rejected is None else rejected.message,
        "sent": {} if rejected is None else rejected.values,
        "faults": {} if rejected is None else rejected.faults,
    }
    return Page("console/provider_order.html", values)


def _found(visit: Visit, identifier: str) -> ProviderOrder:
    with visit.database.read() as connection:
        found = store.find(connection, identifier, livemode=visit.livemode)
    if found is None or visit.account_id not in (None, found.account_id):
        raise ResourceMissing("There is no such order at a provider.")
    return found


SCREENS: tuple[Screen, ...] = (
    Screen(
        "GET",
        PATH,
        index,
        "provider_orders",
        operator_only=True,
        menu=Menu("Money", mark("Provider orders")),
    ),
    Screen("GET", f"{PATH}/{{provider_order}}", show, "provider_orders", operator_only=True),
    Screen(
        "POST",
        f"{PATH}/{{provider_order}}/answer",
        answer,
        "provider_orders",
        step_up=True,
        operator_only=True,
        again=again,
        body_bytes_max=ANSWER_BYTES_MAX,
    ),
)
