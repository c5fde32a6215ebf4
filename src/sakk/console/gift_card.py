"""Gift cards: those that an account has issued, what was moved of each, codes at the counter."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Annotated, Final, Literal

from pydantic import Field

from sakk.console.amount import currencies, units_of
from sakk.console.listing import Exact, ListQuery, created_within, csv_file, listing, options
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core import gift_card as rules
from sakk.core import money
from sakk.core.errors import ResourceMissing
from sakk.core.gift_card import GiftCard, GiftCardMovement, GiftCardStatus, MovementKind, Redeemable
from sakk.core.gift_card_batch import PREFIX as BATCH_PREFIX
from sakk.core.search import SearchKind, read_search
from sakk.flow import gift_card as flow
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import account as accounts
from sakk.store import gift_card as store
from sakk.store.page import fetch_window

PATH: Final = f"{ROOT}/gift_cards"
MOVEMENTS_SHOWN_MAX: Final = 100
STATUSES: Mapping[str, tuple[str, str]] = {
    "requested": (mark("Being issued"), "wait"),
    "inactive": (mark("Not handed out yet"), "wait"),
    "active": (mark("In use"), "good"),
    "frozen": (mark("Frozen"), "warn"),
    "replaced": (mark("Replaced"), "plain"),
    "rejected": (mark("Not covered"), "bad"),
}
KINDS: Mapping[str, str] = {
    "issue": mark("Issued"),
    "redeem": mark("Redeemed"),
    "refund": mark("Given back to the card"),
    "replacement": mark("Onto another card"),
    "lapse": mark("Given back to its issuer"),
}
MOVEMENT_STATUSES: Mapping[str, tuple[str, str]] = {
    "requested": (mark("On its way"), "wait"),
    "held": (mark("Set aside for a payment"), "wait"),
    "posted": (mark("Done"), "good"),
    "released": (mark("Let go"), "plain"),
    "rejected": (mark("Not covered"), "bad"),
}
Typed = Annotated[str, Field(max_length=80)]


class GiftCardQuery(ListQuery):
    """Which cards."""

    status: GiftCardStatus | None = None


class IssueForm(Form):
    """What a card is worth, and its terms; without ``expires`` it never expires."""

    amount: Typed
    currency: Annotated[str, Field(max_length=20)]
    redeemable: Literal["issuer", "holder"] = "issuer"
    state: Literal["active", "inactive"] = "active"
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None
    expires: date | None = None


class RedeemForm(Form):
    """The code that stands on a card, and how much of it; all that is left when it is empty."""

    code: Annotated[str, Field(max_length=60)]
    part: Typed | None = None


class BackForm(Form):
    """Which redemption goes back to its card, and how much of it; all when it is empty."""

    movement: Annotated[str, Field(max_length=60)]
    amount: Typed | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """A movement of a card. ``left``: what of a redemption can still be given back."""

    row: GiftCardMovement
    left: int


def index(visit: Visit, query: GiftCardQuery) -> Page | Download:
    """The cards, newest first, and forms to issue and to redeem."""
    return _list(visit, query, None)


def list_again(visit: Visit, rejected: Rejected) -> Page:
    """The same with what was wrong in a form."""
    page = _list(visit, GiftCardQuery(), rejected)
    assert isinstance(page, Page)
    return page


def issue(visit: Visit, form: IssueForm) -> Page:
    """Issue a card out of the balance; its code is on this page and nowhere else."""
    account_id = visit.account()
    with visit.database.read() as connection:
        amount = units_of(visit, connection, form.amount, form.currency)
    expires_at = None if form.expires is None else datetime.combine(form.expires, time(), UTC)
    card, code = flow.issue(
        visit.parts,
        flow.Issue(
            amount=amount,
            currency=form.currency,
            redeemable=Redeemable(form.redeemable),
            country=form.country,
            expires_at=expires_at,
            active=form.state == "active",
        ),
        identifier=visit.object_id(rules.PREFIX),
        of=_of(visit, account_id),
    )
    return Page("console/gift_card_made.html", {"card": card, "code": code})


def look(visit: Visit, form: RedeemForm) -> Page:
    """What a code at the counter is worth, and what would be taken of it. Nothing moves."""
    account_id = visit.account()
    card = flow.look_up(visit.parts, form.code, account_id, livemode=visit.livemode)
    taken = card.balance
    with visit.database.read() as connection:
        if form.part is not None:
            taken = units_of(visit, connection, form.part, card.currency, param="part")
        issuer = accounts.names(connection, [card.account_id]).get(card.account_id, "")
    is_over = card.expires_at is not None and card.expires_at <= visit.now
    is_ours = card.redeemable == Redeemable.holder or card.account_id == account_id
    is_live = card.status == GiftCardStatus.active and not is_over
    values = {
        "card": card,
        "code": form.code,
        "taken": taken,
        "exact": money.format_decimal(taken, card.decimals),
        "issuer": issuer,
        "is_over": is_over,
        "is_good": is_live and is_ours and 0 < taken <= card.balance,
        "words": STATUSES,
    }
    return Page("console/gift_card_redeem.html", values)


def redeem(visit: Visit, form: RedeemForm) -> Redirect:
    """Take a code at the counter: what it is worth, or a part, comes onto the balance."""
    account_id = visit.account()
    part = None
    if form.part is not None:
        card = flow.look_up(visit.parts, form.code, account_id, livemode=visit.livemode)
        with visit.database.read() as connection:
            part = units_of(visit, connection, form.part, card.currency, param="part")
    moved = flow.redeem(visit.parts, form.code, part, of=_of(visit, account_id))
    told = visit.words.gettext(
        "Redeemed: {amount} {currency}.",
        amount=money.format_decimal(moved.amount, moved.decimals),
        currency=moved.currency.upper(),
    )
    return Redirect(PATH, told)


def show(visit: Visit, gift_card: str) -> Page:
    """One card with its movements."""
    return _detail(visit, gift_card, None)


def again(visit: Visit, rejected: Rejected, gift_card: str) -> Page:
    """The same with what could not be done."""
    return _detail(visit, gift_card, rejected)


def activate(visit: Visit, gift_card: str) -> Redirect:
    """The card is handed out: from now on it may be redeemed."""
    return _changed(
        visit, gift_card, flow.activate, visit.words.gettext("The card may be redeemed.")
    )


def freeze(visit: Visit, gift_card: str) -> Redirect:
    """The card is lost: nothing is redeemed of it."""
    told = visit.words.gettext("Nothing is redeemed of this card.")
    return _changed(visit, gift_card, flow.stop, told)


def unfreeze(visit: Visit, gift_card: str) -> Redirect:
    """The card was found."""
    return _changed(visit, gift_card, flow.let_go, visit.words.gettext("The card may be redeemed."))


def _changed(visit: Visit, identifier: str, act: Callable[..., object], told: str) -> Redirect:
    card = _found(visit, identifier)
    with visit.database.begin() as connection:
        act(
            connection,
            card.id,
            account_id=card.account_id,
            livemode=visit.livemode,
            now=visit.now,
        )
    return Redirect(f"{PATH}/{card.id}", told)


def replace(visit: Visit, gift_card: str) -> Page:
    """Another card for a frozen one; its code is on this page and nowhere else."""
    card = _found(visit, gift_card)
    made, code = flow.substitute(
        visit.parts,
        card.id,
        new_id=visit.object_id(rules.PREFIX),
        of=_of(visit, card.account_id),
    )
    return Page("console/gift_card_made.html", {"card": made, "code": code})


def refund(visit: Visit, gift_card: str, form: BackForm) -> Redirect:
    """Give a redemption back to its card, or a part of it."""
    card = _found(visit, gift_card)
    amount = None
    if form.amount is not None:
        with visit.database.read() as connection:
            amount = units_of(visit, connection, form.amount, card.currency)
    flow.refund(visit.parts, form.movement, amount, of=_of(visit, card.account_id))
    return Redirect(f"{PATH}/{card.id}", visit.words.gettext("It is back on the card."))


def _of(visit: Visit, account_id: str) -> flow.Of:
    return flow.Of(
        account_id=account_id,
        livemode=visit.livemode,
        movement_id=visit.object_id(rules.MOVEMENT_PREFIX),
        request_id=visit.request_id,
        actor=visit.actor,
    )


def _list(visit: Visit, query: GiftCardQuery, rejected: Rejected | None) -> Page | Download:
    c = store.gift_cards.c
    mode = c.livemode == visit.livemode
    bound = [] if visit.account_id is None else [c.account_id == visit.account_id, mode]
    filters = [mode] if visit.account_id is None else []
    search = read_search(query.q or "")
    if search is not None and search.kind is SearchKind.id:
        bound.append((c.batch if search.name == BATCH_PREFIX else c.id) == search.value)
    elif search is not None:
        filters.append(c.hint == (query.q or "").strip().lower())
    if query.status is not None:
        filters.append(c.status == query.status.value)
    filters += created_within(visit, query, store.gift_cards)
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            store.gift_cards,
            GiftCard,
            bound=bound,
            filters=filters,
            limit=query.limit,
            **query.place,
        )
        if query.is_file:
            return _file(window.rows)
        known = currencies(connection)
    return Page(
        "console/gift_cards.html",
        {
            "list": listing(visit, query, window, window.rows),
            "words": STATUSES,
            "choices": {
                "status": options(visit, STATUSES),
                "currency": known,
                "country": [("", "–"), *((each, each) for each in sorted(rules.MINIMUMS))],
            },
            "may_issue": visit.may("gift_cards", "write") and visit.account_id is not None,
            "rejected": rejected,
            "sent": {} if rejected is None else rejected.values,
            "faults": {} if rejected is None else rejected.faults,
        },
    )


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    card = _found(visit, identifier)
    with visit.database.read() as connection:
        rows = store.movements_of(connection, card.id, limit=MOVEMENTS_SHOWN_MAX)
        moved = [
            Moved(
                row,
                row.amount - store.given_back(connection, row.id)
                if row.kind == MovementKind.redeem
                and row.status == "posted"
                and row.account_id == card.account_id
                and card.status != GiftCardStatus.replaced
                else 0,
            )
            for row in rows
        ]
    return Page(
        "console/gift_card.html",
        {
            "card": card,
            "moved": moved,
            "may_write": visit.may("gift_cards", "write"),
            "is_over": card.expires_at is not None and card.expires_at <= visit.now,
            "words": {"status": STATUSES, "kind": KINDS, "movement": MOVEMENT_STATUSES},
            "rejected": rejected,
        },
    )


def _found(visit: Visit, identifier: str) -> GiftCard:
    with visit.database.read() as connection:
        found = store.find(
            connection, identifier, account_id=visit.account_id, livemode=visit.livemode
        )
    if found is None:
        raise ResourceMissing("There is no such gift card.")
    return found


def _file(rows: Sequence[GiftCard]) -> Download:
    return csv_file(
        "gift_cards.csv",
        [
            ("id", lambda row: row.id),
            ("created", lambda row: row.created),
            ("status", lambda row: row.status),
            ("hint", lambda row: row.hint),
            ("amount", lambda row: Exact(money.format_decimal(row.amount, row.decimals))),
            ("balance", lambda row: Exact(money.format_decimal(row.balance, row.decimals))),
            ("currency", lambda row: row.currency),
            ("redeemable", lambda row: row.redeemable),
            ("country", lambda row: row.country),
            ("expires_at", lambda row: row.expires_at),
            ("replaces", lambda row: row.replaces),
        ],
        rows,
    )


_ONE: Final = PATH + "/{gift_card}"
SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "gift_cards", menu=Menu("Payments", mark("Gift cards"))),
    Screen("POST", PATH, issue, "gift_cards", step_up=True, again=list_again),
    Screen("POST", f"{PATH}/look", look, "gift_cards", again=list_again),
    Screen("POST", f"{PATH}/redeem", redeem, "gift_cards", step_up=True, again=list_again),
    Screen("GET", _ONE, show, "gift_cards"),
    Screen("POST", f"{_ONE}/activate", activate, "gift_cards", again=again),
    Screen("POST", f"{_ONE}/freeze", freeze, "gift_cards", again=again),
    Screen("POST", f"{_ONE}/unfreeze", unfreeze, "gift_cards", again=again),
    Screen("POST", f"{_ONE}/replace", replace, "gift_cards", step_up=True, again=again),
    Screen("POST", f"{_ONE}/refund", refund, "gift_cards", step_up=True, again=again),
)
