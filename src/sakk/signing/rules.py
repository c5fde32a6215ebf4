"""What a request really does, read from its bytes, and whether the policy allows that.

Pure rules: what has happened so far (velocity, known destinations, the freeze) is the signer's.
Every check that fails raises a refusal that says what was seen. In order: the shape of the bytes,
the network and its caps, then what the purpose demands.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from sakk.core import abi, caip, evm
from sakk.core.authorization import SetCodeTransaction, SignedAuthorization
from sakk.core.contract import DISPERSE
from sakk.core.disperse import LINES_MAX, TRANSACTION_GAS_MAX
from sakk.core.transaction import cancel_intent
from sakk.signing.calls import allowed, deployed, dispersed
from sakk.signing.capture import capture_gas_max, captured, check_capture
from sakk.signing.collection import Address, check_collection, read_unsigned
from sakk.signing.escrow import escrow_call
from sakk.signing.policy import DIGITS_MAX, AssetRule, NetworkRule, Policy
from sakk.signing.protocol import (
    INTENT_ID,
    Branch,
    Payment,
    Purpose,
    Reason,
    SignerRefused,
    SignRequest,
    payment_request,
    refusal,
)
from sakk.signing.recovery import check_recovery, moved_by_factory
from sakk.signing.rotation import check_rotation
from sakk.signing.topup import check_topup
from sakk.signing.words import words

# What sends money to others: each with its limits, approvals and time lock.
PAYING = frozenset({Purpose.payout, Purpose.refund})
# Far above the creation of any contract of ours.
DEPLOY_GAS_MAX = 5_000_000


@dataclass(frozen=True, slots=True)
class Decoded:
    """A request as its own bytes tell it: who sends how much of what to whom.

    ``lines``: the payments of a dispersal, each as if it were a request of its own.
    """

    request: SignRequest
    transaction: evm.Transaction
    source: str
    destination: str
    amount: int
    fee_max: int
    network_rule: NetworkRule
    asset_rule: AssetRule | None
    explanation: str
    lines: tuple["Decoded", ...] = ()
    authorizations: tuple[SignedAuthorization, ...] = ()

    @property
    def unsigned(self) -> evm.Transaction | SetCodeTransaction:
        """What is signed: the call, with the authorizations that a collection carries."""
        if not self.authorizations:
            return self.transaction
        return SetCodeTransaction(self.transaction, self.authorizations)

    @property
    def payments(self) -> tuple["Decoded", ...]:
        """What it pays to others: its lines, or itself; nothing for what stays in the house."""
        return self.lines or ((self,) if self.request.purpose in PAYING else ())


def decode(request: SignRequest, policy: Policy, address: Address) -> Decoded:
    """Read a request's bytes and hold them against its claims and the policy's allow-lists."""
    _check_form(request)
    network_rule = policy.network(request.network)
    if network_rule is None:
        raise refusal(
            Reason.network_not_allowed, f"the policy does not name network {request.network}"
        )
    transaction, authorizations = _read(request)
    _check_envelope(request, transaction)
    _check_caps(request, transaction, network_rule)
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
        explanation=words(request, transaction, policy, source=source),
        authorizations=authorizations,
    )
    decoded = replace(decoded, lines=tuple(_line(decoded, each) for each in request.payments))
    _check_purpose(decoded, policy, address)
    return decoded


def _read(request: SignRequest) -> tuple[evm.Transaction, tuple[SignedAuthorization, ...]]:
    """The call that the bytes make, and the authorizations that a collection carries with it."""
    try:
        if request.purpose is not Purpose.collect:
            return evm.decode_unsigned(request.unsigned), ()
        unsigned = read_unsigned(request.unsigned)
    except ValueError as error:
        raise refusal(Reason.malformed, f"unsigned: {error}") from None
    if isinstance(unsigned, SetCodeTransaction):
        return unsigned.call, unsigned.authorizations
    return unsigned, ()


def _line(decoded: Decoded, payment: Payment) -> Decoded:
    """One payment of a dispersal, read as if it were alone."""
    return replace(
        decoded,
        request=payment_request(decoded.request, payment),
        destination=payment.destination.lower(),
        amount=int(payment.token_amount),
    )


def check_each(lines: Sequence[Decoded], check: Callable[[Decoded], None]) -> None:
    """Hold every payment against a rule; one refusal names all that it is for, and why.

    The others may be asked for again without them. A request that is no dispersal has one payment.
    """
    refused: list[tuple[str, SignerRefused]] = []
    for line in lines:
        try:
            check(line)
        except SignerRefused as error:
            refused.append((line.request.intent_id, error))
    if not refused:
        return
    first = refused[0][1]
    if len(lines) == 1:
        raise first
    intents = [intent for intent, error in refused if error.reason is first.reason]
    more = f" (and {len(intents) - 1} payments more)" if len(intents) > 1 else ""
    raise refusal(first.reason, f"{intents[0]}: {first.message}{more}", intents)


def _check_form(request: SignRequest) -> None:
    if INTENT_ID.fullmatch(request.intent_id) is None:
        raise refusal(Reason.malformed, "intent_id is 1 to 128 of A-Z a-z 0-9 _ : . # / -")
    if not 0 <= request.attempt < 1 << 31:
        raise refusal(Reason.malformed, "attempt is 0 or more")
    if not _is_units(request.token_amount):
        raise refusal(Reason.malformed, "token_amount is atomic units in decimal digits")
    try:
        evm.parse_address(request.destination)
        network = caip.asset_network(request.asset)
        caip.erc20_contract(request.asset)
    except ValueError as error:
        raise refusal(Reason.malformed, str(error)) from None
    if network != request.network:
        raise refusal(Reason.claim_mismatch, f"{request.asset} is not on {request.network}")
    _check_payments_form(request)


def _check_payments_form(request: SignRequest) -> None:
    """A dispersal has payments, each of its own intent; nothing else has any."""
    count = len(request.payments)
    if (request.purpose is Purpose.disperse) != bool(count):
        raise refusal(Reason.malformed, f"a {request.purpose} of {count} payments")
    if count > LINES_MAX:
        raise refusal(Reason.malformed, f"at most {LINES_MAX} payments are signed together")
    intents = {each.intent_id for each in request.payments} | {request.intent_id}
    if count and len(intents) != count + 1:
        raise refusal(Reason.malformed, "two payments of one intent")
    for place, each in enumerate(request.payments):
        name = f"payments[{place}]"
        if INTENT_ID.fullmatch(each.intent_id) is None or each.purpose not in PAYING:
            raise refusal(Reason.malformed, f"{name} is no payout or refund")
        if not _is_units(each.token_amount):
            raise refusal(Reason.malformed, f"{name}.token_amount is not decimal digits")
        try:
            evm.parse_address(each.destination)
        except ValueError as error:
            raise refusal(Reason.malformed, f"{name}: {error}") from None


def _is_units(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX


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


def _check_caps(request: SignRequest, transaction: evm.Transaction, rule: NetworkRule) -> None:
    gas_limit_max = _gas_limit_max(request, rule)
    if transaction.gas_limit > gas_limit_max:
        raise refusal(
            Reason.gas_limit_above_cap,
            f"gas limit {transaction.gas_limit} is above {gas_limit_max}",
        )
    if transaction.max_fee_per_gas > int(rule.max_fee_per_gas_max):
        raise refusal(
            Reason.fee_above_cap,
            f"{transaction.max_fee_per_gas} wei per gas is above {rule.max_fee_per_gas_max}",
        )


def _gas_limit_max(request: SignRequest, rule: NetworkRule) -> int:
    """The policy's cap is for one transfer: a dispersal may use it for each of its payments."""
    match request.purpose:
        case Purpose.disperse:
            return min(len(request.payments) * rule.gas_limit_max, TRANSACTION_GAS_MAX)
        case Purpose.deploy:
            return DEPLOY_GAS_MAX
        case Purpose.capture:
            return capture_gas_max(request, rule.gas_limit_max)
        case Purpose.collect | Purpose.redemption | Purpose.escrow:
            return rule.collect_gas_limit_max
        case (
            Purpose.payout
            | Purpose.refund
            | Purpose.sweep
            | Purpose.topup
            | Purpose.withdrawal
            | Purpose.allowance
            | Purpose.cancel
            | Purpose.recovery
            | Purpose.rotation
        ):
            return rule.gas_limit_max


