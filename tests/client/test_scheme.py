"""The written scheme's vectors hold on both sides: a client can be made from the page alone."""

import json
import re
from pathlib import Path
from typing import Any

import coincurve
import pytest
from eth_account import Account
from eth_typing import Hash32

from sakk.client import session as client
from sakk.client.receipt import check_export
from sakk.core import charge, receipt
from sakk.core import session as core
from sakk.core.charge import Op, Operation
from sakk.core.evm import digest_signer, public_key_address
from sakk.core.receipt import Receipt

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "session-scheme.md"
[VECTORS] = [
    json.loads(block)
    for block in re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
    if '"private_key"' in block
]
KEY = bytes.fromhex(VECTORS["session_key"])
SESSION, PAYEE, CHANNEL = VECTORS["session"], VECTORS["payee"], VECTORS["channel"]


def test_ids_and_requests() -> None:
    assert client.uuid_bytes(VECTORS["uuid"]["id"]).hex() == VECTORS["uuid"]["bytes"]
    for each in VECTORS["requests"]:
        body = bytes.fromhex(each["body_hash"])
        assert client.request_hash(each["method"], each["target"], body).hex() == each["hash"]


def test_calls_and_their_receipts() -> None:
    for each in VECTORS["calls"]:
        mac = client.call_mac(
            KEY,
            SESSION,
            nonce=int(each["nonce"]),
            amount=int(each["amount"]),
            payee=PAYEE,
            request=bytes.fromhex(each["request"]),
        )
        assert mac.hex() == each["mac"]
    said = VECTORS["reservation_receipt"]
    mac = client.receipt_mac(
        KEY,
        SESSION,
        step=1,
        nonce=int(said["nonce"]),
        amount=int(said["amount"]),
        units=0,
        payee=PAYEE,
        request=bytes.fromhex(said["request"]),
        timestamp=int(said["timestamp"]),
    )
    assert mac.hex() == said["mac"]


def _message(kind: str, shown: dict[str, Any]) -> dict[str, Any]:
    types = dict(client.TYPES[kind])
    return {
        name: bytes.fromhex(value)
        if types[name] == "bytes32"
        else int(value)
        if types[name].startswith("uint")
        else value
        for name, value in shown.items()
    }


@pytest.mark.parametrize("signed", VECTORS["signed"], ids=lambda each: str(each["type"]))
def test_what_is_signed(signed: dict[str, Any]) -> None:
    key = coincurve.PrivateKey(bytes.fromhex(VECTORS["private_key"]))
    assert public_key_address(key.public_key.format(compressed=False)) == VECTORS["signer"]
    digest = client.digest(signed["type"], _message(signed["type"], signed["message"]))
    assert digest.hex() == signed["digest"]
    assert digest_signer(digest, bytes.fromhex(signed["signature"])) == VECTORS["signer"]


def test_an_operation() -> None:
    [call, *_] = VECTORS["calls"]
    operation = Operation(
        Op.reserve,
        core.uuid_bytes(SESSION),
        int(call["nonce"]),
        int(call["amount"]),
        60,
        bytes.fromhex(call["request"]),
        bytes.fromhex(call["mac"]),
        b"usdc",
        0,
    )
    assert charge.encode_operation(operation).hex() == VECTORS["operation"]


def test_the_reasons_on_the_page_are_the_codes() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert {int(code): name for code, name in rows} == {
        each.value: each.name for each in charge.Reason if each.value
    }


PAYER = Account.from_key("0x" + "66" * 32)
NETWORK = "sakk:01jabcdefghjkmnpqrstvwxyz2"


def _export() -> list[dict[str, Any]]:
    chain = VECTORS["chain"]
    head = chain["head"]
    said = client.digest(
        "Voucher",
        {
            "network": NETWORK,
            "channel": CHANNEL,
            "ceiling": 100_000,
            "spent": int(head["spent"]),
            "charges": int(head["charges"]),
            "head": bytes.fromhex(head["head"]),
        },
    )
    return [
        {
            "kind": "channel",
            "network": NETWORK,
            "channel": CHANNEL,
            "payee": PAYEE,
            "currency": chain["currency"],
            "signer": PAYER.address,
        },
        *({"kind": "receipt"} | each for each in chain["receipts"]),
        {
            "kind": "voucher",
            "ceiling": "100000",
            "spent": head["spent"],
            "charges": head["charges"],
            "head": head["head"],
            "signature": bytes(PAYER.unsafe_sign_hash(Hash32(said)).signature).hex(),
        },
        {"kind": "head"} | head,
    ]


def _checked(lines: list[dict[str, Any]], authority: str | None = None) -> list[str]:
    return check_export((json.dumps(each) for each in lines), authority=authority).breaks


def test_a_chain() -> None:
    chain = VECTORS["chain"]
    head = receipt.start(core.uuid_bytes(CHANNEL), core.uuid_bytes(PAYEE), chain["currency"])
    assert head.hex() == chain["start"]
    for each in chain["receipts"]:
        made = Receipt(
            core.uuid_bytes(each["session"]),
            int(each["nonce"]),
            int(each["amount"]),
            int(each["units"]),
            bytes.fromhex(each["request"]),
            int(each["timestamp"]),
        )
        head = receipt.link(head, made)
        assert receipt.public_receipt(made, head) == each
    report = check_export(
        (json.dumps(each) for each in _export()), authority=chain["head"]["authority"]
    )
    assert (report.breaks, report.unchecked) == ([], [])
    assert (report.charges, report.spent, report.countersigned) == (2, 1_400, (2, 1_400))


@pytest.mark.parametrize(
    ("line", "field", "value", "said"),
    [
        (1, "amount", "1001", "does not follow"),
        (1, "request", "00" * 16, "does not follow"),
        (2, "nonce", "7", "charged twice"),
        (3, "spent", "1399", "not in the chain"),
        (4, "spent", "1399", "come to something else"),
        (3, "ceiling", "100001", "not signed by"),
        (3, "signature", "00" * 65, "not signed by"),
        (0, "signer", "0x" + "11" * 20, "not signed by"),
        (0, "network", "sakk:another", "not signed by"),
        (4, "ceiling", "50001", "signature"),
        (4, "signature", "00" * 64, "signature"),
    ],
)
def test_a_chain_that_was_changed(line: int, field: str, value: str, said: str) -> None:
    lines = _export()
    lines[line][field] = value
    assert any(said in each for each in _checked(lines))


def test_another_authority_and_a_receipt_that_is_gone() -> None:
    assert any("another key" in each for each in _checked(_export(), authority="00" * 32))
    lines = _export()
    del lines[1]
    assert _checked(lines) != []


def test_what_of_the_payers_word_can_not_be_checked_is_said() -> None:
    lines = _export()
    del lines[0]["network"]
    report = check_export(json.dumps(each) for each in lines)
    assert (report.breaks, len(report.unchecked)) == ([], 1)
    lines = _export()
    lines[3] |= {"charges": 0, "spent": "0", "head": "00" * 32}
    report = check_export(json.dumps(each) for each in lines)
    assert report.breaks == []
    assert ["of an opening" in each for each in report.unchecked] == [True]
    lines[3]["signature"] = None
    report = check_export(json.dumps(each) for each in lines)
    assert (report.breaks, report.unchecked) == ([], [])
