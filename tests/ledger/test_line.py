"""An event loop's line: many questions on one connection, each a request of its own."""

import asyncio
import queue
import socket
from collections.abc import Awaitable, Callable

import pytest

from sakk.core.errors import RateLimited, SakkError, Unavailable
from sakk.ledger import line as lines
from sakk.ledger.calls import Op, OpenLedger
from sakk.ledger.frame import LENGTH
from sakk.ledger.line import Line, LocalLine, RemoteLine
from sakk.ledger.record import encode_accounts, encode_ids, encode_transfers, transfer_results
from sakk.ledger.types import Account, CreateTransferStatus, OutcomeUnknown, TransferFlags
from sakk.ledger.writer import Fenced, open_ledger

from .test_remote import ERRORS, Scripted, address, connected, move, served, wait_until_served

__all__ = ["address"]

S = CreateTransferStatus
ACCOUNTS = encode_accounts([Account(1, unit=7, code=1), Account(2, unit=7, code=1)])


def with_line(address: str, work: Callable[[RemoteLine], Awaitable[None]]) -> None:
    """Run work with a line in an event loop of its own."""

    async def run() -> None:
        line = RemoteLine(address)
        try:
            await work(line)
        finally:
            line.close()
            await asyncio.sleep(0)

    asyncio.run(run())


async def created(line: Line, *transfers: object) -> list[CreateTransferStatus]:
    answer = await line.ask(Op.create_transfers, encode_transfers(transfers))  # type: ignore[arg-type]
    return [result.status for result in transfer_results(answer)]


@pytest.mark.parametrize("kind", ["local", "remote"])
def test_chains_do_not_reach_across_questions(database_url: str, address: str, kind: str) -> None:
    async def work(line: Line) -> None:
        await line.ask(Op.create_accounts, ACCOUNTS)
        linked = TransferFlags.linked
        answers = await asyncio.gather(
            created(line, move(1)),
            created(line, move(2, flags=linked)),
            created(line, move(3)),
            created(line, move(4, flags=linked), move(5)),
            created(line, move(6, 0)),
        )
        assert list(answers) == [
            [S.created],
            [S.linked_event_chain_open],
            [S.created],
            [S.created, S.created],
            [S.amount_must_not_be_zero],
        ]

    with connected(database_url, address) as (local, _):
        if kind == "local":
            asyncio.run(work(LocalLine(local.calls)))
        else:
            with_line(address, work)


def test_what_is_asked_in_one_turn_is_one_frame(address: str) -> None:
    """All are with the ledger before one is answered, and each gets its own answer."""
    calls = Scripted()

    async def work(line: RemoteLine) -> None:
        bodies = [bytes([number]) * 16 for number in range(200)]
        asked = asyncio.gather(*(line.ask(Op.lookup_accounts, body) for body in bodies))
        loop = asyncio.get_running_loop()
        waiting = [await loop.run_in_executor(None, calls.asked.get, True, 30) for _ in bodies]
        assert [body for _, body, _ in waiting] == bodies
        for _, body, answer in reversed(waiting):
            answer.set_result(body * 2)
        assert await asked == [body * 2 for body in bodies]

    with served(OpenLedger(calls), address):
        wait_until_served(address)
        with_line(address, work)


def test_frames_are_cut_where_they_would_be_too_long(database_url: str, address: str) -> None:
    async def work(line: RemoteLine) -> None:
        await line.ask(Op.create_accounts, ACCOUNTS)
        answers = await asyncio.gather(
            *(created(line, *(move(5_000 * k + n + 1) for n in range(5_000))) for k in range(8))
        )
        assert answers == [[S.created] * 5_000] * 8

    with connected(database_url, address):
        with_line(address, work)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.code)
def test_errors_keep_their_kind(address: str, error: SakkError) -> None:
    calls = Scripted()
    calls.error = error

    async def work(line: RemoteLine) -> None:
        with pytest.raises(type(error), match=error.message) as caught:
            await line.ask(Op.create_transfers, bytes(128))
        assert type(caught.value) is type(error)

    with served(OpenLedger(calls), address):
        wait_until_served(address)
        with_line(address, work)


def test_a_ledger_that_is_not_there_did_nothing(address: str) -> None:
    async def work(line: RemoteLine) -> None:
        for _ in range(2):
            with pytest.raises(Unavailable, match="does not answer"):
                await line.ask(Op.create_transfers, bytes(128))

    with_line(address, work)


