"""Charges by voucher at both doors: each is charged once, and never more than was signed."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sakk.core.charge import encode_operation
from sakk.paywall.voucher import MISMATCH, Reserved
from sakk.store import escrow_channel as store
from tests.api.paying import call, open_path, open_tenant
from tests.api.vouchering import Escrowed, conserved, open_escrow
from tests.api.world import Api, http

PREFIX = "invalid_batch_settlement_evm_"


def reasons(results: list[Reserved]) -> list[str | None]:
    return [each.reason for each in results]


@pytest.mark.parametrize("where", ["door", "api"])
def test_calls_are_reserved_and_charged(api: Api, where: str) -> None:
    channel = open_escrow(api)
    door = api.url if where == "api" else api.door
    with conserved([channel]):
        for total in (1_000, 2_000):
            [reserved] = channel.ask(channel.record(total), door=door)
            assert reserved.reason is None
            assert (reserved.payer, reserved.balance) == (channel.row.payer, 50_000)
            # It is written down before it is served: without it the chain pays nothing.
            assert channel.kept() == total
            assert channel.books()["reserved"] == 1_000
            end = channel.end(total, reserved, 400)
            assert reasons(channel.ask(end, door=door)) == [None]
            # A commit whose answer was lost is sent again.
            assert reasons(channel.ask(end, door=door)) == [None]
    assert channel.books() == {"deposit": 48_000, "signed": 1_200, "reserved": 0, "payee": 800}


def test_a_metered_payer_signs_from_what_was_charged(api: Api) -> None:
    """As x402's clients do: what was charged and the most of the next call."""
    channel = open_escrow(api)
    charged = 0
    with conserved([channel]):
        for used in (150, 0, 1_500, 700):
            [reserved] = channel.ask(channel.record(charged + 1_500, 1_500))
            assert reserved.reason is None
            channel.ask(channel.end(charged + 1_500, reserved, used))
            charged += used
    assert channel.books()["payee"] == charged == 2_350


def test_a_copy_is_used_at_every_door_and_what_was_released_is_not(api: Api) -> None:
    channel = open_escrow(api)
    first, second = channel.record(1_000), channel.record(2_000)
    both = channel.ask(second, first)
    assert reasons(both) == [None, None]
    for door in (api.door, api.url):
        assert reasons(channel.ask(first, second, first, door=door)) == [MISMATCH] * 3
    # Another amount does not make another voucher of it.
    assert reasons(channel.ask(channel.record(1_000, 7))) == [MISMATCH]
    channel.ask(channel.end(1_000, both[1]), channel.end(2_000, both[0], 0))
    assert reasons(channel.ask(first)) == [MISMATCH]
    [again] = channel.ask(second)
    assert (again.reason, again.attempt) == (None, 1)
    channel.ask(channel.end(2_000, again))
    assert reasons(channel.ask(second)) == [MISMATCH]
    assert channel.books() == {"deposit": 48_000, "signed": 0, "reserved": 0, "payee": 2_000}


def test_six_copies_at_once(api: Api) -> None:
    channel = open_escrow(api)
    copy = channel.record(1_000)
    barrier = threading.Barrier(6)

    def send(index: int) -> str | None:
        barrier.wait()
        return channel.ask(copy, door=(api.door, api.url)[index % 2])[0].reason

    with ThreadPoolExecutor(6) as pool:
        found = Counter(pool.map(send, range(6)))
    assert found == {None: 1, MISMATCH: 5}


def test_eight_at_once_on_one_channel_all_succeed_at_whichever_door(api: Api) -> None:
    """Signed ahead, in any order, in two processes' memories: all are charged, and no unit more."""
    channel = open_escrow(api, 200_000)
    barrier = threading.Barrier(8)

    def send(index: int) -> list[Reserved]:
        barrier.wait()
        door = (api.door, api.url)[index % 2]
        return [
            channel.ask(channel.record((round_ * 8 + index + 1) * 1_000), door=door)[0]
            for round_ in range(5)
        ]

    with conserved([channel]):
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(send, range(8)))
        assert {each.reason for part in found for each in part} == {None}
        assert channel.books()["reserved"] == 40_000
        ends = [
            channel.end((round_ * 8 + index + 1) * 1_000, each)
            for index, part in enumerate(found)
            for round_, each in enumerate(part)
        ]
        assert set(reasons(channel.ask(*ends))) == {None}
        assert channel.books()["payee"] == channel.kept() == 40_000


