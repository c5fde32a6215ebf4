"""The ledger's door without a server: what the ledger's troubles become, and bodies in pieces."""

import asyncio
import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from sakk.api import posting
from sakk.api.answer import SECURITY_HEADERS
from sakk.api.authentication import Authenticator
from sakk.api.dependencies import ApiSettings
from sakk.api.ledger import resource
from sakk.api.ledger_body import BODY_BYTES_MAX
from sakk.api.limit import Limits
from sakk.api.posting import HotDoor, Postings
from sakk.core.account import AccountKind
from sakk.core.api_key import ApiKey, token_hash
from sakk.core.errors import RateLimited, SakkError, Unavailable
from sakk.ledger.calls import Op
from sakk.ledger.types import OutcomeUnknown
from sakk.store.api_key import Principal

TOKEN = "sk_test_" + "a" * 52
BODY = b'{"id":"6f9619ff-8b86-4011-b42d-00c04fc964ff"}'
ROUTE = next(each for each in resource.routes if each.operation == "create_ledger_transfers")


class Line:
    """A ledger that is in trouble, or creates everything."""

    def __init__(self, trouble: Exception | None = None) -> None:
        self.trouble = trouble
        self.asked: list[tuple[Op, bytes]] = []

    async def ask(self, op: Op, body: bytes) -> bytes:
        self.asked.append((op, body))
        if self.trouble is not None:
            raise self.trouble
        return (7).to_bytes(8, "little") + b"\0"


def principal(token: str) -> Principal:
    """The operator, by this key."""
    key = ApiKey(
        id="key_1",
        account_id="acct_1",
        livemode=False,
        kind="secret",
        name=None,
        token_hash=token_hash(token),
        prefix="sk_test_",
        last4="aaaa",
        scopes=[],
        allowed_addresses=[],
        expires_at=None,
        revoked_at=None,
        created=datetime.now(UTC),
    )
    return Principal(key=key, account_kind=AccountKind.operator)


def ask(line: Line, *messages: dict[str, Any]) -> tuple[int, dict[bytes, bytes], Any]:
    """Status, headers and document of the door's answer to a body that arrives in messages."""
    nothing: Any = None
    limits = Limits(requests_per_second=None, failures_per_minute=None, processes=1)
    authenticator = Authenticator(nothing, limits)
    authenticator._principals[token_hash(TOKEN)] = (time.monotonic() + 60, principal(TOKEN))
    observed: list[int] = []
    postings = Postings(ROUTE, authenticator, ApiSettings(), nothing)
    door = HotDoor(postings, line, lambda _, status: observed.append(status))
    scope = {
        "type": "http",
        "headers": [
            (b"authorization", b"Bearer " + TOKEN.encode()),
            (b"content-type", b"application/json"),
        ],
        "query_string": b"",
        "client": ("127.0.0.1", 5),
    }
    waiting = list(messages)
    sent: list[Any] = []

    async def receive() -> Any:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(door(scope, receive, send))
    start, body = sent
    assert observed == [start["status"]]
    return start["status"], dict(start["headers"]), json.loads(body["body"])


def chunk(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


@pytest.mark.parametrize(
    ("trouble", "status", "code", "retry_after"),
    [
        (RateLimited("full; send the same ids again"), 429, "rate_limit", b"1"),
        (RateLimited("behind", retry_after_seconds=5), 429, "rate_limit", b"5"),
        (OutcomeUnknown("lost; repeat the same ids"), 503, "outcome_unknown", b"1"),
        (Unavailable("away"), 503, "unavailable", b"1"),
        (ZeroDivisionError("ours"), 500, "internal_error", None),
    ],
)
def test_the_ledgers_troubles_are_told(
    trouble: Exception, status: int, code: str, retry_after: bytes | None
) -> None:
    line = Line(trouble)
    answered, headers, document = ask(line, chunk(BODY))
    assert len(line.asked) == 1
    error = document["error"]
    assert (answered, error["code"]) == (status, code)
    assert headers.get(b"retry-after") == retry_after
    assert error["request_id"] == headers[b"request-id"].decode()
    if isinstance(trouble, SakkError):
        assert error["message"] == trouble.message
    assert {name for name, _ in SECURITY_HEADERS} <= set(headers)


@pytest.mark.parametrize("cut", [0, 1, 20, len(BODY)])
def test_a_body_in_pieces_is_one_body(cut: int) -> None:
    line = Line()
    status, headers, document = ask(line, chunk(BODY[:cut], more=True), chunk(BODY[cut:]))
    assert (status, document["status"], document["timestamp"]) == (200, "created", 7)
    assert document["id"] == json.loads(BODY)["id"]
    assert line.asked[0][0] is Op.create_transfers
    assert {name for name, _ in SECURITY_HEADERS} <= set(headers)


def test_a_body_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "BODY_SECONDS_MAX", 0.01)
    line = Line()
    status, _, document = ask(line)
    assert (status, line.asked) == (400, [])
    status, _, document = ask(line, chunk(BODY[:9], more=True))
    assert (status, line.asked) == (400, [])
    assert "too long to arrive" in document["error"]["message"]
    status, _, _ = ask(line, chunk(BODY[:9], more=True), {"type": "http.disconnect"})
    assert (status, line.asked) == (400, [])


def test_a_body_that_grows_too_large_is_not_read_to_its_end() -> None:
    line = Line()
    large = chunk(bytes(BODY_BYTES_MAX), more=True)
    status, _, document = ask(line, large, chunk(b"x", more=True), chunk(b"never read"))
    assert (status, document["error"]["code"], line.asked) == (413, "body_too_large", [])
