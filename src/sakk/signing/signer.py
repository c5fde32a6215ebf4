"""The signer itself: the rules, what has happened so far, and one answer at a time.

An answer follows from the request, the policy file, the log and the clock. The order of refusals:
the policy must be readable and the signer not frozen; then the intent must be new or the same as
signed before; then `rules.decode`; then approvals, the file's rules, the time lock, and velocity.
"""

import os
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, assert_never

from sakk.core import evm
from sakk.core.errors import Misconfigured
from sakk.signing import budget as budgets
from sakk.signing import log as journal
from sakk.signing.approval import (
    approved_by,
    check_rotation_approved,
    check_sent_approved,
)
from sakk.signing.collection import collected_assets, is_same_call
from sakk.signing.freeze import Freezes
from sakk.signing.keystore import Keys
from sakk.signing.policy import Policy, load_policy
from sakk.signing.protocol import (
    Branch,
    FindRequest,
    FreezeRequest,
    Line,
    LineRequest,
    NotSigned,
    Public,
    PublicRequest,
    Purpose,
    Reason,
    Refused,
    Request,
    Response,
    Signed,
    SignerRefused,
    SignRequest,
    Status,
    StatusRequest,
    Successor,
    UnfreezeRequest,
    refusal,
    request_digest,
)
from sakk.signing.rulebook import Moved, Rulebook
from sakk.signing.rules import (
    PAYING,
    Decoded,
    check_each,
    decode,
)
from sakk.signing.topup import is_gas_key
from sakk.store.failpoint import failpoint

DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000
# A caller cannot fill the disk: beyond this, refusals are counted but not written.
REFUSALS_LOGGED_PER_HOUR_MAX: Final = 3_600
REFUSALS_REMEMBERED_MAX: Final = 10_000


class Written(NamedTuple):
    """A signed intent: what it was asked with, and where the log holds its bytes."""

    digest: str
    place: journal.Place


