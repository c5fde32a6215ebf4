"""The ledger over a socket: the same answers as in process, whatever happens to the connection."""

import queue
import random
import socket
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from sakk.core.errors import ParameterInvalid, RateLimited, Unavailable
from sakk.ledger.calls import Op, OpenLedger
from sakk.ledger.frame import FRAME_BYTES_MAX, LENGTH
from sakk.ledger.remote import connect_ledger
from sakk.ledger.server import serve_ledger
from sakk.ledger.types import (
    AMOUNT_MAX,
    Account,
    AccountFlags,
    CreateTransferStatus,
    OutcomeUnknown,
    Transfer,
    TransferFlags,
)
from sakk.ledger.writer import Fenced, open_ledger

S = CreateTransferStatus


@pytest.fixture
def address() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="sakk-") as folder:
        yield str(Path(folder, "ledger"))


@contextmanager
def served(ledger: OpenLedger, address: str) -> Iterator[threading.Event]:
    stop = threading.Event()
    thread = threading.Thread(target=serve_ledger, args=(ledger, address, stop))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join()


@contextmanager
def connected(database_url: str, address: str) -> Iterator[tuple[OpenLedger, OpenLedger]]:
    """The same ledger in process and over a socket."""
    local = open_ledger(database_url)
    remote = connect_ledger(address)
    try:
        with served(local, address):
            wait_until_served(address)
            yield local, remote
            remote.close()
    finally:
        local.close()


def wait_until_served(address: str) -> None:
    for _ in range(10_000):
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(address)
            except OSError:
                threading.Event().wait(0.001)
                continue
            return
    raise AssertionError("nobody listens")


def move(identifier: int, amount: int = 1, flags: int = 0) -> Transfer:
    return Transfer(identifier, 1, 2, amount, unit=7, code=1, flags=TransferFlags(flags))


def test_remote_answers_like_local(database_url: str, address: str) -> None:
    dice = random.Random(7)
    with connected(database_url, address) as (local, remote):
        accounts = [
            Account(1, unit=7, code=1, flags=AccountFlags.history, user_data=2**128 - 1),
            Account(2, unit=7, code=1),
            Account(2, unit=8, code=1),
        ]
        first = remote.create_accounts(accounts)
        assert [result.status.name for result in first] == [
            "created",
            "created",
            "exists_with_different_unit",
        ]
        assert local.create_accounts(accounts)[:2] != first[:2]
        transfers = [
            move(k, dice.choice([0, k, AMOUNT_MAX]), dice.choice([0, 0, 1, 2])) for k in range(200)
        ]
        answers = remote.create_transfers(transfers)
        ids = [transfer.id for transfer in transfers] + [2**128 - 1]
        assert remote.lookup_results(ids) == local.lookup_results(ids)
        assert remote.lookup_transfers(ids) == local.lookup_transfers(ids)
        assert remote.lookup_accounts([1, 2, 3]) == local.lookup_accounts([1, 2, 3])
        created = [t.id for t, r in zip(transfers, answers, strict=True) if r.status == S.created]
        again = local.create_transfers(
            [transfers[k] for k in created if not transfers[k].flags & 1]
        )
        assert {result.status for result in again} == {S.exists}
        assert remote.create_transfers([]) == []


def test_many_clients_at_once(database_url: str, address: str) -> None:
    with connected(database_url, address) as (local, remote):
        remote.create_accounts([Account(1, unit=7, code=1), Account(2, unit=7, code=1)])

        def post(thread: int) -> set[CreateTransferStatus]:
            return {
                result.status
                for k in range(20)
                for result in remote.create_transfers([move(1000 * thread + k + 1)])
            }

        with ThreadPoolExecutor(24) as pool:
            statuses = list(pool.map(post, range(24)))
        assert statuses == [{S.created}] * 24
        account = local.lookup_accounts([2])[0]
        assert account is not None
        assert account.credits_posted == 480


