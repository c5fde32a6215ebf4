"""A payee's channels in escrow: how they stand, what goes back, and receipts that both signed."""

import json
from typing import Any

import pytest

from sakk.client.escrow_receipt import check_export
from sakk.ledger.projection import catch_up
from tests.api.paying import call, open_tenant
from tests.api.vouchering import Escrowed, open_escrow
from tests.api.world import Api


def charge(channel: Escrowed, total: int, used: int) -> None:
    [reserved] = channel.ask(channel.record(total))
    assert reserved.reason is None
    channel.ask(channel.end(total, reserved, used))


def export(channel: Escrowed, form: str = "jsonl") -> list[str]:
    catch_up(channel.api.database.url)
    path = f"/v1/escrow_channels/{channel.row.id}/receipts?form={form}"
    answer = channel.api.call("GET", path, key=channel.payee.key)
    assert answer.status_code == 200, answer.text
    return answer.text.splitlines()


def test_a_payee_gives_back_what_is_free(api: Api) -> None:
    channel = open_escrow(api)
    path = f"/v1/escrow_channels/{channel.row.id}"
    charge(channel, 1_000, 400)
    [held] = channel.ask(channel.record(2_000))
    assert held.reason is None
    shown = call(api, channel.payee, "GET", path)
    names = ("balance", "signed", "charged", "reserved", "redeemed")
    assert [shown[name] for name in names] == [50_000, 2_000, 400, 1_000, 0]
    refund = call(api, channel.payee, "POST", f"{path}/refunds")
    assert (refund["status"], refund["amount"]) == ("pending", 48_600)
    [listed] = call(api, channel.payee, "GET", f"{path}/refunds")["data"]
    assert listed == refund
    again = api.call("POST", f"{path}/refunds", key=channel.payee.key)
    assert again.json()["error"]["code"] == "balance_insufficient"
    other = open_tenant(api, "other")
    for method, where in (("GET", path), ("POST", f"{path}/refunds")):
        assert api.call(method, where, key=other.key).status_code == 404


def test_receipts_hold_what_both_sides_signed(api: Api) -> None:
    channel = open_escrow(api)
    for total, used in ((1_000, 400), (1_400, 1_000), (2_400, 0), (2_400, 1_000)):
        charge(channel, total, used)
    lines = export(channel)
    kinds = [json.loads(line)["kind"] for line in lines]
    assert kinds == ["escrow_channel", *["receipt"] * 3, "voucher", "head"]
    found = check_export(lines, authority=json.loads(lines[-1])["authority"])
    assert (found.breaks, found.unchecked) == ([], [])
    assert (found.charges, found.spent, found.signed) == (3, 2_400, 2_400)
    taken = [(row["ceiling"], row["amount"]) for row in map(json.loads, lines[1:4])]
    assert taken == [("1000", "400"), ("1400", "1000"), ("2400", "1000")]
    assert len(export(channel, "csv")) == 4


ALTERED: dict[str, tuple[int, dict[str, Any], str]] = {
    "a charge for more": (1, {"amount": "401"}, "does not follow"),
    "another voucher's": (1, {"ceiling": "1001"}, "does not follow"),
    "less signed for": (3, {"ceiling": "500"}, "is not signed by"),
    "another signature": (3, {"signature": "00" * 65}, "is not signed by"),
    "another sum": (4, {"spent": "1399"}, "come to something else"),
    "another highest voucher": (4, {"ceiling": "3000"}, "another highest voucher"),
    "the authority's signature": (4, {"signature": "00" * 64}, "does not hold"),
    "another authority": (4, {"authority": "00" * 32}, "another key"),
    "another channel's": (0, {"channel": "0x" + "11" * 32}, "not that of its configuration"),
}


@pytest.fixture(scope="module")
def exported(api: Api) -> list[str]:
    channel = open_escrow(api)
    charge(channel, 1_000, 400)
    charge(channel, 1_400, 1_000)
    return export(channel)


@pytest.mark.parametrize("what", ALTERED)
def test_an_export_that_was_altered_is_found(exported: list[str], what: str) -> None:
    place, change, words = ALTERED[what]
    lines = list(exported)
    authority = json.loads(lines[-1])["authority"]
    lines[place] = json.dumps(json.loads(lines[place]) | change)
    found = check_export(lines, authority=authority)
    assert words in "; ".join(found.breaks)
    without = [line for index, line in enumerate(exported) if index != 1]
    assert check_export(without).breaks
    twice = [*exported[:2], exported[1], *exported[2:]]
    assert any("charged twice" in each for each in check_export(twice).breaks)
