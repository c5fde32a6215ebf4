"""Payout batches: a file of payouts is looked at line by line, confirmed, approved, and followed.

A file is kept nowhere until it is confirmed: the page on which it was looked at carries it, and
what is confirmed is the digest that this page showed.
"""

from base64 import b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from sqlalchemy import Connection

from sakk.console.approval import asked_for
from sakk.console.failure import FAILURES
from sakk.console.listing import CSV, ListQuery, created_within, listing, options
from sakk.console.payout import STATUSES, status_of
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core import approval as approvals
from sakk.core import chart, payout_file
from sakk.core import payout_batch as rules
from sakk.core.errors import ParameterInvalid, PayoutDuplicate, ResourceMissing, Unavailable
from sakk.core.payout import Initiator, Payout, PayoutStatus, delivered
from sakk.core.payout_batch import OnInvalid, PayoutBatch
from sakk.core.search import SearchKind, like, read_search
from sakk.flow import approval_batch
from sakk.flow import payout_batch as flow
from sakk.flow.payout_batch import BatchRequest
from sakk.flow.word import Word
from sakk.pages.form import Form, Upload
from sakk.pages.language import mark
from sakk.store import network as networks
from sakk.store import payout as payouts
from sakk.store import payout_batch as store
from sakk.store.page import Window, fetch_window

PATH: Final = f"{ROOT}/payout_batches"
# Ten thousand lines of some hundred bytes each, and what carrying them in a page adds.
BODY_BYTES_MAX: Final = 12 << 20
# So many lines and faults are shown of a file; the file itself has them all.
SHOWN_MAX: Final = 500
# An approver sees what they approve: every line of most batches.
APPROVED_SHOWN_MAX: Final = 2_000
BATCH_STATUSES: Final = {
    "processing": (mark("Under way"), "wait"),
    "completed": (mark("Done"), "good"),
}


class BatchQuery(ListQuery):
    """Which lines of a batch."""

    status: PayoutStatus | None = None


class FileForm(Form):
    """A file, or one that a page carries (``content``), and what to do with wrong lines."""

    file: Upload | None = None
    content: str | None = None
    on_invalid: Literal["refuse", "skip"] = "refuse"
    allow_duplicates: bool = False


class ConfirmForm(FileForm):
    """What was looked at under ``digest`` is to be paid."""

    digest: str
    description: Annotated[str, Field(max_length=500)] | None = None


class ApproveForm(Form):
    """A yes to all that was shown."""

    digest: str
    comment: Annotated[str, Field(max_length=500)] | None = None


def index(visit: Visit, query: ListQuery) -> Page:
    """The batches, newest first."""
    with visit.database.read() as connection:
        window = _window(connection, visit, query)
        totals = store.totals(connection, [row.id for row in window.rows])
    return Page(
        "console/payout_batches.html",
        {
            "list": listing(visit, query, window, window.rows),
            "totals": {name: _sums(each) for name, each in totals.items()},
            "states": {name: rules.status_of(each).value for name, each in totals.items()},
            "words": BATCH_STATUSES,
            "may_create": visit.may("payout_batches", "write") and visit.account_id is not None,
        },
    )


def draft(visit: Visit) -> Page:
    """A form for a file."""
    return _form(visit, None)


def draft_again(visit: Visit, rejected: Rejected) -> Page:
    """The form, with why the file could not be looked at."""
    return _form(visit, rejected)


