"""Random histories of payouts on a real chain, against a model that knows only money.

The model does not know the stages. It knows what was asked for, what was called off, and that
nothing else gives money back: at every step no beneficiary has more than was meant for it, nobody
whose payout was called off has anything, and the balance is what the asked amounts leave. In the
end everything that was asked for has arrived or is back, once.

A few histories in every run; ``make soak`` makes hundreds.
"""

import os
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.flow.conftest import MakeWorld
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import fund_treasury, let_pass, send_rpc, units_at

from sakk.core.errors import BalanceInsufficient, UnexpectedState
from sakk.core.payout import PayoutStatus
from sakk.flow import payout as flow
from sakk.store import failpoint
from sakk.store.identity import new_id
from sakk.store.lease_length import LEASE_SECONDS_DEFAULT

HISTORIES = 300 if "SAKK_SOAK" in os.environ else 6
STEPS = 40 if "SAKK_SOAK" in os.environ else 14
CREDIT = 100
STAGES = (
    "payout.screen",
    "payout.decide",
    "payout.build",
    "transaction.sign",
    "transaction.broadcast",
    "transaction.confirm",
    "transaction.settle",
    "payout.release",
)
CRASHES = (
    "payout.release.before",
    "payout.release.after",
    "transaction.build.before",
    "transaction.build.after",
    "transaction.sign.before",
    "transaction.sign.after",
    "transaction.broadcast.before",
    "transaction.broadcast.after",
    "transaction.confirm.before",
    "transaction.confirm.after",
    "transaction.settle.before",
    "transaction.settle.after",
)
ENDED = {
    PayoutStatus.posted,
    PayoutStatus.rejected,
    PayoutStatus.canceled,
    PayoutStatus.failed,
}


class Crash(BaseException):
    """The end of a thread between two lines: no handler gives back what it had leased."""


@dataclass
class Asked:
    """What the model knows of one payout."""

    identifier: str
    amount: int
    address: str
    called_off: bool = False


