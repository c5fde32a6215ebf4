"""The ledger's own HTTP door: it answers as the API does, and what one turn of its loop joins."""

import asyncio
import json
import socket
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from typing import Any

import pytest
import uvloop

from sakk.api import ledger_door
from sakk.api.authentication import Authenticator
from sakk.api.dependencies import ApiSettings
from sakk.api.ledger_body import BODY_BYTES_MAX, RECORDS
from sakk.api.ledger_door import LedgerDoor, open_listener
from sakk.core.api_key import KeyKind
from sakk.core.errors import RateLimited
from sakk.flow import api_key as api_key_flow
from sakk.ledger.calls import Op
from sakk.ledger.record import RECORD_SIZE, encode_transfers
from sakk.ledger.types import OutcomeUnknown, Transfer
from sakk.store.identity import new_id, now
from tests.api.test_ledger import LEDGER, accounts, live_operator, move, new
from tests.api.test_posting import principal
from tests.api.world import Api, http

TRANSFERS = "/v1/ledger/transfers"
JSON = {"Content-Type": "application/json"}


def restricted(api: Api) -> str:
    """A key of the operator's that may only read."""
    with api.database.begin() as connection:
        _, token = api_key_flow.create(
            connection,
            key_id=new_id("key"),
            account_id=api.world.operator.account,
            livemode=False,
            now=now(),
            kind=KeyKind.restricted,
            scopes=["ledger:read"],
        )
    return token


def told(url: str, headers: dict[str, str], body: bytes, path: str = TRANSFERS) -> Any:
    """Status, the headers that matter, and the body without what is different every time."""
    answer = http().post(url + path, headers=headers, content=body)
    kept = {
        name: value
        for name, value in answer.headers.items()
        if name not in ("date", "server", "connection", "content-length", "transfer-encoding")
    }
    identifier = kept.pop("request-id")
    assert identifier.startswith("req_")
    return answer.status_code, kept, answer.text.replace(identifier, "req_")


def both(api: Api, headers: dict[str, str], body: bytes, path: str = TRANSFERS) -> Any:
    """What both doors say, which is the same."""
    by_api = told(api.url, headers, body, path)
    by_door = told(api.door, headers, body, path)
    assert by_door == by_api
    return by_door


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        (JSON, b"{", 400, "invalid_request"),
        (JSON, b"[]", 400, "invalid_request"),
        (JSON, b"", 400, None),
        (JSON, b'{"id":"no"}', 400, "parameter_invalid"),
        (JSON, b'{"id":"6f9619ff-8b86-4011-b42d-00c04fc964ff","color":"red"}', 400, None),
        (JSON, b'{"transfers":[]}', 400, None),
        ({"Content-Type": "text/plain"}, b"hello", 415, "media_type_unsupported"),
        ({"Content-Type": RECORDS}, b"", 400, "parameter_invalid"),
        ({"Content-Type": RECORDS}, bytes(129), 400, "parameter_invalid"),
        ({"Content-Type": RECORDS}, bytes(128), 400, "parameter_invalid"),
        (JSON | {"Stripe-Account": "acct_nobody"}, b"{}", 403, "account_invalid"),
        (JSON, bytes(BODY_BYTES_MAX + 1), 413, "body_too_large"),
    ],
)
def test_what_is_refused_is_refused_in_the_same_words(
    api: Api, headers: dict[str, str], body: bytes, status: int, code: str | None
) -> None:
    key = {"Authorization": f"Bearer {api.world.operator.key}"}
    answered, _, text = both(api, key | headers, body)
    assert answered == status
    assert code is None or json.loads(text)["error"]["code"] == code


@pytest.mark.parametrize("who", ["nobody", "nonsense", "unknown", "merchant", "restricted"])
def test_who_may_not_post_is_told_the_same(api: Api, who: str) -> None:
    headers = dict(JSON)
    keys = {
        "nonsense": "hello",
        "unknown": "sk_test_" + "0" * 52,
        "merchant": api.world.alice.key,
        "restricted": restricted(api),
    }
    if who in keys:
        headers["Authorization"] = f"Bearer {keys[who]}"
    status, kept, _ = both(api, headers, b"{}")
    assert status == (403 if who in ("merchant", "restricted") else 401)
    assert ("www-authenticate" in kept) == (status == 401)


def test_a_query_is_refused_in_the_same_words(api: Api) -> None:
    headers = JSON | {"Authorization": f"Bearer {api.world.operator.key}"}
    status, _, text = both(api, headers, b"{}", TRANSFERS + "?id=5&x=1")
    assert (status, json.loads(text)["error"]["param"]) == (400, "id")


