"""What a capture may be: coins that their owners signed away, to addresses of this signer.

It moves nothing of ours but the fee. The owners' signatures are the token's to check; what moves,
and to whom, is read from the bytes.
"""

from collections.abc import Callable

from sakk.core import caip, evm
from sakk.core.capture import LINES_MAX, Moved, moved_by
from sakk.core.disperse import TRANSACTION_GAS_MAX
from sakk.signing.policy import Policy
from sakk.signing.protocol import Branch, Reason, SignRequest, refusal

Address = Callable[[Branch, int], str]


def capture_gas_max(request: SignRequest, each: int) -> int:
    """The policy's cap is for one transfer: a capture may use it for each recipient it names."""
    return min(max(1, len(request.deposits) or LINES_MAX) * each, TRANSACTION_GAS_MAX)


def captured(request: SignRequest, transaction: evm.Transaction) -> tuple[str, int]:
    """The contract that is called, and the sum of what moves: all of it of the claimed token."""
    moved = _moved(transaction)
    for each in moved:
        if each.token != caip.erc20_contract(request.asset):
            raise refusal(
                Reason.claim_mismatch, f"the bytes move {each.token}, not {request.asset}"
            )
    if transaction.value:
        raise refusal(Reason.claim_mismatch, f"a capture carries {transaction.value} wei besides")
    assert transaction.to is not None
    return transaction.to, sum(each.units for each in moved)


def check_capture(
    request: SignRequest, transaction: evm.Transaction, *, policy: Policy, address: Address
) -> None:
    """Every line goes to the deposit address whose index the request says, unless anyone may."""
    moved = _moved(transaction)
    if len(moved) > LINES_MAX:
        raise refusal(Reason.malformed, f"at most {LINES_MAX} lines are captured together")
    if policy.capture_for_anyone and not request.deposits:
        return
    if len(moved) != len(request.deposits):
        raise refusal(
            Reason.claim_mismatch,
            f"the bytes move coins to {len(moved)} addresses, the request names"
            f" {len(request.deposits)}",
        )
    for each, index in zip(moved, request.deposits, strict=True):
        try:
            own = address(Branch.deposit, index)
        except ValueError as error:
            raise refusal(Reason.malformed, f"deposits: {error}") from None
        if each.to != own:
            raise refusal(
                Reason.destination_not_allowed, f"{each.to} is not deposit address {index}"
            )


def _moved(transaction: evm.Transaction) -> tuple[Moved, ...]:
    try:
        return moved_by(transaction.to, transaction.data)
    except ValueError as error:
        raise refusal(Reason.call_not_allowed, str(error)) from None
