"""Receipts of channels in escrow: the bytes that both sides and whoever checks them agree on."""

import hashlib

from sakk.core.escrow_receipt import (
    EscrowHead,
    EscrowReceipt,
    head_words,
    link,
    public_receipt,
    start,
)

CHANNEL, PAYEE = bytes([1]) * 32, bytes([2]) * 16


def test_the_chain_is_of_these_bytes() -> None:
    begin = start(CHANNEL, PAYEE)
    assert begin == hashlib.sha256(b"sakk.escrow.receipts.1" + CHANNEL + PAYEE).digest()
    receipt = EscrowReceipt(charge=3, ceiling=400, amount=5, timestamp=6)
    body = begin + b"".join(
        number.to_bytes(size, "big") for number, size in ((3, 16), (400, 16), (5, 16), (6, 8))
    )
    head = link(begin, receipt)
    assert head == hashlib.sha256(b"sakk.escrow.receipt.link.1" + body).digest()
    assert public_receipt(receipt, head) == {
        "charge": f"{3:032x}",
        "ceiling": "400",
        "amount": "5",
        "timestamp": "6",
        "head": head.hex(),
    }


def test_the_authority_signs_these_words() -> None:
    words = head_words(EscrowHead(CHANNEL, 7, 8, 9, PAYEE * 2, 10))
    assert words == (
        b"sakk.escrow.receipt.head.1"
        + CHANNEL
        + (7).to_bytes(8, "big")
        + (8).to_bytes(16, "big")
        + (9).to_bytes(16, "big")
        + PAYEE * 2
        + (10).to_bytes(8, "big")
    )
