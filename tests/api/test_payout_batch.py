"""Batches of payouts over HTTP: one key, one batch, whatever is sent at once."""

import hashlib
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from eth_utils.crypto import keccak

from sakk.client import InvalidRequestError, SakkClient
from tests.api.objects import NETWORK, Objects
from tests.api.world import Api

PARALLEL = 50


def line(number: int, **changes: Any) -> dict[str, Any]:
    address = "0x" + keccak(text=f"line {number} {uuid4()}")[-20:].hex()
    return {
        "amount": 1_000,
        "currency": "usdc",
        "destination": {"network": NETWORK, "address": address},
        **changes,
    }


def fund(api: Api, amount: int, key: str) -> None:
    answer = api.call("POST", "/v1/probes/fund", key=key, json={"amount": amount})
    assert answer.status_code == 200, answer.text


def available(api: Api, key: str) -> int:
    found = api.call("GET", "/v1/balance", key=key).json()["available"]
    return next((int(each["amount"]) for each in found if each["currency"] == "usdc"), 0)


def test_fifty_at_once_under_one_key_are_one_batch(api: Api) -> None:
    key = api.world.alice.key
    fund(api, 1_000_000, key)
    before = available(api, key)
    body = {"lines": [line(number) for number in range(20)]}
    headers = {"Idempotency-Key": f"batch-{uuid4()}"}

    def ask(_: int) -> tuple[int, str | None]:
        answer = api.call("POST", "/v1/payout_batches", json=body, headers=headers)
        return answer.status_code, answer.json().get("id")

    with ThreadPoolExecutor(PARALLEL) as pool:
        found = list(pool.map(ask, range(PARALLEL)))
    assert {status for status, _ in found} <= {200, 409}
    [batch] = {identifier for status, identifier in found if status == 200}
    assert ask(0) == (200, batch)
    assert available(api, key) == before - 20_000
    shown = api.call("GET", f"/v1/payout_batches/{batch}").json()
    assert [(each["status"], each["count"]) for each in shown["totals"]] == [("requested", 20)]


def test_parallel_payouts_and_batches_never_overdraw(api: Api) -> None:
    operator = api.world.operator.key
    account = api.call("POST", "/v1/accounts", key=operator, json={}).json()["id"]
    acting: dict[str, Any] = {"key": operator, "headers": {"Stripe-Account": account}}
    api.call("POST", "/v1/probes/fund", json={"amount": 10_500}, **acting)

    def ask(number: int) -> int:
        if number % 2:
            return int(api.call("POST", "/v1/payouts", json=line(number), **acting).is_success)
        body = {"lines": [line(number) for _ in range(3)]}
        answer = api.call("POST", "/v1/payout_batches", json=body, **acting)
        assert answer.status_code == 200, answer.text
        return sum(
            each["count"] for each in answer.json()["totals"] if each["status"] == "requested"
        )

    with ThreadPoolExecutor(12) as pool:
        granted = sum(pool.map(ask, range(24)))
    assert granted == 10
    assert api.call("GET", "/v1/balance", **acting).json()["available"][0]["amount"] == 500


def test_a_batch_is_told_line_by_line_in_order(api: Api) -> None:
    fund(api, 100_000, api.world.alice.key)
    lines = [line(number, reference=f"R-{uuid4()}") for number in range(5)]
    lines[1]["scheduled_at"] = 4_000_000_000
    body: dict[str, Any] = {"lines": lines, "description": "Salaries", "metadata": {"run": "7"}}
    wrong = api.call("POST", "/v1/payout_batches", json=body).json()["error"]
    assert (wrong["code"], wrong["param"]) == ("parameter_invalid", "lines[1][scheduled_at]")
    del lines[1]["scheduled_at"]
    made = api.call("POST", "/v1/payout_batches", json=body).json()
    assert (made["object"], made["lines"], made["source"]) == ("payout_batch", 5, "json")
    assert (made["description"], made["metadata"]) == ("Salaries", {"run": "7"})
    path = f"/v1/payout_batches/{made['id']}/payouts"
    first = api.call("GET", path, params={"limit": 3}).json()
    assert [each["line"] for each in first["data"]] == [1, 2, 3]
    assert [each["reference"] for each in first["data"]] == [
        each["reference"] for each in lines[:3]
    ]
    assert first["has_more"]
    rest = api.call("GET", path, params={"starting_after": first["data"][-1]["id"]}).json()
    assert ([each["line"] for each in rest["data"]], rest["has_more"]) == ([4, 5], False)
    back = api.call("GET", path, params={"ending_before": rest["data"][0]["id"], "limit": 2}).json()
    assert ([each["line"] for each in back["data"]], back["has_more"]) == ([2, 3], True)
    listed = api.call("GET", "/v1/payout_batches", params={"limit": 1}).json()["data"]
    assert [each["id"] for each in listed] == [made["id"]]
    twice = api.call("POST", "/v1/payout_batches", json=body)
    assert (twice.status_code, twice.json()["error"]["code"]) == (400, "payout_duplicate")
    canceled = api.call("POST", f"/v1/payout_batches/{made['id']}/cancel").json()
    assert [(each["status"], each["count"]) for each in canceled["totals"]] == [("canceled", 5)]
    assert canceled["status"] == "completed"
    none = api.call("GET", path, params={"status": "requested"}).json()
    assert none["data"] == []


