"""Operations and results of charges by voucher, in bytes."""

import pytest

from sakk.core.charge import AMOUNT_WHOLE, OPERATION, Op, Reason
from sakk.core.charge import RESULT as SESSION_RESULT
from sakk.core.escrow_channel import Refusal
from sakk.core.voucher import (
    END,
    REFUSALS,
    RESERVATION,
    RESULT,
    STATUS_FIRST,
    WHOLE,
    VoucherOp,
    VoucherOperation,
    VoucherResult,
    asset_tag,
    encode_voucher_result,
    read_operation,
    status_of,
)

CHANNEL = bytes(range(32))
SIGNATURE = bytes(range(100, 164))
USDC = "eip155:8453/erc20:0x833589fcd6edb6e08f4c7c32d4f71b54bda02913"


def test_records_are_as_long_as_those_of_sessions() -> None:
    assert RESERVATION.size == END.size == OPERATION.size == 128
    assert RESULT.size == SESSION_RESULT.size == 96
    assert min(VoucherOp) == max(Op) + 1
    assert max(Reason) < STATUS_FIRST


@pytest.mark.parametrize(("seconds", "expected"), [(300, 300), (0, 60)])
def test_a_reservation_is_read(seconds: int, expected: int) -> None:
    record = (
        bytes([4, 27])
        + seconds.to_bytes(2, "big")
        + (1_000).to_bytes(8, "big")
        + asset_tag(USDC)
        + (5_000).to_bytes(12, "big")
        + CHANNEL
        + SIGNATURE
    )
    assert read_operation(record) == VoucherOperation(
        VoucherOp.reserve,
        CHANNEL,
        5_000,
        1_000,
        0,
        expected,
        asset_tag(USDC),
        SIGNATURE + bytes([27]),
    )


@pytest.mark.parametrize("op", [VoucherOp.commit, VoucherOp.release])
@pytest.mark.parametrize(("amount", "expected"), [(7, 7), (WHOLE, AMOUNT_WHOLE)])
def test_an_end_is_read(op: VoucherOp, amount: int, expected: int) -> None:
    record = (
        bytes([op, 0])
        + (3).to_bytes(2, "big")
        + amount.to_bytes(8, "big")
        + bytes(8)
        + (5_000).to_bytes(12, "big")
        + CHANNEL[:16]
        + bytes(80)
    )
    assert read_operation(record) == VoucherOperation(op, CHANNEL[:16], 5_000, expected, 3)


def test_a_result_says_where_the_channel_stands() -> None:
    result = VoucherResult(0, 2, b"\xaa" * 20, 1_000, 50_000, 3_000, 1_800_000_000, b"\xbb" * 16)
    assert RESULT.unpack(encode_voucher_result(result)) == (
        0,
        2,
        b"\xaa" * 20,
        (1_000).to_bytes(16, "big"),
        (50_000).to_bytes(12, "big"),
        (3_000).to_bytes(12, "big"),
        1_800_000_000,
        b"\xbb" * 16,
    )


def test_refusals_have_numbers_that_stay() -> None:
    assert [status_of(each) for each in REFUSALS] == [*range(32, 41)]
    assert status_of(Refusal.amount_mismatch) == 36


def test_a_coin_has_a_tag_of_its_own() -> None:
    assert len(asset_tag(USDC)) == 8
    assert asset_tag(USDC) != asset_tag(USDC.replace("8453", "1"))
