"""Spends under a mandate: bound to its budgets in the ledger's set that moves the money.

The row is committed first, with the time that says from which periods it takes. What the ledger
answers is recorded after; a request that did not live to see the answer is finished by a stage,
under the same ids.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from sakk.core import event
from sakk.core import mandate as mandate_rules
from sakk.core import mandate_spend as rules
from sakk.core import spend as spends
from sakk.core.errors import ParameterInvalid, ResourceMissing, UnexpectedState
from sakk.core.event import NewEvent
from sakk.core.mandate import HERE, Mandate, MandateStatus
from sakk.core.mandate_spend import MandateSpend, SpendStatus
from sakk.core.spend import Payee, Spend
from sakk.flow import mandate
from sakk.flow.book import PostingSet
from sakk.flow.context import Parts
from sakk.flow.stage import Stage
from sakk.store import account as accounts
from sakk.store import event as events
from sakk.store import mandate as mandates
from sakk.store import mandate_spend as store
from sakk.store import network
from sakk.store.database import fetch
from sakk.store.failpoint import failpoint

LEFT_BEHIND_MAX: Final = 100
OVERDUE_MAX: Final = 100
TRANSFER: Final = "transfer"
EXACT: Final = "exact"


@dataclass(frozen=True, slots=True)
class SpendRequest:
    """What an agent asks for; ``amount`` in the mandate's currency's smallest unit.

    ``reference``: the agent's own name of it. Asked again under the same one it is the same spend.
    """

    reference: str
    amount: int
    payee: Payee
    scheme: str | None = None
    description: str | None = None
    metadata: dict[str, str] | None = None


def create(
    parts: Parts,
    mandate_id: str,
    request: SpendRequest,
    *,
    identifier: str,
    account_id: str,
    livemode: bool,
    request_id: str | None = None,
) -> MandateSpend:
    """Spend, or wait for a person; the answer under a reference is always the same spend.

    Raises MandateRefused, MandateExceeded and BalanceInsufficient where it is not allowed or not
    covered; a spend that a budget refused stays refused under its reference.
    """
    now = parts.clock()
    with parts.database.begin() as connection:
        found = mandate.find(connection, mandate_id, account_id=account_id, livemode=livemode)
        known = store.find_reference(connection, found.id, request.reference, lock=True)
        if known is None:
            drafted = _drafted(connection, found, request, identifier, now=now)
            if store.insert(connection, drafted) and drafted.status == SpendStatus.waiting:
                _tell(connection, drafted, event.MANDATE_SPEND_AWAITING_APPROVAL, now=now)
            # Whoever was first under this reference, it is one spend.
            known = store.find_reference(connection, found.id, request.reference, lock=True)
            assert known is not None
        _check_same(known, request)
        if known.status == SpendStatus.approved:
            known = _begun(connection, found, known, now=now)
    if known.status == SpendStatus.requested:
        failpoint("mandate_spend.post.before")
        known = _post(parts, found, known, request_id)
    if known.status == SpendStatus.refused:
        raise rules.error_of(known)
    return known


def release(
    parts: Parts, mandate_id: str, identifier: str, *, account_id: str, livemode: bool
) -> MandateSpend:
    """The account says that a spend which its agent was to pay elsewhere was never made.

    What it took goes back to the budgets of its own periods. Raises UnexpectedState for a spend
    that moved money here: its payee gives that back by a transfer.
    """
    with parts.database.begin() as connection:
        found = mandate.find(connection, mandate_id, account_id=account_id, livemode=livemode)
        known = locked(connection, found, identifier)
        if known.status == SpendStatus.released:
            return known
        if known.status not in (SpendStatus.reserved, SpendStatus.releasing):
            raise UnexpectedState(
                f"This spend is {known.status}: only one that is reserved can be released.",
                param="spend",
            )
        store.change(
            connection,
            known.id,
            {"status": SpendStatus.releasing.value},
            status=SpendStatus.reserved.value,
        )
    failpoint("mandate_spend.release.before")
    return _give_back(parts, found, known)


def left_behind_stage(parts: Parts) -> Stage:
    """The stage that finishes spends whose request did not live to see the ledger's answer."""

    def run() -> int:
        with parts.database.begin() as connection:
            rows = fetch(connection, store.left_behind, now=parts.clock(), limit=LEFT_BEHIND_MAX)
            found = {each.mandate: mandates.find_any(connection, each.mandate) for each in rows}
        for row in rows:
            of = found[row.mandate]
            assert of is not None
            if row.status == SpendStatus.releasing:
                _give_back(parts, of, row)
            else:
                _post(parts, of, row, None)
        return len(rows)

    return Stage("mandate_spend.post", run, idle_seconds=5.0, due=(store.left_behind,))


