"""Book transfers between accounts: committed as asked for, then moved in the ledger at once.

What is sent to an e-mail address that no account has waits in the ledger, and is claimed by the
stage here when an account has proved the address, or goes back.
"""

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from sakk.core import closed_loop_event, event, money, policy
from sakk.core import transfer as rules
from sakk.core.alias import Recipient, read_recipient
from sakk.core.errors import (
    BalanceInsufficient,
    ParameterInvalid,
    PermissionDenied,
    ResourceMissing,
    UnexpectedState,
)
from sakk.core.event import NewEvent
from sakk.core.person import Actor
from sakk.core.policy import Facts
from sakk.core.transfer import BookTransfer, TransferStatus
from sakk.flow import credit_fee
from sakk.flow import payment_credit as credits
from sakk.flow.alias import CLAIM_STAGE, resolve
from sakk.flow.book import PostingSet
from sakk.flow.context import Parts
from sakk.flow.money_request_news import note_payment
from sakk.flow.policy import rules_of
from sakk.flow.stage import Stage, wake
from sakk.store import account, freeze, network, party
from sakk.store import event as events
from sakk.store import person as persons
from sakk.store import policy as policies
from sakk.store import transfer as store
from sakk.store.database import fetch
from sakk.store.failpoint import failpoint

LEFT_BEHIND_MAX = 100
CLAIMS_MAX = 100
DECLINED = "This transfer was declined. Ask whoever runs this Sakk."


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """What an account asks to move to another; ``amount`` in the currency's smallest unit.

    ``destination``: an account's id, an e-mail address, a handle, or the text of a scanned code.
    """

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
    actor: Actor | None = None,
    request_id: str | None = None,
) -> BookTransfer:
    """Commit and move; repeat under the same identifier.

    Raises BalanceInsufficient, and PermissionDenied where the account may not pay.
    """
    with parts.database.begin() as connection:
        transfer = intend(
            parts,
            connection,
            request,
            identifier=identifier,
            account_id=account_id,
            livemode=livemode,
            actor=actor,
        )
    return carry_out(parts, transfer, request_id=request_id)


def intend(
    parts: Parts,
    connection: Connection,
    request: TransferRequest,
    *,
    identifier: str,
    account_id: str,
    livemode: bool,
    actor: Actor | None,
    reason: str | None = None,
) -> BookTransfer:
    """Write down what is to be moved, or find what was written under the identifier before."""
    found = store.find(connection, identifier, account_id=account_id, livemode=livemode)
    if found is not None:
        return found
    now = parts.clock()
    to = read_recipient(request.destination)
    _check_scanned(to, request)
    destination = resolve(connection, to, livemode=livemode, param="destination")
    if destination == account_id:
        raise ParameterInvalid(
            "A transfer goes to another account than its own.", param="destination"
        )
    currencies = {each.currency: each for each in network.list_currencies(connection)}
    if request.currency not in currencies:
        raise ParameterInvalid(
            "There is no currency {currency}. GET /v1/currencies lists them.",
            param="currency",
            currency=repr(request.currency),
        )
    transfer = BookTransfer(
        id=identifier,
        account_id=account_id,
        livemode=livemode,
        destination=destination,
        amount=request.amount,
        currency=request.currency,
        decimals=currencies[request.currency].decimals,
        status=TransferStatus.requested.value,
        failure_code=None,
        description=request.description,
        metadata=request.metadata or {},
        created=now,
        recipient=to.value if to.kind == "email" else None,
        expires_at=None if destination is not None else now + rules.CLAIM_LIFE,
        reason=reason,
        initiator=None if actor is None else actor.key,
        initiator_person=None if actor is None else actor.person,
    )
    check_may_pay(connection, account_id, livemode=livemode)
    if destination is None:
        _check_pending(connection, transfer)
    judge(parts, connection, rules.facts_of(transfer), livemode=livemode)
    store.insert(connection, transfer)
    # Whoever was first under this identifier, it is one transfer.
    made = store.find(connection, identifier, account_id=account_id, livemode=livemode)
    assert made is not None
    return made


