"""What the signer refuses of a call of the hub: it reads every item and every authorization."""

import dataclasses
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.signing.conftest import NATIVE, NETWORK, TOKEN

from sakk.core import abi, authorization, evm, hub
from sakk.core.authorization import Authorization, SetCodeTransaction, SignedAuthorization
from sakk.core.hub import Item
from sakk.signing.keystore import Keystore
from sakk.signing.policy import Policy, check_policy, write_policy
from sakk.signing.protocol import (
    Branch,
    KeyReference,
    Purpose,
    Reason,
    SignerRefused,
    SignRequest,
    request_digest,
)
from sakk.signing.rules import Decoded, decode
from sakk.signing.server import SignerFiles
from sakk.signing.signer import Signer

HUB = "0x" + "0b" * 20
DELEGATE = "0x" + "de" * 20
STRANGER = "0x" + "ee" * 20
UNITS = 5_000_000

Decode = Callable[[SignRequest], Decoded]


@pytest.fixture
def policy(policy: Policy) -> Policy:
    """The sandbox's, with a hub."""
    networks = tuple(
        msgspec.structs.replace(rule, hub=evm.checksum_address(HUB), delegate=DELEGATE)
        for rule in policy.networks
    )
    return msgspec.structs.replace(policy, networks=networks)


@pytest.fixture
def check(keystore: Keystore, policy: Policy) -> Decode:
    return lambda request: decode(request, policy, keystore.address)


def items(keystore: Keystore, *indexes: int) -> list[Item]:
    return [Item(keystore.address(Branch.deposit, index), TOKEN, UNITS) for index in indexes]


def call(listed: list[Item], **changes: Any) -> evm.Transaction:
    made = evm.Transaction(
        chain_id=84532,
        nonce=0,
        max_priority_fee_per_gas=1,
        max_fee_per_gas=2 * 10**9,
        gas_limit=5_000_000,
        to=HUB,
        value=0,
        data=hub.encode_sweep(listed),
    )
    return dataclasses.replace(made, **changes)


def authorize(
    keystore: Keystore, index: int, delegate: str = DELEGATE, *, chain_id: int = 0
) -> SignedAuthorization:
    """As the keystore signs it; under another chain id the signature is of somebody else."""
    wanted = dataclasses.replace(authorization.for_delegate(delegate), chain_id=chain_id)
    return SignedAuthorization(wanted, keystore.sign_authorization(index, delegate))


def ask(
    keystore: Keystore,
    made: evm.Transaction,
    *,
    signed: tuple[SignedAuthorization, ...] = (),
    deposits: tuple[int, ...] = (3, 4),
    **changes: Any,
) -> SignRequest:
    unsigned = (
        authorization.encode_unsigned(SetCodeTransaction(made, signed))
        if signed
        else evm.encode_unsigned(made)
    )
    request = SignRequest(
        intent_id="tx_1",
        purpose=Purpose.collect,
        network=NETWORK,
        key=KeyReference(Branch.treasury, 0),
        unsigned=unsigned,
        asset=NATIVE,
        destination=keystore.address(Branch.treasury, 0),
        token_amount="0",
        deposits=deposits,
    )
    return msgspec.structs.replace(request, **changes)


def refused(check: Decode, request: SignRequest) -> str:
    with pytest.raises(SignerRefused) as caught:
        check(request)
    return caught.value.reason.value


def test_a_collection_is_signed_first_and_later(
    keystore: Keystore, policy: Policy, check: Decode
) -> None:
    check_policy(policy)
    listed = items(keystore, 3, 4)
    first = ask(keystore, call(listed), signed=(authorize(keystore, 3), authorize(keystore, 4)))
    decoded = check(first)
    raw = keystore.sign_transaction(decoded.unsigned, Branch.treasury, 0)
    made = authorization.decode_signed(raw)
    assert authorization.recover_sender(made) == keystore.address(Branch.treasury, 0)
    assert "2 deposits to" in decoded.explanation
    later = check(ask(keystore, call(listed)))
    assert evm.decode_signed(
        keystore.sign_transaction(later.unsigned, Branch.treasury, 0)
    ).transaction == call(listed)


