"""Dispersals: their bytes, and what a receipt's logs say became of each line, against a model."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sakk.core import abi
from sakk.core.disperse import (
    DISPERSE,
    FAILED_TOPIC,
    GAS_BEFORE_PAYMENT,
    STOPPED_TOPIC,
    UNITS_MAX,
    Contradiction,
    Dispersal,
    Log,
    Outcomes,
    Payment,
    decode_disperse,
    encode_disperse,
    gas_limit,
    outcomes,
    topic_of,
)

TOKEN, CONTRACT, TREASURY, THIEF = ("0x" + byte * 20 for byte in ("70", "d1", "7e", "66"))
A, B = "0x" + "0a" * 20, "0x" + "0b" * 20
LINES = (Payment(A, 5), Payment(B, 7), Payment(A, 5))


def moved(payment: Payment, **changes: object) -> Log:
    """The token's Transfer out of the treasury."""
    topics = (abi.TRANSFER_TOPIC, topic_of(TREASURY), topic_of(payment.to))
    log = Log(TOKEN, topics, abi.encode_uint(payment.units))
    return replace(log, **changes)  # type: ignore[arg-type]


def failed(line: int, reason: bytes = b"no", *, of: str = TREASURY, by: str = CONTRACT) -> Log:
    words = [line, 2 * abi.WORD_BYTES, len(reason)]
    data = b"".join(abi.encode_uint(word) for word in words) + reason.ljust(32, b"\x00")
    return Log(by, (FAILED_TOPIC, topic_of(of)), data)


def stopped(line: int, *, of: str = TREASURY) -> Log:
    return Log(CONTRACT, (STOPPED_TOPIC, topic_of(of)), abi.encode_uint(line))


def read(
    logs: Sequence[Log], lines: Sequence[Payment] = LINES, *, takes_fee: bool = False
) -> Outcomes:
    return outcomes(
        Dispersal(TOKEN, tuple(lines)),
        logs,
        contract=CONTRACT,
        sender=TREASURY,
        takes_fee=takes_fee,
    )


def test_calldata_is_solidity_s() -> None:
    from eth_abi.abi import encode

    words = [bytes.fromhex(each.to[2:]) + each.units.to_bytes(12, "big") for each in LINES]
    data = encode_disperse(TOKEN, LINES)
    assert data == DISPERSE + encode(["address", "bytes32[]"], [TOKEN, words])
    assert decode_disperse(data) == Dispersal(TOKEN, LINES)
    assert decode_disperse(data).units == 17


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "a plain transfer"),
        (abi.encode_transfer(A, 1), "not a dispersal but transfer"),
        (DISPERSE, "is cut off"),
        (encode_disperse(TOKEN, LINES)[:-1], "is cut off"),
        (encode_disperse(TOKEN, LINES)[:-32], "says that it holds 3 payments"),
        (encode_disperse(TOKEN, LINES) + bytes(32), "says that it holds 3 payments"),
        (encode_disperse(TOKEN, []), "says that it holds 0 payments"),
        (
            DISPERSE + abi.encode_address(TOKEN) + abi.encode_uint(96) + abi.encode_uint(1) * 2,
            "says that it holds 1 payments",
        ),
        (DISPERSE + b"\x01" * 32 + encode_disperse(TOKEN, LINES)[36:], "not an address"),
    ],
)
def test_anything_else_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        decode_disperse(data)


@pytest.mark.parametrize("units", [-1, UNITS_MAX + 1])
def test_a_payment_that_is_no_word_is_refused(units: int) -> None:
    with pytest.raises(ValueError, match="units are at most"):
        encode_disperse(TOKEN, [Payment(A, units)])


def test_the_gas_limit_lets_the_last_payment_begin() -> None:
    assert gas_limit(100_000, margin_percent=25) == 125_000 + GAS_BEFORE_PAYMENT


def test_all_paid() -> None:
    assert read([moved(each) for each in LINES]) == Outcomes({}, None)


def test_the_same_line_twice_of_which_one_failed() -> None:
    logs = [moved(LINES[0]), moved(LINES[1]), failed(2, b"why")]
    assert read(logs) == Outcomes({2: b"why"}, None)