def carry_out(parts: Parts, transfer: BookTransfer, *, request_id: str | None) -> BookTransfer:
    """Move what was written down; a transfer that has moved is answered as it stands."""
    if transfer.status == TransferStatus.requested:
        failpoint("transfer.post.before")
        transfer = _step(parts, transfer, request_id)
    if transfer.status == TransferStatus.rejected:
        needed = money.format_decimal(transfer.amount, transfer.decimals)
        raise BalanceInsufficient(
            "The available balance does not cover {amount} {currency}.",
            param="amount",
            amount=needed,
            currency=transfer.currency,
        )
    return transfer


def cancel(
    parts: Parts, identifier: str, *, account_id: str, livemode: bool, request_id: str | None
) -> BookTransfer:
    """Call off what nobody has claimed: it is back at once. UnexpectedState for what is gone."""
    with parts.database.begin() as connection:
        transfer = store.find(
            connection, identifier, account_id=account_id, livemode=livemode, lock=True
        )
        if transfer is None:
            raise ResourceMissing(f"No such transfer: {identifier!r}", param="id")
        if transfer.status == TransferStatus.pending:
            store.call_off(connection, transfer)
            transfer = replace(
                transfer, status=TransferStatus.returning.value, failure_code="canceled"
            )
            wake(connection, CLAIM_STAGE)
    match TransferStatus(transfer.status):
        case TransferStatus.returning:
            return _step(parts, transfer, request_id)
        case TransferStatus.returned:
            return transfer
        case status:
            raise UnexpectedState(
                f"The transfer is {status.value}: only one that waits for somebody is called off."
            )


def check_may_pay(connection: Connection, account_id: str, *, livemode: bool) -> None:
    """As for all money that goes out: no freeze, and who must be verified is. PermissionDenied."""
    if freeze.is_account_stopped(connection, account_id):
        raise PermissionDenied(DECLINED)
    settings = account.payout_settings(connection, account_id)
    if settings.verification == "required" and not party.is_verified(
        connection, account_id, livemode=livemode
    ):
        raise PermissionDenied(
            "This account is not verified, or is under review: submit its party (/v1/parties), or"
            " ask the operator."
        )


def judge(
    parts: Parts,
    connection: Connection,
    facts: Facts,
    *,
    livemode: bool,
    counted_before: int = 0,
    times: int = 1,
) -> None:
    """The policy's rules that name transfers, whose sums are locked where there is one.

    ``counted_before``: what the payer's sums may have of this already. ``times``: so many of these
    are judged, one after another. PermissionDenied, which does not say why.
    """
    version = policies.find_active(connection, livemode=livemode)
    if not policy.rules_for_transfers(rules_of(version)):
        return
    policies.lock_judging(connection, livemode=livemode)
    judged_by = rules.rules_to_judge(
        rules_of(policies.find_active(connection, livemode=livemode)), facts
    )
    found = persons.list_persons(
        connection, livemode=livemode, ids=[] if facts.person is None else [facts.person]
    )
    facts = replace(facts, roles=frozenset(role for each in found for role in each.roles))
    sums = policies.period_sums(
        connection, policy.period_keys(judged_by, facts), livemode=livemode, now=parts.clock()
    )
    for key in sums:
        if key.per != "destination":
            sums[key] = max(0, sums[key] - counted_before)
    counted = policy.counted_keys(judged_by, facts)
    for _ in range(times):
        if policy.is_transfer_blocked(judged_by, facts, sums):
            raise PermissionDenied(DECLINED)
        for key in counted & sums.keys():
            sums[key] += facts.amount


def left_behind_stage(parts: Parts) -> Stage:
    """The stage that finishes transfers whose request did not live to see the ledger's answer."""

    def run() -> int:
        with parts.database.begin() as connection:
            rows = fetch(connection, store.left_behind, now=parts.clock(), limit=LEFT_BEHIND_MAX)
        for row in rows:
            _step(parts, row, None)
        return len(rows)

    return Stage("transfer.post", run, idle_seconds=5.0, due=(store.left_behind,))


