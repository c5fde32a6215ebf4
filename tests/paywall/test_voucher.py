"""The door's records of vouchers are those that the authority reads."""

from sakk.core.escrow_channel import Refusal
from sakk.core.voucher import (
    REFUSALS,
    VoucherOp,
    VoucherOperation,
    VoucherResult,
    encode_voucher_result,
    read_operation,
    status_of,
)
from sakk.core.voucher import asset_tag as tag_of
from sakk.paywall.voucher import (
    MISMATCH,
    REASONS,
    STATUS_MISMATCH,
    Reserved,
    Voucher,
    asset_tag,
    end_record,
    read_reserved,
    release_of,
    reserve_record,
)

VOUCHER = Voucher(bytes(range(32)), 5_000, bytes(range(65)))
TOKEN = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"


def test_both_sides_say_the_same() -> None:
    assert {status_of(each): each.value for each in REFUSALS} == REASONS
    assert status_of(Refusal.amount_mismatch) == STATUS_MISMATCH
    assert Refusal.amount_mismatch.value == MISMATCH
    tag = asset_tag("eip155:8453", TOKEN)
    assert tag == tag_of(f"eip155:8453/erc20:{TOKEN.lower()}")
    record = reserve_record(VOUCHER, 1_000, tag, 300)
    assert record is not None
    assert read_operation(record) == VoucherOperation(
        VoucherOp.reserve, VOUCHER.channel, 5_000, 1_000, 0, 300, tag, VOUCHER.signature
    )
    told = VoucherResult(0, 3, b"\xaa" * 20, 1_000, 9_000, 200, 7, b"\xbb" * 16)
    result = encode_voucher_result(told)
    reserved = read_reserved(result)
    assert reserved == Reserved(None, "0x" + "aa" * 20, 9_000, 200, 7, b"\xbb" * 16, 3)
    commit = VoucherOperation(VoucherOp.commit, b"\xbb" * 16, 5_000, 400, 3)
    assert read_operation(end_record(VoucherOp.commit, VOUCHER, reserved, 400)) == commit
    release = release_of(record, result)
    assert release is not None
    expected = commit._replace(op=VoucherOp.release, amount=0)
    assert read_operation(release) == expected
    assert release_of(b"\1" + bytes(127), result) is None


def test_numbers_that_a_record_has_no_room_for_are_asked_at_length() -> None:
    assert reserve_record(VOUCHER, 1 << 64, bytes(8), 60) is None
    assert reserve_record(VOUCHER._replace(ceiling=1 << 96), 1, bytes(8), 60) is None