def preview(visit: Visit, form: FileForm) -> Page:
    """Look at a file: what would be paid, and all that is wrong. Nothing is made."""
    raw, request = _read(visit, form)
    account_id = visit.account()
    checked = flow.preview(
        visit.parts,
        request,
        identifier=visit.object_id(rules.PREFIX),
        account_id=account_id,
        livemode=visit.livemode,
    )
    totals = rules.preview_totals(checked.payouts)
    with visit.database.read() as connection:
        rails = {each.network: each.name for each in networks.list_networks(connection)}
    return Page(
        "console/payout_batch_preview.html",
        {
            "digest": checked.digest,
            "content": urlsafe_b64encode(raw).decode(),
            "on_invalid": form.on_invalid,
            "allow_duplicates": form.allow_duplicates,
            "faults": [
                (each, _cell(request, each), visit.words.error(each.error))
                for each in checked.faults[:SHOWN_MAX]
            ],
            "faults_count": len(checked.faults),
            "has_doubles": any(each.kind is PayoutDuplicate for each in checked.faults),
            "can_be_skipped": not any(each.whole for each in checked.faults),
            "can_be_made": checked.can_be_made(request.on_invalid),
            "totals": list(zip(totals, available(visit, account_id, totals), strict=True)),
            "by_network": _by_network(checked.payouts),
            "decimals": {row.currency: row.decimals for row in checked.payouts},
            "networks": rails,
            "rows": checked.payouts[:SHOWN_MAX],
            "rows_count": len(checked.payouts),
        },
    )


def create(visit: Visit, form: ConfirmForm) -> Redirect:
    """Make what was looked at; a file that would pay anything else is refused."""
    _, request = _read(visit, form)
    made, _ = flow.create(
        visit.parts,
        replace(request, previewed=form.digest, description=form.description),
        identifier=visit.object_id(rules.PREFIX),
        account_id=visit.account(),
        livemode=visit.livemode,
        request_id=visit.request_id,
    )
    told = visit.words.ngettext(
        "{number} payout is asked for.", "{number} payouts are asked for.", made.lines
    )
    return Redirect(f"{PATH}/{made.id}", told)


def show(visit: Visit, batch: str, query: BatchQuery) -> Page:
    """One batch: how far it is, its lines, and those that were left out."""
    return _detail(visit, batch, query, None)


def again(visit: Visit, rejected: Rejected, batch: str) -> Page:
    """The same with why something could not be done."""
    return _detail(visit, batch, BatchQuery(), rejected)


def file(visit: Visit, batch: str) -> Download:
    """All lines with what became of them, also those that were left out."""
    found = _found(visit, batch)
    with visit.database.read() as connection:
        lines = payouts.list_batch(connection, found.id)
        left_out = store.list_skipped(connection, found.id)
        decimals = {each.currency: each.decimals for each in networks.list_currencies(connection)}
    units = decimals if found.source == "json" else None
    text = payout_file.write(lines, left_out, units)
    return Download(f"{found.id}.csv", text.encode("utf-8-sig"), CSV)


def cancel(visit: Visit, batch: str) -> Redirect:
    """Call off every payout that no transaction carries yet."""
    found = _found(visit, batch)
    flow.cancel(
        visit.parts,
        found.id,
        account_id=found.account_id,
        livemode=visit.livemode,
        request_id=visit.request_id,
    )
    told = visit.words.gettext("What was not on its way is called off.")
    return Redirect(f"{PATH}/{batch}", told)


def review(visit: Visit, batch: str) -> Page:
    """What they may approve of a batch: who gets what, of which rules, and who is new."""
    return _review(visit, batch, None)


def review_again(visit: Visit, rejected: Rejected, batch: str) -> Page:
    """The same with why their word did not count."""
    return _review(visit, batch, rejected)


def approve(visit: Visit, batch: str, form: ApproveForm) -> Redirect:
    """Say yes to all that was shown, with one word; whoever asked for one of them can not."""
    found = _found(visit, batch)
    done = approval_batch.approve_batch(
        visit.parts,
        found.id,
        Word(visit.actor, visit.step_up, form.digest, form.comment),
        approval_id=lambda place: visit.object_id(approvals.PREFIX, place),
        livemode=visit.livemode,
    )
    told = visit.words.ngettext(
        "Your approval counts for {number} payout.",
        "Your approval counts for {number} payouts.",
        done["approvals"],
    )
    return Redirect(f"{PATH}/{batch}", told)


