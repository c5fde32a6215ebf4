"""Charges at both doors: each call is paid once, and never more than the channel holds."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sakk.core.charge import AMOUNT_WHOLE, Reason, Result
from tests.api.paying import REQUEST, Path, call, conserved, open_path, open_tenant
from tests.api.world import Api, http


def reasons(results: list[Result]) -> list[Reason]:
    return [Reason(each.reason) for each in results]


@pytest.mark.parametrize("where", ["door", "api"])
def test_a_call_is_reserved_and_committed(api: Api, where: str) -> None:
    path = open_path(api)
    door = api.url if where == "api" else api.door
    with conserved([path]):
        reserved = path.reserve(1_000)
        [result] = path.ask(reserved, door=door)
        assert result.reason == Reason.done
        assert path.is_genuine(reserved, result)
        assert path.balances() == (950_000, 50_000, 0)
        [committed] = path.ask(path.end(reserved, 400, units=4), door=door)
        assert (committed.reason, committed.amount) == (Reason.done, 400)
        assert path.balances() == (950_000, 49_600, 400)
        # A commit whose answer was lost is sent again.
        assert path.ask(path.end(reserved, 400, units=4), door=door) == [committed]
        assert path.balances() == (950_000, 49_600, 400)


def test_a_call_that_is_released_costs_nothing(api: Api) -> None:
    path = open_path(api)
    reserved = path.reserve(50_000)
    assert reasons(path.ask(reserved, path.reserve(1))) == [Reason.done, Reason.ceiling_exceeded]
    assert reasons(path.ask(path.end(reserved, 0), path.end(reserved, 0))) == [Reason.done] * 2
    assert reasons(path.ask(path.end(reserved))) == [Reason.charge_ended]
    assert reasons(path.ask(path.reserve(50_000))) == [Reason.done]
    assert path.balances() == (950_000, 50_000, 0)


def test_a_copy_is_used_at_every_door(api: Api) -> None:
    """A replay, a reordering, a copy with other fields: one success, whoever is first."""
    path = open_path(api)
    first, second = path.reserve(), path.reserve()
    assert reasons(path.ask(second, first)) == [Reason.done] * 2
    for door in (api.door, api.url):
        assert reasons(path.ask(first, second, first, door=door)) == [Reason.nonce_used] * 3
    other = path.reserve(7, first.nonce)
    assert reasons(path.ask(other)) == [Reason.nonce_used]
    path.ask(path.end(first))
    assert reasons(path.ask(first)) == [Reason.nonce_used]
    assert path.balances() == (950_000, 49_000, 1_000)


def test_six_copies_at_once(api: Api) -> None:
    path = open_path(api)
    copy = path.reserve()
    barrier = threading.Barrier(6)

    def send(index: int) -> Reason:
        barrier.wait()
        return reasons(path.ask(copy, door=(api.door, api.url)[index % 2]))[0]

    with ThreadPoolExecutor(6) as pool:
        found = Counter(pool.map(send, range(6)))
    assert found == {Reason.done: 1, Reason.nonce_used: 5}


def test_a_thousand_at_once_and_not_one_unit_more(api: Api) -> None:
    """All that the ceiling holds succeed, in two sessions, at two doors; the rest is refused."""
    path = open_path(api, 900_999)
    sessions = [path, path.another_session()]
    with conserved([path]), ThreadPoolExecutor(8) as pool:
        calls = [sessions[number % 2].reserve(1_000) for number in range(1_000)]
        parts = [calls[start : start + 125] for start in range(0, 1_000, 125)]
        answers = pool.map(
            lambda pair: path.ask(*pair[1], door=(api.door, api.url)[pair[0] % 2]),
            enumerate(parts),
        )
        results = [result for part in answers for result in part]
        found = Counter(reasons(results))
        assert found == {Reason.done: 900, Reason.ceiling_exceeded: 100}
        kept = [
            each
            for each, result in zip(calls, results, strict=True)
            if result.reason == Reason.done
        ]
        list(pool.map(lambda part: path.ask(*map(path.end, part)), [kept[:450], kept[450:]]))
        assert path.balances() == (1_000_000 - 900_999, 999, 900_000)
        assert reasons(path.ask(path.reserve(1_000), path.reserve(999))) == [
            Reason.ceiling_exceeded,
            Reason.done,
        ]


def test_eight_at_once_by_themselves_all_succeed(api: Api) -> None:
    path = open_path(api, 8_000)
    calls = [path.reserve() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = [reasons(each)[0] for each in pool.map(path.ask, calls)]
    assert found == [Reason.done] * 8


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"mac": bytes(32)}, Reason.mac_invalid),
        ({"amount": 999}, Reason.mac_invalid),
        ({"request_hash": bytes(32)}, Reason.mac_invalid),
        ({"nonce": 1 << 62}, Reason.mac_invalid),
        ({"session": bytes(16)}, Reason.session_unknown),
        ({"currency": b"usdt"}, Reason.currency_mismatch),
        ({"amount": 0}, Reason.malformed),
        ({"nonce": 1 << 63}, Reason.malformed),
        ({"timeout_seconds": 3_601}, Reason.malformed),
        ({"op": 9}, Reason.malformed),
    ],
)
def test_what_is_refused_burns_nothing(api: Api, changed: dict[str, Any], reason: Reason) -> None:
    path = open_path(api)
    good = path.reserve()
    assert reasons(path.ask(good._replace(**changed), good)) == [reason, Reason.done]


def test_a_session_is_another_payees_secret(api: Api) -> None:
    path = open_path(api)
    thief = Path(api, path.payer, open_tenant(api, "thief"), path.channel, path.session, path.key)
    assert reasons(thief.ask(thief.reserve())) == [Reason.session_unknown]
    reserved = path.reserve()
    path.ask(reserved)
    assert reasons(thief.ask(thief.end(reserved))) == [Reason.session_unknown]


def test_what_one_call_may_cost(api: Api) -> None:
    path = open_path(api, amount_max=1_000)
    assert reasons(path.ask(path.reserve(1_001), path.reserve(1_000))) == [
        Reason.over_limit,
        Reason.done,
    ]


def test_more_is_not_committed_than_was_reserved(api: Api) -> None:
    path = open_path(api)
    first, second = path.reserve(), path.reserve()
    assert reasons(path.ask(path.end(second))) == [Reason.charge_unknown]
    path.ask(first)
    assert reasons(path.ask(path.end(first, 1_001))) == [Reason.amount_exceeds_reserved]
    assert path.balances() == (950_000, 50_000, 0)


def test_what_a_door_left_behind_runs_out_for_the_payer(api: Api) -> None:
    """The door dies after it reserved: the ledger gives it back by itself."""
    path = open_path(api)
    [left] = path.ask(path.reserve(50_000, timeout_seconds=1))
    assert left.reason == Reason.done
    found = {Reason.ceiling_exceeded}
    deadline = time.monotonic() + 60
    while found == {Reason.ceiling_exceeded} and time.monotonic() < deadline:
        # Each asks the ledger, which looks at its clock then.
        found = set(reasons(path.ask(path.reserve(50_000))))
    assert found == {Reason.done}
    assert path.balances() == (950_000, 50_000, 0)


def test_the_smallest_price_is_exact(api: Api) -> None:
    path = open_path(api)
    reserved = path.reserve(1)
    assert reasons(path.ask(reserved, path.end(reserved))) == [Reason.done] * 2
    assert path.balances() == (950_000, 49_999, 1)


def test_a_closed_channel_is_charged_no_more(api: Api) -> None:
    path = open_path(api)
    reserved = path.reserve(1_000)
    path.ask(reserved)
    with conserved([path]):
        closing = call(api, path.payer, "POST", f"/v1/channels/{path.channel}/close")
        assert (closing["status"], closing["available"]) == ("closing", 0)
        assert path.balances() == (999_000, 1_000, 0)
        # What was promised to the payee is still its own to take.
        assert reasons(path.ask(path.reserve(1), path.end(reserved, 600))) == [
            Reason.ceiling_exceeded,
            Reason.done,
        ]
        closed = call(api, path.payer, "POST", f"/v1/channels/{path.channel}/close")
        assert (closed["status"], closed["returned"]) == ("closed", 49_400)
        assert path.balances() == (999_400, 0, 600)
        assert reasons(path.ask(path.reserve(1))) == [Reason.channel_closed]


def test_json_says_the_same(api: Api) -> None:
    path = open_path(api)
    reserved, other = path.reserve(1_000), path.reserve(60_000)
    body = {
        "operations": [
            {
                "op": "reserve",
                "session": path.session,
                "nonce": str(each.nonce),
                "amount": str(each.amount),
                "currency": "USDC",
                "request_hash": REQUEST.hex(),
                "mac": each.mac.hex(),
                "timeout_seconds": 60,
            }
            for each in (reserved, other)
        ]
        + [
            {
                "op": "commit",
                "session": path.session,
                "nonce": str(reserved.nonce),
                "amount": "400",
                "units": "4",
            },
            {"op": "release", "session": path.session, "nonce": str(reserved.nonce)},
        ]
    }
    answer = call(api, path.payee, "POST", "/v1/charges", body)
    assert [each["status"] for each in answer["results"]] == [
        "reserved",
        "refused",
        "committed",
        "refused",
    ]
    first, second, third, fourth = answer["results"]
    assert (second["reason"], fourth["reason"]) == ("ceiling_exceeded", "charge_ended")
    assert (third["amount"], third["receipt"]) == ("400", None)
    assert (first["channel"], first["payer"]) == (path.channel, None)
    result = Result(0, timestamp=int(first["timestamp"]), receipt=bytes.fromhex(first["receipt"]))
    assert path.is_genuine(reserved, result)


@pytest.mark.parametrize(
    ("operation", "param"),
    [
        ({"op": "reserve", "session": "ses_" + "0" * 26, "nonce": "1"}, "operations[0][amount]"),
        ({"op": "release", "session": "no", "nonce": "1"}, "operations[0][session]"),
        ({"op": "release", "session": "ses_" + "0" * 26, "nonce": "-1"}, "operations[0][nonce]"),
        ({"op": "steal", "session": "ses_" + "0" * 26, "nonce": "1"}, "operations[0][op]"),
        (
            {"op": "commit", "session": "ses_" + "0" * 26, "nonce": "1", "units": str(1 << 64)},
            "operations[0][units]",
        ),
    ],
)
def test_a_body_that_says_nothing_sensible(api: Api, operation: dict[str, Any], param: str) -> None:
    answer = api.call("POST", "/v1/charges", json={"operations": [operation]})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_records_are_whole(api: Api) -> None:
    headers = {
        "Authorization": f"Bearer {api.world.alice.key}",
        "Content-Type": "application/vnd.sakk.charges",
    }
    for door in (api.door, api.url):
        answer = http().post(f"{door}/v1/charges", headers=headers, content=bytes(127))
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "parameter_invalid")


def test_a_reservation_is_at_most_the_whole_number(api: Api) -> None:
    path = open_path(api)
    huge = path.reserve(AMOUNT_WHOLE - 1)
    assert reasons(path.ask(huge, path.reserve(1))) == [Reason.ceiling_exceeded, Reason.done]
