"""Files of banks: what was sent to them and came from them, and what became of each."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from sakk.console.bank_line import RETURNS
from sakk.console.listing import ListQuery, created_within, csv_file, fields, listing, options
from sakk.console.payout import BANK_PAYMENTS
from sakk.console.route import ROOT, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core import bank_file as rules
from sakk.core.bank_account import minor_units
from sakk.core.bank_file import BankFile, FileStatus
from sakk.core.errors import ParameterMissing, ResourceMissing
from sakk.flow import bank_release as flow
from sakk.flow.bank_preview import preview
from sakk.flow.officer import is_alone
from sakk.flow.word import Word
from sakk.pages.form import Form, Upload
from sakk.pages.language import mark
from sakk.rails.bank.reader import ReadFile
from sakk.store import bank_account as accounts
from sakk.store import bank_file as store
from sakk.store import bank_payment as payments
from sakk.store import bank_return as returns
from sakk.store import bank_statement as statements
from sakk.store import person as persons
from sakk.store.page import fetch_window

PATH: Final = f"{ROOT}/bank_files"
BODY_BYTES_MAX: Final = 17 << 20
PAYMENTS_SHOWN_MAX: Final = 1_000
STATUSES: Final[Mapping[str, tuple[str, str]]] = {
    "ready": (mark("To be sent"), "wait"),
    "sent": (mark("Sent"), "good"),
    "withdrawn": (mark("Replaced"), "plain"),
    "awaiting": (mark("Awaits a second person"), "wait"),
    "received": (mark("To be read"), "wait"),
    "read": (mark("Read"), "good"),
    "refused": (mark("Refused"), "bad"),
}
WAYS: Final[Mapping[str, str]] = {"out": mark("To the bank"), "in": mark("From the bank")}


# What a file that waits says of a payment.
WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "in": (mark("Comes in"), "good"),
    "out": (mark("Goes out"), "plain"),
    "accepted": (mark("Accepted by the bank"), "wait"),
    "rejected": (mark("Refused by the bank"), "bad"),
    "nothing": (mark("Nothing that changes it"), "plain"),
}


class FileQuery(ListQuery):
    """Which files."""

    way: Literal["in", "out"] | None = None
    status: (
        Literal["ready", "sent", "withdrawn", "awaiting", "received", "read", "refused"] | None
    ) = None
    account: Annotated[str, Field(max_length=255)] | None = None


class ReleaseForm(Form):
    """The hash of the bytes that were looked at."""

    sha256: Annotated[str, Field(max_length=64)]


class UploadForm(Form):
    """A file that a bank sent."""

    file: Upload | None = None


def index(visit: Visit, query: FileQuery) -> Page | Download:
    """The files, newest first."""
    return _listed(visit, query, None)


def index_again(visit: Visit, rejected: Rejected) -> Page:
    """The same, with why a file was not taken."""
    shown = _listed(visit, FileQuery(), rejected)
    assert isinstance(shown, Page)
    return shown


def bring(visit: Visit, form: UploadForm) -> Redirect:
    """Bring a file that a bank sent; a worker reads it."""
    if form.file is None:
        raise ParameterMissing("Choose a file.", param="file")
    with visit.database.begin() as connection:
        row = flow.bring(
            connection,
            form.file.content,
            name=form.file.name,
            actor=visit.actor,
            livemode=visit.livemode,
            now=visit.now,
            identifier=visit.object_id(rules.PREFIX),
        )
    told = visit.words.gettext("The file is here: another person releases it.")
    return Redirect(f"{PATH}/{row.id}", told)


def release(visit: Visit, bank_file: str, form: ReleaseForm) -> Redirect:
    """Stand for a file that another person brought."""
    word = Word(visit.actor, visit.step_up, form.sha256)
    flow.release(visit.parts, bank_file, word, livemode=visit.livemode)
    told = visit.words.gettext("Released: it is being read.")
    return Redirect(f"{PATH}/{bank_file}", told)


def refuse(visit: Visit, bank_file: str) -> Redirect:
    """Refuse a file that was brought, or take it back."""
    flow.refuse(visit.parts, bank_file, actor=visit.actor, livemode=visit.livemode)
    return Redirect(f"{PATH}/{bank_file}", visit.words.gettext("The file is not read."))


def show(visit: Visit, bank_file: str) -> Page:
    """One file: its orders with the bank's answers, or the statements that were in it."""
    return _detail(visit, bank_file, None)