def claim_stage(parts: Parts) -> Stage:
    """The stage that gives what waits to who has proved the address, or gives it back in time."""

    def run() -> int:
        with parts.database.begin() as connection:
            moved = store.claim_due(connection, now=parts.clock(), limit=CLAIMS_MAX)
            rows = fetch(connection, store.at_a_step, limit=CLAIMS_MAX)
        for row in rows:
            failpoint("transfer.claim.before")
            _step(parts, row, None)
        return max(moved, len(rows))

    return Stage(CLAIM_STAGE, run, idle_seconds=5.0, due=(store.to_move, store.at_a_step))


def _check_scanned(to: Recipient, request: TransferRequest) -> None:
    """What a code asked for is what is paid, or the payer wrote the code away."""
    if to.amount is not None and (to.amount, to.currency) != (request.amount, request.currency):
        raise ParameterInvalid(
            "The scanned code asks for another amount: pay what it says, or name who is paid.",
            param="amount",
        )


def _check_pending(connection: Connection, transfer: BookTransfer) -> None:
    waiting = store.count_pending(
        connection,
        account_id=transfer.account_id,
        livemode=transfer.livemode,
        since=transfer.created - rules.PENDING_COUNTED,
    )
    if waiting >= rules.PENDING_MAX:
        raise ParameterInvalid(
            "{most} transfers of this account wait for somebody to claim them, or came back since"
            " yesterday. Try again later.",
            param="destination",
            most=rules.PENDING_MAX,
        )


def _step(parts: Parts, transfer: BookTransfer, request_id: str | None) -> BookTransfer:
    """Take the step that a transfer is at; the same postings under the same ids, if repeated."""
    before = transfer.status
    step = "post" if before == TransferStatus.requested else before
    [outcome] = parts.books.post([PostingSet(transfer.id, step, 0, rules.postings(transfer))])
    if before == TransferStatus.requested:
        failpoint("transfer.post.after")
    else:
        failpoint("transfer.claim.after")
    status = rules.after(transfer, booked=outcome.booked)
    done = replace(transfer, status=status.value)
    if status is TransferStatus.rejected:
        done = replace(done, failure_code="balance_insufficient")
    with parts.database.begin() as connection:
        # A payment before the transfer that pays it, as who asks for both does.
        intent = credits.lock(connection, done.id) if done.reason is not None else None
        # Only who takes the row out of its status tells of it.
        if store.finish(connection, done, before=before):
            _tell(parts, connection, done, request_id)
            if intent is not None:
                is_paid = status is TransferStatus.posted
                credits.settle(connection, intent, done.id, booked=is_paid, now=parts.clock())
                credit_fee.book_transfer(connection, done, now=parts.clock())
            elif status is TransferStatus.posted and done.reason is not None:
                note_payment(connection, done, now=parts.clock())
    return done


def _tell(
    parts: Parts, connection: Connection, transfer: BookTransfer, request_id: str | None
) -> None:
    told: tuple[str, ...]
    match TransferStatus(transfer.status):
        case TransferStatus.posted:
            assert transfer.destination is not None
            name, told = event.TRANSFER_CREATED, (transfer.account_id, transfer.destination)
        case TransferStatus.pending:
            name, told = closed_loop_event.TRANSFER_PENDING, (transfer.account_id,)
            # An account may have proved the address since it was looked for.
            wake(connection, CLAIM_STAGE)
        case TransferStatus.returned:
            name, told = closed_loop_event.TRANSFER_RETURNED, (transfer.account_id,)
        case _:
            return
    events.append(
        connection,
        [
            NewEvent(
                account_id=who,
                livemode=transfer.livemode,
                type=name,
                object_id=transfer.id,
                object=rules.public(transfer),
                request_id=request_id if who == transfer.account_id else None,
            )
            for who in dict.fromkeys(told)
        ],
        now=parts.clock(),
    )