def _read(visit: Visit, form: FileForm) -> tuple[bytes, BatchRequest]:
    """The bytes of a file, and what they ask for."""
    if form.file is not None:
        raw = form.file.content
    elif form.content is not None:
        try:
            raw = b64decode(form.content, altchars=b"-_", validate=True)
        except ValueError:
            told = visit.words.gettext("Choose the file once more.")
            raise ParameterInvalid(told, param="file") from None
    else:
        raise ParameterInvalid(visit.words.gettext("Choose a file."), param="file")
    request = flow.read_file(
        visit.parts,
        raw,
        initiator=Initiator(visit.actor.key, visit.actor.person),
        allow_duplicates=form.allow_duplicates,
    )
    return raw, replace(request, on_invalid=OnInvalid(form.on_invalid))


def _cell(request: BatchRequest, fault: rules.Fault) -> str:
    """What stands in the cell that is wrong, as far as it is known."""
    return request.said.get(fault.line, {}).get(fault.param or "", "")


def available(
    visit: Visit, account_id: str, totals: Sequence[dict[str, Any]]
) -> Sequence[int | None]:
    """What the balance has of each currency; None where the ledger can not say it now."""
    units = [chart.currency_unit(each["currency"], livemode=visit.livemode) for each in totals]
    if visit.parts.ledger_books is None:
        return [None] * len(units)
    try:
        return visit.parts.books.balances(
            [chart.merchant(account_id, "available", unit) for unit in units]
        )
    except Unavailable:
        return [None] * len(units)


def _by_network(rows: Sequence[Payout]) -> list[dict[str, Any]]:
    """What arrives, by network and currency."""
    sums: dict[tuple[str, str, int], list[int]] = {}
    for row in rows:
        found = sums.setdefault((row.network, row.currency, row.decimals), [0, 0])
        found[0] += 1
        found[1] += delivered(row)
    return [
        {"network": network, "currency": currency, "decimals": decimals, "count": n, "units": units}
        for (network, currency, decimals), (n, units) in sorted(sums.items())
    ]


def _sums(totals: Sequence[rules.Total]) -> list[tuple[str, int, int]]:
    """What the payouts of a batch come to in each currency."""
    sums: dict[tuple[str, int], int] = {}
    for each in totals:
        key = (each.currency, each.decimals)
        sums[key] = sums.get(key, 0) + each.amount
    return [(currency, decimals, units) for (currency, decimals), units in sorted(sums.items())]


def _form(visit: Visit, rejected: Rejected | None) -> Page:
    visit.account()
    with visit.database.read() as connection:
        rails = networks.list_networks(connection, livemode=visit.livemode)
    return Page(
        "console/payout_batch_new.html",
        {
            "columns": payout_file.COLUMNS,
            "networks": [each for each in rails if each.enabled],
            "rejected": rejected,
        },
    )


def _window(connection: Connection, visit: Visit, query: ListQuery) -> Window[PayoutBatch]:
    c = store.payout_batches.c
    mode = c.livemode == visit.livemode
    bound = [] if visit.account_id is None else [c.account_id == visit.account_id, mode]
    filters = [mode] if visit.account_id is None else []
    search = read_search(query.q or "")
    if search is not None and search.kind is SearchKind.id:
        bound.append(c.id == search.value)
    elif search is not None:
        filters.append(c.description.ilike(like(query.q or "")))
    filters += created_within(visit, query, store.payout_batches)
    return fetch_window(
        connection,
        store.payout_batches,
        PayoutBatch,
        bound=bound,
        filters=filters,
        limit=query.limit,
        **query.place,
    )


