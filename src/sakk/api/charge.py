"""Charges: what a payee's door asks for each call, answered on the hot path.

A body of operations becomes the ledger's transfers without a query, once its sessions are known:
MACs are checked here, and everything that is counted is counted by the ledger, so any number of
processes may answer. A session's key and limits are remembered. Closing a channel, or revoking
its mandate, empties it in the ledger, which is asked in any case; that one session was revoked is
asked of the database, several times a second while there are calls, and nobody is admitted by
memory alone for longer than a revocation waits.
"""

import hmac
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from sakk.api.authentication import Authenticator
from sakk.api.charge_body import (
    OPERATIONS,
    RESULTS,
    ChargeOutcomes,
    ChargeParameters,
    has_vouchers,
    in_json,
    in_mixed_records,
    in_records,
    is_voucher,
    of_records,
    read_steps,
    split_records,
)
from sakk.api.context import Caller
from sakk.api.dependencies import ApiSettings
from sakk.api.posting import Admission, Head, InThread, Question
from sakk.api.route import Resource, Route
from sakk.api.voucher import VoucherDesk
from sakk.core import chart, ids
from sakk.core.charge import (
    AMOUNT_WHOLE,
    OPERATION,
    OPERATIONS_MAX,
    Op,
    Operation,
    Reason,
    Result,
    Step,
    charge_id,
    is_well_formed,
    units_data,
)
from sakk.core.chart import TransferCode
from sakk.core.errors import Misconfigured, Unavailable
from sakk.core.ledger import account_id, unit_id
from sakk.core.session import ADMITTED_SECONDS, call_mac, receipt_mac, uuid_bytes
from sakk.core.voucher import encode_voucher_result, read_operation
from sakk.flow.voucher import Answer
from sakk.ledger import calls
from sakk.ledger.record import ID_ZERO, TRANSFER, decode_results
from sakk.ledger.types import CreateTransferStatus, TransferFlags
from sakk.store import session as store
from sakk.store.database import Database
from sakk.store.session import Chargeable
from sakk.store.vault import Vault

try:
    from sakk.api.compiled import charge as compiled
except ImportError:  # where it is not built, what stands here serves
    compiled = None  # type: ignore[assignment]

SESSIONS_MAX: Final = 100_000
# What a session says does not change; that long it is remembered all the same, and no longer.
REMEMBERED_SECONDS: Final = 60.0
# One request in so long asks which sessions were revoked, well before the memory counts no more.
LOOK_SECONDS: Final = 0.1
# So often one request asks again, where it took too long.
LOOKS_MAX: Final = 3
# How far back it asks: what was revoked before is in no memory.
_REVOKED_SECONDS: Final = 2 * REMEMBERED_SECONDS
_BYTES_MAX: Final = OPERATIONS_MAX * OPERATION.size

resource = Resource("charges")


class Held(NamedTuple):
    """A session as it is remembered: its key, and everything in the bytes that are needed."""

    key: bytes
    session: bytes
    handle: int
    channel: bytes
    payer: bytes
    payee: bytes
    payee_id: str
    livemode: bool
    currency: bytes
    debit: bytes
    credit: bytes
    unit: int
    amount_min: int
    amount_max: int
    expires_at: float
    until: float


