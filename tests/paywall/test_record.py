"""Records in compiled code: byte for byte what the code that is read says."""

import base64
import binascii
import random
import secrets
from typing import Any

import pytest

from sakk.paywall import record
from sakk.paywall.compiled import record as compiled
from sakk.paywall.escrow import Escrow, EscrowTaken
from sakk.paywall.payment import Terms
from sakk.paywall.voucher import WHOLE, Voucher, end_record, read_reserved, reserve_record

NUMBERS = [0, 1, 9, 10, 2**32, 2**63 - 1]
AMOUNTS = [0, 1, 1_000, 2**64 - 1, 2**64, 2**127, 2**128 - 1]


@pytest.mark.parametrize("seed", range(20))
def test_both_ways_write_the_same_records_and_tell_the_same(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(20):
        session, request = chance.randbytes(16), chance.randbytes(32)
        nonce, amount = chance.choice(NUMBERS), chance.choice(AMOUNTS)
        mac = chance.randbytes(32).hex()
        mac = chance.choice([mac, mac.upper()])
        reserve = (session, nonce, amount, request, mac, chance.randbytes(16), 300)
        assert compiled.reserve_record(*reserve) == record.reserve_record(*reserve)
        end = (chance.choice([2, 3]), session, nonce, amount, chance.choice([*NUMBERS, 2**64 - 1]))
        assert compiled.end_record(*end) == record.end_record(*end)
        start, go_on = b"{" + b"s" * chance.randrange(90), b"g" * chance.randrange(90)
        answer = (start, go_on, nonce, amount, request, chance.randbytes(96))
        assert compiled.told(*answer) == record.told(*answer)


@pytest.mark.parametrize(
    "mac", ["", "ab" * 31, "ab" * 33, "ab" * 31 + " a", "ag" * 32, "é" * 64, "ab" * 31 + "a"]
)
def test_what_is_no_mac_is_refused_both_ways(mac: str) -> None:
    for way in (record, compiled):
        with pytest.raises(ValueError, match="hexadecimal"):
            way.reserve_record(bytes(16), 0, 1, bytes(32), mac, bytes(16), 60)


def test_headers_are_decoded_alike_or_left_to_the_way_that_says_why() -> None:
    chance = random.Random(7)
    for size in range(200):
        header = base64.b64encode(chance.randbytes(size))
        assert (compiled.decode(header) or record.decode(header)) == record.decode(header)
        # A letter changed, one more, one less: never more lenient than the other.
        at = chance.randrange(size + 1)
        letter = chance.choice([b"=", b" ", b"-", b"\xff", b"A", b""])
        for spoiled in (header[:at] + letter + header[at + 1 :], header + letter, header[1:]):
            found = compiled.decode(spoiled)
            try:
                wanted = record.decode(spoiled)
            except binascii.Error:
                assert found is None
            else:
                assert found in (None, wanted)


@pytest.mark.parametrize("ceiling", [1, 2**64 - 1, 2**64, 2**96 - 1])
@pytest.mark.parametrize("amount", [1, 2**64 - 2])
def test_a_voucher_is_written_and_told_the_same_both_ways(ceiling: int, amount: int) -> None:
    """The record, its ends, and what a payer is told, as the code that is read says."""
    paid = Voucher(secrets.token_bytes(32), ceiling, secrets.token_bytes(65))
    tag, seconds = secrets.token_bytes(8), 300
    signature = "0x" + paid.signature.hex().upper()
    made = compiled.voucher_record(paid.channel_id, str(ceiling), signature, amount, tag, seconds)
    assert made is not None
    assert made == reserve_record(paid, amount, tag, seconds)
    result = b"\0\0" + secrets.token_bytes(94)
    reserved = read_reserved(result)
    assert compiled.voucher_end(made, result, True) == end_record(5, paid, reserved, WHOLE)
    assert compiled.voucher_end(made, result, False) == end_record(6, paid, reserved, 0)
    nothing: Any = None
    offer = Escrow(
        nothing, nothing, network="eip155:84532", asset="0x" + "33" * 20, pay_to="0x" + "44" * 20,
        currency="usdc", decimals=6, authorizer="0x" + "55" * 20, name="USDC", version="2",
    )  # fmt: skip
    terms = Terms(offer, offer.requirement(amount), amount)
    taken = EscrowTaken(offer, terms, paid, reserved, None)
    told, payer, transaction = compiled.voucher_told(offer.told, made, result)
    assert told == taken.response
    assert (payer, transaction) == (taken.payment.payer, taken.payment.transaction)


@pytest.mark.parametrize(
    "changed",
    [
        {"channel": "0x" + "1" * 63},
        {"channel": "1x" + "1" * 64},
        {"channel": "0x" + "g" * 64},
        {"channel": "0x" + "é" * 64},
        {"ceiling": ""},
        {"ceiling": "-1"},
        {"ceiling": str(2**96)},
        {"ceiling": "1" * 39},
        {"ceiling": "٣"},
        {"signature": "0x" + "1" * 128},
        {"amount": 2**64 - 1},
    ],
)
def test_what_is_no_plain_voucher_has_no_record(changed: dict[str, Any]) -> None:
    said: dict[str, Any] = {"channel": "0x" + "1" * 64, "ceiling": "7", "amount": 1}
    said["signature"] = "0x" + "1" * 130
    assert compiled.voucher_record(**said, tag=bytes(8), timeout_seconds=9) is not None
    assert compiled.voucher_record(**(said | changed), tag=bytes(8), timeout_seconds=9) is None
