"""The operator's own ledger over HTTP: what it takes and answers, and what it can not touch."""

import struct
import uuid
from typing import Any

import pytest
from sqlalchemy import text

from sakk.api.ledger_body import BODY_BYTES_MAX, IDS, RECORDS, RESULTS
from sakk.client import LedgerAccountCreate, LedgerTransferCreate, SakkClient
from sakk.core import chart
from sakk.core.api_key import KeyKind
from sakk.core.ledger import account_id, transfer_id
from sakk.flow import api_key as api_key_flow
from sakk.ledger.projection import catch_up
from sakk.ledger.record import decode_results, encode_transfers
from sakk.ledger.types import CreateTransferStatus, Transfer
from sakk.store.identity import new_id, now
from tests.api.test_errors import error_of
from tests.api.world import Api

S = CreateTransferStatus
LEDGER = 700


def new() -> str:
    return str(uuid.uuid4())


def post(api: Api, noun: str, body: Any, **options: Any) -> Any:
    """What an accepted posting answers, as the operator."""
    answer = api.call(
        "POST", f"/v1/ledger/{noun}", key=api.world.operator.key, json=body, **options
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def get(api: Api, path: str, **params: Any) -> Any:
    answer = api.call("GET", f"/v1/ledger/{path}", key=api.world.operator.key, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def accounts(api: Api, count: int = 2, **fields: Any) -> list[str]:
    """New accounts of one ledger."""
    ids = [new() for _ in range(count)]
    made = [{"id": each, "ledger": LEDGER, "code": 1, **fields} for each in ids]
    answer = post(api, "accounts", {"accounts": made})
    assert {each["status"] for each in answer["results"]} == {"created"}
    return ids


def move(debit: str, credit: str, amount: Any = 100, **fields: Any) -> dict[str, Any]:
    return {
        "id": new(),
        "debit_account_id": debit,
        "credit_account_id": credit,
        "amount": amount,
        "ledger": LEDGER,
        "code": 1,
        **fields,
    }


def statuses(answer: Any) -> list[str]:
    return [each["status"] for each in answer["results"]]


def live_operator(api: Api) -> str:
    """A live key of the operator's."""
    with api.database.begin() as connection:
        _, token = api_key_flow.create(
            connection,
            key_id=new_id("key"),
            account_id=api.world.operator.account,
            livemode=True,
            now=now(),
            kind=KeyKind.secret,
        )
    return token


def test_one_account_and_one_transfer(api: Api) -> None:
    first, second = new(), new()
    made = post(api, "accounts", {"id": first, "ledger": LEDGER, "code": 7})
    assert made == {
        "id": first,
        "object": "ledger.account_result",
        "livemode": False,
        "status": "created",
        "timestamp": made["timestamp"],
        "transient": False,
    }
    post(api, "accounts", {"id": second, "ledger": LEDGER, "code": 7, "flags": ["history"]})
    transfer = move(first, second, "340282366920938463463374607431768211455")
    done = post(api, "transfers", transfer)
    assert (done["id"], done["object"]) == (transfer["id"], "ledger.transfer_result")
    again = post(api, "transfers", transfer, headers={"Idempotency-Key": "any"})
    assert again == done | {"status": "exists"}
    other = post(api, "transfers", transfer | {"amount": 1})
    assert other["status"] == "exists_with_different_amount"
    found = get(api, f"accounts/{second}")
    assert found["credits_posted"] == 2**128 - 1
    assert (found["id"], found["ledger"], found["flags"]) == (second, LEDGER, ["history"])
    assert get(api, f"transfers/{transfer['id']}")["amount"] == 2**128 - 1
    assert get(api, f"transfers/{transfer['id']}/result") == done


def test_a_refusal_is_a_result_and_not_an_error(api: Api) -> None:
    limited, free = accounts(api, 2, flags=["debits_must_not_exceed_credits"])
    refused = post(api, "transfers", move(limited, free))
    assert (refused["status"], refused["transient"]) == ("exceeds_credits", True)
    batch = [move(free, free), move(limited, free), move(new(), free)]
    answer = post(api, "transfers", {"transfers": batch})
    assert answer["object"] == "ledger.transfer_results"
    assert statuses(answer) == [
        "accounts_must_be_different",
        "exceeds_credits",
        "debit_account_not_found",
    ]
    looked = api.call(
        "POST",
        "/v1/ledger/transfers/results",
        key=api.world.operator.key,
        json={"ids": [*(each["id"] for each in batch), new()]},
    ).json()
    assert looked["results"] == [*answer["results"], None]


def test_holds_chains_and_what_a_post_leaves_out(api: Api) -> None:
    first, second = accounts(api)
    hold = move(first, second, 70, flags=["pending"], timeout_seconds=3600)
    whole = {"id": new(), "pending_id": hold["id"], "flags": ["post_pending"]}
    chain = [
        move(first, second, 1, flags=["linked"]),
        move(first, second, 0),
        move(first, second, 2),
    ]
    answer = post(api, "transfers", {"transfers": [hold, whole, *chain]})
    assert statuses(answer) == [
        "created",
        "created",
        "linked_event_failed",
        "amount_must_not_be_zero",
        "created",
    ]
    found = get(api, f"transfers/{whole['id']}")
    assert (found["amount"], found["pending_id"]) == (70, hold["id"])
    assert get(api, f"accounts/{second}")["credits_posted"] == 72


def test_the_largest_batch_and_one_more(api: Api) -> None:
    first, second = accounts(api)
    batch = [move(first, second, 1) for _ in range(8_193)]
    answer = post(api, "transfers", {"transfers": batch[:8_192]})
    assert set(statuses(answer)) == {"created"}
    refused = api.call(
        "POST", "/v1/ledger/transfers", key=api.world.operator.key, json={"transfers": batch}
    )
    assert error_of(refused, status=400)["param"] == "transfers"
    ids = [each["id"] for each in batch]
    looked = api.call(
        "POST", "/v1/ledger/transfers/lookup", key=api.world.operator.key, json={"ids": ids[-9:]}
    ).json()["data"]
    assert [each and each["id"] for each in looked] == [*ids[-9:-1], None]


def records(*transfers: Transfer) -> bytes:
    return encode_transfers(transfers)


def binary(api: Api, body: bytes, *, key: str | None = None) -> Any:
    return api.call(
        "POST",
        "/v1/ledger/transfers",
        key=key or api.world.operator.key,
        content=body,
        headers={"Content-Type": RECORDS},
    )


def test_records_in_and_results_out(api: Api) -> None:
    first, second = (uuid.UUID(each).int for each in accounts(api))
    one = Transfer(uuid.uuid4().int, first, second, 5, unit=LEDGER, code=1)
    two = Transfer(uuid.uuid4().int, first, first, 5, unit=LEDGER, code=1)
    answer = binary(api, records(one, two))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == RESULTS
    timestamps, found = decode_results(answer.content)
    assert list(found) == [S.created, S.accounts_must_be_different]
    assert timestamps[0] == struct.unpack_from("<Q", answer.content)[0] < timestamps[1]
    shown = get(api, f"transfers/{uuid.UUID(int=one.id)}")
    assert (shown["amount"], shown["ledger"]) == (5, LEDGER)
    # The same in JSON is the same transfer.
    again = post(
        api,
        "transfers",
        move(str(uuid.UUID(int=first)), str(uuid.UUID(int=second)), 5)
        | {"id": str(uuid.UUID(int=one.id))},
    )
    assert (again["status"], again["timestamp"]) == ("exists", timestamps[0])


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"x", None),
        (bytes(129), None),
        (bytes(128), "transfers[0][id]"),
        (bytes(128 * 8_193), None),
    ],
)
def test_records_that_are_none(api: Api, body: bytes, param: str | None) -> None:
    error = error_of(binary(api, body), status=400)
    assert error.get("param") == param


