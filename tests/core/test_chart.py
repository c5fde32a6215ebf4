import pytest

from sakk.core import chart
from sakk.core.chart import (
    AccountCode,
    LedgerAccount,
    TransferCode,
    currency_of_unit,
    currency_unit,
)
from sakk.core.posting import Posting, reversed_postings

ASSET = "eip155:84532/erc20:0x036c"
ACCOUNT_CODES = {
    "custody": 10,
    "dust": 11,
    "suspense": 12,
    "quarantine": 13,
    "gas": 14,
    "conversion": 15,
    "gas_tank": 16,
    "seized": 17,
    "escrow": 18,
    "bank": 19,
    "merchant_incoming": 20,
    "merchant_available": 21,
    "merchant_reserved": 22,
    "receivable": 23,
    "bank_suspense": 24,
    "payout_in_flight": 30,
    "fee_revenue": 40,
    "fee_network": 41,
    "fee_venue": 42,
    "equity_operator": 50,
    "loss": 51,
    "fx": 60,
    "venue": 61,
    "channel": 70,
    "mandate_budget": 71,
    "mandate_spent": 72,
    "pool": 80,
    "unclaimed": 90,
    "gift_card": 91,
}
TRANSFER_CODES = {
    "payin": 100,
    "payin_quarantined": 101,
    "payin_released": 102,
    "payin_reversed": 103,
    "payin_suspense": 104,
    "payin_dust": 105,
    "payin_returned": 106,
    "payin_seized": 107,
    "payin_fee": 108,
    "treasury_funded": 110,
    "treasury_moved": 111,
    "payout_hold": 200,
    "payout": 201,
    "payout_void": 202,
    "payout_fee": 203,
    "fee_returned": 204,
    "sweep": 300,
    "sweep_loss": 301,
    "topup": 310,
    "withdrawal": 311,
    "seizure": 312,
    "gas": 320,
    "transaction_undone": 330,
    "outflow": 400,
    "outflow_reversed": 401,
    "adopted": 410,
    "book_transfer": 500,
    "transfer_left": 501,
    "transfer_claimed": 502,
    "transfer_returned": 503,
    "transfer_fee": 504,
    "conversion_taken": 510,
    "conversion_given": 511,
    "conversion_spread": 512,
    "conversion_fee": 513,
    "gift_card_issued": 520,
    "gift_card_redeemed": 521,
    "gift_card_refunded": 522,
    "gift_card_replaced": 523,
    "gift_card_lapsed": 524,
    "gift_card_fee": 525,
    "gift_card_fee_returned": 526,
    "order_bought": 530,
    "order_spent": 531,
    "order_fee": 532,
    "channel_funded": 600,
    "channel_charge": 601,
    "channel_closed": 602,
    "channel_refunded": 603,
    "escrow_deposited": 610,
    "escrow_redeemed": 611,
    "escrow_withdrawn": 612,
    "mandate_budgeted": 620,
    "mandate_reserved": 621,
    "mandate_restored": 622,
    "mandate_spend": 623,
    "parked": 630,
    "unparked": 631,
    "reserve_held": 700,
    "reserve_released": 701,
    "receivable_recovered": 702,
    "break_corrected": 720,
    "application_fee": 730,
    "application_fee_payout": 731,
    "application_fee_refunded": 732,
    "bank_opened": 800,
    "bank_payin": 801,
    "bank_fee": 806,
    "bank_suspended": 802,
    "bank_assigned": 803,
    "bank_payout": 804,
    "bank_returned": 805,
    "bank_sent_back": 807,
    "bank_return_fee": 808,
}


