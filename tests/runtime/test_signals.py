"""A signal ends what waits, whatever its thread holds at that moment."""

import signal
from collections.abc import Iterator

import pytest

from sakk.runtime.signals import stop_at_signals

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    for number, handler in zip(SIGNALS, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.timeout(30)
def test_a_signal_is_taken_while_the_main_thread_holds_the_lock_of_the_event(
    number: signal.Signals,
) -> None:
    stop = stop_at_signals()
    # The lock that Event.wait holds for a moment before and after it sleeps.
    with vars(stop)["_cond"]:
        signal.raise_signal(number)
        assert not stop.is_set()
    assert stop.wait(30)
