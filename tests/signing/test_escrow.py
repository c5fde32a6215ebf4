"""Calls of x402's escrow: which the signer takes, and what it says of them."""

import pytest

from sakk.core import abi, evm
from sakk.core.escrow import (
    ESCROW,
    encode_claim,
    encode_multicall,
    encode_settle,
)
from sakk.signing.escrow import called, escrow_call
from sakk.signing.protocol import (
    Branch,
    KeyReference,
    Purpose,
    Reason,
    SignerRefused,
    SignRequest,
)

TOKEN = "0x" + "55" * 20
RECEIVER = "0x" + "33" * 20
CLAIMED = encode_multicall([encode_claim([]), encode_settle(RECEIVER, TOKEN)])


def asked(purpose: Purpose) -> SignRequest:
    return SignRequest(
        intent_id="ecl_1",
        purpose=purpose,
        network="eip155:84532",
        key=KeyReference(branch=Branch.treasury, index=0),
        unsigned=b"",
        asset=f"eip155:84532/erc20:{TOKEN}",
        destination=RECEIVER if purpose is Purpose.redemption else ESCROW,
        token_amount="0",
    )


def call(data: bytes, *, to: str = ESCROW, value: int = 0) -> evm.Transaction:
    return evm.Transaction(84_532, 0, 1, 1, 500_000, to, value, data)


def test_calls_that_are_signed() -> None:
    redemption, other = asked(Purpose.redemption), asked(Purpose.escrow)
    assert escrow_call(redemption, call(CLAIMED)) == (RECEIVER, 0)
    assert escrow_call(other, call(encode_claim([]))) == (ESCROW, 0)
    assert (
        called(redemption, call(CLAIMED))
        == f"claim, settle in escrow {ESCROW}, paid to {RECEIVER},"
    )
    assert called(other, call(encode_claim([]))) == f"claim in escrow {ESCROW}"


@pytest.mark.parametrize(
    ("purpose", "transaction", "reason"),
    [
        (Purpose.escrow, call(encode_claim([]), to=TOKEN), Reason.call_not_allowed),
        (Purpose.escrow, call(encode_claim([]), value=1), Reason.call_not_allowed),
        (Purpose.escrow, call(abi.encode_transfer(RECEIVER, 1)), Reason.call_not_allowed),
        (Purpose.redemption, call(encode_claim([])), Reason.call_not_allowed),
        (
            Purpose.redemption,
            call(encode_multicall([encode_claim([]), encode_settle(RECEIVER, RECEIVER)])),
            Reason.claim_mismatch,
        ),
    ],
)
def test_calls_that_are_refused(
    purpose: Purpose, transaction: evm.Transaction, reason: Reason
) -> None:
    with pytest.raises(SignerRefused) as caught:
        escrow_call(asked(purpose), transaction)
    assert caught.value.reason is reason