def test_what_was_not_tried_failed() -> None:
    logs = [moved(LINES[0]), stopped(1)]
    assert read(logs) == Outcomes({1: b"", 2: b""}, 1)


def test_foreign_logs_settle_nothing() -> None:
    """Others' events, others' tokens, others' coins, and shapes that are no Transfer."""
    transfer = moved(LINES[0])
    foreign = [
        failed(0, of=THIEF),
        failed(0, by=THIEF),
        stopped(0, of=THIEF),
        Log(CONTRACT, (FAILED_TOPIC,), bytes(32)),
        Log(CONTRACT, (abi.TRANSFER_TOPIC, topic_of(TREASURY)), bytes(32)),
        moved(LINES[0], contract=THIEF),
        moved(LINES[0], topics=(*transfer.topics[:2],)),
        moved(LINES[0], topics=(abi.TRANSFER_TOPIC, topic_of(THIEF), topic_of(A))),
        moved(LINES[0], topics=(FAILED_TOPIC, *transfer.topics[1:])),
        moved(LINES[0], data=b""),
        # To one whom no line pays: a fee, which is nobody's settlement.
        moved(Payment(THIEF, 5)),
    ]
    own = [moved(each) for each in LINES]
    assert read([*foreign, *own]) == Outcomes({}, None)
    with pytest.raises(Contradiction):
        read(foreign)


@pytest.mark.parametrize(
    "logs",
    [
        [],
        [moved(each) for each in LINES[:2]],
        [*(moved(each) for each in LINES), moved(LINES[0])],
        [*(moved(each) for each in LINES), failed(1)],
        [moved(LINES[0]), moved(LINES[1]), moved(Payment(A, 4))],
        [moved(LINES[0]), moved(LINES[1]), failed(2), failed(2)],
        [moved(LINES[0]), moved(LINES[1]), failed(2), failed(3)],
        [moved(LINES[0]), failed(2), stopped(2)],
        [Log(CONTRACT, (FAILED_TOPIC, topic_of(TREASURY)), b"\x01")],
    ],
)
def test_logs_that_do_not_fit_together_tell_nothing(logs: list[Log]) -> None:
    with pytest.raises(Contradiction):
        read(logs)


def test_a_token_that_takes_a_fee_logs_less_and_its_own_fee() -> None:
    logs = [moved(Payment(A, 4)), moved(Payment(B, 6)), moved(Payment(A, 4)), moved(Payment(A, 1))]
    assert read(logs, takes_fee=True) == Outcomes({}, None)
    with pytest.raises(Contradiction):
        read(logs[:2], takes_fee=True)


lines = st.lists(
    st.builds(Payment, st.sampled_from([A, B, THIEF]), st.integers(1, 3)), min_size=1, max_size=8
)


@given(lines, st.data())
def test_every_line_is_told_as_the_contract_did_it(
    paid: list[Payment], data: st.DataObject
) -> None:
    """The model is the contract: it pays or fails line by line, until its gas is used up."""
    fails = data.draw(st.lists(st.booleans(), min_size=len(paid), max_size=len(paid)))
    stop = data.draw(st.integers(0, len(paid)))
    logs: list[Log] = []
    model: dict[int, bytes] = {}
    for line, payment in enumerate(paid):
        if line == stop:
            logs.append(stopped(line))
            model.update(dict.fromkeys(range(line, len(paid)), b""))
            break
        if fails[line]:
            logs.append(failed(line, bytes([line])))
            model[line] = bytes([line])
        else:
            logs.append(moved(payment))
    assert read(logs, paid) == Outcomes(model, stop if stop < len(paid) else None)
    # Nothing can be left out of a receipt, and nothing put into it, unnoticed.
    transfers = [place for place, log in enumerate(logs) if log.contract == TOKEN]
    if transfers:
        place = data.draw(st.sampled_from(transfers))
        with pytest.raises(Contradiction):
            read([*logs[:place], *logs[place + 1 :]], paid)
        with pytest.raises(Contradiction):
            read([*logs, logs[place]], paid)