class Scripted:
    """A ledger that says what a test wants: at once, or when the test says so."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.error: Exception | None = None
        self.asked: queue.SimpleQueue[tuple[Op, bytes, Future[bytes]]] = queue.SimpleQueue()

    def submit(self, op: Op, body: bytes) -> Future[bytes]:
        future: Future[bytes] = Future()
        self.asked.put((op, body, future))
        if self.error is not None:
            future.set_exception(self.error)
        return future

    def call(self, op: Op, body: bytes) -> bytes:
        return self.submit(op, body).result()

    def close(self) -> None:
        return


ERRORS = [
    Unavailable("away"),
    Fenced("another"),
    OutcomeUnknown("who knows"),
    RateLimited("slowly", retry_after_seconds=3),
    ParameterInvalid("wrong", param="unit"),
]


def test_errors_keep_their_kind(address: str) -> None:
    calls = Scripted()
    remote = connect_ledger(address)
    with served(OpenLedger(calls), address):
        wait_until_served(address)
        for error in ERRORS:
            calls.error = error
            with pytest.raises(type(error), match=error.message) as caught:
                remote.create_transfers([move(1)])
            assert type(caught.value) is type(error)
            assert caught.value.param == error.param
            assert getattr(caught.value, "retry_after_seconds", 0) == getattr(
                error, "retry_after_seconds", 0
            )
        calls.error = ZeroDivisionError("a fault of ours")
        with pytest.raises(Unavailable, match="a fault of ours"):
            remote.lookup_accounts([1])
        remote.close()


def test_a_ledger_that_is_not_there_did_nothing(address: str) -> None:
    remote = connect_ledger(address)
    with pytest.raises(Unavailable, match="does not answer") as caught:
        remote.create_transfers([move(1)])
    assert not isinstance(caught.value, OutcomeUnknown)
    remote.close()
    with pytest.raises(Unavailable, match="closed"):
        remote.lookup_accounts([1])


@pytest.mark.parametrize("answer", [b"", LENGTH.pack(100) + b"short", LENGTH.pack(3) + b"\xc1xx"])
def test_a_connection_lost_in_a_call_is_an_unknown_outcome(address: str, answer: bytes) -> None:
    def serve_badly(listener: socket.socket) -> None:
        for _ in range(2):
            accepted, _ = listener.accept()
            with accepted:
                accepted.recv(1 << 16)
                accepted.sendall(answer)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        thread = threading.Thread(target=serve_badly, args=(listener,))
        thread.start()
        remote = connect_ledger(address)
        with pytest.raises(OutcomeUnknown):
            remote.create_transfers([move(1)])
        with pytest.raises(Unavailable) as caught:
            remote.lookup_accounts([1])
        assert not isinstance(caught.value, OutcomeUnknown)
        thread.join()
        remote.close()


def test_a_client_survives_a_restart_of_the_ledger(database_url: str, address: str) -> None:
    with connected(database_url, address) as (_, remote):
        remote.create_accounts([Account(1, unit=7, code=1), Account(2, unit=7, code=1)])
        assert remote.create_transfers([move(1)])[0].status == S.created
        keep = connect_ledger(address)
        assert keep.lookup_accounts([1]) != [None]
    with connected(database_url, address):
        assert keep.create_transfers([move(1)])[0].status == S.exists
        keep.close()


def test_stopping_lets_the_call_under_way_finish(address: str) -> None:
    calls = Scripted()
    remote = connect_ledger(address)
    with ThreadPoolExecutor(1) as pool:
        with served(OpenLedger(calls), address) as stop:
            wait_until_served(address)
            call = pool.submit(remote.create_transfers, [move(1)])
            *_, answer = calls.asked.get(timeout=30)
            stop.set()
            answer.set_result(bytes(9))
        assert call.result()[0].status == S.created
    assert not Path(address).exists()
    remote.close()


def test_the_server_ends_when_the_ledger_is_fenced(database_url: str, address: str) -> None:
    first = open_ledger(database_url)
    remote = connect_ledger(address)
    stop = threading.Event()
    thread = threading.Thread(target=serve_ledger, args=(first, address, stop))
    thread.start()
    wait_until_served(address)
    second = open_ledger(database_url)
    with pytest.raises(Fenced):
        remote.lookup_accounts([1])
    thread.join(30)
    assert not thread.is_alive()
    for ledger in (remote, first, second):
        ledger.close()


@pytest.mark.parametrize(
    "frame",
    [b"\xc1", *(msgspec.msgpack.encode(each) for each in (7, [2, b""], [["x", b""]], [[2]]))],
)
def test_a_frame_that_is_none_is_told_so_and_ends(
    database_url: str, address: str, frame: bytes
) -> None:
    with connected(database_url, address), socket.socket(socket.AF_UNIX) as raw:
        raw.connect(address)
        raw.sendall(LENGTH.pack(len(frame)) + frame)
        with raw.makefile("rb") as stream:
            (length,) = LENGTH.unpack(stream.read(4))
            [answer] = msgspec.msgpack.decode(stream.read(length))
            assert answer[1] == "parameter_invalid"
            assert stream.read() == b""


def test_a_question_that_is_none_spoils_no_other(database_url: str, address: str) -> None:
    questions = [[99, b""], [2, b"x"], [3, b"x" * 17], [3, bytes(16) * 8193], [3, bytes(16)]]
    with connected(database_url, address), socket.socket(socket.AF_UNIX) as raw:
        raw.connect(address)
        for _ in range(2):
            frame = msgspec.msgpack.encode(questions)
            raw.sendall(LENGTH.pack(len(frame)) + frame)
            with raw.makefile("rb") as stream:
                (length,) = LENGTH.unpack(stream.read(4))
                answers = msgspec.msgpack.decode(stream.read(length))
            assert [answer[1] for answer in answers] == ["parameter_invalid"] * 4 + [""]
            assert answers[-1][0] == bytes(128)


def test_a_frame_that_is_too_long_ends_the_connection(database_url: str, address: str) -> None:
    with connected(database_url, address) as (_, remote):
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(address)
            raw.sendall(LENGTH.pack(FRAME_BYTES_MAX + 1))
            with raw.makefile("rb") as stream:
                assert b"parameter_invalid" in stream.read()
        assert remote.lookup_accounts([1]) == [None]


def test_only_we_may_open_the_socket(database_url: str, address: str) -> None:
    with connected(database_url, address):
        assert Path(address).stat().st_mode & 0o777 == 0o600


def test_tcp(database_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    local = open_ledger(database_url)
    with served(local, address):
        remote = connect_ledger(address)
        for _ in range(1000):
            try:
                assert remote.lookup_accounts([1]) == [None]
                break
            except Unavailable:
                threading.Event().wait(0.01)
        assert remote.create_accounts([Account(1, unit=7, code=1)])[0].status.name == "created"
        remote.close()
    local.close()
