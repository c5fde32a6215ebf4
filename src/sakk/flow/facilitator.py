"""x402 payments: verified, reserved, requested, and what became of them.

The order is that nothing is spent before it must, and nobody's nonce is taken by whoever is not
that payer: the request's own form, the network and token, the signature; then the lists, and in
the same transaction the reservation of (payer, token, nonce), which one request wins; then the
chain. A wallet contract's signature can only be checked by the chain, so there the chain comes
before the reservation.

What is asked together is answered together, so that a thousand payments cost few transactions and
questions to the node; each has its own answer all the same.

A success is told once: to the ``settle`` that waits for it, or to the next one with the same
payment. So a copy of a payment is never told that it was paid, and a seller that lost an answer is:
see ``begin``.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import Connection

from sakk.core.errors import SakkError
from sakk.core.evm import checksum_address
from sakk.core.screening import Direction, ScreeningRequest, Verdict
from sakk.core.x402 import Invalid, Reason, Request, Settled, Verified
from sakk.core.x402_payment import (
    PAID,
    PREFIX,
    Claim,
    NonceKey,
    X402Payment,
    X402Status,
    check_times,
    read_claim,
    settled,
)
from sakk.core.x402_resource import listed
from sakk.flow.context import Parts
from sakk.flow.stage import wake
from sakk.flow.x402_payment import BUILD
from sakk.flow.x402_terms import Kept, Terms, TermsBook
from sakk.rails.evm.capture import would_fail_each
from sakk.store import label as labels
from sakk.store import x402_payment as store
from sakk.store import x402_resource as resources
from sakk.store.database import update_records
from sakk.store.identity import new_id

# So long a seller waits for the block; after that it asks again.
SETTLE_SECONDS_MAX: Final = 30.0
# A process that died while somebody waited: after this another may.
WAITING_MAX: Final = timedelta(seconds=SETTLE_SECONDS_MAX + 15)
VERDICT_KEPT: Final = timedelta(minutes=5)
VERDICTS_KEPT_MAX: Final = 20_000
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A settlement that is under way: the payment whose end is awaited.

    ``is_keyed``: whoever asks under its idempotency key is told, however often.
    """

    payment: str
    is_keyed: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """A payment that somebody asks about: with a key, whose mode and account they are, or without.

    ``idempotency_key``: what the one who settles calls it by.
    """

    request: Request
    livemode: bool | None = None
    account_id: str | None = None
    idempotency_key: str | None = None


@dataclass(slots=True, eq=False)
class _Try:
    """One of those asked about: what is known of it so far, and why not more."""

    asked: Asked
    claim: Claim | None = None
    terms: Terms | None = None
    row: X402Payment | None = None
    known: Settled | Waiting | None = None
    error: Invalid | SakkError | None = None

    @property
    def read(self) -> Claim:
        assert self.claim is not None
        return self.claim

    @property
    def payment(self) -> X402Payment:
        assert self.row is not None
        return self.row


