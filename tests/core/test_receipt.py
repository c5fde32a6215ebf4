"""The chain over a channel's charges."""

from dataclasses import replace

from sakk.core import receipt
from sakk.core.receipt import Head, Receipt
from sakk.core.session import uuid_bytes

CHANNEL = uuid_bytes("ch_01jd8k00000000000000000001")
PAYEE = uuid_bytes("acct_01jd8k00000000000000000003")
SESSION = "ses_01jd8k00000000000000000002"
ONE = Receipt(uuid_bytes(SESSION), 7, 1_000, 4, b"\x01" * 16, 1_795_651_200_000_000_000)


def test_a_chain_begins_with_who_pays_whom_in_what() -> None:
    starts = {
        receipt.start(CHANNEL, PAYEE, "usdc"),
        receipt.start(PAYEE, CHANNEL, "usdc"),
        receipt.start(CHANNEL, PAYEE, "usdt"),
    }
    assert len(starts) == 3


def test_a_link_is_of_every_field_and_of_all_before_it() -> None:
    begin = receipt.start(CHANNEL, PAYEE, "usdc")
    heads = {
        receipt.link(begin, each)
        for each in (
            ONE,
            replace(ONE, session=PAYEE),
            replace(ONE, nonce=8),
            replace(ONE, amount=999),
            replace(ONE, units=5),
            replace(ONE, request=b"\x02" * 16),
            replace(ONE, timestamp=ONE.timestamp + 1),
        )
    }
    heads.add(receipt.link(bytes(32), ONE))
    assert len(heads) == 8


def test_a_head_is_signed_with_all_that_it_speaks_of() -> None:
    head = Head(CHANNEL, 1, 1_000, 50_000, b"\x03" * 32, ONE.timestamp)
    words = {
        receipt.head_words(each)
        for each in (
            head,
            replace(head, channel=PAYEE),
            replace(head, charges=2),
            replace(head, spent=1),
            replace(head, ceiling=1),
            replace(head, head=bytes(32)),
            replace(head, timestamp=0),
        )
    }
    assert len(words) == 7
    assert all(each.startswith(b"sakk.receipt.head.1") for each in words)


def test_what_is_shown() -> None:
    assert receipt.public_receipt(ONE, b"\x03" * 32) == {
        "session": SESSION,
        "nonce": "7",
        "amount": "1000",
        "units": "4",
        "request": "01" * 16,
        "timestamp": "1795651200000000000",
        "head": "03" * 32,
    }
