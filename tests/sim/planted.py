"""Bugs to plant in the very code that ships: the simulator has to find each of them.

A bug is a piece of a function's source and what stands in its place. Where the piece is no longer
there, planting fails: the table is kept up with the code.
"""

import inspect
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from sakk.ledger import projection, replay, writer
from tests.sim import postgres


@dataclass(frozen=True, slots=True)
class Bug:
    """``owner`` has the function ``name``; each change is (what is there, what comes)."""

    title: str
    owner: Any
    name: str
    changes: tuple[tuple[str, str], ...]


ANSWER = """\
    for call, answer in zip(calls, outcome.outcomes, strict=True):
        call.answer.set_result(answer.results)
"""
APPEND = "    await self._append(row)\n"

BUGS = (
    Bug(
        "a batch is answered before its append",
        writer.Writer,
        "_write",
        ((ANSWER, ""), (APPEND, ANSWER + APPEND)),
    ),
    Bug(
        "a read does not ask whether this is still the writer",
        writer.Writer,
        "_serve",
        (("await self._check_fence()", "pass"),),
    ),
    Bug(
        "a writer trusts its epoch for two seconds",
        writer.Writer,
        "_check_fence",
        (
            (
                "    while True:\n",
                "    if self._outside.monotonic() - self.__dict__.get('seen', -9) < 2:\n"
                "        return\n"
                "    self.seen = self._outside.monotonic()\n"
                "    while True:\n",
            ),
        ),
    ),
    Bug(
        "reads are answered from the machine while a group is being appended",
        writer.Writer,
        "_serve",
        (
            (
                "        await self._write(writes)",
                "        append = self._append\n"
                "        async def hasty(row):\n"
                "            for call in reads:\n"
                "                call.answer.set_result("
                "answer_read(self._machine, call.op, call.body))\n"
                "            await append(row)\n"
                "        self._append = hasty\n"
                "        await self._write(writes)\n"
                "        del self._append\n"
                "        return",
            ),
        ),
    ),
    Bug(
        "an append that failed is taken for done",
        writer.Writer,
        "_append",
        (("appended = Append.unconfirmed\n", "appended = Append.durable\n"),),
    ),
    Bug(
        "a commit that the standby does not have is acknowledged",
        writer.Writer,
        "_append",
        (
            ("appended = Append.unconfirmed\n", "return await self._resolve(row)\n"),
            ("if appended is Append.unconfirmed:", "if False:"),
        ),
    ),
    Bug(
        "an epoch is used that the standby does not know",
        writer,
        "_take_epoch",
        (("is not Append.durable:", "is None:"),),
    ),
    Bug(
        "the journal's time is the clock's",
        writer.Writer,
        "_write",
        (
            (
                "max(self._outside.now(), self._machine.timestamp + count + 1)",
                "self._outside.now()",
            ),
        ),
    ),
    Bug(
        "a snapshot names the row before the one that it holds",
        writer.Writer,
        "_begin_snapshot",
        (
            (
                "self._head,",
                "type(self._head)(self._shard, self._head.sequence - 1, 0, 0, 0, b'',"
                " self._head.previous_hash, b''),",
            ),
        ),
    ),
    Bug(
        "refusals are forgotten at a restart",
        replay,
        "restore",
        (("    return machine, head", "    machine.rejected.clear()\n    return machine, head"),),
    ),
    Bug(
        "a start replays the first page of the journal alone",
        replay,
        "restore",
        (("while rows :=", "if rows :="),),
    ),
    Bug(
        "the journal takes a row of any epoch",
        postgres.Server,
        "append",
        (("if self.state.epoch != row.epoch:", "if False:"),),
    ),
    Bug(
        "a projector goes on from its own totals where another one was before it",
        projection,
        "project",
        (("if cursor.sequence != book.sequence:", "if False:"),),
    ),
    Bug(
        "a projector keeps the totals of a page that was not committed",
        projection,
        "project",
        (
            ("if cursor.sequence != book.sequence:", "if book.sequence < 0:"),
            ("        book.forget()\n        raise", "        raise"),
        ),
    ),
)  # fmt: skip


@contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """The code with the bug in it, until the block ends."""
    function = getattr(bug.owner, bug.name)
    source = textwrap.dedent(inspect.getsource(function))
    for there, comes in bug.changes:
        assert source.count(there) == 1, f"{bug.name} does not say {there!r} once: renew the bug"
        source = source.replace(there, comes)
    found: dict[str, Any] = {}
    # The function's own globals, so that what a simulation sets there is seen.
    exec(compile(source, f"<{bug.title}>", "exec"), function.__globals__, found)
    with ExitStack() as stack:
        stack.enter_context(patch.object(bug.owner, bug.name, found[bug.name]))
        if bug.owner is replay:
            stack.enter_context(patch.object(writer, bug.name, found[bug.name]))
        yield
