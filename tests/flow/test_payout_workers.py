"""Two workers on every stage of a payout, and leases that run out during a call: one payment."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from tests.flow.harness import World
from tests.flow.money import (
    BENEFICIARY,
    hold_total,
    judge,
    let_pass,
    nonce_at,
    payout_now,
    rich,
    units_at,
)
from tests.flow.wiring import WHOLE_TOKEN

from sakk.flow.broadcast import broadcast_stage
from sakk.flow.confirm import confirm_stage
from sakk.flow.context import Parts
from sakk.flow.hold import release_stage
from sakk.flow.payout_build import payout_build_stage
from sakk.flow.settle import settle_stage
from sakk.flow.sign import sign_stage
from sakk.flow.stage import Stage
from sakk.store.lease_length import lease_length

PAID = WHOLE_TOKEN
TOLD = [
    "payout.created",
    "payout.approved",
    "payout.signed",
    "payout.broadcast",
    "payout.confirmed",
    "payout.posted",
]


def check_one_transaction_each(world: World, count: int) -> None:
    sent = [row for row in world.transactions() if row.status != "refused"]
    assert len(sent) == count == len({row.subject for row in sent})
    nonces = sorted(row.nonce for row in sent)
    assert nonces == list(range(nonces[0], nonces[0] + count))
    assert nonce_at(world, world.treasury) == nonces[-1] + 1


def test_thirty_in_a_row(world: World) -> None:
    rich(world, 100)
    rows = [world.payout(PAID, address=BENEFICIARY) for _ in range(30)]
    for _ in range(6):
        let_pass(world, 1)
        world.mine()
    world.finalize()
    assert {payout_now(world, row).status for row in rows} == {"posted"}
    check_one_transaction_each(world, 30)
    assert units_at(world, BENEFICIARY) == 30 * PAID
    assert (world.balance(), hold_total(world)) == (70 * WHOLE_TOKEN, 0)
    for row in rows:
        assert world.event_types(about=row.id) == TOLD
    world.check()


def test_two_workers_on_every_stage(world: World) -> None:
    rich(world, 100)
    rows = [world.payout(PAID, address=BENEFICIARY) for _ in range(12)]
    names = [name for name in world.stages if name.startswith(("payout.", "transaction."))]
    for _ in range(15):
        with ThreadPoolExecutor(2) as pool:
            for name in names:
                together = threading.Barrier(2)

                def run(stage: Stage, at_once: threading.Barrier) -> int:
                    at_once.wait()
                    return stage.run()

                both = [pool.submit(run, world.stages[name], together) for _ in range(2)]
                for each in both:
                    each.result()
        world.mine()
        world.advance(timedelta(seconds=1))
        world.watch()
    world.finalize()
    assert {payout_now(world, row).status for row in rows} == {"posted"}
    check_one_transaction_each(world, 12)
    assert units_at(world, BENEFICIARY) == 12 * PAID
    for row in rows:
        assert world.event_types(about=row.id) == TOLD
    world.check()


@dataclass
class Overtaken:
    """A part whose named call takes so long that another worker takes the row and finishes it."""

    part: Any
    name: str
    meanwhile: Callable[[], None]
    done: bool = False

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.part, name)
        if name != self.name or self.done:
            return real

        def late(*arguments: Any, **named: Any) -> Any:
            answer = real(*arguments, **named)
            if not self.done:
                self.done = True
                self.meanwhile()
            return answer

        return late


def with_late_rail(world: World, name: str, meanwhile: Callable[[], None]) -> Parts:
    rails: dict[str, Any] = {}

    def rail_of(found: Any) -> Any:
        if found.network not in rails:
            real = world.parts.rail_of(found)
            rails[found.network] = Overtaken(real, name, meanwhile)
        return rails[found.network]

    return replace(world.parts, rail=rail_of)


def late_signer(world: World, meanwhile: Callable[[], None]) -> Parts:
    signer: Any = Overtaken(world.parts.signer_client(), "sign", meanwhile)
    return replace(world.parts, signer=signer)


def late_books(world: World, name: str, meanwhile: Callable[[], None]) -> Parts:
    books: Any = Overtaken(world.books, name, meanwhile)
    return replace(world.parts, ledger_books=books)


CASES: dict[str, tuple[str, Callable[[World, Callable[[], None]], Stage]]] = {
    "build": (
        "payout.build",
        lambda world, meanwhile: payout_build_stage(with_late_rail(world, "head", meanwhile)),
    ),
    "sign": (
        "transaction.sign",
        lambda world, meanwhile: sign_stage(late_signer(world, meanwhile)),
    ),
    "broadcast": (
        "transaction.broadcast",
        lambda world, meanwhile: broadcast_stage(with_late_rail(world, "broadcast", meanwhile)),
    ),
    "confirm": (
        "transaction.confirm",
        lambda world, meanwhile: confirm_stage(with_late_rail(world, "status", meanwhile)),
    ),
    "settle": (
        "transaction.settle",
        lambda world, meanwhile: settle_stage(late_books(world, "post", meanwhile)),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_lease_that_ran_out_during_the_call(world: World, case: str) -> None:
    """The second worker does the step again; the first, back at last, changes nothing."""
    rich(world, 100)
    row = world.payout(PAID, address=BENEFICIARY)
    name, make = CASES[case]
    second = world.stages[name]

    def meanwhile() -> None:
        world.advance(lease_length() + timedelta(seconds=1))
        assert second.run() >= 1

    world.run_except(name)
    world.mine(3)
    world.stages[name] = make(world, meanwhile)
    world.run()
    world.mine(3)
    let_pass(world, 10)
    world.finalize()
    assert payout_now(world, row).status == "posted"
    check_one_transaction_each(world, 1)
    assert units_at(world, BENEFICIARY) == PAID
    assert world.event_types(about=row.id) == TOLD
    world.check()


def test_a_hold_is_given_back_once(world: World) -> None:
    rich(world, 100)
    world.import_list(BENEFICIARY)
    row = world.payout(PAID, address=BENEFICIARY)
    world.run()
    judge(world, row, approve=False)
    second = world.stages["payout.release"]

    def meanwhile() -> None:
        world.advance(lease_length() + timedelta(seconds=1))
        assert second.run() == 1

    world.stages["payout.release"] = release_stage(late_books(world, "settle_hold", meanwhile))
    world.run()
    assert payout_now(world, row).hold == "voided"
    assert (world.balance(), hold_total(world)) == (100 * WHOLE_TOKEN, 0)
    world.check()
