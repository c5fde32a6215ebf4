"""x402 payments: verified, reserved, requested, and what became of them.

The order is that nothing is spent before it must, and nobody's nonce is taken by whoever is not
that payer: the request's own form, the signature, the network and token; then the reservation of
(payer, token, nonce), which one request wins; then the lists, and the chain. A wallet contract's
signature can only be checked by the chain, so there the chain comes before the reservation.

A success is told once: to the ``settle`` that waits for it, or to the next one with the same
payment. So a copy of a payment is never told that it was paid, and a seller that lost an answer is:
see ``begin``.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

import structlog
from sqlalchemy import Connection

from sakk.core import caip, eip3009
from sakk.core.errors import SakkError
from sakk.core.evm import checksum_address
from sakk.core.network import Asset, Network
from sakk.core.screening import Direction, ScreeningRequest, Verdict
from sakk.core.x402 import Invalid, Reason, Request, Settled, Verified
from sakk.core.x402_payment import (
    PAID,
    PREFIX,
    Claim,
    Method,
    X402Payment,
    X402Status,
    bad_signature,
    check_domain,
    check_times,
    is_signed,
    read_claim,
    require_deployed,
    settled,
)
from sakk.core.x402_resource import listed
from sakk.flow.context import Parts
from sakk.flow.stage import wake
from sakk.flow.x402_payment import BUILD
from sakk.rails.evm.capture import Domain, has_code, read_domain, would_fail
from sakk.rails.evm.rpc import Rpc
from sakk.store import label as labels
from sakk.store import network as networks
from sakk.store import receiving_address
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
TERMS_KEPT: Final = timedelta(seconds=1)
TERMS_KEPT_MAX: Final = 20_000
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a payment is judged by: its network and token, and whose address it goes to."""

    network: Network
    asset: Asset
    account_id: str | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A settlement that is under way: the payment whose end is awaited.

    ``is_keyed``: whoever asks under its idempotency key is told, however often.
    """

    payment: str
    is_keyed: bool


class Facilitator:
    """Verifies and settles for one process; safe to call from many threads.

    What it remembers only saves questions: a token's domain, which never changes; for a second, who
    is paid in what; and a payer's verdict, as long as the lists stay the same.
    ``any_recipient``: coins may go to whomever a payment names, and not to our accounts alone.
    """

    def __init__(self, parts: Parts, *, any_recipient: bool) -> None:
        self._parts = parts
        self._any_recipient = any_recipient
        self._domains: dict[str, Domain] = {}
        self._known_terms: OrderedDict[tuple[str, str], tuple[datetime, Terms]] = OrderedDict()
        self._verdicts: OrderedDict[tuple[str, str], tuple[int, datetime, bool]] = OrderedDict()
        self._lock = threading.Lock()

    def verify(self, request: Request, *, livemode: bool | None) -> Verified:
        """Is the payment good, and nobody else's? Then it is reserved, and good for nobody more.

        ``livemode``: of the key that asks; None without one.
        """
        payer: str | None = None
        try:
            claim = read_claim(request)
            payer = checksum_address(claim.payer)
            terms = self._terms(claim, livemode)
            row = self._checked(request, claim, terms, X402Status.reserved)
            with self._parts.database.begin() as connection:
                if not store.reserve(connection, row):
                    raise _used()
                # In one transaction with the reservation: who is not clear never had it.
                self._judge_lists(connection, row)
                promised = store.open_units(connection, payer=claim.payer, asset=claim.asset)
            try:
                failure = would_fail(self._rpc(terms), claim, promised=promised)
                if failure is not None:
                    raise Invalid(*failure)
            except BaseException:
                with self._parts.database.begin() as connection:
                    store.release(connection, row.id)
                raise
        except Invalid as error:
            return Verified(
                is_valid=False,
                payer=payer,
                invalid_reason=error.reason.value,
                invalid_message=error.message,
            )
        except SakkError as error:
            log.warning("x402.not_verified", code=error.code)
            return Verified(
                is_valid=False,
                payer=payer,
                invalid_reason=Reason.unavailable_verify.value,
                invalid_message="The payment could not be checked now: try again.",
            )
        return Verified(is_valid=True, payer=payer)

    def begin(
        self,
        request: Request,
        *,
        livemode: bool | None,
        idempotency_key: str | None,
        account_id: str | None = None,
    ) -> Settled | Waiting:
        """Have a payment carried out, once, and say whose end is awaited, or what it is.

        The first request wins. Another one of the same payment is a copy, unless nobody waits and
        nothing was told yet (the first one gave up, or its connection broke), or unless it has the
        same idempotency key: then it learns the same. ``account_id``: of the key that asks.
        """
        wanted = request.payment_requirements
        payer: str | None = None
        try:
            claim = read_claim(request)
            payer = checksum_address(claim.payer)
            key = None if idempotency_key is None else _hashed(idempotency_key)
            known = self._resumed(claim, key)
            if known is None:
                terms = self._terms(claim, livemode)
                row = self._checked(request, claim, terms, X402Status.requested)
                known = self._requested(replace(row, idempotency_key=key))
            if isinstance(known, Waiting) and account_id is not None:
                self._list(request, claim, account_id)
            return known
        except Invalid as error:
            reason, message = error.reason, error.message
        except SakkError as error:
            log.warning("x402.not_settled", code=error.code)
            reason = Reason.unavailable_settle
            message = "Nothing was sent: try again."
        return Settled(
            success=False,
            transaction="",
            network=wanted.network,
            payer=payer,
            error_reason=reason.value,
            error_message=message,
        )

    def _checked(
        self, request: Request, claim: Claim, terms: Terms, status: X402Status
    ) -> X402Payment:
        """A row of a payment that its own request and its signature speak for; Invalid else."""
        now = self._parts.clock()
        check_times(claim, now)
        by_key = self._require_signed(request, claim, terms)
        resource = request.payment_payload.resource
        asked = status is X402Status.requested
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
            requested_at=now if asked else None,
            waiting_until=now + WAITING_MAX if asked else None,
            created=now,
        )

    def _terms(self, claim: Claim, livemode: bool | None) -> Terms:
        """By what a payment is judged; what the operator changes counts within a second."""
        now = self._parts.clock()
        place = (claim.asset, claim.pay_to)
        until, terms = self._known_terms.get(place, (now, None))
        if terms is None or until <= now:
            with self._parts.database.read() as connection:
                found = networks.find_network(connection, claim.network)
                if found is None or not found.enabled:
                    raise Invalid(Reason.invalid_network, f"{claim.network} is not served here.")
                asset = networks.find_asset(connection, claim.asset)
                if asset is None or not asset.payin_enabled:
                    raise Invalid(Reason.asset_unknown, f"{claim.asset} is not taken here.")
                receiver = receiving_address.by_address(connection, claim.pay_to, claim.network)
            if receiver is None and not self._any_recipient:
                raise Invalid(
                    Reason.recipient_mismatch,
                    "payTo is no receiving address of this server: have one by"
                    " POST /v1/receiving_addresses.",
                )
            terms = Terms(found, asset, None if receiver is None else receiver.account_id)
            known = (now + TERMS_KEPT, terms)
            _keep(self._lock, self._known_terms, place, known, TERMS_KEPT_MAX)
        if livemode not in (None, terms.network.livemode):
            raise Invalid(Reason.invalid_network, f"{claim.network} is not of this key's mode.")
        return terms

    def _rpc(self, terms: Terms) -> Rpc:
        return self._parts.rail_of(terms.network).rpc

    def _require_signed(self, request: Request, claim: Claim, terms: Terms) -> bool:
        """Invalid unless the payer signed: True by its own key, False by its wallet contract."""
        rpc = self._rpc(terms)
        separator = b""
        if claim.method is Method.eip3009:
            domain = self._domain(rpc, claim, terms.asset)
            check_domain(request.payment_requirements, name=domain.name, version=domain.version)
            separator = domain.separator
        if is_signed(claim, separator):
            return True
        require_deployed(claim)
        if not has_code(rpc, claim.payer):
            if claim.is_by_key:
                raise bad_signature(claim)
            raise Invalid(Reason.undeployed_wallet, "There is no wallet contract at the payer's.")
        failure = would_fail(rpc, claim)
        if failure is not None:
            raise Invalid(*failure)
        return False

    def _domain(self, rpc: Rpc, claim: Claim, asset: Asset) -> Domain:
        """A token's domain: read once, and held against what the operator listed it with."""
        known = self._domains.get(claim.asset)
        if known is not None:
            return known
        found = read_domain(rpc, claim.token)
        chain = caip.chain_id(claim.network)
        if found is None or found.separator != eip3009.domain_separator(
            found.name, found.version, chain, claim.token
        ):
            raise Invalid(Reason.not_supported, f"{claim.asset} takes no signed transfers.")
        listed = (asset.eip712_name, asset.eip712_version)
        if asset.eip712_name is not None and listed != (found.name, found.version):
            log.error("x402.domain_differs", asset=claim.asset, listed=listed, found=found.name)
            raise Invalid(Reason.asset_unknown, f"{claim.asset} is listed with another domain.")
        self._domains[claim.asset] = found
        return found

    def _judge_lists(self, connection: Connection, row: X402Payment) -> None:
        """Invalid for a payer whom the lists hold, as they are in this transaction."""
        now = self._parts.clock()
        place = (row.network, row.payer)
        version = labels.lists_version(connection)
        known = self._verdicts.get(place)
        if known is None or known[0] != version or known[1] < now:
            request = ScreeningRequest(
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
            engine = self._parts.screening_engine()
            [verdict] = engine.screen([request], connection=connection, at=now, asked=False)
            known = (version, now + VERDICT_KEPT, verdict.verdict == Verdict.clear)
            _keep(self._lock, self._verdicts, place, known, VERDICTS_KEPT_MAX)
        if not known[2]:
            raise Invalid(Reason.declined, "This payment is not accepted.")

    def _resumed(self, claim: Claim, key: str | None) -> Settled | Waiting | None:
        """What there is to say of a payment that was seen before; None if it was not.

        One that was verified is requested; it had its signature and terms checked then.
        """
        now = self._parts.clock()
        with self._parts.database.begin() as connection:
            row = store.lock_claimed(connection, claim)
            if row is None or (row.status == X402Status.failed and row.transaction is None):
                return None
            if row.claim != claim:
                raise _used()
            if row.status == X402Status.reserved:
                check_times(claim, now)
                self._judge_lists(connection, row)
                store.change(
                    connection,
                    [row.id],
                    status=X402Status.requested.value,
                    requested_at=now,
                    waiting_until=now + WAITING_MAX,
                    idempotency_key=key,
                )
                wake(connection, BUILD)
                return Waiting(row.id, key is not None)
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

    def _requested(self, row: X402Payment) -> Settled | Waiting:
        """Request a payment that was not verified before."""
        with self._parts.database.begin() as connection:
            if not store.reserve(connection, row):
                raise _used()
            self._judge_lists(connection, row)
            wake(connection, BUILD)
        return Waiting(row.id, row.idempotency_key is not None)

    def _list(self, request: Request, claim: Claim, account_id: str) -> None:
        """Have what is sold found, where its own seller asks and declares it."""
        terms = self._terms(claim, None)
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


def _hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


Key = TypeVar("Key")
Value = TypeVar("Value")


def _keep(
    lock: threading.Lock, kept: OrderedDict[Key, Value], place: Key, value: Value, most: int
) -> None:
    with lock:
        kept[place] = value
        if len(kept) > most:
            kept.popitem(last=False)