def test_never_more_than_was_signed_and_never_more_than_the_deposit(api: Api) -> None:
    """A thousand at once of which the deposit holds nine hundred: those, and not one unit more."""
    channel = open_escrow(api, 900_999)
    totals = [place * 1_000 for place in range(1, 1_001)]
    parts = [totals[at : at + 125] for at in range(0, 1_000, 125)]
    with conserved([channel]), ThreadPoolExecutor(8) as pool:
        answers = pool.map(
            lambda part: channel.ask(
                *(channel.record(each) for each in part[1]), door=(api.door, api.url)[part[0] % 2]
            ),
            enumerate(parts),
        )
        found = Counter(reasons([each for part in answers for each in part]))
        assert found == {None: 900, PREFIX + "cumulative_exceeds_balance": 100}
        assert channel.books() == {
            "deposit": 999,
            "signed": 900_000,
            "reserved": 900_000,
            "payee": 0,
        }
        assert channel.kept() <= 1_000_000


def changed(record: bytes, at: int) -> bytes:
    return record[:at] + bytes([record[at] ^ 1]) + record[at + 1 :]


def test_what_is_not_the_payers_word_for_this_channel_is_refused(api: Api) -> None:
    channel, other = open_escrow(api), open_escrow(api)
    record = channel.record(1_000)
    expected = {
        changed(record, 70): "voucher_signature",
        changed(record, 31): "voucher_signature",
        changed(record, 1): "voucher_signature",
        changed(record, 40): "channel_not_found",
        other.record(1_000): "channel_not_found",
        channel.record(1_000, 0): "voucher_payload",
        channel.record(1_000, seconds=3_601): "voucher_payload",
        channel.record(999): "cumulative_amount_mismatch",
        channel.record(51_000): "cumulative_exceeds_balance",
        # A price in another coin than the channel's.
        channel.record(1_000, tag=bytes(8)): "token_mismatch",
    }
    found = channel.ask(*expected)
    assert reasons(found) == [PREFIX + each for each in expected.values()]
    assert channel.books() == {"deposit": 50_000, "signed": 0, "reserved": 0, "payee": 0}
    [reserved] = channel.ask(record)
    # Another account can not end it, and it can not be ended for more than was reserved.
    end = channel.end(1_000, reserved)
    assert reasons(other.ask(end)) == [PREFIX + "missing_channel"]
    assert reasons(channel.ask(end)) == [None]
    [second] = channel.ask(channel.record(2_000))
    more = channel.end(2_000, second, 1_001)
    assert reasons(channel.ask(more)) == [PREFIX + "charge_exceeds_signed_cumulative"]
    unknown = channel.end(7_000, reserved)
    assert reasons(channel.ask(unknown)) == [PREFIX + "missing_channel"]


def test_records_of_sessions_and_of_vouchers_go_together(api: Api) -> None:
    path = open_path(api)
    channel = open_escrow(api, payee=path.payee)
    session = encode_operation(path.reserve())
    first, second, third = channel.ask(channel.record(1_000), session, channel.record(2_000))
    assert reasons([first, second, third]) == [None, None, None]
    headers = {"Content-Type": "application/vnd.sakk.charges"}
    headers["Authorization"] = f"Bearer {channel.payee.key}"
    answer = http().post(
        f"{api.door}/v1/charges", headers=headers, content=channel.record(3_000)[:-1]
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "parameter_invalid")


