"""Proof of liabilities: what was owed to everybody, and an account's own place in it."""

from typing import Literal

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import CurrencyCode, ListParameters
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import chart
from sakk.core.errors import ResourceMissing
from sakk.core.liability import LiabilityEpoch
from sakk.flow import liability as flow
from sakk.store import liability as store

epochs = Resource("liability_epochs")
proofs = Resource("liability_proofs")


class LiabilityEpochListParameters(ListParameters):
    """Which epochs."""

    currency: CurrencyCode | None = None


class LiabilityEpochShape(Shape):
    """What was owed in one currency after one row of the journal, as everybody may read it.

    Sums are strings of smallest units; hashes are lower-case hexadecimal.
    """

    id: str
    object: Literal["liability_epoch"]
    as_of: int
    created: Created
    currency: str
    epoch: int
    journal_hash: str
    journal_sequence: int
    leaves: int
    livemode: Livemode
    metadata: ObjectMetadata
    root: str
    shard: int
    total: str
    total_decimal: str | None
    unit: str


class LiabilityStep(Shape):
    """A sibling on the way from a leaf to the root."""

    hash: str
    side: Literal["left", "right"]
    sum: str


class LiabilityLeaf(Shape):
    """One ledger account of the account, and its way to the root."""

    balance: str
    index: int
    ledger_account: str
    path: list[LiabilityStep]
    salt: str


class LiabilityProofShape(Shape):
    """That an account's balance stands under an epoch's root; checked offline."""

    id: str
    object: Literal["liability_proof"]
    account: str
    balance: str
    created: Created
    currency: str
    epoch: int
    leaves: list[LiabilityLeaf]
    livemode: Livemode
    metadata: ObjectMetadata
    root: str
    unit: str


@epochs.get(
    "/v1/liability_epochs",
    returns=Page[LiabilityEpochShape],
    operation="list_liability_epochs",
)
def list_epochs(context: Context, query: LiabilityEpochListParameters) -> Listing:
    """List the epochs of the proof of liabilities, newest first, for every account the same."""
    unit = None
    if query.currency is not None:
        unit = chart.currency_unit(query.currency.lower(), livemode=context.livemode)
    rows, has_more = store.list_epochs(
        context.connection, livemode=context.livemode, page=query.page(), unit=unit
    )
    return Listing(data=flow.published(context.connection, rows), has_more=has_more)


@epochs.get(
    "/v1/liability_epochs/{liability_epoch}",
    returns=LiabilityEpochShape,
    operation="retrieve_liability_epoch",
)
def retrieve_epoch(context: Context, liability_epoch: str) -> Document:
    """Retrieve an epoch: the file that is published, and against which proofs are checked."""
    return flow.published(context.connection, [_find(context, liability_epoch)])[0]


@proofs.get(
    "/v1/liability_proofs/{liability_epoch}",
    returns=LiabilityProofShape,
    operation="retrieve_liability_proof",
)
def retrieve_proof(context: Context, liability_epoch: str) -> Document:
    """Retrieve the proof that the account's own balance stands under an epoch's root."""
    return flow.prove(context.connection, _find(context, liability_epoch), context.account_id)


def _find(context: Context, liability_epoch: str) -> LiabilityEpoch:
    found = store.find(context.connection, liability_epoch, livemode=context.livemode)
    if found is None:
        raise ResourceMissing(f"No such liability_epoch: {liability_epoch!r}", param="id")
    return found
