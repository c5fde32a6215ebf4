"""Charges by voucher on the hot path: one recovery of a key, one write, one question to the ledger.

A channel that was met is remembered as the ledger said it stood, so nothing is asked about it: what
is remembered only decides which transfers are asked for, and the ledger refuses what does not fit.
Whatever it refuses, and whatever does not look plain from here, goes the long way of
``sakk.flow.voucher``, which asks first. What is signed is raised from totals that the ledger has
said: while one raise of a channel is on its way, the next one of that channel waits for it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from sakk.api.charge_body import VoucherStep
from sakk.api.context import Caller
from sakk.api.posting import InThread
from sakk.core import ids
from sakk.core.charge import AMOUNT_WHOLE, OPERATION, TIMEOUT_SECONDS_MAX
from sakk.core.escrow import VOUCHER_TYPE, domain_separator, is_signed
from sakk.core.escrow_channel import (
    PREFIX,
    EscrowChannel,
    Refusal,
    Totals,
    parse_charge_name,
    withdraw_begun,
)
from sakk.core.voucher import (
    VoucherOp,
    VoucherOperation,
    VoucherResult,
    asset_tag,
    encode_voucher_result,
    read_operation,
    status_of,
)
from sakk.flow.context import Parts
from sakk.flow.voucher import (
    Answer,
    Asked,
    Known,
    Presented,
    Vouchers,
    ending,
    plan,
    why_not_ended,
)
from sakk.ledger.calls import Op
from sakk.ledger.line import Line
from sakk.ledger.record import encode_transfers, transfer_results
from sakk.ledger.types import CreateTransferStatus, Transfer, TransferFlags
from sakk.store import escrow_channel as store

try:
    from sakk.api.compiled import voucher as compiled
except ImportError:  # where it is not built, the long way serves
    compiled = None  # type: ignore[assignment]

CHANNELS_MAX: Final = 100_000
# Its row is read again after so long: what was claimed, and whether its payer withdraws.
REMEMBERED_SECONDS: Final = 60.0
# Charges whose end is awaited, of one channel; of others the memory only knows less.
PENDING_MAX: Final = 4_096
# More operations in one request are checked in a thread: the loop waits for those that are not.
AT_ONCE_MAX: Final = 128
# So many requests are prepared at once, at most.
BATCH_MAX: Final = 256


@dataclass(slots=True)
class Met:
    """A channel that this process has met, as the ledger was heard to say.

    ``totals`` None: it has to be asked again; ``balance``: what it held when it was asked last.
    ``raising``: a raise is on its way. ``pending``: what was reserved, by ceiling and attempt.
    """

    known: Known
    number: bytes
    payer: bytes
    tag: bytes
    until: float
    totals: Totals | None = None
    balance: int = 0
    raising: bool = False
    pending: dict[tuple[int, int], int] = field(default_factory=dict)
    # The same for the compiled way, where it is built.
    quick: Any = None
    withdraw_begun: int = 0
    _raised: asyncio.Event | None = None

    @property
    def channel(self) -> EscrowChannel:
        return self.known.channel

    def reserved(self, ceiling: int, attempt: int, amount: int) -> None:
        """A call is on its way."""
        if len(self.pending) < PENDING_MAX:
            self.pending[ceiling, attempt] = amount

    def ended(self, operation: VoucherOperation) -> int:
        """A call is over: what it cost, as far as that is known here."""
        takes = operation.op == VoucherOp.commit
        return self.ended_by(operation.ceiling, operation.attempt, takes, operation.amount)

    def ended_by(self, ceiling: int, attempt: int, takes: bool, amount: int) -> int:
        """The same of a voucher's total and its attempt."""
        reserved = self.pending.pop((ceiling, attempt), None)
        if reserved is None:
            # Reserved by another process, or ended twice: the ledger is asked again.
            self.totals = None
            return amount if takes and amount != AMOUNT_WHOLE else 0
        used = min(amount, reserved) if takes else 0
        # Read once: a thread may make it unsure meanwhile.
        totals = self.totals
        if totals is not None:
            self.totals = totals.ended(reserved, used)
        return used

    async def raised(self) -> None:
        """Wait until no raise is on its way."""
        while self.raising:
            if self._raised is None:
                self._raised = asyncio.Event()
            await self._raised.wait()

    def let_go(self) -> None:
        """What became of the raise is known: who waits goes on."""
        self.raising = False
        if self._raised is not None:
            self._raised.set()
            self._raised = None


@dataclass(slots=True)
class _Place:
    """One operation on its way, with its channel, and what became of it."""

    operation: VoucherOperation
    met: Met | None = None
    result: VoucherResult | None = None
    # Which of the transfers is this one's.
    at: int | None = None