def _moved(request: SignRequest, transaction: evm.Transaction) -> tuple[str, int]:
    """To whom the bytes send how much of the claimed asset; any other call is refused.

    Of a dispersal the contract and the sum, of an allowance the spender and its limit, and of a
    deployment the contract's address.
    """
    match request.purpose:
        case Purpose.recovery if request.key.branch is Branch.treasury:
            return moved_by_factory(request, transaction)
        case (
            Purpose.payout
            | Purpose.refund
            | Purpose.sweep
            | Purpose.topup
            | Purpose.withdrawal
            | Purpose.recovery
            | Purpose.rotation
            | Purpose.cancel
        ):
            return _transferred(request, transaction)
        case Purpose.disperse:
            return dispersed(request, transaction)
        case Purpose.allowance:
            return allowed(request, transaction)
        case Purpose.deploy:
            return deployed(request, transaction)
        case Purpose.capture:
            return captured(request, transaction)
        case Purpose.redemption | Purpose.escrow:
            return escrow_call(request, transaction)
        case Purpose.collect:
            # What each item moves is held against the policy; where to, against the claim alone.
            return request.destination.lower(), 0


def _transferred(request: SignRequest, transaction: evm.Transaction) -> tuple[str, int]:
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
        case Purpose.withdrawal:
            _check_treasury_key(decoded, policy)
            _check_withdrawal(decoded)
        case Purpose.topup:
            _check_treasury_key(decoded, policy, also=policy.gas_indexes)
            check_topup(
                decoded.request,
                source=decoded.source,
                destination=decoded.destination,
                wei=decoded.amount,
                rule=decoded.network_rule,
                policy=policy,
                address=address,
            )
        case Purpose.recovery:
            check_recovery(decoded.request, decoded.transaction, policy, address=address)
        case Purpose.rotation:
            _required_asset(decoded)
            check_rotation(decoded.request, policy, address=address)
        case (
            Purpose.collect
            | Purpose.disperse
            | Purpose.allowance
            | Purpose.deploy
            | Purpose.capture
            | Purpose.redemption
            | Purpose.escrow
        ):
            _check_call(decoded, policy, address)
        case Purpose.cancel:
            _check_cancel(decoded, policy)
        case _:
            assert_never(decoded.request.purpose)