NOBODY = "00000000-0000-4000-8000-000000000000"
OWN, CHART = uuid.UUID(int=0x8000_0000_0000_0001).int, account_id("fee:revenue#usdc")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", CHART),
        ("id", OWN | 1 << 62),
        ("debit_account_id", CHART),
        ("credit_account_id", OWN | 1 << 62),
        ("pending_id", transfer_id("po_1", "hold", leg=0, attempt=0)),
    ],
)
def test_no_id_of_the_chart_nor_of_another_mode_can_be_named(
    api: Api, field: str, value: int
) -> None:
    """By JSON, by a form or by records: it is refused before the ledger sees it."""
    fields = {"id": OWN, "debit_account_id": OWN, "credit_account_id": OWN, "pending_id": OWN}
    made = fields | {field: value}
    document = {name: str(uuid.UUID(int=each)) for name, each in made.items()}
    for options in ({"json": document}, {"data": document}):
        answer = api.call("POST", "/v1/ledger/transfers", key=api.world.operator.key, **options)
        assert error_of(answer, status=400)["param"] == field
    batch = {"transfers": [{"id": new()}, document]}
    answer = api.call("POST", "/v1/ledger/transfers", key=api.world.operator.key, json=batch)
    assert error_of(answer, status=400)["param"] == f"transfers[1][{field}]"
    record = Transfer(amount=1, unit=1, code=1, **made)  # type: ignore[arg-type]
    error = error_of(binary(api, records(record)), status=400)
    assert error["param"] == f"transfers[0][{field}]"
    assert "UUID" in error["message"]