@pytest.mark.parametrize(
    "answer",
    [b"", LENGTH.pack(100) + b"short", LENGTH.pack(1) + b"\xc1", LENGTH.pack(1) + b"\x90"],
)
def test_a_line_that_breaks_leaves_the_outcome_unknown(address: str, answer: bytes) -> None:
    async def work(line: RemoteLine) -> None:
        create = asyncio.ensure_future(line.ask(Op.create_transfers, bytes(128)))
        read = asyncio.ensure_future(line.ask(Op.lookup_accounts, bytes(16)))
        loop = asyncio.get_running_loop()
        accepted, _ = await loop.sock_accept(listener)
        with accepted:
            await loop.sock_recv(accepted, 1 << 16)
            if answer:
                await loop.sock_sendall(accepted, answer)
        with pytest.raises(OutcomeUnknown):
            await create
        with pytest.raises(Unavailable):
            await read

    with socket.socket(socket.AF_UNIX) as listener:
        listener.setblocking(False)
        listener.bind(address)
        listener.listen()
        with_line(address, work)


def test_a_line_comes_back_after_a_restart(database_url: str, address: str) -> None:
    async def work(line: RemoteLine) -> None:
        loop = asyncio.get_running_loop()
        for expected in (S.created, S.exists):
            context = connected(database_url, address)
            await loop.run_in_executor(None, context.__enter__)
            await line.ask(Op.create_accounts, ACCOUNTS)
            assert await created(line, move(1)) == [expected]
            await loop.run_in_executor(None, context.__exit__, None, None, None)

    with_line(address, work)


def test_a_line_to_a_fenced_ledger(database_url: str, address: str) -> None:
    async def work(line: RemoteLine) -> None:
        with pytest.raises(Fenced):
            await line.ask(Op.lookup_accounts, encode_ids([1]))

    with connected(database_url, address):
        open_ledger(database_url).close()
        with_line(address, work)


def test_too_much_that_waits_is_turned_away(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "QUESTIONS_MAX", 3)
    calls = Scripted()

    async def work(line: RemoteLine) -> None:
        waiting = [asyncio.ensure_future(line.ask(Op.lookup_accounts, b"")) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(RateLimited, match="same ids"):
            await line.ask(Op.lookup_accounts, b"")
        loop = asyncio.get_running_loop()
        for _ in waiting:
            *_, answer = await loop.run_in_executor(None, calls.asked.get, True, 30)
            answer.set_result(b"x")
        assert await asyncio.gather(*waiting) == [b"x"] * 3
        again = asyncio.ensure_future(line.ask(Op.lookup_accounts, b""))
        *_, answer = await loop.run_in_executor(None, calls.asked.get, True, 30)
        answer.set_result(b"y")
        assert await again == b"y"

    with served(OpenLedger(calls), address):
        wait_until_served(address)
        with_line(address, work)


def test_who_does_not_wait_any_more_disturbs_nobody(address: str) -> None:
    calls = Scripted()

    async def work(line: RemoteLine) -> None:
        loop = asyncio.get_running_loop()
        given_up = asyncio.ensure_future(line.ask(Op.lookup_accounts, b"a"))
        never_sent = asyncio.ensure_future(line.ask(Op.lookup_accounts, b"b"))
        waits = asyncio.ensure_future(line.ask(Op.lookup_accounts, b"c"))
        await asyncio.sleep(0)
        never_sent.cancel()
        asked = [await loop.run_in_executor(None, calls.asked.get, True, 30) for _ in range(2)]
        given_up.cancel()
        for _, body, answer in asked:
            answer.set_result(body)
        assert await waits == b"c"
        assert [body for _, body, _ in asked] == [b"a", b"c"]
        with pytest.raises(queue.Empty):
            calls.asked.get_nowait()

    with served(OpenLedger(calls), address):
        wait_until_served(address)
        with_line(address, work)


def test_an_answer_that_comes_too_late_is_a_loss(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "LATE_POLL_SECONDS", 0.01)
    monkeypatch.setattr(lines, "CALL_SECONDS_MAX", 0.02)

    async def work(line: RemoteLine) -> None:
        with pytest.raises(OutcomeUnknown, match="no answer in"):
            await line.ask(Op.create_transfers, bytes(128))

    with served(OpenLedger(calls := Scripted()), address):
        wait_until_served(address)
        with_line(address, work)
        calls.asked.get_nowait()[2].set_result(b"")