class Sessions:
    """The sessions that a process has met; the database is asked about others."""

    def __init__(
        self,
        database: Database,
        vault: Vault | None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._vault = vault
        self._held: OrderedDict[bytes, Held] = OrderedDict()
        # The same for the compiled way, which is taken where it is built.
        self._compiled: dict[bytes, Any] = {}
        self.now = clock
        self._monotonic = monotonic
        # What was read before a revocation is put down before the look that sees it begins.
        self._lock = threading.Lock()
        self._looked = -math.inf
        self._is_looking = False

    def is_due(self) -> bool:
        """Has the database to be asked first which sessions were revoked?

        One request asks in time, and the others go on meanwhile; when that took too long all wait.
        """
        age = self._monotonic() - self._looked
        return age > LOOK_SECONDS and not (self._is_looking and age < ADMITTED_SECONDS)

    def is_current(self) -> bool:
        """May what is remembered still be judged by?"""
        return self._monotonic() - self._looked < ADMITTED_SECONDS

    def look(self) -> None:
        """Forget what was revoked, in a thread."""
        self._is_looking = True
        try:
            with self._lock:
                began = self._monotonic()
                if began - self._looked <= LOOK_SECONDS:
                    # Somebody else did while this waited.
                    return
                with self._database.read() as connection:
                    gone = store.list_revoked(connection, within_seconds=_REVOKED_SECONDS)
                for each in gone:
                    self._forget(uuid_bytes(each))
                self._looked = began
        finally:
            self._is_looking = False

    def _forget(self, session: bytes) -> None:
        self._held.pop(session, None)
        self._compiled.pop(session, None)

    def find(self, session: bytes) -> Held | None:
        """A session that is remembered."""
        return self._held.get(session)

    def ask(self, records: bytes, payee: str, *, livemode: bool, now: float) -> Any:
        """What a body of whole records asks, in compiled code; None where that can not be said."""
        if compiled is None or len(records) % OPERATION.size or not 0 < len(records) <= _BYTES_MAX:
            return None
        return compiled.ask(
            records, self._compiled, payee, livemode, now, _RESERVE_TABLE, _END_TABLE
        )

    def unknown(self, sessions: Iterable[bytes], *, now: float) -> set[bytes]:
        """Those of which the database has to be asked."""
        held = self._held
        return {each for each in sessions if (known := held.get(each)) is None or known.until < now}

    def load(self, wanted: set[bytes]) -> None:
        """Ask the database, in a thread; what it does not know is forgotten."""
        if self._vault is None:
            raise Misconfigured(
                "This process has no vault key, from which sessions' keys follow: set"
                " SAKK_VAULT_KEY_FILE to a copy of the file that the first server made.",
                param="SAKK_VAULT_KEY_FILE",
            )
        names = [ids.encode("ses", int.from_bytes(each, "big")) for each in wanted]
        with self._lock:
            with self._database.begin() as connection:
                found = store.chargeable(connection, names)
            until = self.now() + REMEMBERED_SECONDS
            for each in found:
                held = _held(each, self._vault, until)
                self._held[held.session] = held
                if compiled is not None:
                    self._compiled[held.session] = compiled.Session(held)
        for gone in wanted - {uuid_bytes(row.id) for row in found}:
            self._forget(gone)
        while len(self._held) > SESSIONS_MAX:
            self._compiled.pop(self._held.popitem(last=False)[0], None)


class Charges(Admission):
    """The route of charges."""

    def __init__(
        self,
        route: Route,
        authenticator: Authenticator,
        settings: ApiSettings,
        in_thread: InThread,
        sessions: Sessions,
        vouchers: VoucherDesk,
    ) -> None:
        super().__init__(route, authenticator, settings, in_thread)
        self._sessions = sessions
        self._vouchers = vouchers

    def read_at_once(self, head: Head, body: bytes, caller: Caller) -> Question | None:
        """Records of sessions that are remembered."""
        if head.text(b"content-type") != OPERATIONS:
            return None
        if has_vouchers(body):
            return self._vouchers_at_once(body, caller)
        if self._sessions.is_due():
            return None
        now, livemode = self._sessions.now(), caller.key.livemode
        asked = self._sessions.ask(body, caller.account_id, livemode=livemode, now=now)
        if asked is not None:
            return Question(
                calls.Op.create_transfers,
                asked.records,
                lambda results: (RESULTS.encode(), asked.answer(results)),
            )
        operations = of_records(body)
        wanted = {each.session for each in operations}
        if self._sessions.unknown(wanted, now=now):
            return None
        return self._question(operations, caller, in_records)

    def _vouchers_at_once(self, body: bytes, caller: Caller) -> Question | None:
        asked = self._vouchers.ask_at_once(body, caller)
        if asked is None:
            return None

        def answer(results: bytes) -> tuple[bytes, bytes] | None:
            told = asked.answer(results)
            return None if told is None else (RESULTS.encode(), told)

        async def go_on() -> tuple[bytes, bytes]:
            return RESULTS.encode(), await self._vouchers.go_on(asked, body, caller)

        op = calls.Op.create_transfers
        return Question(op, asked.records, answer, asked.vouchers, asked.fail, go_on)

    async def read(self, head: Head, body: bytes, caller: Caller) -> Question:
        """Any body, of any sessions and channels."""
        media_type = head.text(b"content-type")
        if media_type == OPERATIONS:
            return await self._read_records(body, caller)
        steps = await self.in_thread(partial(read_steps, body, media_type))
        operations = [each for each in steps if isinstance(each, Operation)]
        vouchers = [each for each in steps if not isinstance(each, Operation)]
        answers: list[Answer] = []
        if vouchers:
            answers = await self.in_thread(partial(self._vouchers.ask_by_name, vouchers, caller))
        await self._load(operations)
        worded = partial(in_json, steps, answers, caller.key.livemode)
        return self._question(operations, caller, worded)

    async def _read_records(self, body: bytes, caller: Caller) -> Question:
        if not has_vouchers(body):
            operations = of_records(body)
            await self._load(operations)
            return self._question(operations, caller, in_records)
        records = split_records(body)
        ours = b"".join([each for each in records if not is_voucher(each)])
        operations = of_records(ours) if ours else []
        asked = [read_operation(each) for each in records if is_voucher(each)]
        told = map(encode_voucher_result, await self._vouchers.ask(asked, caller))
        found = [next(told) if is_voucher(each) else None for each in records]
        await self._load(operations)
        return self._question(operations, caller, partial(in_mixed_records, found))

    async def _load(self, operations: Sequence[Operation]) -> None:
        """Have their sessions in memory, and the memory young enough: to be judged by at once."""
        wanted = {each.session for each in operations}
        if not wanted:
            return
        if self._sessions.is_due():
            await self.in_thread(self._sessions.look)
        for _ in range(LOOKS_MAX):
            unknown = self._sessions.unknown(wanted, now=self._sessions.now())
            if unknown:
                await self.in_thread(partial(self._sessions.load, unknown))
            if self._sessions.is_current():
                return
            await self.in_thread(self._sessions.look)
        raise Unavailable("The database is slow to say which sessions were revoked. Send it again.")

    def _question(
        self,
        operations: Sequence[Operation],
        caller: Caller,
        worded: Callable[[list[Result]], tuple[bytes, bytes]],
    ) -> Question:
        find, now = self._sessions.find, self._sessions.now()
        payee, livemode = caller.account_id, caller.key.livemode
        records: list[bytes] = []
        slots: list[tuple[Operation, Held | None, int]] = []
        for operation in operations:
            held = find(operation.session)
            if held is None or held.payee_id != payee or held.livemode != livemode:
                slots.append((operation, None, Reason.session_unknown))
                continue
            reason = judge(operation, held, now)
            slots.append((operation, held, reason))
            if not reason:
                records.append(transfer_record(operation, held))

        def answer(results: bytes) -> tuple[bytes, bytes]:
            return worded(outcomes(slots, results))

        return Question(calls.Op.create_transfers, b"".join(records), answer)


@resource.charging(
    "/v1/charges", returns=ChargeOutcomes, operation="charge", parameters=ChargeParameters
)
def charge() -> None:
    """Reserve, commit and release charges on channels of which the account is the payee.

    Up to 1,024 operations under `operations`, in any mix, answered in their order. What is refused
    is a result with a reason, not an error. A reservation that is neither committed nor released
    ends by its timeout, in the payer's favour. A commit or release may be repeated; a reservation
    that is repeated is refused as used, whoever repeats it. The binary form, and what `mac` and
    `request_hash` are, is described with the session scheme.
    """


def judge(operation: Operation, held: Held, now: float) -> int:
    """Why an operation is refused before the ledger is asked; 0 where it is not."""
    if not is_well_formed(operation):
        return Reason.malformed
    if operation.op != Op.reserve:
        return Reason.done
    if held.expires_at <= now:
        return Reason.session_expired
    mac = call_mac(
        held.key,
        held.session,
        nonce=operation.nonce,
        amount=operation.amount,
        payee=held.payee,
        request=operation.request_hash,
    )
    if not hmac.compare_digest(mac, operation.mac):
        return Reason.mac_invalid
    if operation.currency != held.currency:
        return Reason.currency_mismatch
    if not held.amount_min <= operation.amount <= held.amount_max:
        return Reason.over_limit
    return Reason.done


def transfer_record(operation: Operation, held: Held) -> bytes:
    """The ledger's transfer of an operation."""
    reserved = charge_id(held.handle, operation.nonce, Step.reserved).to_bytes(16, "big")
    match operation.op:
        case Op.reserve:
            return TRANSFER.pack(
                reserved,
                held.debit,
                held.credit,
                operation.amount.to_bytes(16, "little"),
                ID_ZERO,
                operation.request_hash[:16],
                held.unit,
                0,
                0,
                operation.timeout_seconds,
                _CODE,
                _PENDING,
            )
        case Op.commit:
            identifier = charge_id(held.handle, operation.nonce, Step.committed)
            amount, flags = operation.amount, _POST
            data = units_data(operation.units).to_bytes(16, "big")
        case _:
            identifier = charge_id(held.handle, operation.nonce, Step.released)
            amount, flags, data = 0, _VOID, ID_ZERO
    return TRANSFER.pack(
        identifier.to_bytes(16, "big"),
        ID_ZERO,
        ID_ZERO,
        amount.to_bytes(16, "little"),
        reserved,
        data,
        0,
        0,
        0,
        0,
        0,
        flags,
    )


def outcomes(slots: Sequence[tuple[Operation, Held | None, int]], results: bytes) -> list[Result]:
    """What became of each operation: refused before, or what the ledger said."""
    timestamps, statuses = decode_results(results)
    found: list[Result] = []
    position = 0
    for operation, held, reason in slots:
        if reason or held is None:
            found.append(Result(reason))
            continue
        status, timestamp = statuses[position], timestamps[position]
        position += 1
        if operation.op != Op.reserve:
            found.append(_ended(operation, held, status, timestamp))
        elif status:
            found.append(Result(_RESERVE_REASONS.get(status, Reason.nonce_used)))
        else:
            mac = receipt_mac(
                held.key,
                held.session,
                step=1,
                nonce=operation.nonce,
                amount=operation.amount,
                units=0,
                payee=held.payee,
                request=operation.request_hash,
                timestamp=timestamp,
            )
            found.append(
                Result(Reason.done, held.payer, timestamp, operation.amount, mac, held.channel)
            )
    return found


def _ended(operation: Operation, held: Held, status: int, timestamp: int) -> Result:
    """A commit or release that stands already stands."""
    if status <= CreateTransferStatus.exists:
        amount = operation.amount if operation.op == Op.commit else 0
        return Result(Reason.done, held.payer, timestamp, amount, channel=held.channel)
    return Result(_END_REASONS.get(status, Reason.charge_ended))


def _held(row: Chargeable, vault: Vault, until: float) -> Held:
    unit = chart.currency_unit(row.currency, livemode=row.livemode)
    debit = chart.channel(row.channel_id, unit, payer=row.account_id)
    credit = chart.merchant(row.payee, "available", unit)
    return Held(
        key=vault.derive(row.id),
        session=uuid_bytes(row.id),
        handle=row.handle,
        channel=uuid_bytes(row.channel_id),
        payer=bytes(20) if row.signer is None else bytes.fromhex(row.signer[2:]),
        payee=uuid_bytes(row.payee),
        payee_id=row.payee,
        livemode=row.livemode,
        currency=row.currency.encode().ljust(16, b"\0"),
        debit=account_id(debit.name).to_bytes(16, "big"),
        credit=account_id(credit.name).to_bytes(16, "big"),
        unit=unit_id(unit),
        amount_min=row.amount_min or 0,
        amount_max=AMOUNT_WHOLE if row.amount_max is None else row.amount_max,
        # What was reserved by it before it was revoked may still be ended.
        expires_at=row.expires_at.timestamp() if row.revoked_at is None else 0.0,
        until=until,
    )


_S = CreateTransferStatus
_CODE = int(TransferCode.channel_charge)
_PENDING = int(TransferFlags.pending)
_POST = int(TransferFlags.post_pending)
_VOID = int(TransferFlags.void_pending)
_RESERVE_REASONS: dict[int, Reason] = {
    _S.exceeds_credits: Reason.ceiling_exceeded,
    _S.debit_account_frozen: Reason.channel_closed,
    _S.credit_account_frozen: Reason.channel_closed,
    _S.debit_account_not_found: Reason.channel_closed,
    _S.credit_account_not_found: Reason.channel_closed,
}
_END_REASONS: dict[int, Reason] = {
    _S.pending_transfer_not_found: Reason.charge_unknown,
    _S.exceeds_pending_transfer_amount: Reason.amount_exceeds_reserved,
}
# The same by status, for compiled code.
_RESERVE_TABLE = bytes(_RESERVE_REASONS.get(each, Reason.nonce_used) for each in range(256))
_END_TABLE = bytes(_END_REASONS.get(each, Reason.charge_ended) for each in range(256))