def expire_stage(parts: Parts) -> Stage:
    """The stage that ends what nobody decided on in time, or what no agent came back for."""

    def run() -> int:
        now = parts.clock()
        with parts.database.begin() as connection:
            rows = fetch(connection, store.overdue, now=now, limit=OVERDUE_MAX)
            for row in rows:
                _expired(connection, row, now=now)
        return len(rows)

    return Stage("mandate_spend.expire", run, idle_seconds=5.0, due=(store.overdue,))


def locked(connection: Connection, found: Mandate, identifier: str) -> MandateSpend:
    """A spend of the mandate, locked; ResourceMissing."""
    known = store.find(
        connection,
        identifier,
        mandate=found.id,
        account_id=found.account_id,
        livemode=found.livemode,
        lock=True,
    )
    if known is None:
        raise ResourceMissing(f"No such spend: {identifier!r}", param="spend")
    return known


def _drafted(
    connection: Connection,
    found: Mandate,
    request: SpendRequest,
    identifier: str,
    *,
    now: datetime,
) -> MandateSpend:
    """The row as it begins: what needs no counter is checked here. Raises MandateRefused."""
    _check_payee(connection, found, request.payee)
    asked = _asked(found, request)
    legs = mandate.bind(found, asked, at=now)
    waits = spends.needs_person(legs.terms, request.amount)
    currencies = {each.currency: each for each in network.list_currencies(connection)}
    return MandateSpend(
        id=identifier,
        mandate=found.id,
        account_id=found.account_id,
        livemode=found.livemode,
        reference=request.reference,
        fingerprint=rules.fingerprint(asked, description=request.description),
        amount=request.amount,
        currency=found.currency,
        decimals=currencies[found.currency].decimals,
        payee_account=request.payee.account,
        payee_network=request.payee.network,
        payee_address=request.payee.address,
        payee_host=request.payee.host,
        scheme=asked.scheme,
        status=(SpendStatus.waiting if waits else SpendStatus.requested).value,
        failure_code=None,
        failure=None,
        reserved_at=None if waits else now,
        approve_by=min(now + rules.WORD_TIME, found.expires_at) if waits else None,
        approved_by=None,
        description=request.description,
        metadata=request.metadata or {},
        created=now,
    )


def _asked(found: Mandate, request: SpendRequest) -> Spend:
    payee = request.payee
    outside = payee.account is None
    return Spend(
        amount=request.amount,
        currency=found.currency,
        payee=payee,
        scheme=request.scheme or (EXACT if outside else TRANSFER),
        network=payee.network or HERE if outside else HERE,
    )


def _check_payee(connection: Connection, found: Mandate, payee: Payee) -> None:
    if (payee.account is None) == (payee.address is None):
        raise ParameterInvalid(
            "Name payee[account], an account here, or payee[network] and payee[address].",
            param="payee",
        )
    if (payee.address is None) != (payee.network is None):
        raise ParameterInvalid("An address is paid on a network: name both.", param="payee")
    if payee.account == found.account_id:
        raise ParameterInvalid(
            "An agent pays another account than its own.", param="payee[account]"
        )
    if payee.account is not None and accounts.find_account(connection, payee.account) is None:
        raise ResourceMissing(f"No such account: {payee.account!r}.", param="payee[account]")


def _check_same(known: MandateSpend, request: SpendRequest) -> None:
    scheme = request.scheme or (EXACT if request.payee.account is None else TRANSFER)
    asked = replace(known.asked, amount=request.amount, payee=request.payee, scheme=scheme)
    if rules.fingerprint(asked, description=request.description) != known.fingerprint:
        raise ParameterInvalid(
            f"The reference {known.reference!r} is that of another spend. Use a new reference for a"
            " new spend.",
            param="reference",
        )