class Facilitator:
    """Verifies and settles for one process; safe to call from many threads.

    A payer's verdict is remembered as long as the lists stay the same, and a few minutes at most.
    ``any_recipient``: coins may go to whomever a payment names, and not to our accounts alone.
    """

    def __init__(self, parts: Parts, *, any_recipient: bool) -> None:
        self._parts = parts
        self._terms = TermsBook(parts, any_recipient=any_recipient)
        self._verdicts: Kept[tuple[str, str], tuple[int, datetime, bool]] = Kept(VERDICTS_KEPT_MAX)

    def verify(self, asked: Sequence[Asked]) -> list[Verified]:
        """Is each good, and nobody else's? Then it is reserved, and good for nobody more."""
        tries = [_Try(each) for each in asked]
        for each in tries:
            self._read(each)
            self._check(each, X402Status.reserved)
        for group in _apart(tries):
            self._verify(group)
        return [_verified(each) for each in tries]

    def begin(self, asked: Sequence[Asked]) -> list[Settled | Waiting]:
        """Have payments carried out, once, and say whose end is awaited, or what it is.

        The first request wins. Another one of the same payment is a copy, unless nobody waits and
        nothing was told yet (the first one gave up, or its connection broke), or unless it has the
        same idempotency key: then it learns the same.
        """
        tries = [_Try(each) for each in asked]
        for each in tries:
            self._read(each)
        for group in _apart(tries):
            self._begin(group)
        for each in tries:
            if isinstance(each.known, Waiting) and each.asked.account_id is not None:
                self._list(each.asked.request, each.read, each.asked.account_id)
        return [_begun(each) for each in tries]

    def _read(self, each: _Try) -> None:
        try:
            each.claim = read_claim(each.asked.request)
        except Invalid as error:
            each.error = error

    def _check(self, each: _Try, status: X402Status) -> None:
        """Make the row of a payment that its own request and its signature speak for."""
        if each.error is not None:
            return
        try:
            each.terms = self._terms.of(each.read, each.asked.livemode)
            each.row = self._checked(each.asked, each.read, each.terms, status)
        except (Invalid, SakkError) as error:
            each.error = error

    def _verify(self, tries: Sequence[_Try]) -> None:
        with self._parts.database.begin() as connection:
            # In one transaction with the reservation: who is not clear never has it.
            self._judge_lists(connection, tries)
            good = self._reserved(connection, tries)
            promised = _promised(connection, good)
        moving: set[_Try] = set()
        try:
            moving = self._tried(good, promised)
        finally:
            lost = [each.payment.id for each in good if each not in moving]
            if lost:
                with self._parts.database.begin() as connection:
                    store.release(connection, lost)

    def _tried(self, tries: Sequence[_Try], promised: Sequence[int]) -> set[_Try]:
        """Those that would move their coins now; the others have their reason."""
        moving = set()
        networks: dict[str, list[tuple[_Try, int]]] = {}
        for each, units in zip(tries, promised, strict=True):
            networks.setdefault(each.read.network, []).append((each, units))
        for group in networks.values():
            terms = group[0][0].terms
            assert terms is not None
            try:
                wanted = [(each.read, units) for each, units in group]
                failures = would_fail_each(self._terms.rpc(terms), wanted)
            except SakkError as error:
                for each, _ in group:
                    each.error = error
                continue
            for (each, _), failure in zip(group, failures, strict=True):
                if failure is None:
                    moving.add(each)
                else:
                    each.error = Invalid(*failure)
        return moving

    def _begin(self, tries: Sequence[_Try]) -> None:
        """Request what was verified, together; then, one by one, what has another story."""
        with self._parts.database.begin() as connection:
            found = store.claimed(connection, [each.read for each in tries])
            reserved = []
            for each in tries:
                each.row = found.get(each.read.key)
                if each.row is not None and each.row.status == X402Status.reserved:
                    self._check_resumed(each)
                    reserved.append(each)
            self._judge_lists(connection, reserved)
            self._requested(connection, reserved)
        new = []
        for each in tries:
            if each.error is not None or each.known is not None:
                continue
            if each.row is None or not self._resume(each):
                new.append(each)
        for each in new:
            self._check(each, X402Status.requested)
        if any(each.error is None for each in new):
            self._request(new)

    def _check_resumed(self, each: _Try) -> None:
        """Is what was verified what is to be settled, and is it good still?"""
        try:
            if each.payment.claim != each.read:
                raise _used()
            check_times(each.read, self._parts.clock())
        except Invalid as error:
            each.error = error

    def _requested(self, connection: Connection, tries: Sequence[_Try]) -> None:
        """What was verified had its signature and terms checked then: it is requested."""
        now = self._parts.clock()
        good = [each for each in tries if each.error is None]
        rows = [
            {
                "id": each.payment.id,
                "requested_at": now,
                "waiting_until": now + WAITING_MAX,
                "idempotency_key": _hashed(each.asked.idempotency_key),
            }
            for each in good
        ]
        done = store.request(connection, rows)
        for each in good:
            if each.payment.id in done:
                each.known = Waiting(each.payment.id, each.asked.idempotency_key is not None)
        if done:
            wake(connection, BUILD)

    def _request(self, tries: Sequence[_Try]) -> None:
        """Request payments that were not verified before."""
        with self._parts.database.begin() as connection:
            self._judge_lists(connection, tries)
            for each in self._reserved(connection, tries):
                row = each.payment
                each.known = Waiting(row.id, row.idempotency_key is not None)
            wake(connection, BUILD)

    def _reserved(self, connection: Connection, tries: Sequence[_Try]) -> list[_Try]:
        """Those that got their payer's nonce."""
        good = [each for each in tries if each.error is None]
        taken = store.reserve(connection, [each.payment for each in good])
        for each in good:
            if each.payment.id not in taken:
                each.error = _used()
        return [each for each in good if each.error is None]

    def _resume(self, each: _Try) -> bool:
        """Say what there is to say of a payment that was seen before; False if there is nothing."""
        key = _hashed(each.asked.idempotency_key)
        try:
            each.known = self._resumed(each.read, key)
        except Invalid as error:
            each.error = error
        return each.known is not None or each.error is not None

    def _checked(self, asked: Asked, claim: Claim, terms: Terms, status: X402Status) -> X402Payment:
        now = self._parts.clock()
        check_times(claim, now)
        by_key = self._terms.require_signed(asked.request, claim, terms)
        resource = asked.request.payment_payload.resource
        is_settled = status is X402Status.requested
        return X402Payment(
            id=new_id(PREFIX),
            account_id=terms.account_id,
            livemode=terms.network.livemode,
            network=claim.network,
            asset=claim.asset,
            method=claim.method.value,
            verifier=claim.verifier,
            payer=claim.payer,
            nonce=claim.nonce,
            pay_to=claim.pay_to,
            token_amount=claim.units,
            valid_after=claim.valid_after,
            valid_before=claim.valid_before,
            signature=claim.signature,
            by_key=by_key,
            status=status.value,
            resource=None if resource is None else resource.url or None,
            requested_at=now if is_settled else None,
            waiting_until=now + WAITING_MAX if is_settled else None,
            idempotency_key=_hashed(asked.idempotency_key) if is_settled else None,
            created=now,
        )

    def _judge_lists(self, connection: Connection, tries: Sequence[_Try]) -> None:
        """Refuse payers whom the lists hold, as they are in this transaction."""
        tries = [each for each in tries if each.error is None]
        if not tries:
            return
        now = self._parts.clock()
        version = labels.lists_version(connection)
        unknown: dict[tuple[str, str], X402Payment] = {}
        verdicts: dict[tuple[str, str], bool] = {}
        for each in tries:
            place = (each.payment.network, each.payment.payer)
            known = self._verdicts.get(place)
            if known is None or known[0] != version or known[1] < now:
                unknown.setdefault(place, each.payment)
            else:
                verdicts[place] = known[2]
        if unknown:
            engine = self._parts.screening_engine()
            judged = engine.screen(
                [_screened(row) for row in unknown.values()],
                connection=connection,
                at=now,
                asked=False,
            )
            for place, verdict in zip(unknown, judged, strict=True):
                is_clear = verdicts[place] = verdict.verdict == Verdict.clear
                self._verdicts.keep(place, (version, now + VERDICT_KEPT, is_clear))
        for each in tries:
            if not verdicts[each.payment.network, each.payment.payer]:
                each.error = Invalid(Reason.declined, "This payment is not accepted.")

    def _resumed(self, claim: Claim, key: str | None) -> Settled | Waiting | None:
        """What there is to say of a payment that was requested before; None if it was not."""
        now = self._parts.clock()
        with self._parts.database.begin() as connection:
            row = store.lock_claimed(connection, claim)
            if row is None or (row.status == X402Status.failed and row.transaction is None):
                return None
            if row.claim != claim or row.status == X402Status.reserved:
                raise _used()
            if row.status == X402Status.failed:
                return settled(row)
            if key is None or row.idempotency_key != key:
                waited = row.waiting_until is not None and row.waiting_until > now
                if waited or row.answered_at is not None or row.idempotency_key is not None:
                    raise _used(row)
            if row.status in PAID:
                store.change(connection, [row.id], answered_at=now, waiting_until=None)
                return settled(row)
            store.change(connection, [row.id], waiting_until=now + WAITING_MAX)
            return Waiting(row.id, row.idempotency_key is not None)

    def _list(self, request: Request, claim: Claim, account_id: str) -> None:
        """Have what is sold found, where its own seller asks and declares it."""
        terms = self._terms.of(claim, None)
        if terms.account_id != account_id:
            return
        now = self._parts.clock()
        livemode = terms.network.livemode
        found = listed(request, account_id=account_id, livemode=livemode, now=now)
        if found is not None:
            with self._parts.database.begin() as connection:
                resources.put(connection, found)

    def hand_out(self, once: Sequence[str], keyed: Sequence[str]) -> dict[str, Settled]:
        """The answers to those of these payments that came to an end; ``once``: told one time."""
        with self._parts.database.begin() as connection:
            rows = store.hand_out(connection, once, now=self._parts.clock())
            rows += store.ended(connection, keyed)
        return {row.id: settled(row) for row in rows}

    def give_up(self, identifier: str, *, is_there: bool) -> Settled:
        """Nobody waits any more: what is told to who waited, if it ``is_there`` to hear it.

        What no transaction carries yet is called off, so that the payer keeps its coins; of what is
        on its way the next one that asks may learn.
        """
        now = self._parts.clock()
        with self._parts.database.begin() as connection:
            row = store.lock_one(connection, identifier)
            assert row is not None
            if row.status == X402Status.requested and row.transaction is None:
                row = replace(
                    row,
                    status=X402Status.failed.value,
                    failure_code=Reason.unavailable_settle.value,
                    failure_message="Nothing was sent in time: try again.",
                )
                fields = ("id", "status", "failure_code", "failure_message")
                changed = {name: getattr(row, name) for name in fields}
                update_records(connection, store.x402_payments, [changed])
                log.warning("x402.withdrawn", payment=row.id)
            told = now if is_there and row.status in PAID else row.answered_at
            store.change(connection, [row.id], waiting_until=None, answered_at=told)
        return settled(row)


