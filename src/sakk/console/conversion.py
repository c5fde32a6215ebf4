"""Conversions: a price is asked for and accepted, what became of it, and what it left open."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import Field
from sqlalchemy import Connection

from sakk.console import booking
from sakk.console.amount import currencies, units_of
from sakk.console.balance import KINDS
from sakk.console.listing import (
    Exact,
    ListQuery,
    created_within,
    csv_file,
    fields,
    listing,
    options,
)
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core import conversion as rules
from sakk.core import ids
from sakk.core.balance import BalanceTransaction, kind_of
from sakk.core.chart import TransferCode
from sakk.core.conversion import Conversion, ConversionQuote, Fixed, QuoteStatus
from sakk.core.errors import ResourceMissing, Unavailable
from sakk.core.money import format_decimal
from sakk.core.rate import write_price
from sakk.flow import conversion as flow
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import balance as lines
from sakk.store import conversion as store
from sakk.store import hedge_policy as policies
from sakk.store import ledger
from sakk.store import network as networks
from sakk.store.ledger import TransferQuery
from sakk.store.page import PageRequest, Window, fetch_window

PATH: Final = f"{ROOT}/conversions"
QUOTES: Final = f"{ROOT}/conversion_quotes"
POSITIONS: Final = f"{ROOT}/fx_positions"
STATUSES: Final[Mapping[str, tuple[str, str]]] = {
    "requested": (mark("Being booked"), "wait"),
    "posted": (mark("Booked"), "good"),
    "rejected": (mark("Rejected"), "bad"),
}
FIXED: Final[Mapping[str, str]] = {
    "source": mark("What is given"),
    "target": mark("What comes of it"),
}
QUOTE_STATUSES: Final[Mapping[str, tuple[str, str]]] = {
    "held": (mark("Price held"), "wait"),
    "used": (mark("Used once"), "plain"),
    "expired": (mark("Expired"), "warn"),
}
Code = Annotated[str, Field(max_length=20)]


class ConversionQuery(ListQuery):
    """Which conversions."""

    status: Literal["requested", "posted", "rejected"] | None = None
    source: Code | None = None
    target: Code | None = None


class QuoteQuery(ListQuery):
    """Which prices."""

    status: QuoteStatus | None = None
    source: Code | None = None
    target: Code | None = None


class AskForm(Form):
    """What is to be converted; ``fixed`` says of which side the amount is."""

    source_currency: Code
    target_currency: Code
    amount: Annotated[str, Field(max_length=80)]
    fixed: Fixed = "source"


def index(visit: Visit, query: ConversionQuery) -> Page | Download:
    """The conversions, newest first, and a form to ask for a price."""
    if query.is_file:
        with visit.database.read() as connection:
            return _file(_window(connection, visit, query).rows)
    return _list(visit, query, None)


def list_again(visit: Visit, rejected: Rejected) -> Page:
    """The same with what was wrong in the form."""
    return _list(visit, ConversionQuery(), rejected)


def ask(visit: Visit, form: AskForm) -> Redirect:
    """Ask for a price, which is held for a while; nothing moves yet."""
    account_id = visit.account()
    identifier = visit.object_id(rules.QUOTE_PREFIX)
    whose: dict[str, Any] = {"account_id": account_id, "livemode": visit.livemode}
    try:
        with visit.database.begin() as connection:
            store.lock_account(connection, account_id)
            if store.find_quote(connection, identifier, **whose) is None:
                side = form.source_currency if form.fixed == "source" else form.target_currency
                flow.quote(
                    connection,
                    flow.Wish(
                        source_currency=form.source_currency,
                        target_currency=form.target_currency,
                        amount=units_of(visit, connection, form.amount, side),
                        fixed=form.fixed,
                    ),
                    identifier=identifier,
                    now=visit.now,
                    **whose,
                )
    except Unavailable as error:
        return Redirect(PATH, visit.words.error(error), tone="bad")
    return Redirect(f"{QUOTES}/{identifier}")


def quotes(visit: Visit, query: QuoteQuery) -> Page | Download:
    """The prices that were asked for, newest first: those that nobody accepted too."""
    with visit.database.read() as connection:
        window = _quote_window(connection, visit, query)
        used = store.used_by(connection, [row.id for row in window.rows])
        known = currencies(connection)
    told = {
        row.id: rules.quote_status(row, used.get(row.id), visit.now).value for row in window.rows
    }
    if query.is_file:
        return _quote_file(window.rows, told, used)
    values = {
        "list": listing(visit, query, window, window.rows),
        "statuses": QUOTE_STATUSES,
        "told": told,
        "used": used,
        "write_price": write_price,
        "choices": {"status": options(visit, QUOTE_STATUSES), "currency": known},
    }
    return Page("console/conversion_quotes.html", values)


def show_quote(visit: Visit, conversion_quote: str) -> Page:
    """A price that was promised: what is taken, what is given, and until when."""
    return _quoted(visit, conversion_quote, None)


def quote_again(visit: Visit, rejected: Rejected, conversion_quote: str) -> Page:
    """The same with why it could not be accepted."""
    return _quoted(visit, conversion_quote, rejected)


def accept(visit: Visit, conversion_quote: str) -> Redirect:
    """Convert by it, exactly as it was shown."""
    quote = _quote_of(visit, conversion_quote)
    made = flow.create(
        visit.parts,
        quote.id,
        identifier=visit.object_id(rules.PREFIX),
        account_id=visit.account(),
        livemode=visit.livemode,
        request_id=visit.request_id,
    )
    return Redirect(f"{PATH}/{made.id}", visit.words.gettext("Converted."))


def show(visit: Visit, conversion: str) -> Page:
    """One conversion: by which price, what was booked for it, and when."""
    whose = {"account_id": visit.account_id, "livemode": visit.livemode}
    with visit.database.read() as connection:
        row = store.find(connection, conversion, **whose)  # type: ignore[arg-type]
        if row is None:
            raise ResourceMissing("There is no such conversion.")
        quote = store.find_quote(
            connection, row.quote, account_id=row.account_id, livemode=visit.livemode
        )
        booked, _ = lines.list_lines(
            connection,
            account_id=row.account_id,
            livemode=visit.livemode,
            page=PageRequest(),
            source=row.id,
        )
        transfers = _transfers(connection, row) if visit.may("ledger") else []
    values = {
        "row": row,
        "quote": quote,
        "steps": _steps(row, quote, booked),
        "lines": booked,
        "transfers": transfers,
        "statuses": STATUSES,
        "kinds": KINDS,
        "kind_of": lambda line: kind_of(line.code, line.amount),
        "write_price": write_price,
        "reasons": booking.REASONS,
    }
    return Page("console/conversion.html", values)


def positions(visit: Visit) -> Page:
    """What conversions left open in each currency, at the market now."""
    with visit.database.read() as connection:
        found = flow.positions(connection, livemode=visit.livemode, now=visit.now)
        closed = {
            each.currency: each
            for each in policies.list_all(connection)
            if each.livemode == visit.livemode
        }
    values = {
        "rows": found,
        "policies": closed,
        "total": sum(each.usd_cents or 0 for each in found),
        "is_whole": all(each.usd_cents is not None for each in found),
        "at": visit.now,
    }
    return Page("console/fx_positions.html", values)


def _list(visit: Visit, query: ConversionQuery, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        window = _window(connection, visit, query)
        known = currencies(connection)
    values = {
        "list": listing(visit, query, window, window.rows),
        "statuses": STATUSES,
        "write_price": write_price,
        "choices": {
            "status": options(visit, STATUSES),
            "currency": known,
            "fixed": options(visit, FIXED),
        },
        "may_ask": visit.may("conversion_quotes", "write") and visit.account_id is not None,
        "rejected": rejected,
        "sent": {} if rejected is None else rejected.values,
        "faults": {} if rejected is None else rejected.faults,
    }
    return Page("console/conversions.html", values)


def _window(connection: Connection, visit: Visit, query: ConversionQuery) -> Window[Conversion]:
    c = store.conversions.c
    mode = c.livemode == visit.livemode
    bound = [] if visit.account_id is None else [c.account_id == visit.account_id, mode]
    filters = created_within(visit, query, store.conversions)
    if visit.account_id is None:
        filters.append(mode)
    if query.q is not None:
        # An id names one row, whatever else is asked.
        named = (c.quote if query.q.startswith(f"{rules.QUOTE_PREFIX}_") else c.id) == query.q
        bound, filters = [named], [*bound, *filters]
    for column, wanted in (
        (c.status, query.status),
        (c.source_currency, query.source),
        (c.target_currency, query.target),
    ):
        if wanted is not None:
            filters.append(column == wanted)
    return fetch_window(
        connection,
        store.conversions,
        Conversion,
        bound=bound,
        filters=filters,
        limit=query.limit,
        **query.place,
    )


def _quote_window(
    connection: Connection, visit: Visit, query: QuoteQuery
) -> Window[ConversionQuote]:
    c = store.conversion_quotes.c
    mode = c.livemode == visit.livemode
    bound = [] if visit.account_id is None else [c.account_id == visit.account_id, mode]
    filters = created_within(visit, query, store.conversion_quotes)
    if visit.account_id is None:
        filters.append(mode)
    if query.q is not None:
        bound, filters = [c.id == query.q], [*bound, *filters]
    for column, wanted in ((c.source_currency, query.source), (c.target_currency, query.target)):
        if wanted is not None:
            filters.append(column == wanted)
    if query.status is not None:
        filters.append(store.quote_is(query.status, visit.now))
    return fetch_window(
        connection,
        store.conversion_quotes,
        ConversionQuote,
        bound=bound,
        filters=filters,
        limit=query.limit,
        **query.place,
    )


def _quote_of(visit: Visit, identifier: str) -> ConversionQuote:
    with visit.database.read() as connection:
        found = store.find_quote(
            connection, identifier, account_id=visit.account_id, livemode=visit.livemode
        )
    if found is None:
        raise ResourceMissing("There is no such quote.")
    return found


def _quoted(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    row = _quote_of(visit, identifier)
    with visit.database.read() as connection:
        used = store.find_by_quote(connection, row.id)
    is_open = used is None and visit.now < row.expires_at
    is_theirs = visit.account_id is not None and not row.of_operator
    values = {
        "row": row,
        "used": used,
        "is_open": is_open,
        "may_accept": is_open and is_theirs and visit.may("conversions", "write"),
        "may_ask": not is_open and is_theirs and visit.may("conversion_quotes", "write"),
        "given": format_decimal(row.source_amount, row.source_decimals),
        "write_price": write_price,
        "message": None if rejected is None else rejected.message,
    }
    return Page("console/conversion_quote.html", values)


def _steps(
    row: Conversion, quote: ConversionQuote | None, booked: Sequence[BalanceTransaction]
) -> list[dict[str, Any]]:
    """The way of a conversion; each step is done, current or stopped."""
    ends = {"requested": "current", "posted": "done", "rejected": "stopped"}
    return [
        {"name": mark("Price asked for"), "state": "done", "at": quote.created if quote else None},
        {"name": mark("Accepted"), "state": "done", "at": row.created},
        {
            "name": mark("Booked"),
            "state": ends[row.status],
            "at": booked[0].timestamp if booked else None,
        },
    ]


def _transfers(connection: Connection, row: Conversion) -> list[dict[str, Any]]:
    """What the ledger holds of it, in the order in which it was booked."""
    wanted = TransferQuery(user_data=ids.decode(row.id)[1])
    found = ledger.find_transfers(connection, wanted, newest_first=False)
    sides = {side for each in found for side in (each.debit_account_id, each.credit_account_id)}
    names = ledger.account_names(connection, [each.int for each in sides])
    scales = networks.unit_decimals(connection)

    def side(identifier: UUID) -> tuple[UUID, str]:
        return identifier, names[identifier.int].name

    return [
        {
            "code": TransferCode(each.code).name,
            "amount": format_decimal(each.amount, scales[names[each.debit_account_id.int].unit]),
            "debit": side(each.debit_account_id),
            "credit": side(each.credit_account_id),
        }
        for each in found
    ]


def _exact(name: str, scale: str) -> tuple[str, Any]:
    return name, lambda row: Exact(format_decimal(getattr(row, name), getattr(row, scale)))


# What quotes and conversions both say in a file.
_AMOUNTS: Final = (
    _exact("source_amount", "source_decimals"),
    *fields("source_currency"),
    _exact("target_amount", "target_decimals"),
    *fields("target_currency"),
    ("price", lambda row: Exact(write_price(row.price))),
    _exact("spread", "target_decimals"),
    _exact("service_fee", "source_decimals"),
    ("usd", lambda row: Exact(format_decimal(row.usd_cents, 2))),
)


def _file(rows: list[Conversion]) -> Download:
    columns = fields("id", "created", "status", "account_id", "quote")
    return csv_file("conversions.csv", [*columns, *_AMOUNTS, *fields("failure_code")], rows)


def _quote_file(
    rows: list[ConversionQuote], told: Mapping[str, str], used: Mapping[str, str]
) -> Download:
    columns = [
        *fields("id", "created", "expires_at", "account_id"),
        ("status", lambda row: told[row.id]),
        ("conversion", lambda row: used.get(row.id)),
        *_AMOUNTS,
    ]
    return csv_file("conversion_quotes.csv", columns, rows)


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "conversions", menu=Menu("Money", mark("Conversions"))),
    Screen("GET", f"{PATH}/{{conversion}}", show, "conversions"),
    Screen("GET", QUOTES, quotes, "conversion_quotes"),
    Screen("POST", QUOTES, ask, "conversion_quotes", again=list_again),
    Screen("GET", f"{QUOTES}/{{conversion_quote}}", show_quote, "conversion_quotes"),
    Screen(
        "POST",
        f"{QUOTES}/{{conversion_quote}}/accept",
        accept,
        "conversions",
        step_up=True,
        again=quote_again,
    ),
    Screen(
        "GET",
        POSITIONS,
        positions,
        "fx_positions",
        operator_only=True,
        menu=Menu("Money", mark("Open positions")),
    ),
)