class Signer:
    """One keystore, one policy file, one log; safe to call from several threads."""

    def __init__(
        self,
        *,
        keystore: Keys,
        policy_path: Path,
        log_path: Path,
        clock: Callable[[], datetime],
    ) -> None:
        """Open the log and replay it. Misconfigured if log, policy or keystore do not fit."""
        self._keystore = keystore
        self._policy_path = policy_path
        self._clock = clock
        self._lock = threading.Lock()
        self._signed: dict[tuple[str, int], Written] = {}
        self._attempts: dict[str, int] = {}
        # The payments of dispersals, each with the dispersal that it was signed in.
        self._carried: dict[str, str] = {}
        self._fees: dict[str, int] = {}
        self._spent: defaultdict[str, budgets.Spent] = defaultdict(lambda: budgets.Spent(DAY_MS))
        self._destinations: dict[tuple[str, str], int] = {}
        self._paid: set[tuple[str, str]] = set()
        self._refused: OrderedDict[str, Reason] = OrderedDict()
        self._refusals = budgets.Spent(HOUR_MS)
        self._signed_total = self._refused_total = 0
        self._logged_policy = ""
        self._policy: Policy | None = None
        self._policy_stamp: tuple[int, ...] | None = None
        self._policy_error: str | None = None
        self._log = journal.SignerLog(log_path)
        self._freezes = Freezes(self._log)
        self._rulebook = Rulebook()
        try:
            self._open()
        except BaseException:
            self._log.close()
            raise

    @property
    def broken(self) -> bool:
        """The log failed to write: only opening it again tells what it holds."""
        return self._log.broken

    def close(self) -> None:
        """Close the log; a request under way ends first."""
        with self._lock:
            self._log.close()

    def answer(self, request: Request, *, peer_uid: int) -> Response:
        """Answer one request; refusals are answers. Other errors leave the outcome unknown."""
        with self._lock:
            try:
                return self._answer(request, peer_uid)
            except SignerRefused as refused:
                return Refused(refused.reason, refused.message, refused.intents)

    def _answer(self, request: Request, peer_uid: int) -> Response:
        match request:
            case SignRequest():
                return self._sign(request)
            case FindRequest():
                return self._find(request)
            case PublicRequest():
                return self._public()
            case StatusRequest():
                return self._status(peer_uid)
            case LineRequest():
                return Line(request.sequence, self._log.hash_at(request.sequence))
            case FreezeRequest():
                self._freezes.freeze(request, now=self._now())
                return self._status(peer_uid)
            case UnfreezeRequest():
                now = self._now()
                self._freezes.unfreeze(request, self._policy_in_force(now), now=now)
                return self._status(peer_uid)
            case _:
                assert_never(request)

    def _sign(self, request: SignRequest) -> Signed:
        now = self._now()
        digest = request_digest(request)
        try:
            policy = self._policy_in_force(now)
            self._check_frozen(policy, now, network=request.network, asset=request.asset)
            before = self._same_as_before(request, digest)
            if before is not None:
                return before
            decoded = decode(request, policy, self._keystore.address)
            self._check_retired(decoded)
            if request.purpose is Purpose.collect:
                for asset in collected_assets(request.network, decoded.transaction):
                    self._check_frozen(policy, now, network=request.network, asset=asset)
            check_each(decoded.payments, partial(self._check_carried, decoded))
            self._check_replaces(decoded)
            # A replacement moves the money that was approved and judged with the first attempt.
            if request.intent_id not in self._attempts:
                check_each(decoded.payments, partial(self._check_approvals, policy))
                check_each(decoded.payments, self._rulebook.judging(policy, now))
                check_sent_approved(decoded, policy)
                if request.purpose is Purpose.rotation:
                    check_rotation_approved(decoded, policy)
            self._name_destinations(decoded, policy, now)
            check_each(decoded.payments, partial(self._check_time_lock, policy, now))
            self._check_velocity(decoded, now)
        except SignerRefused as refused:
            self._note_refusal(request, digest, refused, now)
            raise
        key = request.key
        raw = self._keystore.sign_transaction(decoded.unsigned, key.branch, key.index)
        return self._write(decoded, digest, raw, now)

    def _same_as_before(self, request: SignRequest, digest: str) -> Signed | None:
        """What was signed for this intent and attempt; a refusal if it was something else."""
        written = self._signed.get((request.intent_id, request.attempt))
        if written is None:
            return None
        if written.digest != digest:
            raise refusal(
                Reason.intent_conflict,
                f"{request.intent_id} attempt {request.attempt} was signed with other content",
            )
        return self._read(written)

    def _find(self, request: FindRequest) -> Signed | NotSigned:
        now = self._now()
        policy = self._policy_in_force(now)
        self._check_frozen(policy, now)
        written = self._signed.get((request.intent_id, request.attempt))
        if written is None:
            return NotSigned()
        entry = self._log.read(written.place).entry
        assert isinstance(entry, journal.SignedEntry)
        self._check_frozen(policy, now, network=entry.network, asset=entry.asset)
        return self._read(written)

    def _read(self, written: Written) -> Signed:
        line = self._log.read(written.place)
        assert isinstance(line.entry, journal.SignedEntry)
        return Signed(
            raw=bytes.fromhex(line.entry.raw),
            hash=line.entry.hash,
            explanation=line.entry.explanation,
            sequence=line.sequence,
            line_hash=line.hash,
        )

    def _check_carried(self, decoded: Decoded, payment: Decoded) -> None:
        """A payment is signed once for ever: alone, or in one dispersal."""
        intent, own = payment.request.intent_id, decoded.request.intent_id
        carrier = self._carried.get(intent)
        if carrier is not None and carrier != own:
            raise refusal(Reason.intent_conflict, f"{intent} was signed in {carrier}")
        if intent != own and intent in self._attempts:
            raise refusal(Reason.intent_conflict, f"{intent} was signed alone")

    def _check_replaces(self, decoded: Decoded) -> None:
        """A later attempt may change fees only: it takes the nonce, so one of them is mined."""
        request = decoded.request
        latest = self._attempts.get(request.intent_id)
        if latest is None:
            return
        if request.attempt < latest:
            raise refusal(
                Reason.intent_conflict,
                f"{request.intent_id} attempt {latest} was signed, {request.attempt} is older",
            )
        entry = self._log.read(self._signed[(request.intent_id, latest)].place).entry
        assert isinstance(entry, journal.SignedEntry)
        before = (entry.purpose, entry.network, entry.source, entry.nonce)
        before_moved = (entry.asset, entry.destination, entry.amount, entry.payments)
        nonce = decoded.transaction.nonce
        moved = (request.asset, decoded.destination, str(decoded.amount), _paid(decoded))
        if (
            before != (request.purpose, request.network, decoded.source, nonce)
            or before_moved != moved
            or not is_same_call(bytes.fromhex(entry.raw), decoded.transaction)
        ):
            raise refusal(
                Reason.intent_conflict,
                f"{request.intent_id} attempt {request.attempt} is another transaction"
                f" than attempt {latest}, not the same one with other fees",
            )

    def _check_retired(self, decoded: Decoded) -> None:
        """A key that its keystore marks as retired stays so, whatever the policy file says."""
        key, purpose = decoded.request.key, decoded.request.purpose
        if key.branch is not Branch.treasury or not self._keystore.is_retired(key.index):
            return
        takes_back = purpose is Purpose.allowance and not decoded.amount
        if not takes_back and purpose not in (Purpose.rotation, Purpose.cancel):
            raise refusal(
                Reason.key_not_allowed,
                f"treasury key {key.index} is retired: it gives its coins to its successor alone",
            )

    def _check_approvals(self, policy: Policy, decoded: Decoded) -> None:
        rule = decoded.asset_rule
        if rule is None or rule.approvals_above is None:
            return
        if decoded.amount <= int(rule.approvals_above):
            return
        found = len(approved_by(decoded.request, policy))
        if found < policy.approvals_min:
            raise refusal(
                Reason.approvals_required,
                f"{decoded.amount} units are above {rule.approvals_above}: {policy.approvals_min}"
                f" approvals are needed, {found} given",
            )

    def _name_destinations(self, decoded: Decoded, policy: Policy, now: int) -> None:
        """The time lock of a destination that was never paid runs from the first that names it."""
        network = decoded.request.network
        fresh = {
            each.destination
            for each in decoded.payments
            if self._is_locked(policy, each)
            and (network, each.destination) not in self._destinations
        }
        if not fresh:
            return
        if self._refusals.total(now) >= REFUSALS_LOGGED_PER_HOUR_MAX:
            raise refusal(Reason.too_many_refusals, "too many new destinations in an hour")
        entry = journal.DestinationsEntry(network, tuple(sorted(fresh)))
        self._log.append(entry, at=now)
        self._take_destinations(entry, now)

    def _take_destinations(self, entry: journal.DestinationsEntry, at: int) -> None:
        self._destinations.update({(entry.network, each): at for each in entry.destinations})

    def _is_locked(self, policy: Policy, decoded: Decoded) -> bool:
        """Is it a destination that must wait, unless it has waited already?"""
        rule = decoded.asset_rule
        return (
            policy.destination_time_lock_seconds > 0
            and (decoded.request.network, decoded.destination) not in self._paid
            and (rule is None or rule.destinations is None)
        )

    def _check_time_lock(self, policy: Policy, now: int, decoded: Decoded) -> None:
        """A destination that was never paid waits from the first request that names it."""
        if not self._is_locked(policy, decoded):
            return
        since = self._destinations[decoded.request.network, decoded.destination]
        until = since + policy.destination_time_lock_seconds * 1000
        if now < until:
            seconds = (until - now + 999) // 1000
            raise refusal(
                Reason.destination_time_locked,
                f"{decoded.destination} is new: it can be paid in {seconds} seconds",
            )

    def _check_velocity(self, decoded: Decoded, now: int) -> None:
        """Hold what the last 24 hours used, and this, against the day's limits."""
        replaces = decoded.request.intent_id in self._attempts
        rule = decoded.network_rule
        # One attempt of an intent is mined, so a later one adds only what it offers more.
        more = max(0, decoded.fee_max - self._fees.get(decoded.request.intent_id, 0))
        limits = {budgets.fees(rule.network): (more, rule.fee_per_day_max)}
        budget = self._budget_of(decoded)
        if decoded.request.purpose is Purpose.topup:
            own = rule.gas_key_per_day_max if budget == budgets.gas_key(rule.network) else None
            limits[budget] = (decoded.amount, own or rule.topup_per_day_max)
        elif decoded.payments:
            day_max = None if decoded.asset_rule is None else decoded.asset_rule.per_day_max
            if day_max is not None:
                limits[budget] = (decoded.amount, day_max)
        for name, (amount, limit) in limits.items():
            # A replacement moves the money of the transaction that it replaces.
            if replaces and name == budget:
                continue
            spent = self._spent[name].total(now)
            if spent + amount > int(limit):
                beyond = budgets.beyond(decoded, int(limit) - spent) if name == budget else ()
                raise refusal(
                    Reason.over_velocity,
                    f"{amount} after {spent} in 24 hours is above {limit} of {name}",
                    beyond,
                )

    def _budget_of(self, decoded: Decoded) -> str:
        """Which day's limit a request uses: a gas key's funding may have one of its own."""
        request, rule = decoded.request, decoded.network_rule
        if request.purpose is Purpose.topup and rule.gas_key_per_day_max is not None:
            assert self._policy is not None
            if is_gas_key(self._policy, decoded.destination, self._keystore.address):
                return budgets.gas_key(request.network)
        return budgets.budget(request.purpose, request.network, request.asset)

    def _explained(self, decoded: Decoded) -> str:
        """The words for what is signed; of a later attempt also what it takes the place of."""
        intent = decoded.request.intent_id
        if intent not in self._attempts:
            return decoded.explanation
        before = self._read(self._signed[(intent, self._attempts[intent])])
        head, *rest = decoded.explanation.splitlines()
        return "\n".join([f"{head}, replaces {before.hash}", *rest])

    def _write(self, decoded: Decoded, digest: str, raw: bytes, now: int) -> Signed:
        """Make the signature durable in the log; only then may it leave."""
        request = decoded.request
        entry = journal.SignedEntry(
            intent_id=request.intent_id,
            attempt=request.attempt,
            digest=digest,
            purpose=request.purpose,
            network=request.network,
            source=decoded.source,
            nonce=decoded.transaction.nonce,
            asset=request.asset,
            destination=decoded.destination,
            amount=str(decoded.amount),
            fee_max=str(decoded.fee_max),
            raw=raw.hex(),
            hash=evm.transaction_hash(raw),
            explanation=self._explained(decoded),
            payments=_paid(decoded),
            budget=self._budget_of(decoded),
        )
        failpoint("signer.log.before")
        place = self._log.append(entry, at=now)
        failpoint("signer.log.after")
        self._take_signed(entry, place, now)
        return Signed(
            raw=raw,
            hash=entry.hash,
            explanation=entry.explanation,
            sequence=self._log.sequence,
            line_hash=self._log.head,
        )

    def _take_signed(self, entry: journal.SignedEntry, place: journal.Place, at: int) -> None:
        """What a signature changes in memory: the same now and at replay."""
        intent = entry.intent_id
        replaces = intent in self._attempts
        self._signed[(intent, entry.attempt)] = Written(entry.digest, place)
        self._attempts[intent] = entry.attempt
        purpose = Purpose(entry.purpose)
        self._carried.update(dict.fromkeys((each.intent_id for each in entry.payments), intent))
        if not replaces and purpose in PAYING | {Purpose.topup, Purpose.disperse}:
            budget = entry.budget or budgets.budget(purpose, entry.network, entry.asset)
            self._spent[budget].add(at, int(entry.amount))
        if not replaces:
            self._rulebook.take(_moved(entry, at))
        before, fee_max = self._fees.get(entry.intent_id, 0), int(entry.fee_max)
        self._spent[budgets.fees(entry.network)].add(at, max(0, fee_max - before))
        self._fees[entry.intent_id] = max(before, fee_max)
        if purpose in PAYING:
            self._paid.add((entry.network, entry.destination))
        self._paid.update((entry.network, each.destination) for each in entry.payments)
        self._signed_total += 1

    def _note_refusal(
        self, request: SignRequest, digest: str, refused: SignerRefused, now: int
    ) -> None:
        """Write a refusal once: a caller that asks again and again adds nothing."""
        self._refused_total += 1
        if self._refused.get(digest) is refused.reason:
            return
        self._refused[digest] = refused.reason
        if len(self._refused) > REFUSALS_REMEMBERED_MAX:
            self._refused.popitem(last=False)
        if self._refusals.total(now) >= REFUSALS_LOGGED_PER_HOUR_MAX:
            return
        self._refusals.add(now, 1)
        entry = journal.RefusedEntry(
            intent_id=request.intent_id[:128],
            attempt=request.attempt,
            digest=digest,
            reason=refused.reason,
            message=refused.message[:1000],
        )
        self._log.append(entry, at=now)

    def _check_frozen(
        self, policy: Policy, now: int, *, network: str | None = None, asset: str | None = None
    ) -> None:
        self._freezes.obey_files(now=now)
        if policy.frozen:
            raise refusal(Reason.frozen, "the signer is frozen by its policy file")
        self._freezes.check(network=network, asset=asset)

    def _policy_in_force(self, now: int) -> Policy:
        """The policy file as it stands now; a refusal while it cannot be read."""
        try:
            found = self._policy_path.stat()
            stamp = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            if stamp != self._policy_stamp or self._policy is None:
                policy, digest = load_policy(self._policy_path)
                if digest != self._logged_policy:
                    self._log.append(journal.PolicyEntry(digest), at=now)
                    self._logged_policy = digest
                self._rulebook.load(policy)
                self._policy, self._policy_stamp = policy, stamp
        except (Misconfigured, OSError) as error:
            self._policy, self._policy_error = None, str(error)
            raise refusal(Reason.policy_invalid, f"the policy is not readable: {error}") from None
        self._policy_error = None
        return self._policy

    def _public(self) -> Public:
        policy = self._policy_in_force(self._now())
        return Public(
            xpub=self._keystore.xpub,
            treasury_addresses=self._addresses(policy.treasury_indexes),
            later_xpubs=self._keystore.later_xpubs(),
            gas_addresses=self._addresses(policy.gas_indexes),
            capture_addresses=self._addresses(policy.capture_indexes),
            successors=tuple(
                Successor(
                    source_index=rule.source,
                    source=self._keystore.address(Branch.treasury, rule.source),
                    target_index=rule.target,
                    target=self._keystore.address(Branch.treasury, rule.target),
                    approvals=rule.approvals,
                )
                for rule in policy.rotations
            ),
        )

    def _addresses(self, indexes: Sequence[int]) -> dict[int, str]:
        return {index: self._keystore.address(Branch.treasury, index) for index in indexes}

    def _status(self, peer_uid: int) -> Status:
        now = self._now()
        reason = None
        try:
            self._check_frozen(self._policy_in_force(now), now)
        except SignerRefused as refused:
            if refused.reason is Reason.frozen:
                reason = refused.message
        freezes = self._freezes.states()
        if reason is None and freezes:
            reason = f"in part: {freezes[0].reason}"
        return Status(
            frozen=reason is not None,
            frozen_reason=reason,
            policy_error=self._policy_error,
            policy_digest=self._logged_policy,
            log_sequence=self._log.sequence,
            log_head=self._log.head,
            signed_total=self._signed_total,
            refused_total=self._refused_total,
            uid=os.geteuid(),
            same_uid=peer_uid == os.geteuid(),
            spent={name: str(spent.total(now)) for name, spent in self._spent.items()},
            freezes=freezes,
        )

    def _open(self) -> None:
        """Replay the log, begin a new one, and check that it is this keystore's."""
        for line in self._log.replay():
            self._take(line.place, line.at, line.entry)
        if self._log.sequence == 0:
            opened = journal.OpenedEntry(self._keystore.fingerprint)
            self._log.append(opened, at=self._now())
        load_policy(self._policy_path)

    def _take(self, place: journal.Place, at: int, entry: journal.Entry) -> None:
        match entry:
            case journal.OpenedEntry():
                if entry.fingerprint != self._keystore.fingerprint:
                    raise Misconfigured(f"{self._log.path} is the log of another keystore")
            case journal.SignedEntry():
                self._take_signed(entry, place, at)
            case journal.RefusedEntry():
                self._refused_total += 1
                self._refusals.add(at, 1)
            case journal.DestinationEntry():
                self._destinations[(entry.network, entry.destination)] = at
            case journal.DestinationsEntry():
                self._take_destinations(entry, at)
            case journal.FrozenEntry() | journal.UnfrozenEntry():
                self._freezes.take(entry)
            case journal.PolicyEntry():
                self._logged_policy = entry.digest
            case _:
                assert_never(entry)

    def _now(self) -> int:
        """Milliseconds since 1970, by the clock that was passed in."""
        return int(self._clock().timestamp() * 1000)


def _paid(decoded: Decoded) -> tuple[journal.PaidEntry, ...]:
    """A dispersal's payments as the log holds them."""
    return tuple(
        journal.PaidEntry(
            each.request.intent_id, each.destination, str(each.amount), each.request.purpose.value
        )
        for each in decoded.lines
    )


def _moved(entry: journal.SignedEntry, at: int) -> list[Moved]:
    """What a signed entry pays to others, for the rules that add it up."""
    if Purpose(entry.purpose) in PAYING:
        paid = [(entry.destination, entry.purpose, entry.amount)]
    else:
        paid = [(each.destination, each.purpose, each.amount) for each in entry.payments]
    return [
        Moved(at, entry.network, entry.asset, destination, purpose, int(amount))
        for destination, purpose, amount in paid
    ]
