"""Records in compiled code: byte for byte what the code that is read says."""

import base64
import binascii
import random

import pytest

from sakk.paywall import record
from sakk.paywall.compiled import record as compiled

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
