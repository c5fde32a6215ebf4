import pytest

from sakk.client import (
    ApiError,
    AuthenticationError,
    BalanceInsufficientError,
    ConnectionFailedError,
    IdempotencyError,
    InvalidRequestError,
    PermissionDeniedError,
    RateLimitError,
    ResourceMissingError,
    RetryPolicy,
    SakkClient,
    SakkError,
)
from sakk.client import transport as transport_module

from .conftest import API_KEY, HURRIED, Reply, Script

PAYOUT = {
    "id": "po_1",
    "object": "payout",
    "amount": 5,
    "currency": "usdc",
    "status": "requested",
    "destination": {"network": "eip155:84532", "address": "0x1"},
}


def pay(client: SakkClient, *, idempotency_key: str | None = None) -> str:
    return client.payouts.create(
        amount=5,
        currency="usdc",
        network="eip155:84532",
        address="0x1",
        idempotency_key=idempotency_key,
    ).id


def failure(type: str, code: str, status: int, **more: str) -> Reply:
    detail = {"type": type, "code": code, "message": "What to do.", "doc_url": "d", **more}
    return Reply({"error": detail}, status=status)


def test_a_request_carries_the_key_and_nothing_that_was_not_given(
    client: SakkClient, script: Script
) -> None:
    script.will(Reply(PAYOUT))
    assert pay(client) == "po_1"
    (asked,) = script.asked
    assert (asked.method, asked.path) == ("POST", "/v1/payouts")
    assert asked.headers["authorization"] == f"Bearer {API_KEY}"
    assert asked.headers["content-type"] == "application/json"
    assert "stripe-account" not in asked.headers
    assert asked.document == {
        "amount": 5,
        "currency": "usdc",
        "destination": {"network": "eip155:84532", "address": "0x1"},
    }


@pytest.mark.parametrize(
    "fault",
    [
        Reply(drop=True),
        failure("idempotency_error", "idempotency_key_in_use", 409),
        failure("rate_limit_error", "rate_limit", 429),
        failure("api_error", "unavailable", 503),
        Reply(b"<html>bad gateway</html>", status=502),
        failure("api_error", "internal_error", 500),
    ],
    ids=["reset", "in_use", "rate_limit", "unavailable", "proxy", "fault"],
)
def test_what_may_pass_is_tried_again_under_the_same_key(
    client: SakkClient, script: Script, fault: Reply
) -> None:
    script.will(fault, fault, Reply(PAYOUT))
    assert pay(client) == "po_1"
    first, second, third = script.asked
    assert first.headers["idempotency-key"]
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.headers["idempotency-key"] == third.headers["idempotency-key"]
    assert first.body == second.body == third.body


def test_every_post_and_delete_has_a_key_of_its_own(client: SakkClient, script: Script) -> None:
    deleted = {"id": "cus_1", "object": "customer", "deleted": True}
    script.will(Reply(PAYOUT), Reply(PAYOUT), Reply(deleted), Reply(PAYOUT))
    pay(client)
    pay(client)
    assert client.customers.delete("cus_1").deleted
    client.payouts.retrieve("po_1")
    keys = [asked.headers.get("idempotency-key") for asked in script.asked]
    assert len(set(keys[:3])) == 3
    assert keys[3] is None


def test_a_key_of_the_callers_is_used(client: SakkClient, script: Script) -> None:
    script.will(Reply(PAYOUT))
    pay(client, idempotency_key="order-7")
    assert script.asked[0].headers["idempotency-key"] == "order-7"


@pytest.mark.parametrize("key", ["", "x" * 256, "ключ", "a\nb"])
def test_a_key_that_no_header_can_hold_is_refused(
    client: SakkClient, script: Script, key: str
) -> None:
    with pytest.raises(ValueError, match="idempotency_key"):
        pay(client, idempotency_key=key)
    assert script.asked == []


def test_when_no_answer_ever_comes_the_error_carries_the_key(
    client: SakkClient, script: Script
) -> None:
    script.will(*[Reply(drop=True)] * 4)
    with pytest.raises(ConnectionFailedError, match="whether it was done is not known") as caught:
        pay(client)
    keys = {asked.headers["idempotency-key"] for asked in script.asked}
    assert keys == {caught.value.idempotency_key}


def test_a_silent_server_is_not_waited_for_without_end(script: Script) -> None:
    script.will(Reply(hold=True))
    patience = RetryPolicy(retries_max=0)
    with SakkClient(API_KEY, script.url, timeout_seconds=0.1, retry=patience) as client:
        with pytest.raises(ConnectionFailedError, match="ReadTimeout") as caught:
            client.balance.retrieve()
    assert caught.value.idempotency_key is None


def test_nobody_at_the_address(script: Script) -> None:
    with SakkClient(API_KEY, "http://127.0.0.1:1", retry=HURRIED) as client:
        with pytest.raises(ConnectionFailedError, match="ConnectError"):
            client.balance.retrieve()


