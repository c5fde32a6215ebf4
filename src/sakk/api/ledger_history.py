"""What the ledger's rows tell: statements, search, and balances at a past time.

The projection writes them behind the ledger; ``as_of`` says how far it is.
"""

from typing import Annotated, Literal, TypeVar

from pydantic import Field

from sakk.api.context import Context, Document, Listing
from sakk.api.ledger import (
    LedgerAccountShape,
    LedgerTransferShape,
    Moment,
    Units,
    number,
    there,
)
from sakk.api.ledger import resource as resource
from sakk.api.ledger_body import AnyId, Code, LedgerNumber, Nanoseconds, UserData
from sakk.api.parameters import ListParameters, Parameters
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core.errors import CursorMissing, ParameterInvalid
from sakk.core.ledger import operator_unit
from sakk.flow import ledger as flow
from sakk.ledger.types import Transfer
from sakk.store import ledger as store
from sakk.store.page import PageRequest

SECOND = 1_000_000_000
T = TypeVar("T")
HoldStatus = Literal["posted", "pending", "voided", "expired"]


class LedgerTransferListParameters(ListParameters):
    """Which transfers: all that is given must hold."""

    account: AnyId | None = None
    code: Code | None = None
    ledger: LedgerNumber | None = None
    status: HoldStatus | None = None
    user_data: UserData | None = None


class LedgerAccountListParameters(ListParameters):
    """Which accounts: all that is given must hold."""

    code: Code | None = None
    ledger: LedgerNumber | None = None
    user_data: UserData | None = None


class LedgerEntryListParameters(ListParameters):
    """Which entries, and by whose time."""

    order_by: Literal["timestamp", "effective_at"] = "timestamp"


class LedgerBalanceParameters(Parameters):
    """At which time: the ledger's, or the one that you gave."""

    timestamp: Nanoseconds | None = None
    effective_at: Nanoseconds | None = None


class LedgerEntryShape(Shape):
    """One side of a posted transfer, under the transfer's id."""

    id: str
    object: Literal["ledger.entry"]
    account: str
    amount: Units
    balance_after: Annotated[
        int, Field(description="Credits less debits posted, in the order of `timestamp`.")
    ]
    code: int
    created: Created
    direction: Literal["debit", "credit"]
    effective_at: int
    livemode: Livemode
    metadata: ObjectMetadata
    timestamp: Moment
    user_data: str | None


class LedgerBalanceShape(Shape):
    """What an account's posted transfers came to at a time."""

    object: Literal["ledger.balance"]
    account: str
    as_of: Annotated[
        int,
        Field(description="The ledger's time up to which this is complete; nanoseconds."),
    ]
    balance: Annotated[int, Field(description="Credits less debits posted.")]
    livemode: Livemode
    credits_pending: Annotated[
        Units | None, Field(description="The totals of an account with history, at `timestamp`.")
    ]
    credits_posted: Units | None
    debits_pending: Units | None
    debits_posted: Units | None


@resource.get(
    "/v1/ledger/accounts",
    returns=Page[LedgerAccountShape],
    operation="list_ledger_accounts",
    operator_only=True,
    asks_outside=True,
)
def list_accounts(context: Context, query: LedgerAccountListParameters) -> Listing:
    """List your ledgers' accounts, newest first, with totals that trail by a moment."""
    page = query.page()
    first, last = flow.unit_bounds(livemode=context.livemode)
    if query.ledger is not None:
        first = last = operator_unit(query.ledger, livemode=context.livemode)
    after, newest_first = None, True
    for param in ("starting_after", "ending_before"):
        if (text := getattr(page, param)) is not None:
            [found] = flow.find_accounts(context.parts, [number(text)], livemode=context.livemode)
            after, newest_first = _known(found, text, param)["timestamp"], param != "ending_before"
            break
    earliest, latest = _span(page)
    filters = store.AccountQuery(
        unit_min=first,
        unit_max=last,
        code=query.code,
        user_data=query.user_data,
        timestamp_min=earliest,
        timestamp_max=latest,
    )
    with context.database.begin() as connection:
        rows = store.find_accounts(
            connection, filters, after=after, limit=page.limit + 1, newest_first=newest_first
        )
    data = [flow.public_projected_account(row, livemode=context.livemode) for row in rows]
    return _listing(data, page.limit, newest_first=newest_first)


@resource.get(
    "/v1/ledger/transfers",
    returns=Page[LedgerTransferShape],
    operation="list_ledger_transfers",
    operator_only=True,
    asks_outside=True,
)
def list_transfers(context: Context, query: LedgerTransferListParameters) -> Listing:
    """Search your ledgers' transfers, newest first; by `account` also those of the chart."""
    page = query.page()
    first, last = flow.unit_bounds(livemode=context.livemode)
    account_id = None
    if query.account is not None:
        [account] = flow.find_accounts(context.parts, [query.account], livemode=context.livemode)
        if account is None:
            raise ParameterInvalid("There is no such account in the ledger.", param="account")
        account_id = flow.known_id(query.account, livemode=context.livemode)
        if account["ledger"] is None:
            first, last = 0, first - 1
    if query.ledger is not None:
        first = last = operator_unit(query.ledger, livemode=context.livemode)
    cursor, newest_first = _cursor(context, page)
    earliest, latest = _span(page)
    filters = store.TransferQuery(
        account_id=account_id,
        unit_min=first,
        unit_max=last,
        code=query.code,
        user_data=query.user_data,
        status=query.status,
        timestamp_min=earliest,
        timestamp_max=latest,
    )
    with context.database.begin() as connection:
        rows = store.find_transfers(
            connection,
            filters,
            after=None if cursor is None else cursor.timestamp,
            limit=page.limit + 1,
            newest_first=newest_first,
        )
    data = [flow.public_projected(row, livemode=context.livemode) for row in rows]
    return _listing(data, page.limit, newest_first=newest_first)