def test_a_body_is_as_large_as_ten_thousand_lines_and_no_larger(api: Api) -> None:
    lines = [line(number, description="x" * 100) for number in range(10_001)]
    answer = api.call("POST", "/v1/payout_batches", json={"lines": lines})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "lines"
    padded = {"lines": lines[:1], "description": "x" * (8 << 20)}
    assert api.call("POST", "/v1/payout_batches", json=padded).status_code == 413


HEADER = "network;address;currency;amount;reference"


def csv_of(*amounts: str) -> bytes:
    """A file as a spreadsheet of half of Europe writes it."""
    rows = []
    for number, amount in enumerate(amounts):
        found = line(number)["destination"]
        rows.append(f"{found['network']};{found['address']};usdc;{amount};R-{uuid4()}")
    return "\r\n".join(["\ufeff" + HEADER, *rows, ""]).encode()


def test_what_was_previewed_is_what_is_made(api: Api) -> None:
    fund(api, 100_000_000, api.world.alice.key)
    file = csv_of("1.50", "2.25")
    headers = {"Content-Type": "text/csv"}
    shown = api.call("POST", "/v1/payout_batches/preview", content=file, headers=headers).json()
    assert (shown["valid"], shown["faults"]) == (True, [])
    assert [(each["line"], each["amount"]) for each in shown["lines"]] == [
        (2, 1_500_000),
        (3, 2_250_000),
    ]
    [total] = shown["totals"]
    assert (total["debited_decimal"], total["available"] >= 100_000_000) == ("3.750000", True)
    assert shown["digest"] == hashlib.sha256(file).hexdigest()

    def made(**fields: str) -> tuple[int, dict[str, Any]]:
        answer = api.call(
            "POST", "/v1/payout_batches", files={"file": ("pay.csv", file)}, data=fields
        )
        return answer.status_code, answer.json()

    status, body = made()
    assert (status, body["error"]["param"]) == (400, "digest")
    status, body = made(digest="00" * 32)
    assert (status, body["error"]["param"]) == (400, "digest")
    status, body = made(digest=shown["digest"], description="May", **{"metadata[run]": "7"})
    assert (status, body["source"], body["digest"]) == (200, "csv", shown["digest"])
    assert (body["description"], body["metadata"]) == ("May", {"run": "7"})
    status, body = made(digest=shown["digest"])
    assert (status, body["error"]["code"]) == (400, "payout_duplicate")
    # The whole as JSON, with the same answer for a preview of it.
    again = api.call(
        "POST",
        "/v1/payout_batches/preview",
        json={"file": b64encode(file).decode(), "allow_duplicates": True},
    ).json()
    assert (again["digest"], again["valid"]) == (shown["digest"], True)


def test_a_preview_shows_every_fault_by_line_and_column(api: Api) -> None:
    before = api.call("GET", "/v1/payout_batches").json()
    file = csv_of("1,50", "2.00", "3.00") + b"eip155:84532;0x12;usdc;1;x\r\n"
    twice = file.decode().splitlines()[2]
    shown = api.call(
        "POST",
        "/v1/payout_batches/preview",
        files={"file": ("pay.csv", file + twice.encode())},
    ).json()
    faults = [(each["line"], each["param"], each["code"]) for each in shown["faults"]]
    assert faults == [
        (2, "amount", "parameter_invalid"),
        (5, "address", "parameter_invalid"),
        (6, None, "payout_duplicate"),
    ]
    assert "line 3" in shown["faults"][2]["message"]
    assert not shown["valid"]
    answer = api.call(
        "POST",
        "/v1/payout_batches",
        json={"file": b64encode(file).decode(), "digest": hashlib.sha256(file).hexdigest()},
    )
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "file")
    assert error["message"].startswith("Line 2, column amount: '1,50' has a comma")
    assert api.call("GET", "/v1/payout_batches").json() == before