def test_the_same_in_json_says_where_the_channel_stands(api: Api) -> None:
    channel = open_escrow(api)
    with conserved([channel]):
        [told] = channel.ask_at_length(channel.at_length(1_000))
        assert (told["status"], told["amount"], told["reason"]) == ("reserved", "1000", None)
        assert told["charge"] == f"{channel.row.id}:1000:0"
        assert (told["channel"], told["payer"].lower()) == (channel.row.id, channel.row.payer)
        [ended, late, unknown, nonsense] = channel.ask_at_length(
            {"op": "commit", "charge": told["charge"], "amount": "400"},
            {"op": "release", "charge": told["charge"]},
            {"op": "commit", "charge": f"{channel.row.id}:9000:0"},
            {"op": "release", "charge": "ch_1:2"},
        )
        assert (ended["status"], ended["amount"]) == ("committed", "400")
        assert ended["extra"]["chargedAmount"] == "400"
        assert ended["extra"]["channelState"]["chargedCumulativeAmount"] == "400"
        assert (late["status"], late["reason"]) == ("refused", PREFIX + "channel_busy")
        assert unknown["reason"] == nonsense["reason"] == PREFIX + "missing_channel"
        # A client that lost its place finds it again by these.
        [refused] = channel.ask_at_length(channel.at_length(1_000))
        assert refused["reason"] == MISMATCH
        assert refused["extra"]["channelState"]["chargedCumulativeAmount"] == "400"
        signature = "0x" + channel.voucher(1_000).signature.hex()
        assert refused["extra"]["voucherState"] == {
            "signedMaxClaimable": "1000",
            "signature": signature,
        }
        [good] = channel.ask_at_length(channel.at_length(1_400))
        [back] = channel.ask_at_length({"op": "release", "charge": good["charge"]})
        assert (back["status"], back["amount"]) == ("released", "0")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"payload": {"type": "deposit"}}, "payload_type"),
        ({"payload": {"type": "voucher", "voucher": {"channelId": "0x"}}}, "voucher_payload"),
        ({"asset": "0x" + "11" * 20}, "token_mismatch"),
        ({"network": "eip155:1"}, "channel_not_found"),
        ({"amount": "0"}, "voucher_payload"),
    ],
)
def test_what_is_wrong_with_a_payers_part_is_a_refusal(
    api: Api, changed: dict[str, Any], reason: str
) -> None:
    channel = open_escrow(api)
    [told] = channel.ask_at_length(channel.at_length(1_000, **changed))
    assert (told["status"], told["reason"]) == ("refused", PREFIX + reason)


@pytest.mark.parametrize(
    ("operation", "param"),
    [
        ({"op": "voucher", "network": "eip155:1"}, "operations[0][asset]"),
        ({"op": "commit"}, "operations[0][session]"),
        ({"op": "reserve", "charge": "ech_1:1:0"}, "operations[0][charge]"),
        ({"op": "commit", "charge": "ech_1:1:0", "nonce": "1"}, "operations[0][charge]"),
    ],
)
def test_what_is_wrong_with_a_doors_part_is_an_error(
    api: Api, operation: dict[str, Any], param: str
) -> None:
    payee = open_tenant(api, "seller")
    answer = api.call("POST", "/v1/charges", key=payee.key, json={"operations": [operation]})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_a_channel_of_which_no_deposit_is_final_is_not_there(api: Api) -> None:
    channel = open_escrow(api)
    with api.database.begin() as connection:
        store.change_channel(connection, channel.row.id, status="opening")
    assert reasons(channel.ask(channel.record(1_000))) == [PREFIX + "channel_not_found"]
    with api.database.begin() as connection:
        store.change_channel(connection, channel.row.id, status="open")
    assert reasons(channel.ask(channel.record(1_000))) == [None]


def test_a_later_deposit_is_seen(api: Api) -> None:
    """What a process remembers of a channel only saves questions."""
    channel: Escrowed = open_escrow(api, 1_000)
    over = channel.record(2_000)
    assert reasons(channel.ask(channel.record(1_000), over)) == [
        None,
        PREFIX + "cumulative_exceeds_balance",
    ]
    body = {"channel": channel.row.id, "amount": 5_000}
    call(api, channel.payee, "POST", "/v1/probes/deposit", body)
    [taken] = channel.ask(over)
    # Its payer is told what the channel holds, by which its client knows whether to deposit more.
    assert (taken.reason, taken.balance) == (None, 6_000)