class Payouts(RuleBasedStateMachine):
    """One history: an account with a balance, and all that can befall its payouts."""

    world: ClassVar[World]
    monkeypatch: ClassVar[pytest.MonkeyPatch]
    addresses: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Asked] = []
        self.account = ""
        self.first = 0
        self.was_paused = False
        self.is_paused = False

    @initialize()
    def begin(self) -> None:
        world = self.world
        self.account = world.merchant()
        world.pay(world.intent(CREDIT * 100, account=self.account))
        world.finalize()
        self.first = world.chain.height()

    @rule(whole=st.integers(min_value=1, max_value=60), loses_answer=st.booleans())
    def ask(self, whole: int, loses_answer: bool) -> None:
        """Ask for a payout, to an address that nobody else is paid at; perhaps once more."""
        Payouts.addresses += 1
        asked = Asked(new_id("po"), whole * WHOLE_TOKEN, f"0x{0xB00000 + self.addresses:040x}")
        try:
            if loses_answer:
                self.crashing("payout.hold.after", lambda: self.request(asked))
            self.request(asked)
        except BalanceInsufficient:
            assert asked.amount > self.least()
            return
        assert asked.amount <= self.most()
        self.asked.append(asked)

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def ask_again(self, data: st.DataObject) -> None:
        """The same request under the same identifier is the same payout."""
        asked = data.draw(st.sampled_from(self.asked))
        assert self.request(asked).id == asked.identifier

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """What may still be called off gives its money back; what may not goes on."""
        asked = data.draw(st.sampled_from(self.asked))
        try:
            flow.cancel(self.world.parts, asked.identifier, account_id=self.account, livemode=False)
        except UnexpectedState:
            return
        assert not asked.called_off
        asked.called_off = True

    @rule(stages=st.lists(st.sampled_from(STAGES), min_size=1, max_size=4))
    def some_stages(self, stages: list[str]) -> None:
        self.world.run_only(*stages)

    @rule()
    def all_stages(self) -> None:
        self.world.run()

    @rule(place=st.sampled_from(CRASHES), passing=st.integers(min_value=1, max_value=3))
    def crash(self, place: str, passing: int) -> None:
        """A worker dies between two lines; another takes over when its leases have run out."""
        self.crashing(place, self.world.run, passing)
        self.world.advance(timedelta(seconds=LEASE_SECONDS_DEFAULT + 1))

    @rule(blocks=st.integers(min_value=1, max_value=4))
    def mine(self, blocks: int) -> None:
        self.world.mine(blocks)
        self.world.run()

    @rule(depth=st.integers(min_value=1, max_value=4))
    def reorganise(self, depth: int) -> None:
        """The last blocks are replaced by empty ones; what was in them is known to nobody."""
        depth = min(depth, self.world.chain.height() - self.first)
        if depth:
            self.world.chain.reorg(depth)
            self.world.run()

    @rule()
    def drop(self) -> None:
        """The node forgets what waits."""
        send_rpc(self.world, "anvil_dropAllTransactions")

    @rule(seconds=st.sampled_from((1, 6, 60)))
    def wait(self, seconds: int) -> None:
        let_pass(self.world, seconds)

    @rule()
    def pause(self) -> None:
        """The issuer stops the token, or lets it go on."""
        self.is_paused = not self.is_paused
        self.was_paused = True
        self.govern("pause()" if self.is_paused else "unpause()")

    @invariant()
    def nobody_is_paid_twice_or_after_all(self) -> None:
        for asked in self.asked:
            arrived = units_at(self.world, asked.address)
            assert arrived in ((0,) if asked.called_off else (0, asked.amount)), asked

    @invariant()
    def the_balance_is_what_was_not_asked_for(self) -> None:
        if self.account:
            assert self.least() <= self.world.balance(account=self.account) <= self.most()

    def teardown(self) -> None:
        """Honest weather: everything comes to its end, and the books agree with the chain."""
        if not self.account:
            return
        world = self.world
        if self.is_paused:
            self.govern("unpause()")
        for _ in range(4):
            let_pass(world, 2 * LEASE_SECONDS_DEFAULT)
            world.finalize()
        rows = {row.id: row for row in world.payouts() if row.account_id == self.account}
        assert set(rows) >= {asked.identifier for asked in self.asked}
        returned = 0
        for asked in self.asked:
            status = PayoutStatus(rows[asked.identifier].status)
            arrived = units_at(world, asked.address)
            assert status in ENDED, asked
            assert arrived == (asked.amount if status is PayoutStatus.posted else 0), asked
            if asked.called_off:
                assert status is PayoutStatus.canceled
            elif not self.was_paused:
                assert status is PayoutStatus.posted
            returned += 0 if status is PayoutStatus.posted else asked.amount
        total = sum(asked.amount for asked in self.asked)
        assert world.balance(account=self.account) == CREDIT * WHOLE_TOKEN - total + returned
        world.reconcile()

    def request(self, asked: Asked) -> Any:
        return self.world.payout(
            asked.amount,
            address=asked.address,
            account=self.account,
            identifier=asked.identifier,
        )

    def least(self) -> int:
        """The balance if nothing that was called off is back yet, nor anything that failed."""
        return CREDIT * WHOLE_TOKEN - sum(each.amount for each in self.asked)

    def most(self) -> int:
        """The balance if everything is back that can be."""
        if self.was_paused:
            return CREDIT * WHOLE_TOKEN
        return CREDIT * WHOLE_TOKEN - sum(each.amount for each in self.asked if not each.called_off)

    def govern(self, call: str) -> None:
        self.world.chain.issuer.call_contract(self.world.contract("usdc"), call)
        self.world.mine()

    def crashing(self, place: str, work: Any, passing: int = 1) -> None:
        """Do something and die at a place, if it comes by there."""

        def die(_process: int, _signal: int) -> None:
            raise Crash

        with self.monkeypatch.context() as patch:
            patch.setattr(failpoint, "_is_off", False)
            patch.setattr(failpoint, "_armed", {place: passing})
            patch.setattr(failpoint, "_passed", Counter())
            patch.setattr(os, "kill", die)
            try:
                work()
            except Crash:
                return


def test_payouts_follow_the_model(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    Payouts.world = make_world()
    Payouts.monkeypatch = monkeypatch
    fund_treasury(Payouts.world, 10_000)
    run_state_machine_as_test(
        Payouts,
        settings=settings(
            max_examples=HISTORIES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    Payouts.world.check()