@resource.get(
    "/v1/ledger/accounts/{ledger_account}/entries",
    returns=Page[LedgerEntryShape],
    operation="list_ledger_entries",
    operator_only=True,
    asks_outside=True,
)
def list_entries(
    context: Context, ledger_account: str, query: LedgerEntryListParameters
) -> Listing:
    """List an account's posted movements, newest first by the ledger's time or by yours.

    `created` bounds the time that `order_by` names.
    """
    _, account_id = _account(context, ledger_account)
    page = query.page()
    earliest, latest = _span(page)
    first, last = store.ALWAYS
    span = (first if earliest is None else earliest, last if latest is None else latest)
    cursor, newest_first = _cursor(context, page)
    with context.database.begin() as connection:
        if query.order_by == "timestamp":
            rows = store.entries(
                connection,
                account_id,
                after=None if cursor is None else cursor.timestamp,
                span=span,
                limit=page.limit + 1,
                newest_first=newest_first,
            )
        else:
            rows = store.entries_by_effective_at(
                connection,
                account_id,
                after=None
                if cursor is None
                else (cursor.effective_at or cursor.timestamp, cursor.timestamp),
                span=span,
                limit=page.limit + 1,
                newest_first=newest_first,
            )
    data = [flow.public_entry(row, livemode=context.livemode) for row in rows]
    return _listing(data, page.limit, newest_first=newest_first)


@resource.get(
    "/v1/ledger/accounts/{ledger_account}/balance",
    returns=LedgerBalanceShape,
    operation="retrieve_ledger_balance",
    operator_only=True,
    asks_outside=True,
)
def retrieve_balance(
    context: Context, ledger_account: str, query: LedgerBalanceParameters
) -> Document:
    """Retrieve an account's balance at a time.

    As the ledger knew it at `timestamp`, or of all that is dated up to `effective_at`, whenever the
    ledger learned of it; without either, of all up to `as_of`.
    """
    if query.timestamp is not None and query.effective_at is not None:
        raise ParameterInvalid("Give timestamp or effective_at, not both.", param="timestamp")
    account, account_id = _account(context, ledger_account)
    totals = None
    with context.database.begin() as connection:
        as_of = store.projected_until(connection)
        if query.effective_at is None:
            at = as_of if query.timestamp is None else query.timestamp
            balance = store.balance_at(connection, account_id, timestamp_ns=at)
            if "history" in account["flags"]:
                found = store.totals_at(connection, account_id, timestamp_ns=at)
                totals = store.Totals(0, 0, 0, 0) if found is None else found
        else:
            balance = store.balance_effective_at(
                connection, account_id, effective_at_ns=query.effective_at
            )
    return {
        "object": "ledger.balance",
        "account": account["id"],
        "as_of": as_of,
        "balance": balance,
        "livemode": context.livemode,
        **{
            name: None if totals is None else getattr(totals, name)
            for name in store.Totals.__slots__
        },
    }


def _account(context: Context, ledger_account: str) -> tuple[Document, int]:
    """The account as it is now, and its id in the ledger; ResourceMissing."""
    identifier = number(ledger_account)
    [found] = flow.find_accounts(context.parts, [identifier], livemode=context.livemode)
    account = there(found, "account", ledger_account)
    return account, flow.known_id(identifier, livemode=context.livemode)


def _cursor(context: Context, page: PageRequest) -> tuple[Transfer | None, bool]:
    """The transfer that a page begins behind, and whether newer ones come first."""
    for param in ("starting_after", "ending_before"):
        text = getattr(page, param)
        if text is None:
            continue
        ids = [number(text)]
        [found] = flow.stored_transfers(context.parts, ids, livemode=context.livemode)
        return _known(found, text, param), param == "starting_after"
    return None, True


def _known(found: T | None, text: str, param: str) -> T:
    if found is None:
        raise CursorMissing(
            f"No such object in this list: {text!r}. Use an id that the list returned.",
            param=param,
        )
    return found


def _span(page: PageRequest) -> tuple[int | None, int | None]:
    """The first and the last nanosecond that a page's ``created`` asks for."""
    first = None if page.created_gte is None else int(page.created_gte.timestamp()) * SECOND
    last = None if page.created_lt is None else int(page.created_lt.timestamp()) * SECOND - 1
    return first, last


def _listing(data: list[Document], limit: int, *, newest_first: bool) -> Listing:
    page = data[:limit]
    return Listing(data=page if newest_first else page[::-1], has_more=len(data) > limit)
