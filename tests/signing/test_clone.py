"""What the signer refuses of a factory's calls: it counts every clone's address for itself."""

import dataclasses
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.signing.conftest import NATIVE, NETWORK, TOKEN, USDC

from sakk.core import abi, authorization, clone, evm, hub
from sakk.core.authorization import SetCodeTransaction, SignedAuthorization
from sakk.core.clone import Item, Recover
from sakk.signing.keystore import Keystore
from sakk.signing.policy import Policy, RecoveryRule, check_policy, load_policy, write_policy
from sakk.signing.protocol import (
    Branch,
    KeyReference,
    Purpose,
    Reason,
    Refused,
    Signed,
    SignerRefused,
    SignRequest,
)
from sakk.signing.rules import Decoded, decode
from sakk.signing.server import SignerFiles
from sakk.signing.signer import Signer

FACTORY = "0x" + "fa" * 20
OLD_FACTORY = "0x" + "fb" * 20
HUB = "0x" + "0b" * 20
STRANGER = "0x" + "ee" * 20
FOREIGN_TOKEN = "0x" + "11" * 20
FOREIGN = f"{NETWORK}/erc20:{FOREIGN_TOKEN}"
PAYER = "0x" + "ab" * 20
UNITS = 5_000_000

Decode = Callable[[SignRequest], Decoded]


@pytest.fixture
def policy(policy: Policy) -> Policy:
    """The sandbox's, with two factories, and two rules for what may go back."""
    factories = (evm.checksum_address(FACTORY), OLD_FACTORY)
    networks = tuple(msgspec.structs.replace(rule, factories=factories) for rule in policy.networks)
    recoveries = tuple(
        RecoveryRule(network=NETWORK, units_max="100", asset=asset) for asset in (FOREIGN, NATIVE)
    )
    return msgspec.structs.replace(policy, networks=networks, recoveries=recoveries)


@pytest.fixture
def check(keystore: Keystore, policy: Policy) -> Decode:
    return lambda request: decode(request, policy, keystore.address)


def salt(keystore: Keystore, index: int) -> bytes:
    return clone.salt_of(keystore.address(Branch.deposit, index))


def items(keystore: Keystore, *indexes: int, token: str = TOKEN) -> list[Item]:
    return [Item(salt(keystore, index), token, UNITS) for index in indexes]


def call(data: bytes, /, **changes: Any) -> evm.Transaction:
    made = evm.Transaction(84532, 0, 1, 2 * 10**9, 500_000, FACTORY, 0, data)
    return dataclasses.replace(made, **changes)


def collect(keystore: Keystore, made: evm.Transaction, **changes: Any) -> SignRequest:
    request = SignRequest(
        intent_id="tx_1",
        purpose=Purpose.collect,
        network=NETWORK,
        key=KeyReference(Branch.treasury, 0),
        unsigned=evm.encode_unsigned(made),
        asset=NATIVE,
        destination=keystore.address(Branch.treasury, 0),
        token_amount="0",
        deposits=(3, 4),
    )
    return msgspec.structs.replace(request, **changes)


def recover(
    keystore: Keystore,
    *,
    index: int = 3,
    token: str | None = FOREIGN_TOKEN,
    call_changes: dict[str, Any] | None = None,
    **changes: Any,
) -> SignRequest:
    data = clone.encode_recover(Recover(salt(keystore, index), token, PAYER, 100))
    request = SignRequest(
        intent_id="sw_1",
        purpose=Purpose.recovery,
        network=NETWORK,
        key=KeyReference(Branch.treasury, 0),
        unsigned=evm.encode_unsigned(call(data, **(call_changes or {}))),
        asset=FOREIGN if token else NATIVE,
        destination=PAYER,
        token_amount="100",
        deposits=(3,),
    )
    return msgspec.structs.replace(request, **changes)


def refused(check: Decode, request: SignRequest) -> str:
    with pytest.raises(SignerRefused) as caught:
        check(request)
    return caught.value.reason.value