def test_both_doors_are_one_ledger(api: Api) -> None:
    """A transfer made at one is there at the other, in every form."""
    debit, credit = accounts(api)
    key = {"Authorization": f"Bearer {api.world.operator.key}"}
    body = json.dumps(move(debit, credit)).encode()
    _, _, first = told(api.door, key | JSON, body)
    assert json.loads(first)["status"] == "created"
    _, _, again = told(api.url, key | JSON, body)
    assert json.loads(again) == json.loads(first) | {"status": "exists"}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    fields = "&".join(f"{name}={value}" for name, value in move(debit, credit, 7).items())
    _, _, by_form = told(api.door, key | form, fields.encode())
    assert json.loads(by_form)["status"] == "created"
    # JSON in a spelling that takes the long way, too long to be read beside others.
    batch = [move(debit, credit, "1", code=1) | {"metadata": None} for _ in range(200)]
    for each in batch:
        del each["metadata"]
    spelled = json.dumps({"transfers": batch}, indent=1).replace('"code"', '"c\\u006fde"')
    _, _, many = told(api.door, key | JSON, spelled.encode())
    assert {each["status"] for each in json.loads(many)["results"]} == {"created"}
    account = api.call("GET", f"/v1/ledger/accounts/{debit}", key=api.world.operator.key).json()
    assert account["debits_posted"] == 100 + 7 + 200


def test_modes_are_apart_at_the_door_too(api: Api) -> None:
    headers = JSON | {"Authorization": f"Bearer {live_operator(api)}"}
    made = {"id": new(), "ledger": LEDGER, "code": 1}
    _, _, text = told(api.door, headers, json.dumps(made).encode(), "/v1/ledger/accounts")
    assert json.loads(text)["livemode"] is True
    seen = api.call("GET", f"/v1/ledger/accounts/{made['id']}", key=api.world.operator.key)
    assert seen.status_code == 404


def test_what_else_the_door_says(api: Api) -> None:
    assert http().get(f"{api.door}/healthz").json() == {"status": "ok"}
    key = {"Authorization": f"Bearer {api.world.operator.key}"}
    allowed = http().request("OPTIONS", api.door + TRANSFERS, headers=key)
    assert (allowed.status_code, allowed.headers["allow"]) == (200, "POST, OPTIONS")
    assert http().request("OPTIONS", api.door + TRANSFERS).status_code == 401
    for method, path, status in (
        ("GET", TRANSFERS, 405),
        ("POST", "/healthz", 405),
        ("GET", "/v1/balance", 404),
        ("POST", "/v1/ledger/transfers/lookup", 404),
    ):
        answer = http().request(method, api.door + path, headers=key)
        assert answer.status_code == status, path
        assert "API" in answer.json()["error"]["message"]


# A door of its own, over a ledger that tells what it was asked


class Asked:
    """A ledger that creates everything when it is let, and remembers what it was asked."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.bodies: list[bytes] = []
        self.trouble: Exception | None = None
        self.is_late = False

    def call(self, op: Op, body: bytes) -> bytes:
        return self.submit(op, body).result()

    def submit(self, op: Op, body: bytes) -> Future[bytes]:
        if isinstance(self.trouble, RateLimited):
            raise self.trouble
        self.bodies.append(body)
        count = len(body) // RECORD_SIZE
        future: Future[bytes] = Future()
        if self.trouble is not None:
            future.set_exception(self.trouble)
        elif not self.is_late:
            stamps = [
                int.from_bytes(body[128 * k + 48 : 128 * k + 56], "little") for k in range(count)
            ]
            future.set_result(
                b"".join(each.to_bytes(8, "little") for each in stamps) + bytes(count)
            )
        return future

    def close(self) -> None:
        pass


TOKEN = "sk_test_" + "a" * 52


@contextmanager
def opened(calls: Asked) -> Iterator[tuple[str, int]]:
    """Its address, until the block ends."""
    ready, port = threading.Event(), [0]
    until: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        nothing: Any = None
        closing = asyncio.Event()
        with open_listener("127.0.0.1", 0) as listener:
            port[0] = listener.getsockname()[1]
            until.append((asyncio.get_running_loop(), closing))
            ready.set()
            await LedgerDoor(calls, nothing, ApiSettings()).serve(listener, closing)

    thread = threading.Thread(target=uvloop.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield "127.0.0.1", port[0]
    finally:
        loop, ends = until[0]
        loop.call_soon_threadsafe(ends.set)
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """``TOKEN`` is the operator's, without a database."""
    monkeypatch.setattr(Authenticator, "_remembered", lambda self, token, hashed: principal(TOKEN))