@pytest.mark.parametrize("unit", [1 << 62, 1 << 63, (1 << 64) - 1])
def test_no_unit_of_the_chart_nor_of_another_mode_can_be_named(api: Api, unit: int) -> None:
    record = Transfer(OWN, OWN, OWN, 1, unit=unit, code=1)
    assert error_of(binary(api, records(record)), status=400)["param"] == "transfers[0][ledger]"
    body = {"id": new(), "ledger": unit, "code": 1}
    answer = api.call("POST", "/v1/ledger/accounts", key=api.world.operator.key, json=body)
    assert error_of(answer, status=400)["param"] == "ledger"


def test_modes_are_apart(api: Api) -> None:
    live = live_operator(api)
    first, second = accounts(api)
    transfer = move(first, second)
    assert post(api, "transfers", transfer)["status"] == "created"
    for path in (f"accounts/{first}", f"transfers/{transfer['id']}"):
        error_of(api.call("GET", f"/v1/ledger/{path}", key=live), status=404)
    # The same ids are free there, and its accounts are not the other's.
    answer = api.call("POST", "/v1/ledger/transfers", key=live, json=transfer).json()
    assert (answer["status"], answer["livemode"]) == ("debit_account_not_found", True)
    body = {"id": first, "ledger": LEDGER, "code": 2}
    assert (
        api.call("POST", "/v1/ledger/accounts", key=live, json=body).json()["status"] == "created"
    )
    assert get(api, f"accounts/{first}")["code"] == 1


def test_the_operator_reads_the_chart_in_its_mode(api: Api) -> None:
    funded = api.call("POST", "/v1/probes/fund", json={"amount": 1_000})
    assert funded.json()["seen"] == {"booked": True}
    name = chart.merchant(api.world.alice.account, "available", "test/usdc").name
    identifier = str(uuid.UUID(int=account_id(name)))
    found = get(api, f"accounts/{identifier}")
    assert (found["name"], found["ledger"], found["livemode"]) == (name, None, False)
    catch_up(api.database.url)
    entries = get(api, f"accounts/{identifier}/entries")["data"]
    assert entries
    transfer = get(api, f"transfers/{entries[0]['id']}")
    assert transfer["credit_account_id"] == identifier or transfer["debit_account_id"] == identifier
    listed = get(api, "transfers", account=identifier)["data"]
    assert entries[0]["id"] in {each["id"] for each in listed}
    live = live_operator(api)
    for path in (f"accounts/{identifier}", f"transfers/{entries[0]['id']}"):
        error_of(api.call("GET", f"/v1/ledger/{path}", key=live), status=404)


def test_the_door_is_the_operators_alone(api: Api) -> None:
    for noun in ("accounts", "transfers"):
        for key in (api.world.alice.key, api.world.live_key):
            answer = api.call("POST", f"/v1/ledger/{noun}", key=key, json={})
            error = error_of(answer, status=403)
            assert error["type"] == "permission_error"
            assert "operator's account" in error["message"]


