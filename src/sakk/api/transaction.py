"""Chain transactions: what keys of ours sent, with every attempt. The operator's alone."""

from typing import Literal

from sqlalchemy import Connection

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import Identifier, ListParameters
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import transaction as rules
from sakk.core.errors import ResourceMissing
from sakk.flow import transaction as flow
from sakk.store import transaction as store
from sakk.store.page import fetch_page

resource = Resource("chain_transactions")


class TransactionListParameters(ListParameters):
    """Which transactions. ``subject`` is the payout, refund or sweep; ``hash`` any attempt's."""

    subject: Identifier | None = None
    network: Identifier | None = None
    sender: Identifier | None = None
    hash: Identifier | None = None
    purpose: rules.Purpose | None = None
    status: rules.TransactionStatus | None = None


class AttemptShape(Shape):
    """One version of a transaction: the same nonce and call at a price of its own."""

    attempt: int
    cancels: bool
    created: Created
    error: str | None
    explanation: str | None
    hash: str | None
    max_fee_per_gas: str
    max_priority_fee_per_gas: str
    status: rules.AttemptStatus


class TransactionShape(Shape):
    """A transaction of ours. Fees in wei per gas, ``token_amount`` in atomic units.

    ``attempts`` are given with one transaction, and null in lists.
    """

    id: str
    object: Literal["chain_transaction"]
    asked: str | None
    asset: str
    attempts: list[AttemptShape] | None
    block_number: int | None
    created: Created
    destination: str
    error: str | None
    explanation: str | None
    gas_cost: str | None
    gas_limit: int
    hash: str | None
    livemode: Livemode
    max_fee_per_gas: str
    max_priority_fee_per_gas: str
    metadata: ObjectMetadata
    network: str
    nonce: int
    purpose: rules.Purpose
    replacements: int
    sender: str
    status: rules.TransactionStatus
    subject: str
    succeeded: bool | None
    token_amount: str
    waits_for: str | None


@resource.get(
    "/v1/chain_transactions",
    returns=Page[TransactionShape],
    operation="list_chain_transactions",
    operator_only=True,
)
def list_transactions(context: Context, query: TransactionListParameters) -> Listing:
    """List what keys of ours sent, newest first."""
    columns = store.transactions.c
    filters = [
        columns[name] == str(value)
        for name in ("subject", "network", "purpose", "status")
        if (value := getattr(query, name)) is not None
    ]
    if query.sender is not None:
        filters.append(columns.sender == query.sender.lower())
    if query.hash is not None:
        filters.append(store.has_hash(query.hash.lower()))
    rows, has_more = fetch_page(
        context.connection,
        store.transactions,
        rules.ChainTransaction,
        account_id=context.visible_account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    return Listing(
        data=[{**rules.operator_view(row), "attempts": None} for row in rows], has_more=has_more
    )


@resource.get(
    "/v1/chain_transactions/{chain_transaction}",
    returns=TransactionShape,
    operation="retrieve_chain_transaction",
    operator_only=True,
)
def retrieve(context: Context, chain_transaction: str) -> Document:
    """Retrieve a transaction with its attempts, any of which may be the one that is mined."""
    row = store.find(context.connection, chain_transaction)
    if (
        row is None
        or row.livemode != context.livemode
        or context.visible_account_id not in (None, row.account_id)
    ):
        raise ResourceMissing(f"No such chain transaction: {chain_transaction!r}", param="id")
    return _with_attempts(context.connection, row)


@resource.post(
    "/v1/chain_transactions/{chain_transaction}/replace",
    returns=TransactionShape,
    operation="replace_chain_transaction",
    operator_only=True,
    two_steps=True,
)
def replace(context: Context, chain_transaction: str) -> Document:
    """Have a stuck transaction signed anew at once, for a higher fee within the network's cap."""
    asked = flow.ask(context.parts, chain_transaction, "replace", livemode=context.livemode)
    with context.database.read() as connection:
        return _with_attempts(connection, asked)


@resource.post(
    "/v1/chain_transactions/{chain_transaction}/cancel",
    returns=TransactionShape,
    operation="cancel_chain_transaction",
    operator_only=True,
    two_steps=True,
)
def cancel(context: Context, chain_transaction: str) -> Document:
    """Have a stuck transaction's nonce used up by one that does nothing.

    Which of them is mined the chain decides: the payout then fails, or is paid after all.
    """
    asked = flow.ask(context.parts, chain_transaction, "cancel", livemode=context.livemode)
    with context.database.read() as connection:
        return _with_attempts(connection, asked)


def _with_attempts(connection: Connection, row: rules.ChainTransaction) -> Document:
    attempts = store.list_attempts(connection, [row.id])[row.id]
    return {
        **rules.operator_view(row),
        "attempts": [rules.attempt_view(each) for each in attempts],
    }