def test_the_server_may_say_that_another_try_is_no_use(client: SakkClient, script: Script) -> None:
    reply = failure("api_error", "internal_error", 500)
    reply.headers["stripe-should-retry"] = "false"
    script.will(reply)
    with pytest.raises(ApiError):
        pay(client)
    asked_again = failure("invalid_request_error", "unexpected_state", 400)
    asked_again.headers["stripe-should-retry"] = "true"
    script.will(asked_again, Reply(PAYOUT))
    assert pay(client) == "po_1"


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (failure("invalid_request_error", "parameter_invalid", 400), InvalidRequestError),
        (failure("invalid_request_error", "balance_insufficient", 400), BalanceInsufficientError),
        (failure("invalid_request_error", "resource_missing", 404), ResourceMissingError),
        (failure("idempotency_error", "idempotency_key_reused", 400), IdempotencyError),
        (failure("authentication_error", "api_key_invalid", 401), AuthenticationError),
        (failure("permission_error", "permission_denied", 403), PermissionDeniedError),
        (failure("something_new", "something_new", 418), InvalidRequestError),
        (Reply({"error": "odd"}, status=400), InvalidRequestError),
        (Reply([], status=401), AuthenticationError),
        (Reply(b"", status=404), ResourceMissingError),
        (Reply(b"", status=302, headers={"location": "http://127.0.0.1:1/"}), ApiError),
    ],
)
def test_an_error_has_the_type_that_the_server_gave_it(
    client: SakkClient, script: Script, reply: Reply, kind: type[SakkError]
) -> None:
    script.will(reply)
    with pytest.raises(SakkError) as caught:
        pay(client)
    assert type(caught.value) is kind
    assert caught.value.status == reply.status
    assert caught.value.request_id == "req_1"
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (failure("rate_limit_error", "rate_limit", 429), RateLimitError),
        (failure("idempotency_error", "idempotency_key_in_use", 409), IdempotencyError),
        (failure("api_error", "unavailable", 503), ApiError),
    ],
)
def test_retries_end(
    client: SakkClient, script: Script, reply: Reply, kind: type[SakkError]
) -> None:
    script.will(*[reply] * 4)
    with pytest.raises(kind):
        pay(client)
    assert len(script.asked) == 4


def test_an_error_says_what_to_mend(client: SakkClient, script: Script) -> None:
    script.will(
        failure("invalid_request_error", "parameter_invalid", 400, param="destination[address]")
    )
    with pytest.raises(InvalidRequestError, match="What to do") as caught:
        pay(client)
    error = caught.value
    assert (error.param, error.code, error.doc_url) == (
        "destination[address]",
        "parameter_invalid",
        "d",
    )
    assert str(error) == "What to do. (request req_1)"


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b"{}", b'{"id": 1}', b"\xff"])
def test_an_answer_that_is_not_what_was_promised(
    client: SakkClient, script: Script, body: bytes
) -> None:
    script.will(Reply(body))
    with pytest.raises(ApiError, match="cannot be read"):
        client.payouts.retrieve("po_1")


def test_an_answer_has_a_greatest_size(
    client: SakkClient, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_module, "BODY_BYTES_MAX", 1000)
    script.will(Reply(b"x" * 1001))
    with pytest.raises(ApiError, match="larger than 1000 bytes"):
        client.payouts.retrieve("po_1")


def test_acting_for_an_account_over_the_same_connections(
    client: SakkClient, script: Script
) -> None:
    script.will(Reply({"object": "balance"}), Reply({"object": "balance"}))
    client.for_account("acct_1").balance.retrieve()
    client.balance.retrieve()
    assert [asked.headers.get("stripe-account") for asked in script.asked] == ["acct_1", None]


def test_the_key_is_not_shown(client: SakkClient) -> None:
    assert API_KEY not in repr(client)
    assert API_KEY not in repr(client._transport)


@pytest.mark.parametrize(
    ("key", "url", "message"),
    [
        ("", "http://127.0.0.1", "api_key"),
        ("sk_test_\n", "http://127.0.0.1", "api_key"),
        ("sk_test_1", "127.0.0.1:8402", "base_url"),
        ("sk_test_1", "ftp://127.0.0.1", "base_url"),
    ],
)
def test_a_client_that_cannot_work_is_not_made(key: str, url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SakkClient(key, url)


def test_waiting_grows_is_spread_and_is_bounded() -> None:
    policy = RetryPolicy(backoff_seconds_min=1, backoff_seconds_max=4)
    for retry, ceiling in enumerate([1, 2, 4, 4, 4]):
        waits = {policy.wait_seconds(retry, retry_after_seconds=None) for _ in range(50)}
        assert ceiling / 2 <= min(waits) < max(waits) <= ceiling
    assert policy.wait_seconds(0, retry_after_seconds=7) == 7
    assert policy.wait_seconds(0, retry_after_seconds=9_999) == 60


@pytest.mark.parametrize("retry_after", ["0", "0.001", "soon", "-1", "inf", "nan"])
def test_retry_after_is_believed_when_it_is_a_time(
    client: SakkClient, script: Script, retry_after: str
) -> None:
    script.will(Reply(status=429, headers={"retry-after": retry_after}), Reply(PAYOUT))
    assert pay(client) == "po_1"
