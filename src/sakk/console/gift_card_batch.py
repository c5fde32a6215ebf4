"""Gift cards by the thousand: looked at, confirmed, followed, and their codes handed out once."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from sqlalchemy import Connection

from sakk.console.amount import currencies
from sakk.console.gift_card import PATH as CARDS
from sakk.console.listing import CSV, ListQuery, created_within, listing
from sakk.console.payout_batch import available
from sakk.console.route import ROOT, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core import gift_card as cards
from sakk.core import gift_card_batch as rules
from sakk.core import gift_card_file
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.gift_card import Redeemable
from sakk.core.gift_card_batch import GiftCardBatch, Kind
from sakk.core.payout_batch import Fault
from sakk.core.search import SearchKind, read_search
from sakk.flow import gift_card_batch as flow
from sakk.flow.gift_card import Issue, Of
from sakk.pages.form import Form, Upload
from sakk.pages.language import mark
from sakk.store import gift_card_batch as store
from sakk.store import network as networks
from sakk.store.page import Window, fetch_window

PATH: Final = f"{ROOT}/gift_card_batches"
# Of lines that are typed, or of a file that is mended in the page.
TEXT_LENGTH_MAX: Final = 100_000
STATUSES: Mapping[str, tuple[str, str]] = {
    "requested": (mark("Being issued"), "wait"),
    "posted": (mark("Issued"), "good"),
}
REDEEMABLE: Mapping[str, str] = {
    "issuer": mark("With us alone"),
    "holder": mark("By whoever holds it, onto their own balance"),
}
_BEGIN: Final = "amount,count\n25.00,100\n"


class BatchForm(Form):
    """The terms of every card, and how many of which worth: a file, or lines as in one."""

    currency: Annotated[str, Field(max_length=20)]
    redeemable: Literal["issuer", "holder"] = "issuer"
    state: Literal["active", "inactive"] = "inactive"
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None
    expires: date | None = None
    file: Upload | None = None
    lines: Annotated[str, Field(max_length=TEXT_LENGTH_MAX)] | None = None


def index(visit: Visit, query: ListQuery) -> Page:
    """The batches, newest first."""
    with visit.database.read() as connection:
        window = _window(connection, visit, query)
    values = {
        "list": listing(visit, query, window, window.rows),
        "words": STATUSES,
        "may_issue": visit.may("gift_cards", "write") and visit.account_id is not None,
    }
    return Page("console/gift_card_batches.html", values)


def draft(visit: Visit) -> Page:
    """A form for many cards."""
    return _form(visit, None)


def draft_again(visit: Visit, rejected: Rejected) -> Page:
    """The form, with what is wrong with it."""
    return _form(visit, rejected)


def preview(visit: Visit, form: BatchForm) -> Page:
    """Look at what would be issued, and at all that is wrong. Nothing is made."""
    account_id = visit.account()
    raw = _raw(visit, form)
    kinds, faults, decimals = _read(visit, form, raw)
    text = raw.decode("utf-8-sig", "replace")
    if faults and len(text) > TEXT_LENGTH_MAX:
        # Too long to be mended here: what is wrong is shown, and the file chosen again.
        text = ""
    total = sum(kind.amount * kind.count for _, kind in kinds)
    shown = {"currency": form.currency}
    [left] = available(visit, account_id, [shown])
    values = {
        "form": form,
        "lines": text,
        # What is confirmed is what was read, however long the file is that said so.
        "confirmed": gift_card_file.write([kind for _, kind in kinds], decimals),
        "text_length_max": TEXT_LENGTH_MAX,
        "kinds": kinds,
        "faults": [(each, visit.words.error(each.error)) for each in faults],
        "cards": sum(kind.count for _, kind in kinds),
        "total": total,
        "decimals": decimals,
        "available": left,
        "is_short": left is not None and left < total,
        "redeemable": REDEEMABLE,
        "can_be_made": bool(kinds) and not faults,
    }
    return Page("console/gift_card_batch_preview.html", values)


def create(visit: Visit, form: BatchForm) -> Redirect:
    """Issue what was looked at; nothing where the balance covers not all of it."""
    account_id = visit.account()
    kinds, faults, _ = _read(visit, form, _raw(visit, form))
    if faults:
        raise faults[0].error
    terms = Issue(
        amount=0,
        currency=form.currency,
        redeemable=Redeemable(form.redeemable),
        country=form.country,
        expires_at=_expiry(form),
        active=form.state == "active",
    )
    made = flow.issue(
        visit.parts,
        flow.Batch([kind for _, kind in kinds], terms),
        identifier=visit.object_id(rules.PREFIX),
        of=_of(visit, account_id),
    )
    told = visit.words.ngettext(
        "{number} card is issued.", "{number} cards are issued.", made.cards - made.rejected
    )
    return Redirect(f"{PATH}/{made.id}", told)


def show(visit: Visit, gift_card_batch: str) -> Page:
    """One batch: how far it is, and its file of codes."""
    return _detail(visit, gift_card_batch, None)


def again(visit: Visit, rejected: Rejected, gift_card_batch: str) -> Page:
    """The same with why something could not be done."""
    return _detail(visit, gift_card_batch, rejected)


def progress(visit: Visit, gift_card_batch: str) -> Page:
    """How far a batch is, for the page that shows it."""
    return Page("console/gift_card_batch_progress.html", _values(visit, gift_card_batch))


def take(visit: Visit, gift_card_batch: str) -> Download:
    """The file of codes: once, and again for some minutes if it broke off."""
    found = _found(visit, gift_card_batch)
    batch, text = flow.codes(visit.parts, found.id, of=_of(visit, found.account_id))
    return Download(rules.file_name(batch), text.encode(), CSV)


def proof(visit: Visit, gift_card_batch: str) -> Download:
    """What the installation signed of the file; it tells no code."""
    found = _found(visit, gift_card_batch)
    shown = flow.proof(visit.parts, found.id, of=_of(visit, found.account_id))
    name = f"{rules.file_name(found)}.proof.json"
    return Download(name, json.dumps(shown).encode(), "application/json")


def _raw(visit: Visit, form: BatchForm) -> bytes:
    if form.file is not None:
        return form.file.content
    if form.lines is None:
        told = visit.words.gettext("Choose a file, or write lines.")
        raise ParameterInvalid(told, param="lines")
    return form.lines.encode()


def _read(
    visit: Visit, form: BatchForm, raw: bytes
) -> tuple[list[tuple[int, Kind]], list[Fault], int]:
    """What would be issued by its line, what is wrong, and the currency's places."""
    with visit.database.read() as connection:
        scales = {each.currency: each.decimals for each in networks.list_currencies(connection)}
    if form.currency not in scales:
        raise ParameterInvalid(visit.words.gettext("Choose one from the list."), param="currency")
    cards.check_expiry(_expiry(form), form.country, now=visit.now)
    kinds, faults = gift_card_file.read(raw, scales[form.currency])
    try:
        rules.check_kinds([kind for _, kind in kinds])
    except ParameterInvalid as wrong:
        faults.append(Fault.of(1, wrong, whole=True))
    return kinds, faults, scales[form.currency]


