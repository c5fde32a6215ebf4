"""What calls of contracts do, read from their bytes: whom they name, and how much."""

from sakk.core import abi, caip, evm
from sakk.core.contract import DISPERSE, deployed_by
from sakk.core.disperse import decode_disperse
from sakk.signing.protocol import Reason, SignRequest, refusal


def dispersed(request: SignRequest, transaction: evm.Transaction) -> tuple[str, int]:
    """A call of our own contract, at the address that this signer knows, and every line of it."""
    try:
        dispersal = decode_disperse(transaction.data)
    except ValueError as error:
        raise refusal(Reason.call_not_allowed, str(error)) from None
    if transaction.to != DISPERSE.address:
        raise refusal(
            Reason.call_not_allowed, f"a dispersal calls {DISPERSE.address}, not {transaction.to}"
        )
    if transaction.value:
        raise refusal(Reason.claim_mismatch, f"a dispersal carries {transaction.value} wei besides")
    if dispersal.token != caip.erc20_contract(request.asset):
        raise refusal(
            Reason.claim_mismatch, f"the bytes pay in {dispersal.token}, not in {request.asset}"
        )
    if len(dispersal.payments) != len(request.payments):
        raise refusal(
            Reason.claim_mismatch,
            f"the bytes make {len(dispersal.payments)} payments, the request says"
            f" {len(request.payments)}",
        )
    for paid, claimed in zip(dispersal.payments, request.payments, strict=True):
        claim = (claimed.destination.lower(), int(claimed.token_amount))
        if (paid.to, paid.units) != claim:
            raise refusal(
                Reason.claim_mismatch,
                f"the bytes pay {paid.units} units to {paid.to} for {claimed.intent_id}, the"
                f" request says {claim[1]} to {claim[0]}",
                [claimed.intent_id],
            )
    return DISPERSE.address, dispersal.units


def allowed(request: SignRequest, transaction: evm.Transaction) -> tuple[str, int]:
    """An approval of the token of the claimed asset; to whom is the purpose's rule."""
    try:
        approval = abi.decode_approve(transaction.data)
    except ValueError as error:
        raise refusal(Reason.call_not_allowed, str(error)) from None
    if transaction.to != caip.erc20_contract(request.asset) or transaction.value:
        raise refusal(
            Reason.claim_mismatch, f"the call is to {transaction.to}, not to {request.asset} alone"
        )
    return approval.spender, approval.amount


def deployed(request: SignRequest, transaction: evm.Transaction) -> tuple[str, int]:
    """A call of the public deployer with code whose hash this signer carries itself."""
    if transaction.to != evm.CREATE2_DEPLOYER or transaction.value:
        raise refusal(
            Reason.call_not_allowed,
            f"a deployment calls {evm.CREATE2_DEPLOYER} and sends nothing, this calls"
            f" {transaction.to}",
        )
    try:
        return deployed_by(transaction.data).address, 0
    except ValueError as error:
        raise refusal(Reason.call_not_allowed, str(error)) from None
