"""Every step of a pay-in done twice, at once or after a failure, moves money once."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from tests.flow.harness import World
from tests.flow.wiring import ROUNDS_MAX

from sakk.core.errors import Unavailable
from sakk.flow import post, reverse
from sakk.flow.book import Books, Outcome, PostingSet
from sakk.ledger.types import OutcomeUnknown

USD_25 = 25_000_000
STEPS = ("payin.match", "payin.finality", "payin.screen", "payin.post")


def run_together(run: Callable[[], int], together: threading.Barrier) -> int:
    together.wait()
    return run()


def run_twice_at_once(world: World, names: list[str]) -> None:
    """Run each stage in two threads that start together, round after round."""
    with ThreadPoolExecutor(2) as pool:
        for _ in range(ROUNDS_MAX):
            moved = 0
            for name in names:
                together = threading.Barrier(2)

                futures = [
                    pool.submit(run_together, world.stages[name].run, together) for _ in range(2)
                ]
                moved += sum(future.result() for future in futures)
            if not moved:
                return
    raise AssertionError("the stages never come to rest")


def test_every_stage_twice_at_once(world: World) -> None:
    intents = [world.intent(100 + number) for number in range(12)]
    for intent in intents:
        world.pay(intent)
    world.mine(3)
    world.watch()
    run_twice_at_once(world, [name for name in world.stages if name.startswith("payin.")])
    assert sorted(world.amounts()) == [(100 + number) * 10_000 for number in range(12)]
    assert {world.facts(intent)[0] for intent in intents} == {"succeeded"}
    for intent in intents:
        assert world.event_types(about=intent.id).count("payment_intent.succeeded") == 1
        assert world.event_types(about=world.payin(intent).id) == [
            "payin.seen",
            "payin.confirmed",
            "payin.posted",
        ]
    world.check()


def test_every_reversal_twice_at_once(world: World) -> None:
    intents = [world.intent(100 + number) for number in range(8)]
    for intent in intents:
        world.pay(intent)
    world.finalize()
    world.chain.reorg(3)
    world.watch()
    run_twice_at_once(world, [name for name in world.stages if name.startswith("payin.")])
    assert {row.status for row in world.payins()} == {"reversed"}
    assert world.position() == {}
    assert len(world.amounts()) == 2 * len(intents)
    world.check()


@pytest.mark.parametrize("again", STEPS)
def test_stage_that_runs_again_finds_nothing(world: World, again: str) -> None:
    intent = world.intent(2500)
    world.pay(intent)
    world.mine(3)
    world.watch()
    for step in STEPS:
        assert world.run_only(step) == [1]
        if step == again:
            assert world.run_only(step) == [0]
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    assert world.amounts() == [USD_25]
    world.check()


class Flaky:
    """Books whose answer is lost once, after or before the ledger has done what was asked."""

    def __init__(self, books: Books, error: Exception, *, after: bool) -> None:
        self._post = books.post
        self._error: Exception | None = error
        self._after = after

    def __call__(self, sets: list[PostingSet]) -> list[Outcome]:
        error, self._error = self._error, None
        if error is not None and not self._after:
            raise error
        outcomes = self._post(sets)
        if error is not None:
            raise error
        return outcomes


@pytest.mark.parametrize(
    ("error", "after"),
    [
        (OutcomeUnknown("the answer was lost"), True),
        (OutcomeUnknown("the answer was lost"), False),
        (Unavailable("the ledger is away"), False),
    ],
)
def test_lost_answer_of_the_ledger(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception, after: bool
) -> None:
    intent = world.intent(2500)
    world.pay(intent)
    world.mine(3)
    world.run_except("payin.post")
    monkeypatch.setattr(Books, "post", Flaky(world.books, error, after=after))
    with pytest.raises(type(error)):
        world.run_only("payin.post")
    assert world.payin(intent).status == "screened"
    # In doubt: the ledger may be ahead of the row, never behind it.
    assert world.balance() == (USD_25 if after else 0)
    monkeypatch.undo()
    world.advance(timedelta(minutes=1))
    world.mine()
    world.run()
    assert world.amounts() == [USD_25]
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    world.check()


@pytest.mark.parametrize("module", [post, reverse])
def test_died_between_the_ledger_and_the_row(
    world: World, monkeypatch: pytest.MonkeyPatch, module: Any
) -> None:
    intent = world.intent(2500)
    world.pay(intent)
    world.mine(3)
    if module is reverse:
        world.run()
        world.chain.reorg(3)
    step = "payin.post" if module is post else "payin.reverse"
    world.run_except(step)

    def die(*_: Any, **__: Any) -> None:
        raise RuntimeError("died here")

    monkeypatch.setattr(module, "_record", die)
    with pytest.raises(RuntimeError, match="died here"):
        world.run_only(step)
    monkeypatch.undo()
    # Nobody touches the row while its lease stands.
    assert world.run_only(step) == [0]
    world.advance(timedelta(minutes=1))
    world.mine(3)
    world.run()
    expected = [USD_25] if module is post else [USD_25, -USD_25]
    assert world.amounts() == expected
    assert world.payin(intent).status == ("posted" if module is post else "reversed")
    world.check()


def test_worker_that_comes_back_too_late(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lease ran out while it was away, another has done the work: it changes nothing."""
    intent = world.intent(2500)
    world.pay(intent)
    world.mine(3)
    world.run_except("payin.post")
    books_post = Books.post

    def slow(self: Books, sets: list[PostingSet]) -> list[Outcome]:
        monkeypatch.undo()
        world.advance(timedelta(minutes=1))
        world.mine()
        world.run()
        assert world.facts(intent)[0] == "succeeded"
        return books_post(self, sets)

    monkeypatch.setattr(Books, "post", slow)
    world.run_only("payin.post")
    assert world.amounts() == [USD_25]
    assert world.event_types().count("payin.posted") == 1
    assert world.event_types().count("payment_intent.succeeded") == 1
    world.check()