def test_what_was_signed_before_there_were_collections_is_the_same_request(
    make_request: Callable[..., SignRequest],
) -> None:
    plain = make_request()
    assert request_digest(plain) != request_digest(msgspec.structs.replace(plain, deposits=(1,)))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"to": STRANGER}, Reason.call_not_allowed),
        ({"value": 1}, Reason.claim_mismatch),
        ({"data": abi.encode_transfer(STRANGER, 1)}, Reason.call_not_allowed),
        ({"gas_limit": hub.TRANSACTION_GAS_MAX + 1}, Reason.gas_limit_above_cap),
        ({"chain_id": 1}, Reason.chain_mismatch),
        (
            {"data": hub.encode_sweep([Item(STRANGER, TOKEN, 1), Item(STRANGER, TOKEN, 1)])},
            Reason.claim_mismatch,
        ),
    ],
)
def test_a_call_that_does_anything_else(
    keystore: Keystore, check: Decode, changes: dict[str, Any], reason: Reason
) -> None:
    made = call(items(keystore, 3, 4), **changes)
    assert refused(check, ask(keystore, made)) == reason


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"deposits": (3,)}, Reason.claim_mismatch),
        ({"deposits": (4, 3)}, Reason.claim_mismatch),
        ({"deposits": (3, -1)}, Reason.malformed),
        ({"destination": STRANGER}, Reason.destination_not_allowed),
        ({"token_amount": "1"}, Reason.claim_mismatch),
        ({"key": KeyReference(Branch.deposit, 0)}, Reason.key_not_allowed),
        ({"unsigned": b"\x04\xc0"}, Reason.malformed),
        ({"purpose": Purpose.payout}, Reason.gas_limit_above_cap),
    ],
)
def test_a_claim_that_does_not_hold(
    keystore: Keystore, check: Decode, claims: dict[str, Any], reason: Reason
) -> None:
    assert refused(check, ask(keystore, call(items(keystore, 3, 4)), **claims)) == reason


def test_a_token_that_the_policy_does_not_name(keystore: Keystore, check: Decode) -> None:
    listed = [dataclasses.replace(item, token=STRANGER) for item in items(keystore, 3, 4)]
    assert refused(check, ask(keystore, call(listed))) == Reason.asset_not_allowed


def test_an_authorization_for_anything_else(keystore: Keystore, check: Decode) -> None:
    made = call(items(keystore, 3, 4))
    for signed, reason in (
        (authorize(keystore, 3, STRANGER), Reason.call_not_allowed),
        (authorize(keystore, 5), Reason.claim_mismatch),
        (authorize(keystore, 3, chain_id=1), Reason.chain_mismatch),
        (authorize(keystore, 3, chain_id=84532), Reason.claim_mismatch),
        (
            SignedAuthorization(
                Authorization(0, DELEGATE, 0), evm.Signature(0, evm.CURVE_ORDER - 1, 1)
            ),
            Reason.malformed,
        ),
    ):
        assert refused(check, ask(keystore, made, signed=(signed,))) == reason


def test_a_policy_without_a_hub_collects_nothing(keystore: Keystore, policy: Policy) -> None:
    rule = policy.networks[0]
    bare = msgspec.structs.replace(
        policy, networks=(msgspec.structs.replace(rule, hub=None, delegate=None),)
    )
    request = ask(keystore, call(items(keystore, 3, 4)))
    assert refused(lambda each: decode(each, bare, keystore.address), request) == (
        Reason.call_not_allowed
    )
    with pytest.raises(ValueError, match="without its delegate"):
        check_policy(
            msgspec.structs.replace(
                policy, networks=(msgspec.structs.replace(rule, delegate=None),)
            )
        )


def test_a_transfer_does_not_travel_as_type_4(keystore: Keystore, check: Decode) -> None:
    made = call(items(keystore, 3, 4))
    request = ask(
        keystore, made, signed=(authorize(keystore, 3),), purpose=Purpose.sweep, deposits=()
    )
    assert refused(check, request) == Reason.malformed


def test_the_same_collection_gives_the_same_bytes(
    keystore: Keystore, policy: Policy, open_signer: Callable[[], Signer], files: SignerFiles
) -> None:
    write_policy(files.policy, policy)
    signer = open_signer()
    listed = items(keystore, 3, 4)
    request = ask(keystore, call(listed), signed=(authorize(keystore, 3), authorize(keystore, 4)))
    first = signer.answer(request, peer_uid=0)
    assert signer.answer(request, peer_uid=0) == first
    assert open_signer().answer(request, peer_uid=0) == first
