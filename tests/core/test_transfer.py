"""Book transfers, as rules."""

from dataclasses import replace
from datetime import UTC, datetime

from sakk.core import chart
from sakk.core.chart import TransferCode
from sakk.core.posting import Posting
from sakk.core.transfer import BookTransfer, postings, public

TRANSFER = BookTransfer(
    id="tr_1",
    account_id="acct_1",
    livemode=True,
    destination="acct_2",
    amount=1_234_567,
    currency="usdc",
    decimals=6,
    status="posted",
    failure_code=None,
    description="a share",
    metadata={"order": "7"},
    created=datetime(2026, 1, 2, tzinfo=UTC),
)


def test_one_balance_gives_what_the_other_takes() -> None:
    assert postings(TRANSFER) == [
        Posting(
            debit=chart.merchant("acct_1", "available", "usdc"),
            credit=chart.merchant("acct_2", "available", "usdc"),
            amount=1_234_567,
            code=TransferCode.book_transfer,
        )
    ]


def test_test_money_moves_in_its_own_unit() -> None:
    [leg] = postings(replace(TRANSFER, livemode=False))
    assert (leg.debit.unit, leg.credit.unit) == ("test/usdc", "test/usdc")


def test_what_is_shown() -> None:
    assert public(TRANSFER) == {
        "id": "tr_1",
        "object": "transfer",
        "amount": 1_234_567,
        "amount_decimal": "1.234567",
        "amount_reversed": 0,
        "created": int(TRANSFER.created.timestamp()),
        "currency": "usdc",
        "description": "a share",
        "destination": "acct_2",
        "failure_code": None,
        "livemode": True,
        "metadata": {"order": "7"},
        "reversed": False,
        "source": "acct_1",
        "status": "posted",
    }
