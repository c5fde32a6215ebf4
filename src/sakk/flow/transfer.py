"""Book transfers between accounts: committed as asked for, then moved in the ledger at once."""

from dataclasses import dataclass, replace

from sakk.core import event, money
from sakk.core import transfer as rules
from sakk.core.errors import BalanceInsufficient, ParameterInvalid, ResourceMissing
from sakk.core.event import NewEvent
from sakk.core.transfer import BookTransfer
from sakk.flow.book import PostingSet
from sakk.flow.context import Parts
from sakk.flow.stage import Stage
from sakk.store import account, network
from sakk.store import event as events
from sakk.store import transfer as store
from sakk.store.failpoint import failpoint

LEFT_BEHIND_MAX = 100


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """What an account asks to move to another; ``amount`` in the currency's smallest unit."""

    amount: int
    currency: str
    destination: str
    description: str | None = None
    metadata: dict[str, str] | None = None


def create(
    parts: Parts,
    request: TransferRequest,
    *,
    identifier: str,
    account_id: str,
    livemode: bool,
    request_id: str | None = None,
) -> BookTransfer:
    """Commit and move; repeat under the same identifier. Raises BalanceInsufficient."""
    now = parts.clock()
    with parts.database.begin() as connection:
        transfer = store.find(connection, identifier, account_id=account_id, livemode=livemode)
        if transfer is None:
            if request.destination == account_id:
                raise ParameterInvalid(
                    "A transfer goes to another account than its own.", param="destination"
                )
            if account.find_account(connection, request.destination) is None:
                raise ResourceMissing(
                    f"No such account: {request.destination!r}.", param="destination"
                )
            currencies = {each.currency: each for each in network.list_currencies(connection)}
            if request.currency not in currencies:
                raise ParameterInvalid(
                    f"There is no currency {request.currency!r}. GET /v1/currencies lists them.",
                    param="currency",
                )
            transfer = BookTransfer(
                id=identifier,
                account_id=account_id,
                livemode=livemode,
                destination=request.destination,
                amount=request.amount,
                currency=request.currency,
                decimals=currencies[request.currency].decimals,
                status="requested",
                failure_code=None,
                description=request.description,
                metadata=request.metadata or {},
                created=now,
            )
            store.insert(connection, transfer)
            # Whoever was first under this identifier, it is one transfer.
            transfer = store.find(connection, identifier, account_id=account_id, livemode=livemode)
            assert transfer is not None
    if transfer.status == "requested":
        failpoint("transfer.post.before")
        transfer = _post(parts, transfer, request_id)
    if transfer.status == "rejected":
        needed = money.format_decimal(transfer.amount, transfer.decimals)
        raise BalanceInsufficient(
            f"The available balance does not cover {needed} {transfer.currency}.", param="amount"
        )
    return transfer


def left_behind_stage(parts: Parts) -> Stage:
    """The stage that finishes transfers whose request did not live to see the ledger's answer."""

    def run() -> int:
        with parts.database.begin() as connection:
            rows = store.list_left_behind(connection, now=parts.clock(), limit=LEFT_BEHIND_MAX)
        for row in rows:
            _post(parts, row, None)
        return len(rows)

    return Stage("transfer.post", run, idle_seconds=5.0)


def _post(parts: Parts, transfer: BookTransfer, request_id: str | None) -> BookTransfer:
    [outcome] = parts.books.post([PostingSet(transfer.id, "post", 0, rules.postings(transfer))])
    failpoint("transfer.post.after")
    now = parts.clock()
    posted = replace(
        transfer,
        status="posted" if outcome.booked else "rejected",
        failure_code=None if outcome.booked else "balance_insufficient",
    )
    with parts.database.begin() as connection:
        # Only who takes the row out of `requested` tells of it.
        first = store.finish(connection, posted)
        if first and outcome.booked:
            events.append(
                connection,
                [
                    NewEvent(
                        account_id=who,
                        livemode=posted.livemode,
                        type=event.TRANSFER_CREATED,
                        object_id=posted.id,
                        object=rules.public(posted),
                        request_id=request_id if who == posted.account_id else None,
                    )
                    for who in (posted.account_id, posted.destination)
                ],
                now=now,
            )
    return posted