@dataclass(frozen=True, slots=True)
class _Request:
    """Operations of one payee's door, on their way; ``done`` when they may be asked for."""

    places: Sequence[_Place]
    account: str
    livemode: bool
    done: asyncio.Future[None]


class VoucherDesk:
    """Charges by voucher of one process, asked in its event loop.

    Requests that come while others are being looked up, checked and written down are so together,
    when that is done: one thread, and one statement, for all of them.
    """

    def __init__(
        self, parts: Parts, line: Line, in_thread: InThread, clock: Callable[[], float]
    ) -> None:
        self._parts = parts
        self._line = line
        self._in_thread = in_thread
        self._clock = clock
        self.vouchers = Vouchers(parts)
        self._named: OrderedDict[bytes, Met] = OrderedDict()
        self._numbered: dict[bytes, Met] = {}
        self._waiting: list[_Request] = []
        # Who prepares, while anybody waits for it.
        self._preparing: asyncio.Task[None] | None = None

    async def ask(
        self, operations: Sequence[VoucherOperation], caller: Caller
    ) -> list[VoucherResult]:
        """What became of each operation of a payee's door, in their order.

        Raises what the ledger and the database raise: then nothing is known, and what was reserved
        runs out by itself.
        """
        account, livemode = caller.account_id, caller.key.livemode
        places = [_Place(each) for each in operations]
        if any(self._is_work(each) for each in places):
            await self._prepared(places, account, livemode)
        else:
            self._settle_on(places, account, livemode)
        await self._raised(places)
        transfers, raised = self._plan(places)
        if transfers:
            try:
                answer = await self._line.ask(Op.create_transfers, encode_transfers(transfers))
            except BaseException:
                for met in {id(each.met): each.met for each in places if each.met}.values():
                    met.totals = None
                raise
            finally:
                for met in raised:
                    met.let_go()
            self._read(places, [each.status for each in transfer_results(answer)])
        slow = [each for each in places if each.result is None]
        if slow:
            await self._in_thread(partial(self._ask_slowly, slow, account))
        return [each.result for each in places if each.result is not None]

    def ask_at_once(self, body: bytes, caller: Caller) -> Any:
        """What a body of whole records asks, in compiled code; None where it is the long way's.

        Of the channels that it raises the next raise waits until it is answered, or said to fail.
        """
        size = OPERATION.size
        if compiled is None or len(body) % size or not 0 < len(body) <= AT_ONCE_MAX * size:
            return None
        return compiled.ask(
            body,
            self._named,
            self._numbered,
            caller.account_id,
            caller.key.livemode,
            self._clock(),
            _why_not,
        )

    async def go_on(self, asked: Any, body: bytes, caller: Caller) -> bytes:
        """All results of a body, of which the ledger's answer left some to be asked at length."""
        size = OPERATION.size
        operations = [read_operation(body[at * size : (at + 1) * size]) for at in asked.later]
        places = [_Place(each) for each in operations]
        self._settle_on(places, caller.account_id, caller.key.livemode)
        slow = [each for each in places if each.result is None]
        await self._in_thread(partial(self._ask_slowly, slow, caller.account_id))
        told = [encode_voucher_result(each.result) for each in places if each.result is not None]
        return bytes(asked.joined(told))

    def ask_by_name(self, steps: Iterable[VoucherStep], caller: Caller) -> list[Answer]:
        """The long way, in a thread: vouchers, and ends of charges by their names."""
        account, livemode = caller.account_id, caller.key.livemode
        answers: list[Answer] = []
        for step in steps:
            if isinstance(step, Answer):
                answers.append(step)
            elif isinstance(step, Presented):
                channel = self.vouchers.find(step.network, step.channel)
                if channel is None or channel.livemode is not livemode:
                    answers.append(Answer(Refusal.not_found))
                else:
                    answers += self.vouchers.reserve(account, [step])
            else:
                met = self._by_name(step.charge, account, livemode=livemode)
                if met is None:
                    answers.append(Answer(Refusal.missing_channel))
                else:
                    met.totals = None
                    answers.append(self.vouchers.commit(step.charge, step.amount))
        return answers

    # In the event loop

    async def _prepared(self, places: Sequence[_Place], account: str, livemode: bool) -> None:
        """Have these prepared, with all that wait for the same."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(_Request(places, account, livemode, done))
        if self._preparing is None:
            self._preparing = asyncio.create_task(self._prepare_waiting())
        await done

    async def _prepare_waiting(self) -> None:
        """Not a request's own work: it goes on for the others when a client leaves."""
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
                error: Exception | None = None
                try:
                    await self._in_thread(partial(self._prepare, batch))
                except Exception as caught:
                    error = caught
                for each in batch:
                    # A request whose client left is waited for by nobody.
                    if each.done.done():
                        continue
                    if error is None:
                        each.done.set_result(None)
                    else:
                        each.done.set_exception(error)
        finally:
            self._preparing = None

    def _is_work(self, place: _Place) -> bool:
        """Is there something to be looked up, checked or written down first?"""
        if place.operation.op == VoucherOp.reserve:
            return True
        met = self._numbered.get(place.operation.channel)
        return met is None or met.until < self._clock()

    async def _raised(self, places: Sequence[_Place]) -> None:
        """Wait until no raise of the channels that reservations are on is on its way."""
        channels = [
            each.met
            for each in places
            if each.met is not None and each.operation.op == VoucherOp.reserve
        ]
        while (waited := next((each for each in channels if each.raising), None)) is not None:
            await waited.raised()

    def _plan(self, places: Sequence[_Place]) -> tuple[list[Transfer], list[Met]]:
        """What to ask the ledger for, and of which channels that raises what is signed."""
        transfers: list[Transfer] = []
        raised: list[Met] = []
        groups: dict[int, list[_Place]] = {}
        for each in places:
            if each.result is not None or each.met is None:
                continue
            if each.operation.op == VoucherOp.reserve:
                groups.setdefault(id(each.met), []).append(each)
            else:
                each.at = len(transfers)
                transfers.append(_ending(each.operation, each.met))
        for group in groups.values():
            met = group[0].met
            totals = None if met is None else met.totals
            # Of one that a refusal made unsure, or another question raises: the long way.
            if met is None or totals is None or met.raising:
                continue
            planned = plan(met.known, totals, [_asked(each.operation) for each in group])
            for index, each in enumerate(group):
                if index in planned.places:
                    each.at = len(transfers) + planned.places[index]
                    met.reserved(each.operation.ceiling, 0, each.operation.amount)
            transfers += planned.transfers
            met.totals = planned.totals
            if planned.raised is not None:
                met.raising = True
                raised.append(met)
        return transfers, raised

    def _read(self, places: Sequence[_Place], statuses: Sequence[CreateTransferStatus]) -> None:
        """What the ledger said; a reservation that it refused is left for the long way."""
        for each in places:
            met, operation = each.met, each.operation
            if met is None or each.at is None:
                continue
            status = statuses[each.at]
            if operation.op == VoucherOp.reserve:
                if status is CreateTransferStatus.created:
                    each.result = _of(met, amount=operation.amount)
                else:
                    met.totals = None
            elif status.accepted:
                each.result = _of(met, amount=met.ended(operation))
            else:
                each.result = _refused(why_not_ended(status), met)

    # In a thread

    def _prepare(self, requests: Sequence[_Request]) -> None:
        """Look up what was not met, check signatures, and write vouchers down."""
        places = [place for each in requests for place in each.places]
        self._load(places)
        for each in requests:
            self._settle_on(each.places, each.account, each.livemode)
        good: list[_Place] = []
        for place in places:
            operation, met = place.operation, place.met
            if place.result is not None or met is None or operation.op != VoucherOp.reserve:
                continue
            refusal = _check(operation, met)
            if refusal is None:
                good.append(place)
            else:
                place.result = _refused(refusal, met)
        self.vouchers.keep(
            (place.met.known, place.operation.ceiling, place.operation.signature)
            for place in good
            if place.met is not None
        )
        unsure = [place.met for place in good if place.met and place.met.totals is None]
        stale = {id(met): met for met in unsure}
        found = self.vouchers.totals_of([each.known for each in stale.values()]) if stale else []
        for met, totals in zip(stale.values(), found, strict=True):
            met.totals, met.balance = totals, totals.balance

    def _load(self, places: Sequence[_Place]) -> None:
        now = self._clock()
        names: set[str] = set()
        identifiers: set[str] = set()
        for each in places:
            met, name = self._find(each.operation), each.operation.channel
            if met is not None and met.until >= now:
                continue
            if each.operation.op == VoucherOp.reserve:
                names.add("0x" + name.hex())
            else:
                identifiers.add(ids.encode(PREFIX, int.from_bytes(name, "big")))
        if not names and not identifiers:
            return
        with self._parts.database.begin() as connection:
            rows = store.open_channels(connection, names=[*names], identifiers=[*identifiers])
        for row in rows:
            self._remember(row, now + REMEMBERED_SECONDS)

    def _remember(self, row: EscrowChannel, until: float) -> Met:
        name, number = bytes.fromhex(row.channel[2:]), row.number.to_bytes(16, "big")
        known = self.vouchers.know(row)
        known.channel = row
        met = self._named.get(name)
        if met is not None:
            met.known, met.until, met.withdraw_begun = known, until, withdraw_begun(row)
            return met
        met = Met(known, number, bytes.fromhex(row.payer[2:]), asset_tag(row.asset), until)
        met.withdraw_begun = withdraw_begun(row)
        if compiled is not None:
            separator = domain_separator(row.chain_id)
            met.quick = compiled.Channel(
                row, known.accounts, known.unit, separator, VOUCHER_TYPE, met.tag
            )
        self._named[name] = self._numbered[number] = met
        while len(self._named) > CHANNELS_MAX:
            _, gone = self._named.popitem(last=False)
            self._numbered.pop(gone.number, None)
        return met

    def _ask_slowly(self, places: Sequence[_Place], account: str) -> None:
        presented: list[Presented] = []
        for each in places:
            assert each.met is not None
            operation, channel = each.operation, each.met.channel
            presented.append(
                Presented(
                    network=channel.network,
                    asset=channel.asset,
                    channel=channel.channel,
                    ceiling=operation.ceiling,
                    signature=operation.signature,
                    amount=operation.amount,
                    timeout_seconds=operation.timeout_seconds,
                )
            )
        answers = self.vouchers.reserve(account, presented)
        for each, answer in zip(places, answers, strict=True):
            met = each.met
            assert met is not None
            # What it says of the channel is not heard here: it is asked again.
            met.totals = None
            if answer.charge is None:
                each.result = _refused(answer.refusal or Refusal.busy, met)
                continue
            _, ceiling, attempt = parse_charge_name(answer.charge)
            met.reserved(ceiling, attempt, answer.amount)
            balance = int(answer.extra["channelState"]["balance"])
            each.result = _of(met, amount=answer.amount, attempt=attempt, balance=balance)

    # Both

    def _find(self, operation: VoucherOperation) -> Met | None:
        if operation.op == VoucherOp.reserve:
            return self._named.get(operation.channel)
        return self._numbered.get(operation.channel)

    def _settle_on(self, places: Sequence[_Place], account: str, livemode: bool) -> None:
        """Whose channel each is; another account's is as if there were none."""
        for each in places:
            met = self._find(each.operation)
            if (
                met is None
                or met.channel.account_id != account
                or met.channel.livemode is not livemode
            ):
                is_new = each.operation.op == VoucherOp.reserve
                each.result = _refused(Refusal.not_found if is_new else Refusal.missing_channel)
            else:
                each.met = met

    def _by_name(self, name: str, account: str, *, livemode: bool) -> Met | None:
        try:
            identifier, ceiling, attempt = parse_charge_name(name)
        except ValueError:
            return None
        number = ids.decode(identifier)[1].to_bytes(16, "big")
        place = _Place(VoucherOperation(VoucherOp.commit, number, ceiling, attempt=attempt))
        self._load([place])
        self._settle_on([place], account, livemode)
        return place.met