def _check_call(decoded: Decoded, policy: Policy, address: Address) -> None:
    """What a treasury key may call of contracts."""
    match decoded.request.purpose:
        case Purpose.collect:
            _check_treasury_key(decoded, policy, also=policy.gas_indexes)
            _check_home(decoded, policy, address)
            check_collection(
                decoded.request,
                decoded.transaction,
                decoded.authorizations,
                rule=decoded.network_rule,
                policy=policy,
                address=address,
            )
        case Purpose.disperse:
            _check_treasury_key(decoded, policy)
            check_each(decoded.lines, _check_payout)
        case Purpose.allowance:
            # A key that is rotated away takes back what it allowed, and allows no more.
            _check_treasury_key(decoded, policy, also=() if decoded.amount else policy.leaving)
            _check_allowance(decoded)
        case Purpose.deploy:
            _check_treasury_key(decoded, policy)
        case Purpose.redemption | Purpose.escrow:
            # A key that is given up may still be the one that its channels' claims wait for.
            also = (*policy.capture_indexes, *policy.leaving)
            _check_treasury_key(decoded, policy, also=also)
        case Purpose.capture:
            _check_treasury_key(decoded, policy, also=policy.capture_indexes)
            _required_asset(decoded)
            check_capture(decoded.request, decoded.transaction, policy=policy, address=address)
        case _:
            raise AssertionError("no call of a contract")


def _check_treasury_key(decoded: Decoded, policy: Policy, *, also: Sequence[int] = ()) -> None:
    """It leaves from a key that pays, or from one that may do this beside them."""
    key = decoded.request.key
    if key.branch is not Branch.treasury or key.index not in (*policy.treasury_indexes, *also):
        raise refusal(
            Reason.key_not_allowed,
            f"a {decoded.request.purpose} is signed with a treasury key of the policy,"
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
    _check_home(decoded, policy, address)


def _check_home(decoded: Decoded, policy: Policy, address: Address) -> None:
    """What is swept goes to a treasury of this signer, or to a cold one of the policy."""
    own = {address(Branch.treasury, index) for index in policy.treasury_indexes}
    cold = {item.lower() for item in decoded.network_rule.cold_treasury_addresses}
    if decoded.destination not in own | cold:
        raise refusal(
            Reason.destination_not_allowed, f"{decoded.destination} is no treasury of this signer"
        )


def _check_withdrawal(decoded: Decoded) -> None:
    """The treasury's coins go to an address that the policy names as cold, and nowhere else."""
    _required_asset(decoded)
    if decoded.amount == 0:
        raise refusal(Reason.claim_mismatch, "a withdrawal of nothing")
    cold = {item.lower() for item in decoded.network_rule.cold_treasury_addresses}
    if decoded.destination not in cold:
        raise refusal(
            Reason.destination_not_allowed,
            f"{decoded.destination} is not in the policy's cold_treasury_addresses",
        )


def _check_allowance(decoded: Decoded) -> None:
    """Only our own contract, which pulls from its caller alone, may be given an allowance."""
    _required_asset(decoded)
    if decoded.destination != DISPERSE.address:
        raise refusal(
            Reason.destination_not_allowed,
            f"{decoded.destination} may not spend for the treasury, only {DISPERSE.address}",
        )


def _check_cancel(decoded: Decoded, policy: Policy) -> None:
    """A nonce of one of our own keys is used up: nothing moves but the fee."""
    request, nonce = decoded.request, decoded.transaction.nonce
    if request.key.branch is Branch.treasury:
        _check_treasury_key(decoded, policy, also=(*policy.unpaying, *policy.leaving))
    if request.asset != caip.native_asset(request.network) or decoded.amount:
        raise refusal(Reason.claim_mismatch, "a cancel is of nothing, in the native coin")
    if decoded.destination != decoded.source:
        raise refusal(
            Reason.destination_not_allowed,
            f"a cancel goes to its own sender {decoded.source}, not to {decoded.destination}",
        )
    intent = cancel_intent(request.network, decoded.source, nonce)
    if request.intent_id != intent:
        raise refusal(
            Reason.claim_mismatch, f"the cancel of this nonce is {intent}, not {request.intent_id}"
        )