def _detail(visit: Visit, identifier: str, query: BatchQuery, rejected: Rejected | None) -> Page:
    found = _found(visit, identifier)
    c = payouts.payouts.c
    with visit.database.read() as connection:
        totals = store.totals(connection, [found.id])[found.id]
        window = fetch_window(
            connection,
            payouts.payouts,
            Payout,
            bound=[c.batch == found.id],
            filters=[] if query.status is None else [c.status == query.status.value],
            limit=query.limit,
            **query.place,
        )
        left_out = store.list_skipped(connection, found.id)
        rails = {each.network: each.name for each in networks.list_networks(connection)}
        waiting = approval_batch.count_waiting(connection, found.id)
    unsent = {"requested", "screened", "approved"}
    return Page(
        "console/payout_batch.html",
        {
            "failures": FAILURES,
            "batch": found,
            "status": rules.status_of(totals).value,
            "totals": totals,
            "sums": _sums(totals),
            "list": listing(visit, query, window, window.rows),
            "left_out": left_out[:SHOWN_MAX],
            "status_of": status_of(visit),
            "networks": rails,
            "words": {"batch": BATCH_STATUSES, "payout": STATUSES},
            "choices": {"status": options(visit, STATUSES)},
            "waiting": waiting,
            "may_approve": visit.is_operator and visit.may("approvals", "write"),
            "may_cancel": visit.may("payout_batches", "write")
            and any(each.status in unsent for each in totals),
            "fault": None if rejected is None else rejected.message,
        },
    )


def _review(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    found = _found(visit, identifier)
    with visit.database.read() as connection:
        mine, lines = approval_batch.look(
            connection, found.id, actor=visit.actor, livemode=visit.livemode
        )
        asked = asked_for(connection, visit, mine.rows)
        rails = {each.network: each.name for each in networks.list_networks(connection)}
    # Whom nobody paid before stands first: that is where a wrong address is.
    lines.sort(key=lambda each: (each.paid_before > 0, each.payout.line or 0))
    fresh = {each.payout.destination for each in lines if not each.paid_before}
    return Page(
        "console/payout_batch_review.html",
        {
            "batch": found,
            "lines": lines[:APPROVED_SHOWN_MAX],
            "count_mine": len(lines),
            "waiting": mine.waiting,
            "by_network": _by_network(mine.rows),
            "payees": len({row.destination for row in mine.rows}),
            "fresh": len(fresh),
            "asked": asked,
            "given": {row.id: len(mine.given.get(row.id, ())) for row in mine.rows},
            "networks": rails,
            "digest": mine.digest if mine.rows else "",
            "may_approve": visit.may("approvals", "write"),
            "fault": None if rejected is None else rejected.message,
        },
    )


def _found(visit: Visit, identifier: str) -> PayoutBatch:
    with visit.database.read() as connection:
        found = store.find(
            connection, identifier, account_id=visit.account_id, livemode=visit.livemode
        )
    if found is None:
        raise ResourceMissing("There is no such batch.")
    return found


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "payout_batches", menu=Menu(mark("Money"), mark("Payout batches"))),
    Screen("GET", f"{PATH}/new", draft, "payout_batches", "write"),
    Screen(
        "POST",
        f"{PATH}/preview",
        preview,
        "payout_batches",
        again=draft_again,
        body_bytes_max=BODY_BYTES_MAX,
    ),
    Screen(
        "POST",
        PATH,
        create,
        "payout_batches",
        step_up=True,
        again=draft_again,
        body_bytes_max=BODY_BYTES_MAX,
    ),
    Screen("GET", PATH + "/{batch}", show, "payout_batches"),
    Screen("GET", PATH + "/{batch}/file", file, "payout_batches"),
    Screen("POST", PATH + "/{batch}/cancel", cancel, "payout_batches", again=again),
    Screen("GET", PATH + "/{batch}/review", review, "approvals", operator_only=True),
    Screen(
        "POST",
        PATH + "/{batch}/approve",
        approve,
        "approvals",
        step_up=True,
        operator_only=True,
        again=review_again,
    ),
)