def _why_not(status: int) -> int:
    """Why a charge was not ended, on the wire."""
    return status_of(why_not_ended(CreateTransferStatus(status)))


def _check(operation: VoucherOperation, met: Met) -> Refusal | None:
    """Why a voucher is refused before anything is asked; None where it is the payer's word."""
    channel = met.channel
    if not 0 < operation.timeout_seconds <= TIMEOUT_SECONDS_MAX or not operation.amount:
        return Refusal.payload
    if operation.tag != met.tag:
        return Refusal.token_mismatch
    signer = channel.config.voucher_signer
    name = bytes.fromhex(channel.channel[2:])
    is_genuine = is_signed(
        name,
        operation.ceiling,
        operation.signature,
        chain_id=channel.chain_id,
        signer=signer,
    )
    return None if is_genuine else Refusal.signature


def _asked(operation: VoucherOperation) -> Asked:
    return Asked(operation.ceiling, operation.amount, 0, operation.timeout_seconds)


def _ending(operation: VoucherOperation, met: Met) -> Transfer:
    takes = operation.op == VoucherOp.commit and operation.amount > 0
    return ending(
        met.channel,
        operation.ceiling,
        operation.attempt,
        "commit" if takes else "release",
        TransferFlags.post_pending if takes else TransferFlags.void_pending,
        operation.amount if takes and operation.amount != AMOUNT_WHOLE else None,
    )


def _of(met: Met, *, amount: int, attempt: int = 0, balance: int | None = None) -> VoucherResult:
    channel, totals = met.channel, met.totals
    if balance is None:
        balance = met.balance if totals is None else totals.balance
    return VoucherResult(
        0,
        attempt,
        met.payer,
        amount,
        balance,
        channel.redeemed,
        met.withdraw_begun,
        met.number,
    )


def _refused(refusal: Refusal, met: Met | None = None) -> VoucherResult:
    return VoucherResult(status_of(refusal), payer=bytes(20) if met is None else met.payer)
