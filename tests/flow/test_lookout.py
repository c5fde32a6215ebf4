"""The lookout finds what a claim would take, and a stage that names what is due names all of it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from tests.flow.harness import World

from sakk.flow.lookout import Lookout
from sakk.flow.stage import Stage


@contextmanager
def statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What this thread asks of the database meanwhile, as text."""
    asked: list[str] = []
    here = threading.get_ident()
    execute: Callable[..., Any] = psycopg.Cursor.execute

    def listen(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        if threading.get_ident() == here:
            asked.append(str(query))
        return execute(self, query, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", listen)
        yield asked


def test_a_stage_that_names_what_is_due_takes_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing is due it asks for that alone, and so for all of it."""
    named = [stage for stage in world.stages.values() if stage.due]
    assert named
    differ = {}
    for stage in named:
        with statements(monkeypatch) as asked:
            assert stage.run() == 0
        claims = [each.compiled.text for each in stage.due]
        if sorted(asked) != sorted(claims):
            differ[stage.name] = asked
    assert not differ


def test_the_lookout_sees_what_its_stage_then_takes(world: World) -> None:
    lookout = Lookout(world.database, list(world.stages.values()), world.clock)

    def due() -> list[str]:
        return [stage.name for stage in lookout.look()]

    assert due() == []
    intent = world.intent()
    world.pay(intent)
    world.mine(3)
    world.watch()
    assert due() == ["payin.match"]
    for name in ("payin.match", "payin.finality", "payin.screen", "payin.post"):
        assert name in due()
        world.run_only(name)
        assert name not in due()
    world.run()
    assert due() == []
    world.check()


def test_a_lookout_of_no_stages_asks_nothing(world: World) -> None:
    assert Lookout(world.database, [Stage("alone", lambda: 0)], world.clock).look() == []
