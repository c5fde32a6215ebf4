"""Errors: their shape, their headers, and hostile input that must never be a 500."""

from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
import stripe

from sakk.api.dependencies import BODY_BYTES_MAX
from tests.api.world import Api, http

FORM = "application/x-www-form-urlencoded"


def error_of(response: httpx2.Response, *, status: int) -> dict[str, Any]:
    """The error in an answer, after checking what all errors share."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    error: dict[str, Any] = response.json()["error"]
    assert error["request_id"] == response.headers["request-id"]
    assert error["request_id"].startswith("req_")
    assert error["message"]
    assert error["doc_url"].endswith(f"#{error['code']}")
    return error


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "url_unknown"),
        ("GET", "/v1/customers/", 404, "url_unknown"),
        ("GET", "/", 404, "url_unknown"),
        ("PUT", "/v1/customers", 405, "method_not_allowed"),
        ("OPTIONS", "/v1/customers", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
        ("GET", "/v1/customers/cus_nobody", 404, "resource_missing"),
    ],
)
def test_paths_and_methods(api: Api, method: str, path: str, status: int, code: str) -> None:
    assert error_of(api.call(method, path), status=status)["code"] == code


def test_every_answer_has_an_id_of_its_own_and_the_security_headers(api: Api) -> None:
    answers = [api.call("GET", path) for path in ("/healthz", "/v1/customers", "/v1/nothing")]
    assert len({answer.headers["request-id"] for answer in answers}) == 3
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"unknown": 1}, "parameter_unknown", "unknown"),
        (
            {"amount": 1, "destination": {"network": "n"}},
            "parameter_missing",
            "destination[address]",
        ),
        (
            {"destination": {"network": "n", "address": "a", "x": 1}},
            "parameter_unknown",
            "destination[x]",
        ),
        (
            {"places": [{"network": "n", "address": "a"}, {"network": "n"}]},
            "parameter_missing",
            "places[1][address]",
        ),
        ({"amount": "5"}, "parameter_invalid", "amount"),
        ({"amount": 5.0}, "parameter_invalid", "amount"),
        ({"amount": True}, "parameter_invalid", "amount"),
        ({"amount": 0}, "parameter_invalid", "amount"),
        ({"amount": 1 << 128}, "parameter_invalid", "amount"),
        ({"amount": 10**4000}, "parameter_invalid", "amount"),
        ({"flag": "true"}, "parameter_invalid", "flag"),
        ({"flag": 1}, "parameter_invalid", "flag"),
        ({"words": "x"}, "parameter_invalid", "words"),
        ({"words": ["x", 1]}, "parameter_invalid", "words[1]"),
        ({"words": ["x"] * 6}, "parameter_invalid", "words"),
        ({"mode": "other"}, "parameter_invalid", "mode"),
        ({"mode": None}, "parameter_invalid", "mode"),
        ({"metadata": {"k": 1}}, "parameter_invalid", "metadata[k]"),
        ({"metadata": {"k" * 41: "v"}}, "parameter_invalid", f"metadata[{'k' * 41}]"),
        ({"metadata": {"k": "v" * 501}}, "parameter_invalid", "metadata[k]"),
        ({"metadata": {str(n): "v" for n in range(51)}}, "parameter_invalid", "metadata"),
        ({"expand": ["nothing"]}, "parameter_invalid", "expand[0]"),
    ],
)
def test_json_parameters(api: Api, body: dict[str, Any], code: str, param: str) -> None:
    error = error_of(api.call("POST", "/v1/probes", json=body), status=400)
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)


def test_json_parameters_that_are_taken(api: Api) -> None:
    body = {
        "amount": (1 << 128) - 1,
        "flag": False,
        "words": ["a", "b"],
        "places": [{"network": "n", "address": "a"}],
        "metadata": {"k": "v", "gone": None},
    }
    answer = api.call("POST", "/v1/probes", json=body)
    assert answer.json()["seen"] == body


def test_the_largest_amount_stays_exact(api: Api) -> None:
    answer = api.call("POST", "/v1/probes", json={"amount": (1 << 128) - 1})
    assert b'"amount":340282366920938463463374607431768211455' in answer.content


@pytest.mark.parametrize(
    ("form", "seen"),
    [
        (b"amount=5&flag=true", {"amount": 5, "flag": True}),
        (b"words[]=a&words[]=b", {"words": ["a", "b"]}),
        (b"words[0]=a&words[1]=b", {"words": ["a", "b"]}),
        (
            b"destination[network]=n&destination[address]=a",
            {"destination": {"network": "n", "address": "a"}},
        ),
        (
            b"places[0][network]=n&places[0][address]=a",
            {"places": [{"network": "n", "address": "a"}]},
        ),
        (b"metadata[order]=7&metadata[gone]=", {"metadata": {"order": "7", "gone": None}}),
        (b"metadata=", {"metadata": None}),
    ],
)
def test_form_parameters(api: Api, form: bytes, seen: dict[str, Any]) -> None:
    answer = api.call("POST", "/v1/probes", content=form, headers={"Content-Type": FORM})
    assert answer.json()["seen"] == seen


@pytest.mark.parametrize(
    ("form", "code", "param"),
    [
        (b"amount=x", "parameter_invalid", "amount"),
        (b"amount=1e3", "parameter_invalid", "amount"),
        (b"amount=1.5", "parameter_invalid", "amount"),
        (b"flag=maybe", "parameter_invalid", "flag"),
        (b"destination[network]=n", "parameter_missing", "destination[address]"),
        (b"destination[address][]=n", "parameter_missing", "destination[network]"),
        (b"metadata[a][b]=1", "parameter_invalid", "metadata[a]"),
        (b"typo[x]=1", "parameter_unknown", "typo"),
    ],
)
def test_form_parameters_that_are_refused(api: Api, form: bytes, code: str, param: str) -> None:
    answer = api.call("POST", "/v1/probes", content=form, headers={"Content-Type": FORM})
    error = error_of(answer, status=400)
    assert (error["code"], error["param"]) == (code, param)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("limit=1&limit=2", "limit"),
        ("created[gte]=x", "created[gte]"),
        ("created[between]=1", "created[between]"),
        ("created=999999999999999", "created[gte]"),
        ("unknown=1", "unknown"),
        ("starting_after=a&ending_before=b", "ending_before"),
        ("starting_after=cus_nobody", "starting_after"),
        ("expand[]=data.nothing", "expand[0]"),
        ("starting_after=a%00b", "starting_after"),
    ],
)
def test_query_parameters(api: Api, query: str, param: str) -> None:
    assert error_of(api.call("GET", f"/v1/customers?{query}"), status=400)["param"] == param


def test_a_post_takes_no_query(api: Api) -> None:
    error = error_of(api.call("POST", "/v1/customers?name=x"), status=400)
    assert (error["code"], error["param"]) == ("parameter_unknown", "name")


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("text/plain", b"{}", 415),
        ("application/json; charset=utf-16", b"{}", 415),
        ("application/json", b"[" * 900_000, 400),
        ("application/json", b'{"a":' * 150_000, 400),
        ("application/json", b'{"metadata":{"a":"\\u0000"}}', 400),
        ("application/json", b'{"metadata":{"a":"\\ud800"}}', 400),
        ("application/json", b'{"metadata":{"a":"\xff\xfe"}}', 400),
        ("application/json", b'{"amount":1,"amount":2}', 400),
        ("application/json", b'{"amount":' + b"9" * 5_000 + b"}", 400),
        ("application/json", b'{"amount":1e400}', 400),
        (FORM, b"metadata[a]=%00", 400),
        (FORM, b"metadata[a]=%ff", 400),
        (FORM, b"a" + b"[b]" * 5_000 + b"=1", 400),
        (FORM, b"&".join(b"a%d=1" % number for number in range(50_000)), 400),
    ],
)
def test_hostile_bodies(api: Api, content_type: str, body: bytes, status: int) -> None:
    answer = api.call("POST", "/v1/probes", content=body, headers={"Content-Type": content_type})
    error_of(answer, status=status)


def test_a_body_that_is_too_large_is_refused_before_it_is_read(api: Api) -> None:
    address = urlsplit(api.url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=30)
    connection.putrequest("POST", "/v1/probes")
    connection.putheader("Authorization", f"Bearer {api.world.alice.key}")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(10 * BODY_BYTES_MAX))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert answer.headers["request-id"]
    connection.close()


def test_a_body_that_grows_too_large_is_refused(api: Api) -> None:
    def chunks() -> Any:
        for _ in range(12):
            yield b" " * (BODY_BYTES_MAX // 10)

    answer = api.call(
        "POST", "/v1/probes", content=chunks(), headers={"Content-Type": "application/json"}
    )
    error_of(answer, status=413)


@pytest.mark.parametrize("path", ["cus_%00", "cus_%ff", "%2e%2e", "c" * 300, "cus_\u20ac"])
def test_hostile_paths(api: Api, path: str) -> None:
    answer = api.call("GET", f"/v1/customers/{path}")
    assert answer.status_code in (400, 404)
    error_of(answer, status=answer.status_code)


def test_a_fault_of_ours_says_only_its_id(api: Api) -> None:
    error = error_of(api.call("POST", "/v1/probes", json={"mode": "crash"}), status=500)
    assert error["type"] == "api_error"
    assert "a fault of ours" not in error["message"]
    assert error["request_id"] in error["message"]


def test_what_may_be_sent_again_says_so(api: Api) -> None:
    answer = api.call("POST", "/v1/probes", json={"mode": "unavailable"})
    error_of(answer, status=503)
    assert answer.headers["stripe-should-retry"] == "true"
    assert answer.headers["retry-after"] == "1"


def test_the_stripe_client_raises_its_typed_errors(api: Api) -> None:
    with pytest.raises(stripe.InvalidRequestError) as missing:
        api.stripe().v1.customers.retrieve("cus_nobody")
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")
    with pytest.raises(stripe.InvalidRequestError) as unknown:
        api.stripe().raw_request("post", "/v1/customers", typo="x")
    assert (unknown.value.code, unknown.value.param) == ("parameter_unknown", "typo")
    assert (unknown.value.request_id or "").startswith("req_")
    with pytest.raises(stripe.AuthenticationError):
        api.stripe("sk_test_wrong").v1.customers.list()
    with pytest.raises(stripe.PermissionError):
        api.stripe().v1.accounts.list()
    with pytest.raises(stripe.PermissionError):
        api.stripe(stripe_account=api.world.bob.account).v1.customers.list()


def test_what_errors_mean_is_published(api: Api) -> None:
    page = api.call("GET", "/docs/errors")
    assert page.headers["content-type"].startswith("text/html")
    for code in ("parameter_unknown", "balance_insufficient", "idempotency_key_in_use"):
        assert f'id="{code}"' in page.text


def test_health(api: Api) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
        assert http().get(api.url + path).status_code == 200