def test_a_revoked_key_stops_within_a_second(api: Api) -> None:
    body = {"kind": "restricted", "scopes": ["ledger:write"]}
    made = api.call("POST", "/v1/api_keys", key=api.world.operator.key, json=body).json()
    wanted = {"id": new(), "ledger": LEDGER, "code": 1}

    def ask() -> int:
        return api.call("POST", "/v1/ledger/accounts", key=made["secret"], json=wanted).status_code

    assert ask() == 200
    api.call("POST", f"/v1/api_keys/{made['id']}/revoke", key=api.world.operator.key, json={})
    asked = 0
    while ask() == 200:
        asked += 1
        assert asked < 100_000
    assert ask() == 401


TEXT, JSON = {"Content-Type": "text/plain"}, {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        (
            {"content": b"{", "headers": {"Content-Type": "application/json"}},
            400,
            "invalid_request",
        ),
        ({"json": {"id": OWN, "x": 1}}, 400, "parameter_unknown"),
        ({"json": {}}, 400, "parameter_missing"),
        ({"content": b""}, 400, "parameter_missing"),
        ({"json": {"transfers": [], "id": NOBODY}}, 400, "parameter_unknown"),
        ({"json": {"id": NOBODY, "expand": ["x"]}}, 400, "parameter_invalid"),
        ({"json": {"id": NOBODY}, "params": {"a": "b"}}, 400, "parameter_unknown"),
        ({"content": b" " * (BODY_BYTES_MAX + 1)}, 413, "body_too_large"),
        ({"headers": {"Authorization": "Bearer sk_test_nobody"}}, 401, "api_key_invalid"),
        ({"headers": {"Stripe-Account": "acct_nobody"}, "json": {}}, 403, "account_invalid"),
    ],
)
def test_requests_that_are_refused(
    api: Api, options: dict[str, Any], status: int, code: str
) -> None:
    answer = api.call("POST", "/v1/ledger/transfers", key=api.world.operator.key, **options)
    assert error_of(answer, status=status)["code"] == code


def test_a_form_and_the_stripe_client(api: Api) -> None:
    client = api.stripe(api.world.operator.key)
    first, second = accounts(api)
    transfer = move(first, second, 7, flags=["pending"])
    done = client.raw_request("post", "/v1/ledger/transfers", **transfer)
    assert done.data["status"] == "created"
    shown = get(api, f"transfers/{transfer['id']}")
    assert (shown["amount"], shown["flags"]) == (7, ["pending"])
    many = {"transfers": [move(first, second, 1), move(first, second, 2)]}
    answer = client.raw_request("post", "/v1/ledger/transfers", **many)
    assert statuses(answer.data) == ["created", "created"]


