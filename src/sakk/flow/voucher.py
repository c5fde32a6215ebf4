"""Vouchers: a payer's signature becomes a charge in the ledger, once.

A voucher is kept before anything is charged by it: without it the chain pays nothing. The charge is
one linked set: what is signed rises from one base, under an id that the base makes, and the call is
reserved within it. So of two that see the same base one wins, the other looks again; a copy meets
its own id; and no process has to know what another does.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sakk.core.chart import LedgerAccount, TransferCode
from sakk.core.escrow import is_signed
from sakk.core.escrow_channel import (
    ATTEMPTS_MAX,
    TIMEOUT_SECONDS_DEFAULT,
    ChannelStatus,
    EscrowChannel,
    Refusal,
    Totals,
    charge_id,
    charge_name,
    judge,
    parse_charge_name,
    raise_id,
    state_extra,
    voucher_data,
)
from sakk.core.ledger import account_id, unit_id
from sakk.flow.context import Parts
from sakk.ledger.types import CreateTransferStatus, Ledger, Transfer, TransferFlags
from sakk.ledger.voucher import kept_vouchers
from sakk.store import escrow_channel as store
from sakk.store.failpoint import failpoint

# How often a voucher looks again because another one was first.
ROUNDS_MAX = ATTEMPTS_MAX
CHANNELS_KEPT_MAX = 100_000
# So many ids that others were refused are stepped over at once.
STEPS_MAX = 4
# So far the clocks of this process and of the ledger's may differ.
CLOCKS_APART_SECONDS = 30
AMOUNT_WHOLE = (1 << 128) - 1


@dataclass(frozen=True, slots=True)
class Presented:
    """A voucher as a door presents it: to charge ``amount`` to the account's channel.

    ``asset``: in which the door's price is (CAIP-19), so that a channel of another coin can not pay
    it. ``channel``: its name on the chain, 0x-hex. ``timeout_seconds``: when the ledger gives it
    back.
    """

    network: str
    asset: str
    channel: str
    ceiling: int
    signature: bytes
    amount: int
    timeout_seconds: int = TIMEOUT_SECONDS_DEFAULT


@dataclass(frozen=True, slots=True)
class Answer:
    """``charge``: its name, with which it is ended; or why there is none.

    ``extra``: x402's ``channelState`` and, so that a payer that lost its place finds it again, the
    ``voucherState`` with the highest voucher.
    """

    refusal: Refusal | None
    charge: str | None = None
    amount: int = 0
    payer: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Known:
    """A channel as this process knows it: what never changes, and what it has seen of it.

    ``kept``: a total whose voucher is written down. ``raises``: how many ids of raises from a base
    were refused, of the highest such base alone. A base only grows (`Totals.base`), and who still
    comes from an older one is refused its ids again.
    """

    channel: EscrowChannel
    accounts: tuple[int, int, int, int, int]
    unit: int
    kept: int = 0
    raises: dict[int, int] = field(default_factory=dict)

    def pass_over(self, base: int, refused: int) -> None:
        """So many ids of a base were refused.

        Of two threads that write at once one may be forgotten: the ledger refuses that id again.
        """
        highest, before = max(self.raises.items(), default=(0, 0))
        if (base, refused) > (highest, before):
            self.raises = {base: refused}


class Asked(NamedTuple):
    """One call that a voucher is to pay. ``attempt``: under which of its ids."""

    ceiling: int
    amount: int
    attempt: int
    timeout_seconds: int


@dataclass(slots=True)
class Plan:
    """What to ask the ledger for, of one channel.

    ``places``: where in ``transfers`` the charge of each call is; ``refusals``: why there is none.
    ``raised``: where the raise is, under its base's id of ``attempt``. ``totals``: as they are when
    all of it is done.
    """

    totals: Totals
    transfers: list[Transfer] = field(default_factory=list)
    places: dict[int, int] = field(default_factory=dict)
    refusals: dict[int, Refusal] = field(default_factory=dict)
    raised: int | None = None
    attempt: int = 0


@dataclass(slots=True)
class _Try:
    """One voucher on its way to the ledger."""

    presented: Presented
    known: Known
    attempt: int = 0
    answer: Answer | None = None

    @property
    def asked(self) -> Asked:
        presented = self.presented
        return Asked(presented.ceiling, presented.amount, self.attempt, presented.timeout_seconds)


class Vouchers:
    """Charges by voucher, for one process; any number of processes may do the same at once."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._known: dict[tuple[str, str], Known] = {}

    @property
    def _ledger(self) -> Ledger:
        return self._parts.books.ledger

    def reserve(self, account: str, presented: Sequence[Presented]) -> list[Answer]:
        """Reserve what these vouchers pay an account for; one answer each, in order.

        Durable when this returns. Raises what the ledger and the database raise: then nothing is
        known, and what was reserved runs out by itself.
        """
        tries: list[_Try | Answer] = [self._look(account, each) for each in presented]
        todo = [each for each in tries if isinstance(each, _Try)]
        self.keep([(each.known, each.presented.ceiling, each.presented.signature) for each in todo])
        for _ in range(ROUNDS_MAX):
            if not todo:
                break
            todo = self._round(todo)
        for each in todo:
            each.answer = Answer(Refusal.busy, payer=each.known.channel.payer)
        answers = [each.answer if isinstance(each, _Try) else each for each in tries]
        return [each for each in answers if each is not None]

    def commit(self, name: str, amount: int | None = None) -> Answer:
        """End a charge by taking its amount, or less; again it is the same."""
        return self._end(name, "commit", TransferFlags.post_pending, amount)

    def release(self, name: str) -> Answer:
        """End a charge by taking nothing: the same voucher may pay again."""
        return self._end(name, "release", TransferFlags.void_pending, None)

    def reserved(self, channel: EscrowChannel, ceiling: int) -> str | None:
        """The name of the charge by a voucher that is reserved now; None if there is none."""
        attempts = range(ATTEMPTS_MAX)
        wanted = [charge_id(channel, ceiling, each, step) for each in attempts for step in _STEPS]
        found = self._ledger.lookup_transfers(wanted)
        for each in attempts:
            reserved, committed, released = found[3 * each : 3 * each + 3]
            if reserved is not None and committed is None and released is None:
                return charge_name(channel, ceiling, each)
        return None

    def find(self, network: str, name: str) -> EscrowChannel | None:
        """The channel of a name on a chain that vouchers are taken for."""
        known = self._find(network, name)
        return None if known is None else known.channel

    def totals(self, channel: EscrowChannel) -> Totals:
        """Where a channel stands, by the ledger."""
        return self.totals_of([self.know(channel)])[0]

    def _look(self, account: str, presented: Presented) -> _Try | Answer:
        """Find the channel and hold the signature against it: nothing of anybody is touched yet."""
        known = self._find(presented.network, presented.channel)
        if known is None or known.channel.account_id != account:
            return Answer(Refusal.not_found)
        channel = known.channel
        if channel.asset != presented.asset:
            return Answer(Refusal.token_mismatch, payer=channel.payer)
        if not is_signed(
            bytes.fromhex(channel.channel[2:]),
            presented.ceiling,
            presented.signature,
            chain_id=channel.chain_id,
            signer=channel.config.voucher_signer,
        ):
            return Answer(Refusal.signature, payer=channel.payer)
        return _Try(presented, known)

    def _find(self, network: str, name: str) -> Known | None:
        found = self._known.get((network, name))
        if found is None:
            with self._parts.database.begin() as connection:
                channel = store.named(connection, network, name)
            if channel is None or channel.status == ChannelStatus.opening:
                return None
            found = self.know(channel)
        return found

    def know(self, channel: EscrowChannel) -> Known:
        """A channel that had a deposit, with its accounts there."""
        known = self._known.get((channel.network, channel.channel))
        if known is not None:
            return known
        if len(self._known) >= CHANNELS_KEPT_MAX:
            self._known.clear()
        named: list[LedgerAccount] = [
            channel.deposit_account,
            channel.signed_account,
            channel.incoming,
            channel.unsigned_account,
            channel.refunded_account,
        ]
        # A posting of its own opens no account: they are opened by their names first.
        self._parts.books.open(named)
        deposit, signed, incoming, unsigned, refunded = (account_id(each.name) for each in named)
        accounts = (deposit, signed, incoming, unsigned, refunded)
        known = Known(channel, accounts, unit_id(channel.unit))
        self._known[channel.network, channel.channel] = known
        return known

    def keep(self, vouchers: Iterable[tuple[Known, int, bytes]]) -> None:
        """Write the vouchers down that are higher than what this process knows to be written.

        By channel, ceiling and signature, which was checked. Before anything is charged by them.
        """
        higher: dict[str, tuple[int, bytes]] = {}
        known_of: dict[str, Known] = {}
        for known, ceiling, signature in vouchers:
            identifier = known.channel.id
            if ceiling > max(known.kept, higher.get(identifier, (0, b""))[0]):
                higher[identifier] = (ceiling, signature)
                known_of[identifier] = known
        if not higher:
            return
        with self._parts.database.alone() as connection:
            store.keep_vouchers(connection, higher)
        for identifier, (ceiling, _) in higher.items():
            known_of[identifier].kept = max(known_of[identifier].kept, ceiling)

    def _round(self, tries: Sequence[_Try]) -> list[_Try]:
        """Judge by what the ledger says now, and ask it; those that were overtaken are left."""
        grouped: dict[int, list[_Try]] = {}
        for each in tries:
            grouped.setdefault(id(each.known), []).append(each)
        groups = list(grouped.values())
        standing = self.totals_of([group[0].known for group in groups])
        for group, totals in zip(groups, standing, strict=True):
            self._step_over(group, totals)
        plans = [
            plan(group[0].known, totals, [each.asked for each in group])
            for group, totals in zip(groups, standing, strict=True)
        ]
        batch = [transfer for each in plans for transfer in each.transfers]
        statuses: list[CreateTransferStatus] = []
        if batch:
            failpoint("voucher.charge.before")
            results = self._ledger.create_transfers(batch)
            failpoint("voucher.charge.after")
            statuses = [result.status for result in results]
        left: list[_Try] = []
        first = 0
        for group, planned, totals in zip(groups, plans, standing, strict=True):
            said = statuses[first : first + len(planned.transfers)]
            first += len(said)
            left += self._concluded(group, planned, totals, said)
        return left

    def _step_over(self, group: Sequence[_Try], totals: Totals) -> None:
        """Step over the ids that others were refused since.

        Else a voucher and its copy in another process, each behind in one of the two ids that it
        takes, refuse each other the next one in turn, and neither is served.
        """
        again = [each for each in group if each.attempt]
        if not again:
            return
        known, channel = group[0].known, group[0].known.channel
        first = known.raises.get(totals.base, 0)
        wanted = [[raise_id(channel, totals.base, first + step) for step in range(STEPS_MAX)]]
        for each in again:
            ceiling, steps = each.presented.ceiling, range(each.attempt, each.attempt + STEPS_MAX)
            wanted.append([charge_id(channel, ceiling, step) for step in steps])
        found = self._ledger.lookup_results([number for ids in wanted for number in ids])
        refused = [each is not None and not each.status.accepted for each in found]
        places = range(0, len(refused), STEPS_MAX)
        raised, *charged = ([*refused[at : at + STEPS_MAX], False].index(False) for at in places)
        known.pass_over(totals.base, first + raised)
        for each, passed in zip(again, charged, strict=True):
            # Whose ids were all refused takes the last again, until its rounds are over.
            each.attempt = min(each.attempt + passed, ATTEMPTS_MAX - 1)

    def _concluded(
        self,
        group: Sequence[_Try],
        planned: Plan,
        totals: Totals,
        statuses: Sequence[CreateTransferStatus],
    ) -> list[_Try]:
        """What the ledger said of one channel's vouchers; those that look again."""
        known = group[0].known
        # A refusal is remembered under its id for ever. So whoever was refused may take the next
        # id, and of all that any process ever takes for one base, or one voucher, one stands.
        if planned.raised is not None and _is_refused(statuses[planned.raised]):
            # By the id that was refused: of two threads that tried it, both would skip the next.
            # One that stands is never passed over: from totals of before it nothing rises again.
            known.pass_over(totals.base, planned.attempt + 1)
        shown = {"channelState": state_extra(known.channel, planned.totals, charged=None)}
        left: list[_Try] = []
        for index, each in enumerate(group):
            refusal = planned.refusals.get(index)
            if refusal is not None:
                each.answer = self._refused(each, refusal, totals)
                continue
            charged = statuses[planned.places[index]]
            if charged is CreateTransferStatus.created:
                each.answer = Answer(
                    None,
                    charge=charge_name(known.channel, each.presented.ceiling, each.attempt),
                    amount=each.presented.amount,
                    payer=known.channel.payer,
                    extra=shown,
                )
            elif not _stands(charged) or self._was_released(each):
                each.attempt += 1
                left.append(each)
            else:
                [now] = self.totals_of([known])
                each.answer = self._refused(each, Refusal.amount_mismatch, now)
        return left

    def _was_released(self, each: _Try) -> bool:
        """Did this voucher's last charge end without taking anything?"""
        channel, ceiling = each.known.channel, each.presented.ceiling
        wanted = [charge_id(channel, ceiling, each.attempt, step) for step in _STEPS]
        reserved, committed, released = self._ledger.lookup_transfers(wanted)
        if released is not None:
            return True
        if reserved is None or committed is not None:
            return False
        # Nobody ended it, and its time is over by the ledger's clock, whatever ours says.
        seconds = reserved.timeout_seconds + CLOCKS_APART_SECONDS
        ends_ns = reserved.timestamp + seconds * 10**9
        return ends_ns <= int(self._parts.clock().timestamp() * 10**9)

    def _refused(self, each: _Try, refusal: Refusal, totals: Totals) -> Answer:
        channel = each.known.channel
        extra: dict[str, Any] = {}
        if refusal is Refusal.amount_mismatch:
            extra = self.standing(channel, totals)
        return Answer(refusal, payer=channel.payer, extra=extra)

    def standing(self, channel: EscrowChannel, totals: Totals) -> dict[str, Any]:
        """What a payer needs that lost its place: it goes on behind what is being served, too."""
        used = totals.charged + totals.reserved
        extra: dict[str, Any] = {"channelState": state_extra(channel, totals, charged=used)}
        kept = kept_vouchers(self._ledger, self._parts.database, [channel.id]).get(channel.id)
        if kept is not None:
            signature = "0x" + kept[1].hex()
            extra["voucherState"] = {"signedMaxClaimable": str(kept[0]), "signature": signature}
        return extra

    def totals_of(self, known: Sequence[Known]) -> list[Totals]:
        """Where channels stand, in their order; asked in one question."""
        wanted = [number for each in known for number in _asked_about(each)]
        found = self._ledger.lookup_accounts(wanted)
        totals = []
        for place in range(0, len(found), _ACCOUNTS_ASKED):
            deposit, signed, unsigned, refunded = found[place : place + _ACCOUNTS_ASKED]
            assert deposit is not None
            assert signed is not None
            assert unsigned is not None
            assert refunded is not None
            unsaid = unsigned.credits_posted
            back = unsaid + refunded.credits_posted
            left = deposit.credits_posted - deposit.debits_posted - deposit.debits_pending
            totals.append(
                Totals(
                    signed.credits_posted - back,
                    signed.debits_posted - back,
                    signed.debits_pending,
                    left,
                    unsaid,
                )
            )
        return totals

    def _end(self, name: str, step: str, flag: TransferFlags, amount: int | None) -> Answer:
        try:
            identifier, ceiling, attempt = parse_charge_name(name)
        except ValueError:
            return Answer(Refusal.payload)
        with self._parts.database.begin() as connection:
            channel = store.find_channel(connection, identifier)
        if channel is None:
            return Answer(Refusal.missing_channel)
        if amount == 0:
            step, flag, amount = "release", TransferFlags.void_pending, None
        ended = ending(channel, ceiling, attempt, step, flag, amount)
        failpoint("voucher.end.before")
        [result] = self._ledger.create_transfers([ended])
        failpoint("voucher.end.after")
        if not result.status.accepted:
            return Answer(why_not_ended(result.status), payer=channel.payer)
        [reserved, taken] = self._ledger.lookup_transfers([ended.pending_id, ended.id])
        assert reserved is not None
        assert taken is not None
        used = taken.amount if step == "commit" else 0
        totals = self.totals(channel)
        # What the payer believes to have been charged, and this call: it signs from there on.
        shown = ceiling - reserved.amount + used
        extra = {
            "chargedAmount": str(used),
            "channelState": state_extra(channel, totals, charged=shown),
        }
        return Answer(None, charge=name, amount=used, payer=channel.payer, extra=extra)


