"""How much of a charge goes back, and where to."""

from dataclasses import replace

import pytest
from tests.core.test_channel import CHANNEL, NOW, OWN, PAYEE, PAYER
from tests.core.test_payout import payout

from sakk.core import charge_refund as rules
from sakk.core.channel import ChannelStatus
from sakk.core.charge_refund import ChargeRefund
from sakk.core.chart import TransferCode
from sakk.core.errors import ParameterInvalid
from sakk.core.posting import Posting

REFUND = ChargeRefund(
    id="crf_1",
    account_id="acct_2",
    livemode=False,
    channel_id=CHANNEL.id,
    session_id="ses_1",
    nonce=7,
    amount=1_000,
    currency="usdc",
    decimals=6,
    to_payer=False,
    dispute=None,
    status="requested",
    attempt=0,
    created=NOW,
)


@pytest.mark.parametrize(
    ("asked", "refunded", "amount"),
    [(None, 0, 1_000), (None, 400, 600), (600, 400, 600), (1, 0, 1)],
)
def test_what_goes_back(asked: int | None, refunded: int, amount: int) -> None:
    assert rules.amount_of(asked, charged=1_000, refunded=refunded) == amount


@pytest.mark.parametrize(("asked", "refunded"), [(1_001, 0), (601, 400), (None, 1_000), (1, 1_000)])
def test_no_more_goes_back_than_was_charged(asked: int | None, refunded: int) -> None:
    with pytest.raises(ParameterInvalid) as caught:
        rules.amount_of(asked, charged=1_000, refunded=refunded)
    assert caught.value.param == "amount"


def test_a_charge_by_voucher_has_a_name() -> None:
    by_voucher = replace(
        REFUND, id="crf_00000000000000000000000001", session_id="ech_1:5:0", nonce=0
    )
    shown = rules.public_charge_refund(by_voucher)
    assert (shown["charge"], shown["session"], shown["nonce"]) == ("ech_1:5:0", None, None)
    shown = rules.public_charge_refund(REFUND)
    assert (shown["charge"], shown["session"], shown["nonce"]) == (None, "ses_1", "7")
    # What one payout was refused another one carries.
    payouts = {rules.payout_id(replace(by_voucher, attempt=attempt)) for attempt in range(3)}
    assert len(payouts) == 3


@pytest.mark.parametrize(
    ("payout_status", "status"),
    [
        ("requested", "sent"),
        ("confirmed", "sent"),
        ("posted", "posted"),
        ("rejected", "failed"),
        ("canceled", "failed"),
        ("failed", "failed"),
    ],
)
def test_it_is_given_back_when_its_payout_has_arrived(payout_status: str, status: str) -> None:
    assert rules.status_by(payout(status=payout_status)) == status


def test_where_it_goes() -> None:
    back = TransferCode.channel_refunded
    assert rules.posting(CHANNEL, 5, to_payer=False) == Posting(PAYEE, OWN, 5, back)
    assert rules.posting(CHANNEL, 5, to_payer=True) == Posting(PAYEE, PAYER, 5, back)
    to_payer = {
        status: rules.goes_to_payer(replace(CHANNEL, status=status.value))
        for status in ChannelStatus
    }
    assert [status for status, past in to_payer.items() if not past] == [ChannelStatus.open]


def test_what_is_shown() -> None:
    shown = rules.public_charge_refund(REFUND)
    assert (shown["nonce"], shown["to"], shown["amount_decimal"]) == ("7", "channel", "0.001000")
    assert rules.public_charge_refund(replace(REFUND, to_payer=True))["to"] == "payer"