def test_wrong_lines_are_left_out_told_and_never_paid(api: Api) -> None:
    key = api.world.alice.key
    fund(api, 100_000_000, key)
    # A decimal comma, an address that is none, and an earlier line's reference.
    file = csv_of("1.50", "1,50", "2.25") + f"{NETWORK};0x12;usdc;3;R-{uuid4()}\r\n".encode()
    first = file.decode().splitlines()[1]
    file += first.replace("1.50", "1.75").encode() + b"\r\n"
    with SakkClient(key, api.url) as sakk:
        batches = sakk.payout_batches
        refused = batches.preview(file=file)
        assert not refused.valid
        shown = batches.preview(file=file, on_invalid="skip")
        assert shown.valid
        assert {each.line for each in shown.faults} == {3, 5, 6}
        assert [each["line"] for each in shown.lines] == [2, 4]
        assert [each["delivered_decimal"] for each in shown.totals] == ["3.750000"]
        before = available(api, key)
        # What was shown with every line is not what is confirmed when some are left out.
        for digest in (refused.digest, hashlib.sha256(b"").hexdigest()):
            with pytest.raises(InvalidRequestError) as caught:
                batches.create(file=file, digest=digest, on_invalid="skip")
            assert caught.value.param == "digest"
        with pytest.raises(InvalidRequestError):
            batches.create(file=file, digest=shown.digest)
        again = f"skip-{uuid4()}"

        def made() -> Any:
            return batches.create(
                file=file, digest=shown.digest, on_invalid="skip", idempotency_key=again
            )

        batch = made()
        assert (batch.lines, batch.skipped, batch.digest) == (2, 3, shown.digest)
        assert made().id == batch.id
        assert batches.retrieve(batch.id).skipped == 3
        assert available(api, key) == before - 3_750_000
        assert [each.line for each in batches.payouts(batch.id)] == [2, 4]
        pages = [batches.skipped_lines(batch.id, limit=2)]
        pages.append(batches.skipped_lines(batch.id, limit=2, starting_after=pages[0].data[-1].id))
        left_out = [each for page in pages for each in page.data]
        assert [(each.line, each.faults[0].param) for each in left_out] == [
            (3, "amount"),
            (5, "address"),
            (6, "reference"),
        ]
        assert "1.50" in left_out[0].faults[0].message
        assert left_out[0].said["amount"] == "1,50"
        with pytest.raises(InvalidRequestError) as caught:
            batches.create(file=file, digest=shown.digest, on_invalid="skip")
        assert caught.value.param == "digest"
    bob = api.call("GET", f"/v1/payout_batches/{batch.id}/skipped_lines", key=api.world.bob.key)
    assert bob.status_code == 404


def test_a_batch_of_wrong_lines_alone_is_refused(api: Api) -> None:
    wrong = {"lines": [line(1, currency="eur"), line(2, quote="qt_none")], "on_invalid": "skip"}
    before = api.call("GET", "/v1/payout_batches").json()
    shown = api.call("POST", "/v1/payout_batches/preview", json=wrong).json()
    assert (shown["valid"], shown["lines"]) == (False, [])
    answer = api.call("POST", "/v1/payout_batches", json=wrong)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "lines[0][currency]")
    assert api.call("GET", "/v1/payout_batches").json() == before


def test_the_same_lines_again_are_refused_whatever_is_left_out(api: Api) -> None:
    fund(api, 100_000, api.world.alice.key)
    body = {"lines": [line(1), line(2, currency="eur")], "on_invalid": "skip"}
    made = api.call("POST", "/v1/payout_batches", json=body).json()
    assert (made["lines"], made["skipped"], made["on_invalid"]) == (1, 1, "skip")
    twice = api.call("POST", "/v1/payout_batches", json=body)
    assert (twice.status_code, twice.json()["error"]["code"]) == (400, "payout_duplicate")


def test_a_batch_is_charged_by_quotes(api: Api, objects: Objects) -> None:
    fund(api, 100_000, api.world.alice.key)
    quote = objects["quote"]
    asked = [line(1), line(2, quote="qt_none"), line(3, currency="usdt"), line(4, quote=quote)]
    body = {"lines": asked, "quote": quote, "on_invalid": "skip"}
    shown = api.call("POST", "/v1/payout_batches/preview", json=body).json()
    assert [(each["line"], each["quote"]) for each in shown["lines"]] == [(1, quote), (4, quote)]
    assert {(each["line"], each["param"]) for each in shown["faults"]} >= {(2, "quote")}
    body["digest"] = shown["digest"]
    made = api.call("POST", "/v1/payout_batches", json=body).json()
    path = f"/v1/payout_batches/{made['id']}/payouts"
    found = api.call("GET", path).json()["data"]
    assert [(each["line"], each["quote"]) for each in found] == [(1, quote), (4, quote)]
    file = csv_of("1.00")
    told = [
        api.call(
            "POST",
            "/v1/payout_batches/preview",
            json={"file": b64encode(file).decode(), "quote": name},
        ).json()
        for name in (None, quote)
    ]
    assert [each["lines"][0]["quote"] for each in told] == [None, quote]
    assert told[0]["digest"] != told[1]["digest"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "lines"),
        ({"lines": [line(1)], "file": ""}, "lines"),
        ({"file": "no base64"}, "file"),
    ],
)
def test_lines_or_a_file(api: Api, body: dict[str, Any], param: str) -> None:
    answer = api.call("POST", "/v1/payout_batches/preview", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nno name\r\n--x--"),
        ("multipart/form-data; boundary=x", b'--x\r\nc: d; name="file"\r\n\r\nno end'),
        ("multipart/form-data; boundary=x", b'--x\r\nc: d; name="a"\r\n\r\n\xff\r\n--x--'),
    ],
)
def test_forms_that_can_not_be_read(api: Api, kind: str, content: bytes) -> None:
    answer = api.call(
        "POST", "/v1/payout_batches/preview", content=content, headers={"Content-Type": kind}
    )
    assert answer.status_code == 400, answer.text
