from datetime import UTC, datetime

import pytest

from sakk.core.balance import (
    BalanceTransaction,
    kind_of,
    public_balance,
    public_transaction,
    source_prefix,
    timestamp_of,
)
from sakk.core.chart import TransferCode

LINE = BalanceTransaction(
    timestamp_ns=1_795_334_400_123_456_789,
    currency="usdc",
    decimals=6,
    amount=-2_500_000,
    balance_after=500_000,
    code=int(TransferCode.payout_hold),
    source="po_1",
    livemode=False,
)


WITHOUT_SOURCE = (
    TransferCode.channel_charge,
    TransferCode.fee_returned,
    TransferCode.break_corrected,
    TransferCode.application_fee_payout,
)


def test_id_carries_the_ledgers_time() -> None:
    assert LINE.id.startswith("txn_")
    assert timestamp_of(LINE.id) == LINE.timestamp_ns
    assert LINE.timestamp == datetime(2026, 11, 22, 8, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize("identifier", ["po_" + "0" * 26, "txn_x", ""])
def test_no_id_of_a_line(identifier: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        timestamp_of(identifier)


@pytest.mark.parametrize("code", list(TransferCode))
def test_every_code_has_a_source(code: TransferCode) -> None:
    """A code that nobody sorted in would be shown as an adjustment of nothing."""
    kinds = (
        "pin",
        "po",
        "sw",
        "tx",
        "out",
        "tr",
        "ad",
        "ch",
        "mnd",
        "spn",
        "prk",
        "set",
        "ba",
        "bl",
        "conv",
        "gcm",
        "ordc",
        "afee",
    )
    assert source_prefix(code) in kinds or code in WITHOUT_SOURCE


@pytest.mark.parametrize(
    ("code", "amount", "kind"),
    [
        (TransferCode.payin, 1, "payment"),
        (TransferCode.payin_released, 1, "payment"),
        (TransferCode.application_fee, 1, "application_fee"),
        (TransferCode.application_fee_payout, 1, "application_fee"),
        (TransferCode.application_fee_refunded, -1, "application_fee_refund"),
        (TransferCode.payin_reversed, -1, "payment_reversal"),
        (TransferCode.payin_fee, -1, "fee"),
        (TransferCode.gift_card_fee, -1, "fee"),
        (TransferCode.fee_returned, 1, "fee"),
        (TransferCode.reserve_held, -1, "reserve_transaction"),
        (TransferCode.receivable_recovered, -1, "adjustment"),
        (TransferCode.bank_payin, 1, "payment"),
        (TransferCode.bank_returned, 1, "payout"),
        (TransferCode.payout_hold, -1, "payout"),
        (TransferCode.payout_void, 1, "payout"),
        (TransferCode.book_transfer, -1, "transfer"),
        (TransferCode.transfer_returned, 1, "transfer"),
        (TransferCode.conversion_taken, -1, "conversion"),
        (TransferCode.conversion_fee, -1, "fee"),
        (TransferCode.gift_card_redeemed, 1, "transfer"),
        (TransferCode.outflow, -1, "adjustment"),
        (TransferCode.sweep, 1, "adjustment"),
        (TransferCode.channel_charge, 1, "payment"),
        (TransferCode.channel_funded, -1, "transfer"),
        (TransferCode.mandate_spend, -1, "payment"),
        (TransferCode.parked, -1, "adjustment"),
    ],
)
def test_kind(code: TransferCode, amount: int, kind: str) -> None:
    assert kind_of(code, amount) == kind


def test_public_line() -> None:
    shown = public_transaction(LINE)
    assert (shown["amount"], shown["amount_decimal"]) == (-2_500_000, "-2.500000")
    assert (shown["net"], shown["fee"], shown["balance_after"]) == (-2_500_000, 0, 500_000)
    assert (shown["type"], shown["source"], shown["object"]) == (
        "payout",
        "po_1",
        "balance_transaction",
    )


def test_public_balance_is_sorted_by_currency() -> None:
    shown = public_balance(
        {"usdt": 1, "usdc": 25_000_000},
        {"eth": 10**18},
        {"usdc": 6, "usdt": 6, "eth": 18},
        livemode=False,
    )
    assert [each["currency"] for each in shown["available"]] == ["usdc", "usdt"]
    assert shown["available"][0]["amount_decimal"] == "25.000000"
    assert shown["pending"] == [
        {"amount": 10**18, "amount_decimal": "1.000000000000000000", "currency": "eth"}
    ]