def _expiry(form: BatchForm) -> datetime | None:
    return None if form.expires is None else datetime.combine(form.expires, time(), UTC)


def _of(visit: Visit, account_id: str) -> Of:
    return Of(
        account_id=account_id,
        livemode=visit.livemode,
        movement_id="",
        request_id=visit.request_id,
        actor=visit.actor,
    )


def _form(visit: Visit, rejected: Rejected | None) -> Page:
    visit.account()
    with visit.database.read() as connection:
        known = currencies(connection)
    faults = {} if rejected is None else dict(rejected.faults)
    if "expires_at" in faults:
        faults.setdefault("expires", faults["expires_at"])
    values = {
        "sent": {"lines": _BEGIN} if rejected is None else rejected.values,
        "faults": faults,
        "message": None if rejected is None else rejected.message,
        "choices": {
            "currency": known,
            "redeemable": [(name, visit.words.gettext(word)) for name, word in REDEEMABLE.items()],
            "country": [("", "–"), *((each, each) for each in sorted(cards.MINIMUMS))],
        },
        "most": rules.CARDS_MAX,
        "text_length_max": TEXT_LENGTH_MAX,
    }
    return Page("console/gift_card_batch_new.html", values)


def _window(connection: Connection, visit: Visit, query: ListQuery) -> Window[GiftCardBatch]:
    c = store.gift_card_batches.c
    mode = c.livemode == visit.livemode
    bound = [] if visit.account_id is None else [c.account_id == visit.account_id, mode]
    filters = [mode] if visit.account_id is None else []
    search = read_search(query.q or "")
    if search is not None and search.kind is SearchKind.id:
        bound.append(c.id == search.value)
    elif search is not None:
        filters.append(c.currency == search.value.lower())
    filters += created_within(visit, query, store.gift_card_batches)
    return fetch_window(
        connection,
        store.gift_card_batches,
        GiftCardBatch,
        bound=bound,
        filters=filters,
        limit=query.limit,
        **query.place,
    )


def _values(visit: Visit, identifier: str) -> dict[str, Any]:
    batch = _found(visit, identifier)
    is_open = batch.status == "requested"
    with visit.database.read() as connection:
        waiting = store.count_requested(connection, batch.id) if is_open else 0
    return {
        "batch": batch,
        "is_open": is_open,
        "done": batch.cards - waiting,
        "words": STATUSES,
    }


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    values = _values(visit, identifier)
    batch: GiftCardBatch = values["batch"]
    taken = batch.codes_taken_at
    is_left = taken is None or visit.now - taken <= rules.CODES_AGAIN
    values |= {
        "may_take": visit.may("gift_cards", "write") and batch.status == "posted" and is_left,
        "until": None if taken is None or not is_left else taken + rules.CODES_AGAIN,
        "cards": f"{CARDS}?q={batch.id}",
        "message": None if rejected is None else rejected.message,
    }
    return Page("console/gift_card_batch.html", values)


def _found(visit: Visit, identifier: str) -> GiftCardBatch:
    with visit.database.read() as connection:
        found = store.find(
            connection, identifier, account_id=visit.account_id, livemode=visit.livemode
        )
    if found is None:
        raise ResourceMissing("There is no such batch.")
    return found


_ONE: Final = PATH + "/{gift_card_batch}"
SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "gift_cards"),
    Screen("GET", f"{PATH}/new", draft, "gift_cards", "write"),
    Screen("POST", f"{PATH}/preview", preview, "gift_cards", again=draft_again),
    Screen("POST", PATH, create, "gift_cards", step_up=True, again=draft_again),
    Screen("GET", _ONE, show, "gift_cards"),
    Screen("GET", f"{_ONE}/progress", progress, "gift_cards"),
    Screen("POST", f"{_ONE}/codes", take, "gift_cards", step_up=True, again=again),
    Screen("GET", f"{_ONE}/proof", proof, "gift_cards", "write"),
)