def again(visit: Visit, rejected: Rejected, bank_file: str) -> Page:
    """The same with what was wrong."""
    return _detail(visit, bank_file, rejected)


def _detail(visit: Visit, bank_file: str, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        found = _found(visit, bank_file)
        waits = found.status == FileStatus.awaiting
        people = [each for each in (found.brought_by, found.released_by) if each]
        said = flow.preview(connection, found) if waits else None
        told_by_it = (
            preview(connection, said, livemode=visit.livemode)
            if isinstance(said, ReadFile)
            else None
        )
        values: dict[str, Any] = {
            "waits": waits,
            "said": said,
            "unsaid": isinstance(said, str),
            "told": told_by_it,
            "words": WORDS,
            "people": persons.names(connection, people),
            "alone": is_alone(connection, livemode=visit.livemode),
            "may_write": visit.may("bank_files", "write"),
            "message": None if rejected is None else rejected.message,
        }
        backs = returns.list_of_file(connection, found.id) if found.way == "out" else []
        own = None
        if found.bank_account is not None:
            own = accounts.find(
                connection, found.bank_account, account_id=None, livemode=visit.livemode
            )
        orders = payments.of_file(connection, found.id) if found.way == "out" else []
        told = statements.of_file(connection, found.id) if found.way == "in" else []
    values |= {
        "row": found,
        "own": own,
        "backs": backs,
        "returns": RETURNS,
        "decimals": {each.currency: minor_units(each.currency) for each in said.statements}
        if isinstance(said, ReadFile)
        else {},
        "orders": orders[:PAYMENTS_SHOWN_MAX],
        "left_out": max(0, len(orders) - PAYMENTS_SHOWN_MAX),
        "statements": told,
        "statuses": STATUSES,
        "ways": WAYS,
        "payment_statuses": BANK_PAYMENTS,
    }
    return Page("console/bank_file.html", values)


def content(visit: Visit, bank_file: str) -> Download:
    """Its bytes, as they went or came."""
    found = _found(visit, bank_file)
    with visit.database.read() as connection:
        return Download(f"{found.id}.bin", store.content_of(connection, found.id))


def _listed(visit: Visit, query: FileQuery, rejected: Rejected | None) -> Page | Download:
    c = store.bank_files.c
    filters = created_within(visit, query, store.bank_files)
    filters.append(c.livemode == visit.livemode)
    told = {"way": query.way, "status": query.status, "bank_account": query.account}
    filters += [c[name] == value for name, value in told.items() if value is not None]
    if query.q is not None:
        filters.append((c.id == query.q) | (c.name == query.q) | (c.sha256 == query.q))
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            store.bank_files,
            BankFile,
            bound=[],
            filters=filters,
            limit=query.limit,
            **query.place,
        )
        own = accounts.list_own(connection, accounts.bank_accounts.c.livemode == visit.livemode)
    if query.is_file:
        names = ("id", "created", "way", "kind", "status", "name", "size", "sha256", "done_at")
        return csv_file("bank-files.csv", fields(*names, "reason"), window.rows)
    values: dict[str, Any] = {
        "list": listing(visit, query, window, window.rows),
        "statuses": STATUSES,
        "ways": WAYS,
        "own": {each.id: each for each in own},
        "may_bring": visit.may("bank_files", "write"),
        "message": None if rejected is None else rejected.message,
        "choices": {
            "way": options(visit, WAYS),
            "status": options(visit, STATUSES),
            "account": [(each.id, f"{each.holder} {each.currency.upper()}") for each in own],
        },
    }
    return Page("console/bank_files.html", values)


def _found(visit: Visit, identifier: str) -> BankFile:
    with visit.database.read() as connection:
        found = store.find(connection, identifier, livemode=visit.livemode)
    if found is None:
        raise ResourceMissing("There is no such file.")
    return found


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "bank_files", operator_only=True),
    Screen(
        "POST",
        PATH,
        bring,
        "bank_files",
        step_up=True,
        operator_only=True,
        again=index_again,
        body_bytes_max=BODY_BYTES_MAX,
    ),
    Screen("GET", f"{PATH}/{{bank_file}}", show, "bank_files", operator_only=True),
    *(
        Screen(
            "POST",
            f"{PATH}/{{bank_file}}/{name}",
            handler,
            "bank_files",
            step_up=True,
            operator_only=True,
            again=again,
        )
        for name, handler in (("release", release), ("refuse", refuse))
    ),
    Screen("GET", f"{PATH}/{{bank_file}}/content", content, "bank_files", operator_only=True),
)
