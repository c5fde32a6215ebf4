"""SIGTERM and SIGINT, taken so that no handler ever waits for a lock.

A handler of Python runs in the main thread, between any two of its instructions, and so also while
that thread holds the lock inside an event that it waits for: `threading.Event.set` called there
waits for ever. What has to take a lock is therefore done by a thread of its own, which
`_thread.start_new_thread` starts without one (`threading.Thread.start` has locks as well).
"""

import signal
import threading
from _thread import start_new_thread
from collections.abc import Callable
from types import FrameType


def at_stop_signals(act: Callable[[], None]) -> None:
    """Have ``act`` called, in a thread of its own, at each SIGTERM and SIGINT.

    Call it in the main thread.
    """

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        start_new_thread(act, ())

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)


def stop_at_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set. Call it in the main thread."""
    stop = threading.Event()
    at_stop_signals(stop.set)
    return stop