@pytest.mark.parametrize("factory", [FACTORY, OLD_FACTORY])
def test_a_collection_from_clones_is_signed(
    keystore: Keystore, policy: Policy, check: Decode, files: SignerFiles, factory: str
) -> None:
    check_policy(policy)
    write_policy(files.policy, policy)
    assert load_policy(files.policy)[0] == policy
    made = call(clone.encode_sweep(items(keystore, 3, 4)), to=factory)
    decoded = check(collect(keystore, made))
    assert decoded.transaction == made
    assert f"2 clones to {decoded.destination} by {factory}" in decoded.explanation


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"to": STRANGER}, Reason.call_not_allowed),
        ({"value": 1}, Reason.claim_mismatch),
        ({"data": clone.SWEEP + abi.encode_uint(1)}, Reason.call_not_allowed),
        # A hub's call is none of a factory's, and the policy names no hub.
        ({"data": hub.encode_sweep([hub.Item(STRANGER, TOKEN, 1)])}, Reason.call_not_allowed),
        ({"gas_limit": hub.TRANSACTION_GAS_MAX + 1}, Reason.gas_limit_above_cap),
    ],
)
def test_a_call_that_does_anything_else(
    keystore: Keystore, check: Decode, changes: dict[str, Any], reason: Reason
) -> None:
    made = call(clone.encode_sweep(items(keystore, 3, 4)), **changes)
    assert refused(check, collect(keystore, made)) == reason


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"deposits": (3,)}, Reason.claim_mismatch),
        ({"deposits": (4, 3)}, Reason.claim_mismatch),
        ({"deposits": (3, -1)}, Reason.malformed),
        ({"destination": STRANGER}, Reason.destination_not_allowed),
        ({"key": KeyReference(Branch.deposit, 0)}, Reason.key_not_allowed),
    ],
)
def test_a_claim_that_does_not_hold(
    keystore: Keystore, check: Decode, claims: dict[str, Any], reason: Reason
) -> None:
    made = call(clone.encode_sweep(items(keystore, 3, 4)))
    assert refused(check, collect(keystore, made, **claims)) == reason


def test_other_tokens_and_other_code(keystore: Keystore, check: Decode) -> None:
    foreign = call(clone.encode_sweep(items(keystore, 3, 4, token=FOREIGN_TOKEN)))
    assert refused(check, collect(keystore, foreign)) == Reason.asset_not_allowed
    # A clone runs what it was made of: no authorization travels with its factory's call.
    made = call(clone.encode_sweep(items(keystore, 3, 4)))
    wanted = authorization.for_delegate(STRANGER)
    signed = SignedAuthorization(wanted, keystore.sign_authorization(3, STRANGER))
    unsigned = authorization.encode_unsigned(SetCodeTransaction(made, (signed,)))
    assert refused(check, collect(keystore, made, unsigned=unsigned)) == Reason.call_not_allowed


@pytest.mark.parametrize("token", [FOREIGN_TOKEN, None])
def test_what_is_no_payment_goes_back_from_a_clone(
    keystore: Keystore, check: Decode, token: str | None
) -> None:
    decoded = check(recover(keystore, token=token))
    assert (decoded.destination, decoded.amount) == (PAYER, 100)
    assert f"go back from clone 3 of {FACTORY} at the call of" in decoded.explanation


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"call_changes": {"to": STRANGER}}, Reason.call_not_allowed),
        ({"call_changes": {"value": 1}}, Reason.claim_mismatch),
        ({"call_changes": {"data": abi.encode_transfer(PAYER, 100)}}, Reason.call_not_allowed),
        ({"index": 4}, Reason.claim_mismatch),
        ({"deposits": ()}, Reason.claim_mismatch),
        ({"deposits": (3, 4)}, Reason.claim_mismatch),
        ({"deposits": (-1,)}, Reason.malformed),
        ({"asset": NATIVE}, Reason.claim_mismatch),
        ({"token": TOKEN, "asset": USDC}, Reason.asset_not_allowed),
        ({"destination": STRANGER}, Reason.claim_mismatch),
        ({"token_amount": "99"}, Reason.claim_mismatch),
        ({"key": KeyReference(Branch.treasury, 7)}, Reason.key_not_allowed),
        ({"key": KeyReference(Branch.deposit, 3)}, Reason.call_not_allowed),
    ],
)
def test_a_recovery_that_is_anything_else(
    keystore: Keystore, check: Decode, changes: dict[str, Any], reason: Reason
) -> None:
    assert refused(check, recover(keystore, **changes)) == reason


def test_another_attempt_is_the_same_call(
    keystore: Keystore, policy: Policy, open_signer: Callable[[], Signer], files: SignerFiles
) -> None:
    write_policy(files.policy, policy)
    signer = open_signer()
    dearer = {"max_fee_per_gas": 3 * 10**9, "max_priority_fee_per_gas": 2}
    assert isinstance(signer.answer(recover(keystore), peer_uid=0), Signed)
    again = recover(keystore, attempt=1, call_changes=dearer)
    assert isinstance(signer.answer(again, peer_uid=0), Signed)
    # As much to the same address, from another clone.
    other = recover(keystore, index=4, deposits=(4,), attempt=2, call_changes=dearer)
    answer = signer.answer(other, peer_uid=0)
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.intent_conflict


def test_a_factory_is_an_address(policy: Policy) -> None:
    networks = tuple(msgspec.structs.replace(rule, factories=("0x12",)) for rule in policy.networks)
    with pytest.raises(ValueError, match=r"networks\[0\]"):
        check_policy(msgspec.structs.replace(policy, networks=networks))
