"""What a process remembers of sessions counts for a moment, and then is asked about again."""

from contextlib import nullcontext
from typing import Any

import pytest

from sakk.api import charge
from sakk.api.charge import LOOK_SECONDS, Sessions
from sakk.core.session import ADMITTED_SECONDS
from sakk.store import session as store


class Known:
    """A memory of sessions whose clock stands still, and a database that says nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 100.0
        self.asked = 0
        self.takes = 0.0
        nothing: Any = None
        database: Any = self
        self.sessions = Sessions(database, nothing, monotonic=lambda: self.seconds)
        monkeypatch.setattr(store, "list_revoked", self.list_revoked)

    def read(self) -> Any:
        return nullcontext()

    def list_revoked(self, _: Any, *, within_seconds: float) -> list[str]:
        assert within_seconds > charge.REMEMBERED_SECONDS
        self.asked += 1
        self.seconds += self.takes
        return []


def test_it_counts_from_when_the_question_began(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Known(monkeypatch)
    sessions = known.sessions
    # Nothing was asked yet.
    assert (sessions.is_due(), sessions.is_current()) == (True, False)
    known.takes = ADMITTED_SECONDS
    sessions.look()
    # The answer came too late to be judged by.
    assert (sessions.is_due(), sessions.is_current()) == (True, False)
    known.takes = 0.0
    sessions.look()
    assert (sessions.is_due(), sessions.is_current()) == (False, True)
    # Of two that find it due one asks.
    sessions.look()
    assert known.asked == 2
    known.seconds += LOOK_SECONDS * 1.5
    assert (sessions.is_due(), sessions.is_current()) == (True, True)
    known.seconds += ADMITTED_SECONDS
    assert (sessions.is_due(), sessions.is_current()) == (True, False)


def test_others_go_on_while_one_asks_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Known(monkeypatch)
    known.sessions.look()
    seen = []

    def meanwhile(*_: Any, **__: Any) -> list[str]:
        seen.append((known.sessions.is_due(), known.sessions.is_current()))
        known.seconds += ADMITTED_SECONDS
        seen.append((known.sessions.is_due(), known.sessions.is_current()))
        return []

    known.seconds += LOOK_SECONDS * 2
    monkeypatch.setattr(store, "list_revoked", meanwhile)
    known.sessions.look()
    assert seen == [(False, True), (True, False)]
