"""Captures: their bytes, and what a receipt's logs say became of each line."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sakk.core import abi, eip3009, permit2
from sakk.core.capture import (
    GAS_BEFORE_TRANSFER,
    SELECTOR,
    TIME_MAX,
    UNITS_MAX,
    Line,
    Moved,
    Outcome,
    decode_capture,
    encode_capture,
    fits,
    gas_limit,
    moved_by,
    outcomes,
)
from sakk.core.contract import CAPTURE
from sakk.core.disperse import FAILED_TOPIC, STOPPED_TOPIC, Contradiction, Log, topic_of
from sakk.core.eip3009 import Authorization

TOKEN, SENDER, A, B, C = ("0x" + byte * 20 for byte in ("70", "7e", "a1", "b2", "c3"))
ONE = Authorization(A, B, 5, 0, 1_800_000_000, b"\x01" * 32)
SIGNATURE = b"\x11" * 32 + b"\x22" * 32 + b"\x1c"
LINES = (
    Line(ONE, SIGNATURE),
    Line(replace(ONE, payer=C), SIGNATURE),
    Line(replace(ONE, nonce=b"\x02" * 32), SIGNATURE),
)
PERMIT = permit2.Permit(A, TOKEN, 5, 9, 1_800_000_000, B, 0)


@given(
    units=st.integers(0, UNITS_MAX),
    times=st.tuples(st.integers(0, TIME_MAX), st.integers(0, TIME_MAX)),
    nonce=st.binary(min_size=32, max_size=32),
    r=st.binary(min_size=32, max_size=32),
    s=st.integers(0, (1 << 255) - 1),
    v=st.sampled_from([27, 28]),
)
def test_lines_read_back(
    units: int, times: tuple[int, int], nonce: bytes, r: bytes, s: int, v: int
) -> None:
    signed = Authorization(A, B, units, *times, nonce)
    lines = (Line(signed, r + s.to_bytes(32, "big") + bytes([v])), *LINES)
    assert fits(signed)
    assert decode_capture(encode_capture(TOKEN, lines)) == (TOKEN, lines)


def test_a_parity_of_0_or_1_is_one_of_27_or_28() -> None:
    short = replace(LINES[0], signature=SIGNATURE[:64] + b"\x01")
    assert decode_capture(encode_capture(TOKEN, [short]))[1] == LINES[:1]


@pytest.mark.parametrize(
    "line",
    [
        Line(replace(ONE, units=UNITS_MAX + 1), SIGNATURE),
        Line(replace(ONE, valid_after=TIME_MAX + 1), SIGNATURE),
        Line(replace(ONE, valid_before=TIME_MAX + 1), SIGNATURE),
        Line(ONE, SIGNATURE[:64]),
    ],
)
def test_what_is_too_wide_is_no_line(line: Line) -> None:
    with pytest.raises(ValueError, match="does not fit a line"):
        encode_capture(TOKEN, [line])


MADE = encode_capture(TOKEN, LINES)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        SELECTOR,
        MADE[:-1],
        MADE[:-32],
        MADE + bytes(32),
        encode_capture(TOKEN, []),
        MADE[: 4 + 32] + bytes(32) + MADE[4 + 64 :],
        MADE[:4] + b"\x01" + MADE[5:],
    ],
)
def test_other_calldata_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        decode_capture(data)


def test_what_each_kind_of_call_moves() -> None:
    assert moved_by(CAPTURE.address, MADE) == (
        Moved(TOKEN, A, B, 5),
        Moved(TOKEN, C, B, 5),
        Moved(TOKEN, A, B, 5),
    )
    alone = eip3009.encode_call(ONE, SIGNATURE)
    assert moved_by(TOKEN, alone) == (Moved(TOKEN, A, B, 5),)
    permitted = permit2.encode_call(PERMIT, SIGNATURE)
    assert moved_by(permit2.EXACT_PROXY, permitted) == (Moved(TOKEN, A, B, 5),)
    for to, data in ((None, alone), (TOKEN, MADE), (CAPTURE.address, alone), (TOKEN, permitted)):
        with pytest.raises(ValueError):
            moved_by(to, data)


def moved(payer: str, units: int = 5, *, token: str = TOKEN, to: str = B) -> Log:
    topics = (abi.TRANSFER_TOPIC, topic_of(payer), topic_of(to))
    return Log(token, topics, abi.encode_uint(units))


def failed(line: int, reason: bytes = b"no") -> Log:
    words = [line, 2 * abi.WORD_BYTES, len(reason)]
    data = b"".join(abi.encode_uint(word) for word in words) + reason.ljust(32, b"\x00")
    return Log(CAPTURE.address, (FAILED_TOPIC, topic_of(SENDER)), data)


def stopped(line: int) -> Log:
    return Log(CAPTURE.address, (STOPPED_TOPIC, topic_of(SENDER)), abi.encode_uint(line))


OTHER = Log(TOKEN, ("0x" + "aa" * 32,), b"")


def read(*logs: Log, to: str = CAPTURE.address) -> list[Outcome]:
    wanted = moved_by(CAPTURE.address, MADE)
    wanted = wanted if to == CAPTURE.address else wanted[:1]
    return outcomes(wanted, list(enumerate(logs, 10)), to=to, sender=SENDER)


def test_equal_lines_take_their_transfers_in_order() -> None:
    assert read(OTHER, moved(A), moved(C), OTHER, moved(A)) == [
        Outcome(11),
        Outcome(12),
        Outcome(14),
    ]


def test_failures_are_named_by_our_contract() -> None:
    assert read(moved(A), failed(1, b"why"), moved(A)) == [
        Outcome(10),
        Outcome(None, b"why"),
        Outcome(12),
    ]
    assert read(moved(A), stopped(1)) == [
        Outcome(10),
        Outcome(None, b"", is_untried=True),
        Outcome(None, b"", is_untried=True),
    ]
    assert read(failed(0), moved(C), stopped(2))[2].is_untried


@pytest.mark.parametrize(
    "logs",
    [
        (moved(A), moved(C)),
        (moved(A), moved(C), moved(A, 6)),
        (moved(A), moved(C), moved(A, token=C)),
        (moved(A), moved(C), moved(A, to=C)),
        (failed(3), moved(A), moved(C), moved(A)),
    ],
)
def test_a_receipt_that_contradicts_itself_settles_nothing(logs: tuple[Log, ...]) -> None:
    with pytest.raises(Contradiction):
        read(*logs)


def test_alone_it_is_told_by_its_transfer_alone() -> None:
    assert read(failed(0), moved(A), to=TOKEN) == [Outcome(11)]
    with pytest.raises(Contradiction):
        read(failed(0), to=TOKEN)


def test_the_last_line_begins_within_the_limit() -> None:
    assert gas_limit(100_000, margin_percent=25) == 125_000 + GAS_BEFORE_TRANSFER
