"""Questions: what an account is asked about its payments, and its answer with files.

Nothing here tells why something is asked: who answers sees the question and their own payment.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from sakk.console.listing import ListQuery, created_within, listing, options
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core import attachment as attachments
from sakk.core import ids
from sakk.core import information_request as rules
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.information_request import Asked, InformationRequest, InformationStatus
from sakk.core.search import SearchKind, like, read_search
from sakk.flow import information_request as flow
from sakk.pages.form import Form, Upload
from sakk.pages.language import mark
from sakk.store import information_request as store
from sakk.store import person as persons
from sakk.store.page import fetch_window

PATH: Final = f"{ROOT}/questions"
# The files of an answer, and the fields beside them.
ANSWER_BYTES_MAX: Final = attachments.SIZE_BYTES_MAX + (64 << 10)
STATUSES: Mapping[str, tuple[str, str]] = {
    "open": (mark("Waits for your answer"), "warn"),
    "answered": (mark("Answered"), "good"),
    "withdrawn": (mark("Not needed any more"), "plain"),
}
ABOUT: Mapping[str, str] = {
    "payin": mark("Pay-in"),
    "payout": mark("Payout"),
    "refund": mark("Refund"),
}


class QuestionQuery(ListQuery):
    """Which questions."""

    status: Literal["open", "answered", "withdrawn"] | None = None


class AnswerForm(Form):
    """The answer, and its files; the type of each follows from its name."""

    text: Annotated[str, Field(max_length=rules.TEXT_LENGTH_MAX)]
    files: list[Upload] = Field(default_factory=list)


def index(visit: Visit, query: QuestionQuery) -> Page:
    """What is asked, newest first."""
    c = store.information_requests.c
    mode = c.livemode == visit.livemode
    bound = [mode] if visit.account_id is None else [c.account_id == visit.account_id, mode]
    filters = created_within(visit, query, store.information_requests)
    search = read_search(query.q or "")
    if search is not None and search.kind is SearchKind.id:
        bound.append(c.id == search.value)
    elif search is not None:
        filters.append(c.question.ilike(like(query.q or "")))
    if query.status is not None:
        filters.append(store.has_status(InformationStatus(query.status)))
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            store.information_requests,
            InformationRequest,
            bound=bound,
            filters=filters,
            limit=query.limit,
            **query.place,
        )
        asked = store.with_ends(connection, window.rows)
    return Page(
        "console/information_requests.html",
        {
            "list": listing(visit, query, window, asked),
            "words": {"status": STATUSES, "about": ABOUT},
            "choices": {"status": options(visit, STATUSES)},
            "now": visit.now,
        },
    )


def show(visit: Visit, question: str) -> Page:
    """One question, and a form to answer it."""
    return _detail(visit, question, None)


def again(visit: Visit, rejected: Rejected, question: str) -> Page:
    """The same with what was wrong in the form."""
    return _detail(visit, question, rejected)


def answer(visit: Visit, question: str, form: AnswerForm) -> Redirect:
    """Answer it, once."""
    found = _found(visit, question)
    flow.answer(
        visit.parts,
        found.request.id,
        form.text,
        [_sent(visit, each) for each in form.files],
        account_id=visit.account_id,
        livemode=visit.livemode,
        actor=visit.actor,
        seed=ids.decode(visit.object_id(rules.PREFIX))[1],
        by_operator=visit.is_operator,
    )
    return Redirect(f"{PATH}/{question}", visit.words.gettext("Thank you: your answer is sent."))


def _sent(visit: Visit, file: Upload) -> flow.SentFile:
    media_type = attachments.media_type_of(file.name)
    if media_type is None:
        endings = ", ".join(attachments.ENDINGS)
        told = visit.words.gettext("Files that are kept end in {endings}.", endings=endings)
        raise ParameterInvalid(told, param="files")
    return flow.SentFile(file.name, media_type, file.content)


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    asked = _found(visit, identifier)
    end = asked.end
    with visit.database.read() as connection:
        names = {} if end is None else persons.names(connection, [end.by])
    is_open = end is None
    values: dict[str, Any] = {
        "asked": asked,
        "row": asked.request,
        "is_late": asked.is_overdue(visit.now),
        "may_answer": is_open and visit.may("information_requests", "write"),
        "names": names,
        "words": {"status": STATUSES, "about": ABOUT},
        "endings": ",".join(attachments.ENDINGS),
        "rejected": rejected,
        "sent": {} if rejected is None else rejected.values,
        "faults": {} if rejected is None else rejected.faults,
    }
    return Page("console/information_request.html", values)


def _found(visit: Visit, identifier: str) -> Asked:
    with visit.database.read() as connection:
        found = store.find(
            connection, identifier, account_id=visit.account_id, livemode=visit.livemode
        )
    if found is None:
        raise ResourceMissing("There is no such question.")
    return found


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "information_requests", menu=Menu("Payments", mark("Questions"))),
    Screen("GET", PATH + "/{question}", show, "information_requests"),
    Screen(
        "POST",
        PATH + "/{question}",
        answer,
        "information_requests",
        again=again,
        body_bytes_max=ANSWER_BYTES_MAX,
    ),
)