def _used(row: X402Payment | None = None) -> Invalid:
    where = "" if row is None or row.tx_hash is None else f", in {row.tx_hash}"
    return Invalid(Reason.nonce_used, f"This payment was used already{where}.")


def _hashed(key: str | None) -> str | None:
    return None if key is None else hashlib.sha256(key.encode()).hexdigest()


def _apart(tries: Sequence[_Try]) -> Iterator[list[_Try]]:
    """Those to go on with, in groups in which no two are of one payment, in their order."""
    left = [each for each in tries if each.error is None]
    while left:
        group: dict[NonceKey, _Try] = {}
        later = [each for each in left if group.setdefault(each.read.key, each) is not each]
        yield list(group.values())
        left = later


def _promised(connection: Connection, tries: Sequence[_Try]) -> list[int]:
    """For each of these reservations: what it, and all of its payer's before it, will take."""
    holders = [(each.read.payer, each.read.asset) for each in tries]
    units = store.open_units(connection, holders)
    promised = []
    for each, holder in reversed(list(zip(tries, holders, strict=True))):
        promised.append(units[holder])
        units[holder] -= each.read.units
    return promised[::-1]


def _screened(row: X402Payment) -> ScreeningRequest:
    return ScreeningRequest(
        subject=row.id,
        account_id=row.account_id,
        livemode=row.livemode,
        network=row.network,
        asset=row.asset,
        direction=Direction.incoming,
        sender=row.payer,
        receiver=row.pay_to,
        token_units=row.token_amount,
    )


def _verified(each: _Try) -> Verified:
    payer = None if each.claim is None else checksum_address(each.claim.payer)
    match each.error:
        case None:
            return Verified(is_valid=True, payer=payer)
        case Invalid() as error:
            reason, message = error.reason, error.message
        case error:
            log.warning("x402.not_verified", code=error.code)
            reason = Reason.unavailable_verify
            message = "The payment could not be checked now: try again."
    return Verified(
        is_valid=False, payer=payer, invalid_reason=reason.value, invalid_message=message
    )


def _begun(each: _Try) -> Settled | Waiting:
    match each.error:
        case None:
            assert each.known is not None
            return each.known
        case Invalid() as error:
            reason, message = error.reason, error.message
        case error:
            log.warning("x402.not_settled", code=error.code)
            reason = Reason.unavailable_settle
            message = "Nothing was sent: try again."
    return Settled(
        success=False,
        transaction="",
        network=each.asked.request.payment_requirements.network,
        payer=None if each.claim is None else checksum_address(each.claim.payer),
        error_reason=reason.value,
        error_message=message,
    )
