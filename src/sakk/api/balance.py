"""Balances, and the statement behind them."""

from typing import Any, Literal

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import CurrencyCode, Identifier, ListParameters
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core.balance import public_transaction
from sakk.core.errors import ResourceMissing
from sakk.flow import balance as flow
from sakk.store import balance as store

resource = Resource("balance")
transactions = Resource("balance_transactions")


class Money(Shape):
    """An amount of one currency."""

    amount: int
    amount_decimal: str
    currency: str


class BalanceShape(Shape):
    """By currency, what may be used and what is on its way."""

    object: Literal["balance"]
    available: list[Money]
    pending: list[Money]
    livemode: Livemode


class BalanceTransactionListParameters(ListParameters):
    """Which lines."""

    currency: CurrencyCode | None = None
    source: Identifier | None = None


class BalanceTransactionShape(Shape):
    """One line of an account's statement."""

    id: str
    object: Literal["balance_transaction"]
    amount: int
    amount_decimal: str
    available_on: int
    balance_after: int
    created: Created
    currency: str
    description: str | None
    exchange_rate: None
    fee: int
    fee_details: list[Any]
    livemode: Livemode
    metadata: ObjectMetadata
    net: int
    reporting_category: str
    source: str | None
    status: Literal["available"]
    type: str


@resource.get("/v1/balance", returns=BalanceShape, operation="retrieve_balance", asks_outside=True)
def retrieve(context: Context) -> Document:
    """Retrieve the account's balance, as the ledger has it now."""
    return flow.read(context.parts, account_id=context.account_id, livemode=context.livemode)


@transactions.get(
    "/v1/balance_transactions",
    returns=Page[BalanceTransactionShape],
    operation="list_balance_transactions",
)
def list_transactions(context: Context, query: BalanceTransactionListParameters) -> Listing:
    """List the lines of the account's statement, newest first."""
    lines, has_more = store.list_lines(
        context.connection,
        account_id=context.account_id,
        livemode=context.livemode,
        page=query.page(),
        currency=None if query.currency is None else query.currency.lower(),
        source=query.source,
    )
    return Listing(data=[public_transaction(line) for line in lines], has_more=has_more)


@transactions.get(
    "/v1/balance_transactions/{balance_transaction}",
    returns=BalanceTransactionShape,
    operation="retrieve_balance_transaction",
)
def retrieve_transaction(context: Context, balance_transaction: str) -> Document:
    """Retrieve a line of the account's statement."""
    line = store.find_line(
        context.connection,
        balance_transaction,
        account_id=context.account_id,
        livemode=context.livemode,
    )
    if line is None:
        raise ResourceMissing(f"No such balance_transaction: {balance_transaction!r}", param="id")
    return public_transaction(line)
