"""Payers in escrow ask for themselves: by their own client, which has no API key."""

import json
import secrets
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from typer.testing import CliRunner

from sakk.cli import wallet
from sakk.client import escrow_payer as client
from sakk.client.escrow_payer import EscrowPayer, EscrowPayerError
from sakk.client.escrow_receipt import check_export
from sakk.core import escrow_payer as rules
from sakk.core.eip712 import digest
from sakk.ledger.projection import catch_up
from tests.api.paying import call, open_tenant
from tests.api.test_escrow_channel import charge
from tests.api.vouchering import Escrowed, open_escrow
from tests.api.world import Api, http
from tests.core.test_escrow_payer import COMMON, MESSAGES


def payer_of(channel: Escrowed) -> EscrowPayer:
    return EscrowPayer(channel.api.url, bytes(channel.account.key))


@pytest.mark.parametrize("kind", MESSAGES)
def test_both_sides_sign_the_same(kind: str) -> None:
    message: dict[str, Any] = COMMON | MESSAGES[kind]
    assert digest(client.typed_data(kind, message)) == digest(rules.typed_data(kind, message))


def test_a_payer_asks_disputes_and_is_given_back(api: Api, tmp_path: Path) -> None:
    channel = open_escrow(api)
    name, path = channel.row.channel, f"/v1/escrow_channels/{channel.row.id}"
    for total in (1_000, 2_000, 3_000):
        charge(channel, total, 1_000)
    with payer_of(channel) as payer:
        standing = payer.standing(name)
        assert (standing["charged"], standing["deposit"]) == ("3000", "47000")
        assert standing["voucher"]["signedMaxClaimable"] == "3000"
        opened = payer.dispute(name, 2_000, "The answer was empty.")
        assert (opened["status"], opened["amount"], opened["held"]) == ("open", "1000", False)
        with pytest.raises(EscrowPayerError, match="disputed already"):
            payer.dispute(name, 2_000, "Again.")
        with pytest.raises(EscrowPayerError, match="paid for nothing"):
            payer.dispute(name, 2_500, "There is no such charge.")
        withdrawn = payer.dispute(name, 3_000, "By mistake.", amount=7)
        assert payer.withdraw(name, withdrawn["id"])["status"] == "withdrawn"
        # The payee sees both sides' records, and gives back; no other merchant does.
        listed = call(api, channel.payee, "GET", f"{path}/disputes")["data"]
        assert {each["id"] for each in listed} == {withdrawn["id"], opened["id"]}
        where = f"{path}/disputes/{opened['id']}"
        shown = call(api, channel.payee, "GET", where)
        assert shown["records"]["dispute"]["message"]["reason"] == "The answer was empty."
        other = open_tenant(api, "other")
        assert api.call("GET", where, key=other.key).status_code == 404
        refused = api.call(
            "POST", f"{where}/resolve", json={"outcome": "reject"}, key=channel.payee.key
        )
        assert refused.status_code == 403
        ended = call(api, channel.payee, "POST", f"{where}/resolve", {"outcome": "refund"})
        assert (ended["status"], ended["charge"]) == ("refunded", f"{channel.row.id}:2000:0")
        standing = payer.standing(name)
        assert (standing["charged"], standing["signed"]) == ("2000", "3000")
        assert {each["status"] for each in standing["disputes"]} == {"withdrawn", "refunded"}
        # What came back pays again; the file says so, and holds offline.
        charge(channel, 4_000, 1_000)
        catch_up(api.database.url)
        lines = payer.receipts(name).splitlines()
        found = check_export(lines, authority=payer.authority())
    assert (found.breaks, found.unchecked) == ([], [])
    assert (found.charges, found.spent, found.refunded, found.signed) == (4, 4_000, 1_000, 4_000)
    key, file = bytes(channel.account.key).hex(), str(tmp_path / "receipts.jsonl")
    said = ["channel", api.url, name, "--key", key, "--receipts", file]
    checked = CliRunner().invoke(wallet.app, said)
    assert (checked.exit_code, "YES: 4 charges" in checked.output) == (0, True), checked.output
    place = next(at for at, line in enumerate(lines) if json.loads(line)["kind"] == "refund")
    lines[place] = json.dumps(json.loads(lines[place]) | {"amount": "1001"})
    assert any("given back than" in each for each in check_export(lines).breaks)


def test_nobody_else_is_answered(api: Api) -> None:
    channel = open_escrow(api)
    name = channel.row.channel
    stranger = Account.from_key("0x" + secrets.token_hex(32))
    with EscrowPayer(api.url, bytes(stranger.key)) as other:
        with pytest.raises(EscrowPayerError, match="pays no channel"):
            other.standing(name)
        with pytest.raises(EscrowPayerError, match="pays no channel"):
            other.receipts("0x" + "11" * 32)
    url = f"{api.url}/x402/escrow_channels/query"
    assert http().get(url).status_code == 405
    with payer_of(channel) as payer:
        said = payer.signed("Read", name)
    for changed in ({"deadline": 1}, {"network": "sakk:other"}, {"signer": stranger.address}):
        answer = http().post(url, json=said | changed)
        assert answer.status_code in (400, 401), answer.text
    assert http().post(url, json=said).status_code == 200
    # What is signed to read opens nothing.
    for what in ("disputes", "disputes/withdraw"):
        more = {"ceiling": "1", "reason": "x"} if what == "disputes" else {"dispute": "cdp_1"}
        answer = http().post(f"{api.url}/x402/escrow_channels/{what}", json=said | more)
        assert answer.status_code == 401, answer.text
