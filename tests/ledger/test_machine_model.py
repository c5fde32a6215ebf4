"""Both machines and a naive model: the same random histories, the same answers and balances.

A few hundred histories in every run; ``make soak`` (``SAKK_SOAK``) makes ten thousand.
"""

import os
from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.ledger.bench import holds, refusals
from tests.ledger.model import Model

from sakk.ledger.group import Kind, Request
from sakk.ledger.journal import encode_group
from sakk.ledger.machine import Make, load_machine, new_machine
from sakk.ledger.record import (
    account_results,
    decode_account,
    decode_id,
    decode_transfer,
    encode_accounts,
    encode_id,
    encode_transfers,
    split,
    transfer_results,
)
from sakk.ledger.types import (
    AMOUNT_MAX,
    ID_MAX,
    Account,
    AccountFlags,
    Transfer,
    TransferFlags,
    TransferResult,
)

SECOND = 1_000_000_000
HISTORIES = 10_000 if os.environ.get("SAKK_SOAK") else 200
MOST = 2**127

account_ids = st.sampled_from([1, 2, 3, 4, 5, 6])
transfer_ids = st.integers(1, 99)
accounts = st.builds(
    Account,
    id=st.one_of(account_ids, st.sampled_from([0, ID_MAX])),
    unit=st.sampled_from([7, 7, 7, 7, 8, 0]),
    code=st.sampled_from([1, 1, 1, 0]),
    flags=st.sampled_from([0, 0, 0, 1, 2, 4, 6, 8, 16, 32]).map(AccountFlags),
    user_data=st.sampled_from([0, 0, 9]),
    timestamp=st.sampled_from([0] * 20 + [1]),
    debits_posted=st.sampled_from([0] * 20 + [1]),
)
flags = st.sampled_from(
    [0] * 8 + [1] * 4 + [2] * 6 + [3, 4, 4, 4, 4, 5, 8, 8, 8, 9, 12, 16, 17, 18, 32, 48, 66, 130]
    + [64, 6, 256, 20]
)  # fmt: skip
transfers = st.builds(
    Transfer,
    id=st.one_of(transfer_ids, transfer_ids, st.sampled_from([0, ID_MAX])),
    debit_account_id=st.one_of(account_ids, account_ids, st.sampled_from([0, ID_MAX, 77])),
    credit_account_id=st.one_of(account_ids, account_ids, st.sampled_from([0, ID_MAX, 77])),
    amount=st.one_of(
        st.integers(1, 100), st.integers(1, 100), st.sampled_from([0, AMOUNT_MAX, MOST])
    ),
    unit=st.sampled_from([7, 7, 7, 7, 8, 0]),
    code=st.sampled_from([1, 1, 1, 1, 2, 0]),
    flags=flags.map(TransferFlags),
    pending_id=st.just(0),
    timeout_seconds=st.sampled_from([0, 0, 1, 3]),
    user_data=st.sampled_from([0, 5]),
    effective_at=st.sampled_from([0] * 10 + [5, 2**63]),
    timestamp=st.sampled_from([0] * 30 + [1]),
)


def plausible(transfer: Transfer) -> Transfer:
    """Bend random fields so that most transfers get past the first few rules."""
    pending = bool(transfer.flags & TransferFlags.pending)
    if not pending and transfer.amount % 7:
        transfer = replace(transfer, timeout_seconds=0)
    if transfer.flags & (TransferFlags.post_pending | TransferFlags.void_pending):
        pending_id = transfer.amount % 100 if transfer.amount < 1000 else transfer.id
        transfer = replace(transfer, pending_id=pending_id)
        if transfer.amount % 3:
            return replace(transfer, debit_account_id=0, credit_account_id=0, unit=0, code=0)
    return transfer


class MachineAgainstModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.machine = new_machine(Make.compiled)
        self.reference = new_machine(Make.reference)
        self.model = Model()
        self.now = 1_000 * SECOND
        self.seen: list[Transfer] = []
        self.fresh = 1_000
        opening = [Account(id=i, unit=7, code=1) for i in (1, 2)]
        opening.append(
            Account(3, unit=7, code=1, flags=AccountFlags.debits_must_not_exceed_credits)
        )
        opening.append(
            Account(4, unit=7, code=1, flags=AccountFlags.credits_must_not_exceed_debits)
        )
        self.create_accounts(opening)
        self.create_transfers(
            [Transfer(100, 1, 3, 50, unit=7, code=1), Transfer(101, 4, 1, 50, unit=7, code=1)]
        )

    def create_accounts(self, batch: list[Account]) -> None:
        expired, results = self._apply(Kind.create_accounts, encode_accounts(batch), len(batch))
        assert expired == self.model.expire(self.now - len(batch))
        expected = self.model.create_accounts(batch, self.now - len(batch) + 1)
        assert account_results(results) == expected

    def create_transfers(self, batch: list[Transfer]) -> list[TransferResult]:
        expired, results = self._apply(Kind.create_transfers, encode_transfers(batch), len(batch))
        assert expired == self.model.expire(self.now - len(batch))
        expected = self.model.create_transfers(batch, self.now - len(batch) + 1)
        assert transfer_results(results) == expected
        self.seen += batch
        return expected

    def new_id(self) -> int:
        self.fresh += 1
        return self.fresh

    def _apply(self, kind: Kind, records: bytes, count: int) -> tuple[list[int], bytes]:
        self.now += count + 1
        requests = [Request(kind, records)]
        outcome = self.machine.apply(requests, self.now)
        again = self.reference.apply(requests, self.now)
        assert outcome == again
        assert encode_group(requests, outcome) == encode_group(requests, again)
        expired = [decode_id(identifier) for identifier in split(outcome.expired, 16)]
        return expired, outcome.outcomes[0].results

    @rule(batch=st.lists(accounts, min_size=1, max_size=4))
    def some_accounts(self, batch: list[Account]) -> None:
        self.create_accounts(batch)

    @rule(batch=st.lists(transfers.map(plausible), min_size=1, max_size=8))
    def some_transfers(self, batch: list[Transfer]) -> None:
        self.create_transfers(batch)

    @rule(amounts=st.lists(st.integers(1, 50), min_size=1, max_size=4), data=st.data())
    def a_good_chain(self, amounts: list[int], data: st.DataObject) -> None:
        kind = data.draw(st.sampled_from([0, 2]))
        chain = [
            Transfer(
                id=data.draw(transfer_ids),
                debit_account_id=1 + place % 2,
                credit_account_id=2 - place % 2,
                amount=amount,
                unit=7,
                code=1,
                flags=TransferFlags(kind | (place < len(amounts) - 1)),
            )
            for place, amount in enumerate(amounts)
        ]
        self.create_transfers(chain)

    @rule(
        data=st.data(),
        flag=st.sampled_from([4, 4, 8]),
        amount=st.sampled_from([0, 1, 5, 0]),
        fails=st.booleans(),
    )
    def settle_a_hold(self, data: st.DataObject, flag: int, amount: int, fails: bool) -> None:
        holds = sorted(self.model.world.holds)
        if holds:
            whole = AMOUNT_MAX if flag == 4 else 0
            transfer = Transfer(
                self.new_id(), 0, 0, amount or whole, 0, 0, TransferFlags(flag | fails),
                pending_id=data.draw(st.sampled_from(holds)),
            )  # fmt: skip
            self.create_transfers([transfer, Transfer(self.new_id(), 1, 99, 1, 7, 1)])

    @rule(
        flag=st.sampled_from([16, 17, 32, 48, 18, 34, 50]),
        amount=st.sampled_from([1, 40, AMOUNT_MAX]),
        debit=account_ids,
        credit=account_ids,
    )
    def balance(self, flag: int, amount: int, debit: int, credit: int) -> None:
        transfer = Transfer(self.new_id(), debit, credit, amount, 7, 1, TransferFlags(flag & ~1))
        self.create_transfers([transfer])

    @rule(
        identifier=st.sampled_from([3, 3, 3, 4, 4, 5, 6]),
        over=st.sampled_from([-20, -1, 0, 0, 1]),
        flag=st.sampled_from([0, 2, 2]),
        other=account_ids,
    )
    def go_near_a_limit(self, identifier: int, over: int, flag: int, other: int) -> None:
        account = self.model.world.accounts.get(identifier)
        if account is None:
            return
        room = account.credits_posted - account.debits_posted - account.debits_pending
        debit, credit = identifier, other
        if account.flags & AccountFlags.credits_must_not_exceed_debits:
            room = account.debits_posted - account.credits_posted - account.credits_pending
            debit, credit = other, identifier
        amount = max(0, min(room + over, AMOUNT_MAX))
        transfer = Transfer(self.new_id(), debit, credit, amount, 7, 1, TransferFlags(flag))
        self.create_transfers([transfer])

    @rule(data=st.data(), length=st.integers(1, 5))
    def repeat(self, data: st.DataObject, length: int) -> None:
        if self.seen:
            start = data.draw(st.integers(0, len(self.seen) - 1))
            self.create_transfers(self.seen[start : start + length])

    @rule(data=st.data())
    def repeat_with_another_body(self, data: st.DataObject) -> None:
        if self.seen:
            transfer = data.draw(st.sampled_from(self.seen))
            name = data.draw(st.sampled_from(["amount", "code", "user_data", "effective_at"]))
            self.create_transfers([replace(transfer, **{name: getattr(transfer, name) ^ 1})])

    @rule(seconds=st.integers(1, 4))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @rule(crossed=st.booleans())
    def restart_from_a_snapshot(self, crossed: bool) -> None:
        """Either machine's state makes either machine."""
        ours, theirs = (b"".join(machine.dump()) for machine in (self.machine, self.reference))
        if crossed:
            ours, theirs = theirs, ours
        self.machine = load_machine(ours, Make.compiled)
        self.reference = load_machine(theirs, Make.reference)

    @invariant()
    def the_machines_are_equal(self) -> None:
        assert self.machine.dump() == self.reference.dump()
        assert self.machine.next_expiry() == self.reference.next_expiry()

    @invariant()
    def the_books_are_equal(self) -> None:
        world, refused = self.model.world, self.model.refused
        accounts = list(self.machine.account_records())
        assert {decode_id(r[:16]): decode_account(r) for r in accounts} == world.accounts
        assert list(self.reference.account_records()) == accounts
        moved = list(self.machine.transfer_records())
        assert {decode_id(r[:16]): decode_transfer(r) for r in moved} == world.transfers
        assert list(self.reference.transfer_records()) == moved
        assert {i: hold.name for i, hold in holds(self.machine).items()} == world.holds
        assert refusals(self.machine) == {i: status for i, (status, *_) in refused.items()}
        assert not world.transfers.keys() & refused.keys()
        for machine in (self.machine, self.reference):
            for identifier, (status, _, timestamp) in refused.items():
                assert machine.lookup_result(encode_id(identifier)) == (status, timestamp)

    @invariant()
    def lookups_are_equal(self) -> None:
        known = [*self.model.world.accounts, *self.model.world.transfers, *self.model.refused]
        ids = b"".join([encode_id(identifier) for identifier in (*known, 0, 98_765)])
        ours, theirs = self.machine, self.reference
        assert ours.lookup_accounts(ids) == theirs.lookup_accounts(ids)
        assert ours.lookup_transfers(ids) == theirs.lookup_transfers(ids)
        assert ours.lookup_results(ids) == theirs.lookup_results(ids)
        assert ours.transfer_count == theirs.transfer_count == len(self.model.world.transfers)
        assert ours.account_count == theirs.account_count == len(self.model.world.accounts)

    @invariant()
    def the_books_balance(self) -> None:
        for unit in (7, 8):
            mine = [a for a in self.model.world.accounts.values() if a.unit == unit]
            assert sum(a.debits_posted - a.credits_posted for a in mine) == 0
            assert sum(a.debits_pending - a.credits_pending for a in mine) == 0
        for account in map(decode_account, self.machine.account_records()):
            totals = (
                account.debits_pending + account.debits_posted,
                account.credits_pending + account.credits_posted,
            )
            assert all(0 <= total <= AMOUNT_MAX for total in totals)
            if account.flags & AccountFlags.debits_must_not_exceed_credits:
                assert totals[0] <= account.credits_posted
            if account.flags & AccountFlags.credits_must_not_exceed_debits:
                assert totals[1] <= account.debits_posted


TestMachineAgainstModel = MachineAgainstModel.TestCase
TestMachineAgainstModel.settings = settings(
    max_examples=HISTORIES,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
