"""Random histories of payouts on a real chain, against a model that knows only money.

The model does not know the stages. It knows what was asked for, alone, in batches and for later,
what was called off, whom an issuer denied, what the signer refuses and when all is frozen; and that
nothing else gives money back: at every step no beneficiary has more than was meant for it, nobody
whose payout was called off, or whose line was left out, has anything, nothing goes before its time,
nothing is signed while all is frozen, and the balance is what the asked amounts leave. In the end
everything that was asked for has arrived or is back, once.

A few histories in every run; ``make soak`` makes hundreds.
"""

import os
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

import msgspec
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
from tests.flow.test_freeze import freeze, lift
from tests.screening.conftest import enact

from sakk.core import payout_batch as batch_rules
from sakk.core.beneficiary import Wanted
from sakk.core.errors import BalanceInsufficient, UnexpectedState
from sakk.core.payout import HoldStatus, PayoutRequest, PayoutStatus
from sakk.flow import payout as flow
from sakk.flow import payout_batch as batches
from sakk.signing.policy import load_policy, write_policy
from sakk.store import failpoint
from sakk.store.identity import new_id
from sakk.store.lease_length import LEASE_SECONDS_DEFAULT

HISTORIES = 300 if "SAKK_SOAK" in os.environ else 6
STEPS = 40 if "SAKK_SOAK" in os.environ else 14
CREDIT = 100
# A payout that is parked is tried with others and alone, for longer each time.
ROUNDS_MAX = 16
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
    "disperse.build.before",
    "disperse.build.after",
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
    # Not before then, and not to whom the issuer denies it.
    due: datetime | None = None
    is_denied: bool = False


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
        self.was_refused = False
        self.left_out: list[str] = []
        self.signed_when_frozen: set[str] | None = None

    @initialize()
    def begin(self) -> None:
        world = self.world
        self.account = world.merchant()
        world.pay(world.intent(CREDIT * 100, account=self.account))
        world.finalize()
        self.first = world.chain.height()

    @rule(
        whole=st.integers(min_value=1, max_value=60),
        loses_answer=st.booleans(),
        later=st.sampled_from((None, None, 90)),
    )
    def ask(self, whole: int, loses_answer: bool, later: int | None) -> None:
        """Ask for a payout, to an address that nobody else is paid at; perhaps once more."""
        due = None if later is None else self.world.clock() + timedelta(seconds=later)
        asked = Asked(new_id("po"), whole * WHOLE_TOKEN, self.payee(), due=due)
        try:
            if loses_answer:
                self.crashing("payout.hold.after", lambda: self.request(asked))
            self.request(asked)
        except BalanceInsufficient:
            assert asked.amount > self.least()
            return
        assert asked.amount <= self.most()
        self.asked.append(asked)

    @rule(
        wholes=st.lists(st.integers(min_value=1, max_value=20), min_size=2, max_size=4),
        wrong=st.booleans(),
        crashes=st.booleans(),
    )
    def ask_for_many(self, wholes: list[int], wrong: bool, crashes: bool) -> None:
        """A batch, of which one line may be wrong and is left out; each line is its own."""
        batch = new_id(batch_rules.PREFIX)
        meant = [
            Asked(batch_rules.line_id(batch, line), whole * WHOLE_TOKEN, self.payee())
            for line, whole in enumerate(wholes, 1)
        ]
        lines = [
            batch_rules.Line(line, self.wanted(each), allow_duplicate=True)
            for line, each in enumerate(meant, 1)
        ]
        if wrong:
            last = lines.pop()
            lines.append(replace(last, request=replace(last.request, currency="eur")))
            self.left_out.append(meant.pop().address)

        def make() -> list[batch_rules.Total]:
            _, totals = batches.create(
                self.world.parts,
                batches.BatchRequest(lines=lines, on_invalid=batch_rules.OnInvalid.skip),
                identifier=batch,
                account_id=self.account,
                livemode=False,
            )
            return totals

        if crashes:
            self.crashing("payout_batch.hold.after", make)
        rejected = sum(each.count for each in make() if each.status == PayoutStatus.rejected)
        # What the balance does not cover ends alone, and nothing of it was held.
        rows = {row.id: row for row in self.world.payouts() if row.batch == batch}
        held = [each for each in meant if rows[each.identifier].hold != HoldStatus.refused]
        assert len(meant) - len(held) == rejected
        self.left_out += [each.address for each in meant if each not in held]
        self.asked += held

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

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def deny(self, data: st.DataObject) -> None:
        """The issuer denies a beneficiary: with others it is parked, and it ends alone."""
        asked = data.draw(st.sampled_from(self.asked))
        asked.is_denied = True
        self.govern("blacklist(address)", asked.address)

    @rule(whole=st.sampled_from((15, 10_000)))
    def refuse(self, whole: int) -> None:
        """The signer's file lets less go, or all again."""
        self.was_refused = self.was_refused or whole < CREDIT
        path = self.world.directory / "policy.toml"
        policy, _ = load_policy(path)
        most = str(whole * WHOLE_TOKEN)
        assets = [
            msgspec.structs.replace(each, per_transaction_max=most)
            if each.asset == self.world.asset("usdc")
            else each
            for each in policy.assets
        ]
        write_policy(path, msgspec.structs.replace(policy, assets=tuple(assets)))

    @rule()
    def freeze(self) -> None:
        """Everything stops, or goes on."""
        if self.signed_when_frozen is None:
            freeze(self.world)
            self.signed_when_frozen = self.signed()
            return
        lift(self.world)
        self.signed_when_frozen = None

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
            assert not arrived or asked.due is None or asked.due <= self.world.clock(), asked
        for address in self.left_out:
            assert units_at(self.world, address) == 0

    @invariant()
    def nothing_is_signed_while_all_is_frozen(self) -> None:
        if self.signed_when_frozen is not None:
            assert self.signed() == self.signed_when_frozen

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
        if self.signed_when_frozen is not None:
            lift(world)
        world.advance(timedelta(seconds=90))
        for _ in range(ROUNDS_MAX):
            let_pass(world, 2 * LEASE_SECONDS_DEFAULT)
            world.finalize()
            rows = {row.id: row for row in world.payouts() if row.account_id == self.account}
            if all(row.status in ENDED and row.hold != HoldStatus.held for row in rows.values()):
                break
        assert set(rows) >= {asked.identifier for asked in self.asked}
        returned = 0
        for asked in self.asked:
            status = PayoutStatus(rows[asked.identifier].status)
            arrived = units_at(world, asked.address)
            assert status in ENDED, asked
            assert arrived == (asked.amount if status is PayoutStatus.posted else 0), asked
            if asked.called_off:
                assert status is PayoutStatus.canceled
            elif not (self.was_paused or self.was_refused or asked.is_denied):
                assert status is PayoutStatus.posted, asked
            returned += 0 if status is PayoutStatus.posted else asked.amount
        total = sum(asked.amount for asked in self.asked)
        assert world.balance(account=self.account) == CREDIT * WHOLE_TOKEN - total + returned
        world.reconcile()

    def request(self, asked: Asked) -> Any:
        steps = flow.create(
            self.world.parts,
            replace(self.wanted(asked), scheduled_at=asked.due),
            identifier=asked.identifier,
            account_id=self.account,
            livemode=False,
        )
        return steps.run(self.world.database)

    def wanted(self, asked: Asked) -> PayoutRequest:
        place = Wanted(network=self.world.chain.network, address=asked.address)
        return PayoutRequest(asked.amount, "usdc", place)

    def payee(self) -> str:
        Payouts.addresses += 1
        return f"0x{0xB00000 + self.addresses:040x}"

    def signed(self) -> set[str]:
        return {each.id for each in self.world.transactions() if each.hash is not None}

    def least(self) -> int:
        """The balance if nothing that was called off is back yet, nor anything that failed."""
        return CREDIT * WHOLE_TOKEN - sum(each.amount for each in self.asked)

    def most(self) -> int:
        """The balance if everything is back that can be."""
        if self.was_paused or self.was_refused or any(each.is_denied for each in self.asked):
            return CREDIT * WHOLE_TOKEN
        return CREDIT * WHOLE_TOKEN - sum(each.amount for each in self.asked if not each.called_off)

    def govern(self, call: str, *arguments: str) -> None:
        self.world.chain.issuer.call_contract(self.world.contract("usdc"), call, *arguments)
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
    Payouts.world = make_world(disperse_min=2)
    # An issuer's word is not screened here: what it stops is stopped by the token.
    enact(Payouts.world.database)
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