@pytest.mark.parametrize(
    ("account", "name", "code"),
    [
        (chart.custody(ASSET, "hot"), f"custody:{ASSET}:hot#{ASSET}", AccountCode.custody),
        (chart.custody(ASSET, "deposit"), f"custody:{ASSET}:deposit#{ASSET}", AccountCode.custody),
        (chart.dust(ASSET), f"dust:{ASSET}#{ASSET}", AccountCode.dust),
        (chart.suspense(ASSET), f"suspense:{ASSET}#{ASSET}", AccountCode.suspense),
        (chart.quarantine(ASSET), f"quarantine:{ASSET}#{ASSET}", AccountCode.quarantine),
        (chart.gas_tank("eip155:1", "eth"), "gas:tank:eip155:1#eth", AccountCode.gas_tank),
        (chart.conversion_asset(ASSET), f"conversion:{ASSET}#{ASSET}", AccountCode.conversion),
        (
            chart.conversion_currency(ASSET, "usdc"),
            f"conversion:{ASSET}#usdc",
            AccountCode.conversion,
        ),
        (chart.bank("ba_1", "eur"), "bank:ba_1#eur", AccountCode.bank),
        (chart.bank_suspense("ba_1", "eur"), "suspense:ba_1#eur", AccountCode.bank_suspense),
        (chart.receivable("acct_1", "usdc"), "receivable:acct_1#usdc", AccountCode.receivable),
        (chart.payout_in_flight("usdc"), "payout:in_flight#usdc", AccountCode.payout_in_flight),
        (chart.fee_revenue("usdc"), "fee:revenue#usdc", AccountCode.fee_revenue),
        (chart.fee_network("eth"), "fee:network#eth", AccountCode.fee_network),
        (chart.fx("usdc", "eur", "test/eur"), "fx:eur-usdc#test/eur", AccountCode.fx),
        (chart.fx("eur", "usdc", "usdc"), "fx:eur-usdc#usdc", AccountCode.fx),
        (chart.equity_operator(ASSET), f"equity:operator#{ASSET}", AccountCode.equity_operator),
        (chart.loss("fee", ASSET), f"loss:fee#{ASSET}", AccountCode.loss),
        (chart.escrow(ASSET), f"escrow:{ASSET}#{ASSET}", AccountCode.escrow),
        (
            chart.mandate_spent("mnd_1", "usdc"),
            "mandate:mnd_1:spent#usdc",
            AccountCode.mandate_spent,
        ),
    ],
)
def test_names_and_codes(account: LedgerAccount, name: str, code: AccountCode) -> None:
    assert (account.name, account.code) == (name, code)
    assert not account.debits_must_not_exceed_credits


@pytest.mark.parametrize(
    ("balance", "code"),
    [
        ("incoming", AccountCode.merchant_incoming),
        ("available", AccountCode.merchant_available),
        ("reserved", AccountCode.merchant_reserved),
    ],
)
def test_merchant_can_not_be_overdrawn(balance: chart.MerchantBalance, code: AccountCode) -> None:
    account = chart.merchant("acct_1", balance, "usdc")
    assert account.name == f"merchant:acct_1:{balance}#usdc"
    assert (account.code, account.owner) == (code, "acct_1")
    assert account.debits_must_not_exceed_credits


@pytest.mark.parametrize(
    ("account", "name", "code", "owner"),
    [
        (chart.channel("ch_1", "usdc"), "channel:ch_1#usdc", AccountCode.channel, None),
        (
            chart.channel("ch_1", "usdc", payer="acct_1"),
            "channel:ch_1#usdc",
            AccountCode.channel,
            "acct_1",
        ),
        (
            chart.mandate_budget("mnd_1", "total", "usdc"),
            "mandate:mnd_1:total#usdc",
            AccountCode.mandate_budget,
            None,
        ),
        (chart.pool("acct_1", "usdc"), "pool:acct_1#usdc", AccountCode.pool, "acct_1"),
        (chart.gift_card("gc_1", "usdc"), "gift:gc_1#usdc", AccountCode.gift_card, None),
        (
            chart.unclaimed("acct_1", "usdc"),
            "unclaimed:acct_1#usdc",
            AccountCode.unclaimed,
            "acct_1",
        ),
    ],
)
def test_what_agents_use_can_not_be_overdrawn(
    account: LedgerAccount, name: str, code: AccountCode, owner: str | None
) -> None:
    assert (account.name, account.code, account.owner) == (name, code, owner)
    assert account.debits_must_not_exceed_credits


def test_test_money_has_units_of_its_own() -> None:
    assert currency_unit("usdc", livemode=True) == "usdc"
    assert currency_unit("usdc", livemode=False) == "test/usdc"
    assert currency_of_unit("test/usdc") == ("usdc", False)
    assert currency_of_unit("usdc") == ("usdc", True)


def test_codes_are_never_renumbered() -> None:
    """They stand in journals that are read for ever."""
    assert {each.name: each.value for each in AccountCode} == ACCOUNT_CODES
    assert {each.name: each.value for each in TransferCode} == TRANSFER_CODES


def test_posting_moves_more_than_zero_of_one_unit() -> None:
    usdc, usdt = chart.fee_revenue("usdc"), chart.fee_revenue("usdt")
    with pytest.raises(ValueError, match="two units"):
        Posting(usdc, usdt, 1, TransferCode.payin)
    for amount in (0, -1):
        with pytest.raises(ValueError, match="more than zero"):
            Posting(usdc, usdc, amount, TransferCode.payin)


def test_reversal_is_the_same_the_other_way_round() -> None:
    first = Posting(
        chart.custody(ASSET, "deposit"), chart.suspense(ASSET), 5, TransferCode.payin_suspense
    )
    second = Posting(chart.dust(ASSET), chart.suspense(ASSET), 7, TransferCode.payin_dust)
    assert reversed_postings([first, second], TransferCode.payin_reversed) == [
        Posting(second.credit, second.debit, 7, TransferCode.payin_reversed),
        Posting(first.credit, first.debit, 5, TransferCode.payin_reversed),
    ]
