"""What a request really does, read from its bytes, and whether the policy allows that.

Pure rules: what has happened so far (velocity, known destinations, the freeze) is the signer's.
Every check that fails raises a refusal that says what was seen. In order: the shape of the bytes,
the network and its caps, then what the purpose demands.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sakk.core import abi, caip, evm
from sakk.signing.policy import DIGITS_MAX, AssetRule, NetworkRule, Policy
from sakk.signing.protocol import (
    APPROVALS_MAX,
    INTENT_ID,
    Branch,
    Purpose,
    Reason,
    SignRequest,
    approval_message,
    refusal,
)

# Derives the address of one of the signer's own keys.
Address = Callable[[Branch, int], str]


@dataclass(frozen=True, slots=True)
class Decoded:
    """A request as its own bytes tell it: who sends how much of what to whom."""

    request: SignRequest
    transaction: evm.Transaction
    source: str
    destination: str
    amount: int
    fee_max: int
    network_rule: NetworkRule
    asset_rule: AssetRule | None
    explanation: str


def decode(request: SignRequest, policy: Policy, address: Address) -> Decoded:
    """Read a request's bytes and hold them against its claims and the policy's allow-lists."""
    _check_form(request)
    network_rule = policy.network(request.network)
    if network_rule is None:
        raise refusal(
            Reason.network_not_allowed, f"the policy does not name network {request.network}"
        )
    try:
        transaction = evm.decode_unsigned(request.unsigned)
    except ValueError as error:
        raise refusal(Reason.malformed, f"unsigned: {error}") from None
    _check_envelope(request, transaction)
    _check_caps(transaction, network_rule)
    try:
        source = address(request.key.branch, request.key.index)
    except ValueError as error:
        raise refusal(Reason.malformed, f"key: {error}") from None
    destination, amount = _moved(request, transaction)
    _check_claims(request, destination, amount)
    decoded = Decoded(
        request=request,
        transaction=transaction,
        source=source,
        destination=destination,
        amount=amount,
        fee_max=transaction.gas_limit * transaction.max_fee_per_gas,
        network_rule=network_rule,
        asset_rule=policy.asset(request.asset),
        explanation=_explain(request, transaction, source),
    )
    _check_purpose(decoded, policy, address)
    return decoded


def approved_by(request: SignRequest, policy: Policy) -> frozenset[str]:
    """The approvers whose signatures over this request hold; a bad signature is a refusal."""
    if len(request.approvals) > APPROVALS_MAX:
        raise refusal(Reason.approval_invalid, f"more than {APPROVALS_MAX} approvals")
    message = approval_message(request)
    approvers = set()
    for approval in request.approvals:
        key = approval.public_key.hex()
        if key not in policy.approvers:
            raise refusal(Reason.approval_invalid, f"{key} is no approver of the policy")
        try:
            Ed25519PublicKey.from_public_bytes(approval.public_key).verify(
                approval.signature, message
            )
        except (InvalidSignature, ValueError):
            raise refusal(
                Reason.approval_invalid, f"the approval of {key} is not of this payout"
            ) from None
        approvers.add(key)
    return frozenset(approvers)


def _check_form(request: SignRequest) -> None:
    if INTENT_ID.fullmatch(request.intent_id) is None:
        raise refusal(Reason.malformed, "intent_id is 1 to 128 of A-Z a-z 0-9 _ : . # / -")
    if not 0 <= request.attempt < 1 << 31:
        raise refusal(Reason.malformed, "attempt is 0 or more")
    amount = request.token_amount
    if not (amount.isascii() and amount.isdigit() and len(amount) <= DIGITS_MAX):
        raise refusal(Reason.malformed, "token_amount is atomic units in decimal digits")
    try:
        evm.parse_address(request.destination)
        network = caip.asset_network(request.asset)
        caip.erc20_contract(request.asset)
    except ValueError as error:
        raise refusal(Reason.malformed, str(error)) from None
    if network != request.network:
        raise refusal(Reason.claim_mismatch, f"{request.asset} is not on {request.network}")


def _check_envelope(request: SignRequest, transaction: evm.Transaction) -> None:
    if transaction.chain_id != caip.chain_id(request.network):
        raise refusal(
            Reason.chain_mismatch,
            f"the transaction is for chain {transaction.chain_id}, not for {request.network}",
        )
    if transaction.to is None:
        raise refusal(Reason.contract_creation, "the transaction creates a contract")
    if transaction.access_list:
        raise refusal(Reason.access_list, "the transaction has an access list")


def _check_caps(transaction: evm.Transaction, rule: NetworkRule) -> None:
    if transaction.gas_limit > rule.gas_limit_max:
        raise refusal(
            Reason.gas_limit_above_cap,
            f"gas limit {transaction.gas_limit} is above {rule.gas_limit_max}",
        )
    if transaction.max_fee_per_gas > int(rule.max_fee_per_gas_max):
        raise refusal(
            Reason.fee_above_cap,
            f"{transaction.max_fee_per_gas} wei per gas is above {rule.max_fee_per_gas_max}",
        )


def _moved(request: SignRequest, transaction: evm.Transaction) -> tuple[str, int]:
    """To whom the bytes send how much of the claimed asset; any other call is refused."""
    contract = caip.erc20_contract(request.asset)
    assert transaction.to is not None
    if contract is None:
        if transaction.data:
            raise refusal(
                Reason.call_not_allowed,
                f"a native transfer carries no data, this is {abi.describe_call(transaction.data)}",
            )
        return transaction.to, transaction.value
    try:
        transfer = abi.decode_transfer(transaction.data)
    except ValueError as error:
        raise refusal(Reason.call_not_allowed, str(error)) from None
    if transaction.to != contract:
        raise refusal(
            Reason.claim_mismatch, f"the call is to {transaction.to}, not to {request.asset}"
        )
    if transaction.value:
        raise refusal(
            Reason.claim_mismatch, f"a token transfer carries {transaction.value} wei besides"
        )
    return transfer.to, transfer.amount


def _check_claims(request: SignRequest, destination: str, amount: int) -> None:
    if destination != request.destination.lower():
        raise refusal(
            Reason.claim_mismatch,
            f"the bytes pay {destination}, the request says {request.destination.lower()}",
        )
    if amount != int(request.token_amount):
        raise refusal(
            Reason.claim_mismatch,
            f"the bytes pay {amount} units, the request says {request.token_amount}",
        )


def _check_purpose(decoded: Decoded, policy: Policy, address: Address) -> None:
    """What each purpose may do, with which keys, to whom."""
    match decoded.request.purpose:
        case Purpose.payout | Purpose.refund:
            _check_treasury_key(decoded, policy)
            _check_payout(decoded)
        case Purpose.sweep:
            _check_sweep(decoded, policy, address)
        case Purpose.topup:
            _check_treasury_key(decoded, policy)
            _check_topup(decoded, address)
        case _:
            assert_never(decoded.request.purpose)


def _check_treasury_key(decoded: Decoded, policy: Policy) -> None:
    key = decoded.request.key
    if key.branch is not Branch.treasury or key.index not in policy.treasury_indexes:
        raise refusal(
            Reason.key_not_allowed,
            f"a {decoded.request.purpose} leaves from a treasury key of the policy,"
            f" not from {key.branch} {key.index}",
        )


def _required_asset(decoded: Decoded) -> AssetRule:
    if decoded.asset_rule is None:
        raise refusal(
            Reason.asset_not_allowed, f"the policy does not name asset {decoded.request.asset}"
        )
    return decoded.asset_rule


def _check_payout(decoded: Decoded) -> None:
    rule = _required_asset(decoded)
    if decoded.amount == 0:
        raise refusal(Reason.claim_mismatch, "a payout of nothing")
    if decoded.destination in (caip.erc20_contract(rule.asset), decoded.source):
        raise refusal(
            Reason.destination_not_allowed, "the destination is the token or the treasury itself"
        )
    allowed = rule.destinations
    if allowed is not None and decoded.destination not in {item.lower() for item in allowed}:
        raise refusal(
            Reason.destination_not_allowed,
            f"{decoded.destination} is not in the policy's destinations of {rule.asset}",
        )
    if decoded.amount > int(rule.per_transaction_max):
        raise refusal(
            Reason.over_limit,
            f"{decoded.amount} units are above {rule.per_transaction_max} per transaction"
            f" of {rule.asset}",
        )


def _check_sweep(decoded: Decoded, policy: Policy, address: Address) -> None:
    _required_asset(decoded)
    key = decoded.request.key
    if key.branch is not Branch.deposit:
        raise refusal(
            Reason.key_not_allowed, f"a sweep leaves from a deposit key, not {key.branch}"
        )
    own = {address(Branch.treasury, index) for index in policy.treasury_indexes}
    cold = {item.lower() for item in decoded.network_rule.cold_treasury_addresses}
    if decoded.destination not in own | cold:
        raise refusal(
            Reason.destination_not_allowed, f"{decoded.destination} is no treasury of this signer"
        )


def _check_topup(decoded: Decoded, address: Address) -> None:
    request = decoded.request
    if request.asset != caip.native_asset(request.network):
        raise refusal(Reason.asset_not_allowed, "a top-up is of the native coin")
    if request.destination_index is None:
        raise refusal(Reason.malformed, "a top-up names its destination_index")
    try:
        own = address(Branch.deposit, request.destination_index)
    except ValueError as error:
        raise refusal(Reason.malformed, f"destination_index: {error}") from None
    if decoded.destination != own:
        raise refusal(
            Reason.destination_not_allowed,
            f"{decoded.destination} is not deposit address {request.destination_index}",
        )
    if decoded.amount > int(decoded.network_rule.topup_per_transaction_max):
        raise refusal(
            Reason.over_limit,
            f"{decoded.amount} wei are above {decoded.network_rule.topup_per_transaction_max}"
            " per top-up",
        )


def _explain(request: SignRequest, transaction: evm.Transaction, source: str) -> str:
    """What is signed, in one line for a person and the log."""
    fee_max = transaction.gas_limit * transaction.max_fee_per_gas
    return (
        f"{request.purpose} {request.intent_id}: {request.token_amount} units of {request.asset}"
        f" from {source} to {request.destination.lower()}, nonce {transaction.nonce},"
        f" at most {fee_max} wei of fees"
    )