_STEPS = ("reserve", "commit", "release")


_ACCOUNTS_ASKED = 4


def _asked_about(known: Known) -> tuple[int, int, int, int]:
    deposit, signed, _, unsigned, refunded = known.accounts
    return deposit, signed, unsigned, refunded


def plan(known: Known, totals: Totals, calls: Sequence[Asked]) -> Plan:
    """How calls are charged to a channel that stands so, by the ledger's own word.

    One raise, from the total that stands to the highest that is asked for, and all calls above that
    base are one linked set: a call never takes room of another voucher's while its own does not
    raise. A second raise would be from a total that is only expected, and of two from such bases
    both could stand; so one is all that is asked for until it is known what became of it.
    """
    found = Plan(totals)
    plain: list[int] = []
    rising: list[int] = []
    copies: list[int] = []
    ceilings: set[int] = set()
    for index, call in enumerate(calls):
        allowed = judge(found.totals, ceiling=call.ceiling, amount=call.amount)
        if isinstance(allowed, Refusal):
            found.refusals[index] = allowed
            continue
        # A copy in the same breath would take the others down, within them or before them.
        if call.ceiling in ceilings:
            copies.append(index)
        else:
            (rising if call.ceiling > totals.signed else plain).append(index)
        ceilings.add(call.ceiling)
        found.totals = found.totals.after(allowed, call.amount)
    for index in plain:
        found.places[index] = len(found.transfers)
        found.transfers.append(_charging(known, calls[index], is_linked=False))
    if rising:
        found.raised = len(found.transfers)
        found.attempt = known.raises.get(totals.base, 0)
        rise = found.totals.signed - totals.signed
        found.transfers.append(_raising(known, totals.base, rise, found.attempt))
    for index in rising:
        found.places[index] = len(found.transfers)
        found.transfers.append(_charging(known, calls[index], is_linked=index != rising[-1]))
    for index in copies:
        found.places[index] = len(found.transfers)
        found.transfers.append(_charging(known, calls[index], is_linked=False))
    return found