def request_of(body: bytes, media_type: str = "application/json") -> bytes:
    return (
        b"POST /v1/ledger/transfers HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %b\r\n"
        b"Content-Type: %b\r\nContent-Length: %d\r\n\r\n%b"
        % (TOKEN.encode(), media_type.encode(), len(body), body)
    )


def answer_of(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        data += (chunk := connection.recv(65_536))
        assert chunk, data
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    while len(body) < int(headers["content-length"]):
        body += connection.recv(65_536)
    return int(lines[0].split()[1]), headers, body


def one(amount: int, **flags: Any) -> bytes:
    return json.dumps({"id": uuid.uuid4().hex, "amount": amount, **flags}).encode()


@pytest.mark.usefixtures("known")
def test_each_caller_gets_its_own_share_of_what_was_asked_together() -> None:
    calls = Asked()
    with opened(calls) as address:
        clients = [socket.create_connection(address) for _ in range(40)]
        for number, client in enumerate(clients):
            linked = {"flags": ["linked"]} if number % 10 == 9 else {}
            client.sendall(request_of(one(1 + number, **linked)))
        for number, client in enumerate(clients):
            with closing(client):
                status, _, body = answer_of(client)
                # The ledger above says a transfer's amount for its time.
                assert (status, json.loads(body)["timestamp"]) == (200, 1 + number)
    counts = [len(body) // RECORD_SIZE for body in calls.bodies]
    assert sum(counts) == 40
    # A chain that stays open is nobody else's.
    open_chains = [body for body in calls.bodies if body[-2] & 1]
    assert [len(body) for body in open_chains] == [RECORD_SIZE] * 4


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("trouble", "status", "retry_after"),
    [
        (RateLimited("full", retry_after_seconds=5), 429, "5"),
        (OutcomeUnknown("lost; repeat the same ids"), 503, "1"),
        (ZeroDivisionError("ours"), 500, None),
    ],
)
def test_the_ledgers_troubles_are_told_to_all_who_asked(
    trouble: Exception, status: int, retry_after: str | None
) -> None:
    calls = Asked()
    calls.trouble = trouble
    with opened(calls) as address:
        clients = [socket.create_connection(address) for _ in range(3)]
        for client in clients:
            client.sendall(request_of(one(1)))
        for client in clients:
            with closing(client):
                answered, headers, _ = answer_of(client)
                assert (answered, headers.get("retry-after")) == (status, retry_after)


@pytest.mark.usefixtures("known")
def test_long_batches_are_asked_alone_and_answered_in_records() -> None:
    calls = Asked()
    transfers = [Transfer(0, 0, 0, 5, unit=7, code=3) for _ in range(100)]
    records = b"".join(
        uuid.uuid4().bytes + record[16:]
        for record in (encode_transfers([each]) for each in transfers)
    )
    with opened(calls) as address, socket.create_connection(address) as client:
        client.sendall(request_of(records, RECORDS))
        status, _, body = answer_of(client)
    assert (status, len(body)) == (200, 900)
    assert body[:8] == (5).to_bytes(8, "little")
    assert [len(each) for each in calls.bodies] == [100 * RECORD_SIZE]


@pytest.mark.usefixtures("known")
def test_a_door_that_closes_drops_who_only_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_door, "DRAIN_SECONDS_MAX", 0.1)
    calls = Asked()
    calls.is_late = True
    with opened(calls) as address:
        idle, busy = (socket.create_connection(address) for _ in range(2))
        busy.sendall(request_of(one(1)))
        while not calls.bodies:
            pass
    with closing(idle), closing(busy):
        for client in (idle, busy):
            with pytest.raises(ConnectionResetError):
                client.recv(1) or (_ for _ in ()).throw(ConnectionResetError)


@pytest.mark.usefixtures("known")
def test_times_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sakk.api.connection.HEAD_SECONDS_MAX", 0.01)
    monkeypatch.setattr(ledger_door, "SWEEP_SECONDS", 0.02)
    with opened(Asked()) as address, socket.create_connection(address) as client:
        client.sendall(b"POST /v1")
        status, headers, _ = answer_of(client)
        assert (status, headers["connection"]) == (400, "close")
        assert client.recv(1) == b""
