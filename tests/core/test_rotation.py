"""Rotations, as rules: what moves next, what is lost on the way, and what is shown."""

from datetime import UTC, datetime
from typing import Any

import pytest

from sakk.core import chart
from sakk.core.chart import TransferCode
from sakk.core.posting import Posting
from sakk.core.rotation import (
    Holdings,
    Rotation,
    RotationStatus,
    Step,
    StepKind,
    is_new,
    postings,
    public,
    steps,
)
from sakk.core.transaction import ChainTransaction

NETWORK = "eip155:1"
NATIVE = "eip155:1/slip44:60"
ONE, TWO = (f"eip155:1/erc20:0x{digit * 40}" for digit in "12")
SOURCE, TARGET = (f"0x{digit * 40}" for digit in "ab")
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def held(**changes: Any) -> Holdings:
    fields: dict[str, Any] = {
        "network": NETWORK,
        "units": {},
        "allowed": (),
        "in_flight": 0,
        "kept_wei": 10,
    }
    return Holdings(**fields | changes)


@pytest.mark.parametrize(
    ("holdings", "expected", "empty"),
    [
        (held(), [], True),
        (held(units={NATIVE: 10, ONE: 0, TWO: -3}), [], True),
        (
            held(units={NATIVE: 99, TWO: 5, ONE: 7}, allowed=(TWO,)),
            [
                Step(StepKind.move, ONE, 7),
                Step(StepKind.move, TWO, 5),
                Step(StepKind.take_back, TWO),
            ],
            False,
        ),
        (held(units={NATIVE: 99}, in_flight=1), [], False),
        (held(units={NATIVE: 99}), [Step(StepKind.move, NATIVE, 89)], False),
        # A little more than is kept is not worth a transaction.
        (held(units={NATIVE: 39}), [], True),
        (held(units={NATIVE: 40}), [Step(StepKind.move, NATIVE, 30)], False),
        (held(in_flight=1), [], False),
    ],
)
def test_tokens_go_first_and_the_native_coin_last(
    holdings: Holdings, expected: list[Step], empty: bool
) -> None:
    assert steps(holdings) == expected
    assert holdings.is_empty is empty


def moved(arrived: int | None) -> ChainTransaction:
    return ChainTransaction(
        id="tx_1",
        livemode=False,
        network=NETWORK,
        purpose="rotation",
        subject="kr_1",
        sender=SOURCE,
        key_branch="treasury",
        key_index=0,
        nonce=0,
        asset=ONE,
        destination=TARGET,
        token_amount=100,
        gas_limit=1,
        max_fee_per_gas=1,
        max_priority_fee_per_gas=1,
        unsigned=b"",
        since_block=0,
        status="posted",
        arrived_units=arrived,
        created=NOW,
    )


def test_what_a_token_keeps_for_itself_is_a_loss() -> None:
    assert postings(moved(100)) == postings(moved(101)) == []
    loss, hot = chart.loss("transfer_fee", ONE), chart.custody(ONE, "hot")
    assert postings(moved(97)) == [Posting(loss, hot, 3, TransferCode.sweep_loss)]
    assert postings(moved(None)) == [Posting(loss, hot, 100, TransferCode.sweep_loss)]


def test_what_is_shown() -> None:
    rotation = Rotation(
        id="kr_1",
        status=RotationStatus.moving.value,
        source=SOURCE,
        source_index=0,
        target=TARGET,
        target_index=1,
        reason="yearly",
        approvals=[{"public_key": "cd" * 32, "signature": "ef" * 64}],
        moving_at=NOW,
        created=NOW,
    )
    assert is_new(rotation)
    shown = public(rotation, held=[held(units={ONE: 7, TWO: 0})], moved=[moved(100)])
    assert (shown["object"], shown["status"], shown["retired_at"]) == (
        "key_rotation",
        "moving",
        None,
    )
    assert shown["message"] == f"sakk rotation v1\n{SOURCE}\n{TARGET}"
    assert shown["approvals"] == ["cd" * 32]
    [network] = shown["networks"]
    assert (network["units"], network["empty"]) == ({ONE: "7"}, False)
    assert [each["token_amount"] for each in shown["transactions"]] == ["100"]
