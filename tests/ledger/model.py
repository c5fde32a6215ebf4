"""A naive ledger, written from the documentation and from nothing of the machine.

It keeps whole objects, copies everything before a chain, and checks one rule after the other. Slow
and plain on purpose: the machine is held against it.
"""

import copy
from dataclasses import dataclass, field, replace
from typing import TypeVar

from sakk.ledger.types import (
    Account,
    AccountFlags,
    AccountResult,
    CreateAccountStatus,
    CreateTransferStatus,
    Transfer,
    TransferFlags,
    TransferResult,
)

BIG = 2**128
F = TransferFlags
S = CreateTransferStatus
A = CreateAccountStatus
T = TypeVar("T")


@dataclass
class World:
    """Everything that a chain may change."""

    accounts: dict[int, Account] = field(default_factory=dict)
    asked_accounts: dict[int, Account] = field(default_factory=dict)
    transfers: dict[int, Transfer] = field(default_factory=dict)
    asked: dict[int, Transfer] = field(default_factory=dict)
    holds: dict[int, str] = field(default_factory=dict)


class Model:
    """Answers what the machine must answer."""

    def __init__(self) -> None:
        self.world = World()
        self.refused: dict[int, tuple[S, Transfer, int]] = {}

    def expire(self, now: int) -> list[int]:
        due = []
        for identifier, state in self.world.holds.items():
            hold = self.world.transfers[identifier]
            if state == "open" and hold.timeout_seconds and _ends(hold) <= now:
                due.append((_ends(hold), hold.timestamp, identifier))
        for _, _, identifier in sorted(due):
            self.world.holds[identifier] = "expired"
            self._release(self.world.transfers[identifier])
        return [identifier for _, _, identifier in sorted(due)]

    # Accounts

    def create_accounts(self, batch: list[Account], first: int) -> list[AccountResult]:
        results: list[AccountResult] = []
        for chain in _cut(batch, [bool(a.flags & AccountFlags.linked) for a in batch]):
            before = copy.deepcopy(self.world)
            chain_results: list[AccountResult] = []
            fine = True
            for number, account in chain:
                now = first + number
                status = self._account_status(account, before, now)
                if status == A.exists:
                    now = before.accounts[account.id].timestamp
                elif not fine:
                    status = A.linked_event_failed
                elif number == len(batch) - 1 and account.flags & AccountFlags.linked:
                    status = A.linked_event_chain_open
                if status > A.exists:
                    fine = False
                if status == A.created:
                    self.world.accounts[account.id] = replace(account, timestamp=now)
                    self.world.asked_accounts[account.id] = account
                chain_results.append(AccountResult(status, now))
            kinds = {result.status for result in chain_results}
            if not fine or {A.created, A.exists} <= kinds:
                self.world = before
                chain_results = [
                    replace(result, status=A.linked_event_failed)
                    if result.status == A.created
                    else result
                    for result in chain_results
                ]
            results += chain_results
        return results

    def _account_status(self, account: Account, before: World, now: int) -> A:
        if account.timestamp:
            return A.timestamp_must_be_zero
        if account.flags & ~0b101111:
            return A.reserved_flag
        if account.id == 0:
            return A.id_must_not_be_zero
        if account.id == BIG - 1:
            return A.id_must_not_be_int_max
        if account.id in self.world.accounts:
            if account.id not in before.accounts:
                return A.id_repeated_in_chain
            there = self.world.asked_accounts[account.id]
            for name in ("flags", "user_data", "unit", "code"):
                if getattr(account, name) != getattr(there, name):
                    return CreateAccountStatus[f"exists_with_different_{name}"]
            return A.exists
        limits = (
            AccountFlags.debits_must_not_exceed_credits
            | AccountFlags.credits_must_not_exceed_debits
        )
        if account.flags & limits == limits:
            return A.flags_are_mutually_exclusive
        for name in ("debits_pending", "debits_posted", "credits_pending", "credits_posted"):
            if getattr(account, name):
                return CreateAccountStatus[f"{name}_must_be_zero"]
        for name in ("unit", "code"):
            if not getattr(account, name):
                return CreateAccountStatus[f"{name}_must_not_be_zero"]
        return A.created

    # Transfers

    def create_transfers(self, batch: list[Transfer], first: int) -> list[TransferResult]:
        results: list[TransferResult] = []
        for chain in _cut(batch, [bool(t.flags & F.linked) for t in batch]):
            results += self._chain(batch, chain, first)
        return results

    def _chain(
        self, batch: list[Transfer], chain: list[tuple[int, Transfer]], first: int
    ) -> list[TransferResult]:
        before = copy.deepcopy(self.world)
        results: list[TransferResult] = []
        new: list[tuple[int, Transfer]] = []
        fine = True
        for number, transfer in chain:
            now = first + number
            malformed = _malformed(transfer)
            known = None if malformed else self._known(transfer, before)
            if known:
                results.append(known)
            else:
                if not fine:
                    status = S.linked_event_failed
                elif number == len(batch) - 1 and transfer.flags & F.linked:
                    status = S.linked_event_chain_open
                elif malformed:
                    status = malformed
                else:
                    status = self._create(transfer, before, now)
                results.append(TransferResult(status, now))
                if not malformed:
                    new.append((len(results) - 1, transfer))
            fine = fine and results[-1].status <= S.exists
        kinds = {result.status for result in results}
        if not fine or {S.created, S.exists} <= kinds:
            self.world = before
            for place, transfer in new:
                if results[place].status == S.created:
                    results[place] = replace(results[place], status=S.linked_event_failed)
                result = results[place]
                self.refused[transfer.id] = (result.status, transfer, result.timestamp)
        return results

    def _known(self, transfer: Transfer, before: World) -> TransferResult | None:
        if transfer.id in self.refused:
            status, body, timestamp = self.refused[transfer.id]
            return TransferResult(status if body == transfer else S.id_already_failed, timestamp)
        if transfer.id not in before.transfers:
            return None
        timestamp = before.transfers[transfer.id].timestamp
        for name in (
            "flags", "pending_id", "timeout_seconds", "debit_account_id", "credit_account_id",
            "amount", "user_data", "unit", "code", "effective_at",
        ):  # fmt: skip
            if getattr(transfer, name) != getattr(before.asked[transfer.id], name):
                return TransferResult(
                    CreateTransferStatus[f"exists_with_different_{name}"], timestamp
                )
        return TransferResult(S.exists, timestamp)

    def _create(self, t: Transfer, before: World, now: int) -> S:
        if t.id in self.world.transfers:
            return S.id_repeated_in_chain
        alone = (F.post_pending, F.void_pending)
        others = (
            F.pending | F.balancing_debit | F.balancing_credit | F.closing_debit | F.closing_credit
        )
        if all(t.flags & flag for flag in alone):
            return S.flags_are_mutually_exclusive
        if any(t.flags & flag for flag in alone):
            if t.flags & others:
                return S.flags_are_mutually_exclusive
            return self._settle(t, now)
        return self._move(t, now)

    def _move(self, t: Transfer, now: int) -> S:
        closing = bool(t.flags & (F.closing_debit | F.closing_credit))
        accounts = self.world.accounts
        if t.debit_account_id == 0:
            return S.debit_account_id_must_not_be_zero
        if t.debit_account_id == BIG - 1:
            return S.debit_account_id_must_not_be_int_max
        if t.credit_account_id == 0:
            return S.credit_account_id_must_not_be_zero
        if t.credit_account_id == BIG - 1:
            return S.credit_account_id_must_not_be_int_max
        if t.debit_account_id == t.credit_account_id:
            return S.accounts_must_be_different
        if t.pending_id:
            return S.pending_id_must_be_zero
        if t.timeout_seconds and not t.flags & F.pending:
            return S.timeout_reserved_for_pending_transfer
        if closing and not t.flags & F.pending:
            return S.closing_transfer_must_be_pending
        if t.amount == 0 and not closing:
            return S.amount_must_not_be_zero
        if t.unit == 0:
            return S.unit_must_not_be_zero
        if t.code == 0:
            return S.code_must_not_be_zero
        if t.effective_at >= 2**63:
            return S.effective_at_out_of_range
        if t.debit_account_id not in accounts:
            return S.debit_account_not_found
        if t.credit_account_id not in accounts:
            return S.credit_account_not_found
        debit, credit = accounts[t.debit_account_id], accounts[t.credit_account_id]
        if debit.unit != credit.unit:
            return S.accounts_must_have_the_same_unit
        if t.unit != debit.unit:
            return S.transfer_must_have_the_same_unit_as_accounts
        if debit.flags & AccountFlags.frozen:
            return S.debit_account_frozen
        if credit.flags & AccountFlags.frozen:
            return S.credit_account_frozen
        amount = t.amount
        lacking: S | None = None
        if t.flags & F.balancing_debit:
            room = debit.credits_posted - debit.debits_posted - debit.debits_pending
            if room <= 0:
                lacking = S.exceeds_credits
            amount = max(0, min(amount, room))
        if t.flags & F.balancing_credit:
            room = credit.debits_posted - credit.credits_posted - credit.credits_pending
            if room <= 0:
                lacking = lacking or S.exceeds_debits
            amount = max(0, min(amount, room))
        return self._book(t, now, debit, credit, amount, lacking if t.amount else None)

    def _book(
        self, t: Transfer, now: int, debit: Account, credit: Account, amount: int, lacking: S | None
    ) -> S:
        if t.flags & F.pending:
            if debit.debits_pending + amount >= BIG:
                return S.overflows_debits_pending
            if credit.credits_pending + amount >= BIG:
                return S.overflows_credits_pending
        if debit.debits_posted + amount >= BIG:
            return S.overflows_debits_posted
        if credit.credits_posted + amount >= BIG:
            return S.overflows_credits_posted
        if debit.debits_pending + debit.debits_posted + amount >= BIG:
            return S.overflows_debits
        if credit.credits_pending + credit.credits_posted + amount >= BIG:
            return S.overflows_credits
        if now + t.timeout_seconds * 10**9 >= 2**63:
            return S.overflows_timeout
        if (
            debit.flags & AccountFlags.debits_must_not_exceed_credits
            and debit.debits_pending + debit.debits_posted + amount > debit.credits_posted
        ):
            return S.exceeds_credits
        if (
            credit.flags & AccountFlags.credits_must_not_exceed_debits
            and credit.credits_pending + credit.credits_posted + amount > credit.debits_posted
        ):
            return S.exceeds_debits
        if lacking:
            return lacking
        if t.flags & F.pending:
            self._change(t.debit_account_id, debits_pending=amount)
            self._change(t.credit_account_id, credits_pending=amount)
            self.world.holds[t.id] = "open"
        else:
            self._change(t.debit_account_id, debits_posted=amount)
            self._change(t.credit_account_id, credits_posted=amount)
        if t.flags & F.closing_debit:
            self._freeze(t.debit_account_id, on=True)
        if t.flags & F.closing_credit:
            self._freeze(t.credit_account_id, on=True)
        self.world.asked[t.id] = t
        self.world.transfers[t.id] = replace(t, amount=amount, timestamp=now)
        return S.created

    def _settle(self, t: Transfer, now: int) -> S:
        is_post = bool(t.flags & F.post_pending)
        if t.pending_id == 0:
            return S.pending_id_must_not_be_zero
        if t.pending_id == BIG - 1:
            return S.pending_id_must_not_be_int_max
        if t.pending_id == t.id:
            return S.pending_id_must_be_different
        if t.timeout_seconds:
            return S.timeout_reserved_for_pending_transfer
        if is_post and t.amount == 0:
            return S.amount_must_not_be_zero
        if t.effective_at >= 2**63:
            return S.effective_at_out_of_range
        hold = self.world.transfers.get(t.pending_id)
        if hold is None:
            return S.pending_transfer_not_found
        if t.pending_id not in self.world.holds:
            return S.pending_transfer_not_pending
        for name in ("debit_account_id", "credit_account_id", "unit", "code"):
            if getattr(t, name) and getattr(t, name) != getattr(hold, name):
                return CreateTransferStatus[f"pending_transfer_has_different_{name}"]
        whole = t.amount == (BIG - 1 if is_post else 0)
        amount = hold.amount if whole else t.amount
        if amount > hold.amount:
            return S.exceeds_pending_transfer_amount
        if not is_post and amount != hold.amount:
            return S.pending_transfer_has_different_amount
        state = self.world.holds[t.pending_id]
        if state in ("posted", "voided"):
            return CreateTransferStatus[f"pending_transfer_already_{state}"]
        if state == "expired" or (hold.timeout_seconds and _ends(hold) <= now):
            return S.pending_transfer_expired
        if is_post:
            for side in ("debit", "credit"):
                account = self.world.accounts[getattr(hold, f"{side}_account_id")]
                if account.flags & AccountFlags.frozen:
                    return CreateTransferStatus[f"{side}_account_frozen"]
        self._release(hold)
        if is_post:
            self._change(hold.debit_account_id, debits_posted=amount)
            self._change(hold.credit_account_id, credits_posted=amount)
        self.world.holds[t.pending_id] = "posted" if is_post else "voided"
        self.world.asked[t.id] = t
        self.world.transfers[t.id] = replace(
            t,
            debit_account_id=hold.debit_account_id,
            credit_account_id=hold.credit_account_id,
            unit=hold.unit,
            code=hold.code,
            user_data=t.user_data or hold.user_data,
            amount=amount,
            timestamp=now,
        )
        return S.created

    def _release(self, hold: Transfer) -> None:
        self._change(hold.debit_account_id, debits_pending=-hold.amount)
        self._change(hold.credit_account_id, credits_pending=-hold.amount)
        if hold.flags & F.closing_debit:
            self._freeze(hold.debit_account_id, on=False)
        if hold.flags & F.closing_credit:
            self._freeze(hold.credit_account_id, on=False)

    def _change(self, identifier: int, **by: int) -> None:
        account = self.world.accounts[identifier]
        totals = {name: getattr(account, name) + amount for name, amount in by.items()}
        self.world.accounts[identifier] = replace(account, **totals)

    def _freeze(self, identifier: int, *, on: bool) -> None:
        account = self.world.accounts[identifier]
        flags = account.flags | AccountFlags.frozen if on else account.flags & ~AccountFlags.frozen
        self.world.accounts[identifier] = replace(account, flags=flags)


def _malformed(t: Transfer) -> S | None:
    if t.timestamp:
        return S.timestamp_must_be_zero
    if t.flags >= 256:
        return S.reserved_flag
    if t.id == 0:
        return S.id_must_not_be_zero
    return S.id_must_not_be_int_max if t.id == BIG - 1 else None


def _ends(hold: Transfer) -> int:
    return hold.timestamp + hold.timeout_seconds * 10**9


def _cut(batch: list[T], linked: list[bool]) -> list[list[tuple[int, T]]]:
    chains: list[list[tuple[int, T]]] = [[]]
    for number, event in enumerate(batch):
        chains[-1].append((number, event))
        if not linked[number]:
            chains.append([])
    return [chain for chain in chains if chain]