def test_search_pages_and_balances_at_a_time(api: Api) -> None:
    first, second = accounts(api, 2, flags=["history"])
    data = new()
    made = [move(first, second, 1 + k, code=40 + k % 2, user_data=data) for k in range(5)]
    times = [each["timestamp"] for each in post(api, "transfers", {"transfers": made})["results"]]
    late = move(first, second, 1_000, effective_at=str(times[0] - 1))
    post(api, "transfers", late)
    catch_up(api.database.url)
    newest = [late["id"], *(each["id"] for each in reversed(made))]
    page = get(api, "transfers", account=second, limit=4)
    assert [each["id"] for each in page["data"]] == newest[:4]
    assert page["has_more"]
    rest = get(api, "transfers", account=second, starting_after=newest[3])
    assert ([each["id"] for each in rest["data"]], rest["has_more"]) == (newest[4:], False)
    back = get(api, "transfers", account=second, ending_before=newest[3], limit=2)
    assert ([each["id"] for each in back["data"]], back["has_more"]) == (newest[1:3], True)
    by_data = get(api, "transfers", user_data=data, code=41)["data"]
    assert [each["id"] for each in by_data] == [made[3]["id"], made[1]["id"]]
    assert get(api, "transfers", user_data=data, ledger=LEDGER + 1)["data"] == []
    assert (
        len(get(api, "transfers", user_data=data, **{"created[gte]": times[0] // 10**9})["data"])
        == 5
    )
    assert get(api, "transfers", user_data=data, **{"created[lt]": times[0] // 10**9})["data"] == []
    entries = get(api, f"accounts/{second}/entries", limit=2)
    assert [each["balance_after"] for each in entries["data"]] == [1_015, 15]
    assert {each["direction"] for each in entries["data"]} == {"credit"}
    following = get(api, f"accounts/{second}/entries", starting_after=newest[1], limit=1)
    assert [each["id"] for each in following["data"]] == newest[2:3]
    dated = get(api, f"accounts/{second}/entries", order_by="effective_at", limit=9)["data"]
    assert [each["id"] for each in dated] == [*newest[1:], late["id"]]
    paged = get(
        api, f"accounts/{second}/entries", order_by="effective_at", starting_after=newest[5]
    )
    assert [each["id"] for each in paged["data"]] == [late["id"]]
    second_of = times[0] // 10**9
    for params, count in (
        ({"created[gte]": second_of}, 6),
        ({"created[lt]": second_of}, 0),
        ({"created[lt]": second_of + 3_600}, 6),
        ({"order_by": "effective_at", "created[gte]": second_of + 3_600}, 0),
        ({"order_by": "effective_at", "created[lt]": second_of + 3_600}, 6),
    ):
        found = get(api, f"accounts/{second}/entries", **params)["data"]
        assert len(found) == count, params
    for params, balance, credits in (
        ({}, 1_015, 1_015),
        ({"timestamp": times[0]}, 1, 1),
        ({"timestamp": times[0] - 1}, 0, 0),
        ({"effective_at": times[0] - 1}, 1_000, None),
        ({"effective_at": str(times[1])}, 1_003, None),
    ):
        found = get(api, f"accounts/{second}/balance", **params)
        assert (found["balance"], found["credits_posted"]) == (balance, credits), params
        assert found["as_of"] > times[-1]


@pytest.mark.parametrize(
    ("path", "params", "status", "param"),
    [
        ("transfers", {"account": "x"}, 400, "account"),
        ("transfers", {"account": NOBODY}, 400, "account"),
        ("transfers", {"starting_after": NOBODY}, 400, "starting_after"),
        ("transfers", {"ending_before": "x"}, 400, "ending_before"),
        (f"accounts/{NOBODY}", {}, 404, "id"),
        (f"accounts/{NOBODY}/entries", {}, 404, "id"),
        (f"accounts/{NOBODY}/balance", {}, 404, "id"),
        (f"transfers/{NOBODY}/result", {}, 404, "id"),
        ("transfers/ffffffffffffffffffffffffffffffff", {}, 404, "id"),
        ("transfers/x", {}, 404, "id"),
    ],
)
def test_questions_that_are_refused(
    api: Api, path: str, params: dict[str, Any], status: int, param: str
) -> None:
    answer = api.call("GET", f"/v1/ledger/{path}", key=api.world.operator.key, params=params)
    assert error_of(answer, status=status)["param"] == param


def test_both_times_of_a_balance_are_one_too_many(api: Api) -> None:
    [account] = accounts(api, 1)
    answer = api.call(
        "GET",
        f"/v1/ledger/accounts/{account}/balance",
        key=api.world.operator.key,
        params={"timestamp": 1, "effective_at": 1},
    )
    assert error_of(answer, status=400)["param"] == "timestamp"


def test_nothing_of_a_posting_is_kept_for_replay(api: Api) -> None:
    first, second = accounts(api)
    key = new()
    post(api, "transfers", move(first, second), headers={"Idempotency-Key": key})
    with api.database.begin() as connection:
        kept = connection.execute(
            text("SELECT count(*) FROM idempotency_keys WHERE key = :key"), {"key": key}
        ).scalar_one()
    assert kept == 0


@pytest.mark.parametrize("livemode", [False, True])
def test_look_ups_in_binary_say_what_json_says(api: Api, livemode: bool) -> None:
    """By the client, which reads both: accounts, transfers, results, and what is not there."""
    key = live_operator(api) if livemode else api.world.operator.key
    with SakkClient(key, api.url) as sakk:
        first, second, chained = (uuid.uuid4() for _ in range(3))
        made = [
            LedgerAccountCreate(
                id=first, ledger=LEDGER, code=7, flags=["history"], user_data=second
            ),
            LedgerAccountCreate(id=second, ledger=LEDGER, code=8),
        ]
        assert all(each.accepted for each in sakk.ledger.create_accounts(made))
        hold = LedgerTransferCreate(
            id=uuid.uuid4(), debit_account_id=first, credit_account_id=second, amount=2**100,
            ledger=LEDGER, code=9, flags=["pending"], user_data=first, timeout_seconds=60,
            effective_at=5,
        )  # fmt: skip
        post = LedgerTransferCreate(
            id=uuid.uuid4(), pending_id=hold.id, amount=3, flags=["post_pending"]
        )
        wrong = LedgerTransferCreate(id=chained, ledger=LEDGER, code=1, amount=1)
        sakk.ledger.create_transfers([hold, post, wrong])
        ids = [hold.id, uuid.uuid4(), post.id, chained, first]
        for look_up, asked in (
            (sakk.ledger.look_up_transfers, ids),
            (sakk.ledger.look_up_results, ids),
            (sakk.ledger.look_up_accounts, [second, uuid.uuid4(), first]),
        ):
            by_json: Any = look_up(asked)
            assert look_up(asked, as_records=True) == by_json
            assert None in by_json
            assert by_json[0] is not None
        # Neither the other mode's nor the chart's.
        other = api.world.operator.key if livemode else live_operator(api)
        with SakkClient(other, api.url) as stranger:
            assert stranger.ledger.look_up_accounts([first], as_records=True) == [None]
            assert stranger.ledger.look_up_results([post.id], as_records=True) == [None]
    chart_id = account_id(chart.fee_revenue("usdc").name)
    found = api.call(
        "POST",
        "/v1/ledger/accounts/lookup",
        key=key,
        content=chart_id.to_bytes(16, "big"),
        headers={"Content-Type": IDS},
    )
    assert (found.content, found.headers["content-type"]) == (bytes(128), RECORDS)


@pytest.mark.parametrize("path", ["accounts/lookup", "transfers/lookup", "transfers/results"])
@pytest.mark.parametrize("body", [b"", bytes(15), bytes(16 * 8_193)])
def test_ids_that_are_none(api: Api, path: str, body: bytes) -> None:
    answer = api.call(
        "POST",
        f"/v1/ledger/{path}",
        key=api.world.operator.key,
        content=body,
        headers={"Content-Type": IDS},
    )
    assert error_of(answer, status=400)["code"] == "parameter_invalid"


def test_accounts_are_listed_by_what_they_are(api: Api) -> None:
    mark = new()
    ledger = 4_000_000 + uuid.uuid4().int % 1_000_000
    ids = [new() for _ in range(5)]
    post(api, "accounts", {
        "accounts": [
            {"id": each, "ledger": ledger + (index == 4), "code": 500 + index % 2}
            | ({"user_data": mark} if index < 3 else {})
            for index, each in enumerate(ids)
        ]
    })  # fmt: skip
    catch_up(api.database.url)

    def listed(**query: Any) -> list[str]:
        page = get(api, "accounts", **query)
        assert page["url"] == "/v1/ledger/accounts"
        return [each["id"] for each in page["data"]]

    assert listed(ledger=ledger) == ids[3::-1]
    assert listed(ledger=ledger, code=501) == [ids[3], ids[1]]
    assert listed(user_data=mark) == ids[2::-1]
    assert listed(ledger=ledger, limit=2) == [ids[3], ids[2]]
    assert listed(ledger=ledger, limit=2, starting_after=ids[2]) == [ids[1], ids[0]]
    assert listed(ledger=ledger, limit=2, ending_before=ids[0]) == [ids[2], ids[1]]
    assert listed(limit=1) == listed()[:1]
    [newest] = get(api, "accounts", ledger=ledger + 1)["data"]
    assert newest == get(api, f"accounts/{ids[4]}")
    assert listed(ledger=ledger, **{"created[lt]": newest["created"]}) == []
    answer = api.call(
        "GET", "/v1/ledger/accounts", key=api.world.operator.key, params={"starting_after": new()}
    )
    assert error_of(answer, status=400)["param"] == "starting_after"
    assert api.call("GET", "/v1/ledger/accounts").status_code == 403
