"""The ledger's logic and its outside: every step that leaves memory is an ``await``.

The writer and the projector are written once, as coroutines over what is outside of them: the
journal, a queue, a clock. In production those steps block, so no coroutine ever suspends and
``run`` ends it with one ``send``: an ``await`` costs no more than a call. The simulator
(``tests/sim``) gives the same coroutines an outside that suspends on virtual time, and between any
two steps it can kill, delay, cut and reorder.
"""

from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine whose steps block instead of suspending, and return its result."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
    coroutine.close()
    raise RuntimeError("a step outside suspended, which only the simulator's steps may do")
