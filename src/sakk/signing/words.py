"""What is signed, in words for a person and for the log.

Amounts have decimals and a symbol where the policy file declares them for the asset; the atomic
units, which the bytes hold, are said beside them.
"""

from sakk.core import abi, caip, clone, evm
from sakk.core.explanation import grouped
from sakk.core.gas_price import in_coins
from sakk.signing.escrow import called
from sakk.signing.policy import Policy
from sakk.signing.protocol import Purpose, SignRequest


def words(
    request: SignRequest, transaction: evm.Transaction, policy: Policy, *, source: str
) -> str:
    """A line for a person and the log; a dispersal has one more a payment."""
    costs = _costs(request, transaction, policy)
    moved = amount_in_words(request.token_amount, request.asset, policy)
    to = request.destination.lower()
    head = f"{request.purpose} {request.intent_id}:"
    match request.purpose:
        case Purpose.payout | Purpose.refund | Purpose.sweep | Purpose.topup | Purpose.withdrawal:
            return f"{head} {moved} from {source} to {to}, {costs}"
        case Purpose.rotation:
            return f"{head} {moved} from treasury {source} to its successor {to}, {costs}"
        case Purpose.cancel:
            return f"{head} nothing moves, {source} uses its {costs}"
        case Purpose.recovery:
            left = f"deposit address {source}"
            if request.deposits:
                index = request.deposits[0]
                left = f"clone {index} of {transaction.to} at the call of {source}"
            return f"{head} {moved} go back from {left} to {to}, {costs}"
        case Purpose.allowance:
            return (
                f"{head} {to} may take {_allowed(request, moved)} at the call of {source}, {costs}"
            )
        case Purpose.deploy:
            return f"{head} {source} creates contract {to}, {costs}"
        case Purpose.capture:
            return f"{head} {moved} of payers who signed, by {to} at the call of {source}, {costs}"
        case Purpose.redemption | Purpose.escrow:
            return f"{head} {called(request, transaction)} at the call of {source}, {costs}"
        case Purpose.collect:
            count = _collected(request, transaction)
            return f"{head} {count} to {to} by {transaction.to} at the call of {source}, {costs}"
        case Purpose.disperse:
            lines = _lines(request, policy)
            count = f"{len(lines)} payments"
            return "\n".join([f"{head} {count}, {moved} from {source} by {to}, {costs}", *lines])


def _lines(request: SignRequest, policy: Policy) -> list[str]:
    """A dispersal's payments."""
    return [
        f"{each.purpose} {each.intent_id}:"
        f" {_amount(each.token_amount, request.asset, policy)} to"
        f" {each.destination.lower()}"
        for each in request.payments
    ]


def _allowed(request: SignRequest, moved: str) -> str:
    is_any = int(request.token_amount) == evm.UINT256_MAX
    return f"any number of units of {request.asset}" if is_any else moved


def _collected(request: SignRequest, transaction: evm.Transaction) -> str:
    is_clones = transaction.data[: abi.SELECTOR_BYTES] == clone.SWEEP
    return f"{len(request.deposits)} {'clones' if is_clones else 'deposits'}"


def amount_in_words(units: str, asset: str, policy: Policy) -> str:
    """``25.00 USDC (25000000 units of eip155:…)``; without decimals the units alone."""
    return _amount(units, asset, policy, of=f" of {asset}")


def _amount(units: str, asset: str, policy: Policy, *, of: str = "") -> str:
    rule = policy.asset(asset)
    counted = f"{int(units)} units{of}"
    if rule is None or rule.decimals is None:
        return counted
    return f"{grouped(int(units), rule.decimals)} {rule.symbol} ({counted})"


def _costs(request: SignRequest, transaction: evm.Transaction, policy: Policy) -> str:
    fee_max = transaction.gas_limit * transaction.max_fee_per_gas
    native = policy.asset(caip.native_asset(request.network))
    coin = "of the native coin" if native is None or native.symbol is None else native.symbol
    return (
        f"nonce {transaction.nonce}, at most {in_coins(fee_max)} {coin} in fees"
        f" ({transaction.max_fee_per_gas} wei per gas)"
    )
