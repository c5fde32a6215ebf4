"""What the signer takes for a call of x402's escrow.

No such call moves coins of ours but those that a redemption brings here: a deposit is the payer's,
who signed for it; a claim is bound to the receiver that the payer chose; what is given back was
never claimed. So the rule is about the contract and the calls, and not about amounts.
"""

from sakk.core import caip, evm
from sakk.core.escrow import ESCROW, decode_calls, paid_by
from sakk.signing.protocol import Purpose, Reason, SignRequest, refusal


def escrow_call(request: SignRequest, transaction: evm.Transaction) -> tuple[str, int]:
    """Whom a redemption pays, or the contract that is called; refuses any other call."""
    if transaction.to != ESCROW or transaction.value:
        raise refusal(
            Reason.call_not_allowed,
            f"a call of the escrow goes to {ESCROW} and sends nothing, this to {transaction.to}",
        )
    try:
        if request.purpose is Purpose.escrow:
            decode_calls(transaction.data)
            return ESCROW, 0
        receiver, token = paid_by(transaction.data)
    except ValueError as error:
        raise refusal(Reason.call_not_allowed, str(error)) from None
    if token != caip.erc20_contract(request.asset):
        raise refusal(Reason.claim_mismatch, f"it pays in {token}, not in {request.asset}")
    return receiver, 0


def called(request: SignRequest, transaction: evm.Transaction) -> str:
    """A call of the escrow in words."""
    names = ", ".join(name for name, _ in decode_calls(transaction.data))
    if request.purpose is Purpose.redemption:
        return f"{names} in escrow {ESCROW}, paid to {request.destination.lower()},"
    return f"{names} in escrow {ESCROW}"