def _raising(known: Known, base: int, rise: int, attempt: int) -> Transfer:
    deposit, signed, _, _, _ = known.accounts
    return Transfer(
        id=raise_id(known.channel, base, attempt),
        debit_account_id=deposit,
        credit_account_id=signed,
        amount=rise,
        unit=known.unit,
        code=int(TransferCode.channel_funded),
        flags=TransferFlags.linked,
        user_data=known.channel.number,
    )


def _charging(known: Known, call: Asked, *, is_linked: bool) -> Transfer:
    _, signed, incoming, _, _ = known.accounts
    pending = TransferFlags.pending
    return Transfer(
        id=charge_id(known.channel, call.ceiling, call.attempt),
        debit_account_id=signed,
        credit_account_id=incoming,
        amount=call.amount,
        unit=known.unit,
        code=int(TransferCode.channel_charge),
        flags=pending | TransferFlags.linked if is_linked else pending,
        timeout_seconds=call.timeout_seconds,
        user_data=known.channel.number,
    )


def ending(
    channel: EscrowChannel,
    ceiling: int,
    attempt: int,
    step: str,
    flag: TransferFlags,
    amount: int | None,
) -> Transfer:
    """The end of a charge: ``commit`` of an amount, or of all that was reserved, or ``release``."""
    whole = 0 if flag is TransferFlags.void_pending else AMOUNT_WHOLE
    return Transfer(
        id=charge_id(channel, ceiling, attempt, step),
        debit_account_id=0,
        credit_account_id=0,
        amount=whole if amount is None else amount,
        unit=0,
        code=0,
        flags=flag,
        pending_id=charge_id(channel, ceiling, attempt),
        user_data=voucher_data(ceiling, attempt),
    )


def _stands(status: CreateTransferStatus) -> bool:
    """Does a transfer of this id stand, of this body or of another?"""
    different = CreateTransferStatus.exists_with_different_flags
    return status is CreateTransferStatus.exists or (
        different <= status <= CreateTransferStatus.exists_with_different_effective_at
    )


def _is_refused(status: CreateTransferStatus) -> bool:
    """Is its id one under which nothing will ever stand?"""
    return status is not CreateTransferStatus.created and not _stands(status)


def why_not_ended(status: CreateTransferStatus) -> Refusal:
    """Why a charge was not ended, as its door is told."""
    match status:
        case CreateTransferStatus.exceeds_pending_transfer_amount:
            return Refusal.charge_exceeds
        case CreateTransferStatus.pending_transfer_not_found:
            return Refusal.missing_channel
        case _:
            return Refusal.busy