def _expired(connection: Connection, known: MandateSpend, *, now: datetime) -> MandateSpend:
    """End what nobody decided on, or came back for, in time; it is locked."""
    expired = SpendStatus.expired.value
    store.change(connection, known.id, {"status": expired}, status=known.status)
    ended = replace(known, status=expired)
    _tell(connection, ended, event.MANDATE_SPEND_EXPIRED, now=now)
    return ended


def _begun(
    connection: Connection, found: Mandate, known: MandateSpend, *, now: datetime
) -> MandateSpend:
    """What a person approved is carried out, if the mandate still allows it at this time.

    When its own time is over it has expired, also where no stage has looked yet.
    """
    assert known.approve_by is not None
    if known.approve_by <= now:
        return _expired(connection, known, now=now)
    mandate.bind(found, known.asked, at=now)
    values: dict[str, Any] = {"status": SpendStatus.requested.value, "reserved_at": now}
    store.change(connection, known.id, values, status=SpendStatus.approved.value)
    return replace(known, **values)


def _post(
    parts: Parts, found: Mandate, known: MandateSpend, request_id: str | None
) -> MandateSpend:
    """Ask the ledger, and record what it said; the same ids, however often."""
    assert known.reserved_at is not None
    legs = mandate.legs_of(found, known.asked, at=known.reserved_at)
    bound = PostingSet(known.id, "spend", 0, [*legs.postings, *rules.payment(known)])
    outcome = parts.books.post([*legs.opening, bound])[-1]
    failpoint("mandate_spend.post.after")
    now = parts.clock()
    if outcome.booked:
        ended = SpendStatus.reserved if known.payee_account is None else SpendStatus.posted
        values: dict[str, Any] = {"status": ended.value}
    else:
        error = mandate.explain(parts, legs, outcome)
        values = {
            "status": SpendStatus.refused.value,
            "failure_code": error.code,
            "failure": rules.failure_of(error),
        }
    done = replace(known, **values)
    with parts.database.begin() as connection:
        # Only who takes the row out of `requested` tells of it.
        first = store.change(connection, known.id, values, status=SpendStatus.requested.value)
        if first and outcome.booked:
            _tell(connection, done, event.MANDATE_SPEND_CREATED, now=now, request_id=request_id)
        if not first:
            done = locked(connection, found, known.id)
    return done


def _give_back(parts: Parts, found: Mandate, known: MandateSpend) -> MandateSpend:
    """Restore the budgets; of a mandate that is revoked nothing is restored, and none misses it."""
    assert known.reserved_at is not None
    if found.status == MandateStatus.active:
        terms = mandate_rules.read_document(found.terms)
        legs = spends.restorations(
            found.id, terms, known.asked, at=known.reserved_at, units=known.amount
        )
        outcome = parts.books.post([PostingSet(known.id, "release", 0, legs)])[-1]
        assert outcome.booked or outcome.refusal in mandate.FROZEN, outcome
    failpoint("mandate_spend.release.after")
    values: dict[str, Any] = {"status": SpendStatus.released.value}
    done = replace(known, **values)
    with parts.database.begin() as connection:
        if store.change(connection, known.id, values, status=SpendStatus.releasing.value):
            _tell(connection, done, event.MANDATE_SPEND_RELEASED, now=parts.clock())
    return done


def _tell(
    connection: Connection,
    record: MandateSpend,
    name: str,
    *,
    now: datetime,
    request_id: str | None = None,
) -> None:
    payees = []
    if name == event.MANDATE_SPEND_CREATED and record.payee_account is not None:
        payees = [record.payee_account]
    told = [
        NewEvent(
            account_id=who,
            livemode=record.livemode,
            type=name,
            object_id=record.id,
            object=rules.public_spend(record),
            request_id=request_id if who == record.account_id else None,
        )
        for who in (record.account_id, *payees)
    ]
    events.append(connection, told, now=now)
