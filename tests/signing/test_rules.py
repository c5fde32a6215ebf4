"""What the signer refuses, by reason: every way to make bytes do other than they claim."""

import dataclasses
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from sakk.core import abi, evm, rlp
from sakk.signing.keystore import Keystore
from sakk.signing.policy import Policy
from sakk.signing.protocol import (
    Branch,
    KeyReference,
    Purpose,
    Reason,
    SignerRefused,
    SignRequest,
)
from sakk.signing.rules import Decoded, decode

NETWORK = "eip155:84532"
TOKEN = "0x036cbd53842c5426634e7929541ec2318f3dcf7e"
USDC = f"{NETWORK}/erc20:{TOKEN}"
NATIVE = f"{NETWORK}/slip44:60"
PAYEE = "0x" + "ab" * 20
ATTACKER = "0x" + "ee" * 20
ETHER = 10**18

MakeRequest = Callable[..., SignRequest]
Decode = Callable[[SignRequest], Decoded]


@pytest.fixture
def check(keystore: Keystore, policy: Policy) -> Decode:
    return lambda request: decode(request, policy, keystore.address)


def refused(check: Decode, request: SignRequest) -> tuple[Reason, str]:
    with pytest.raises(SignerRefused) as caught:
        check(request)
    return caught.value.reason, caught.value.message


def call(signature: str, *words: bytes) -> bytes:
    return abi.selector(signature) + b"".join(words)


TO_ATTACKER = abi.encode_address(ATTACKER)
UNLIMITED = abi.encode_uint(evm.UINT256_MAX)


def test_a_payout_is_decoded_and_explained(check: Decode, make_request: MakeRequest) -> None:
    decoded = check(make_request())
    assert (decoded.destination, decoded.amount) == (PAYEE, 25_000_000)
    assert decoded.fee_max == 100_000 * 2 * 10**9
    assert decoded.explanation == (
        f"payout po_1: 25000000 units of {USDC} from {decoded.source} to {PAYEE},"
        " nonce 0, at most 0.000200000000000000 of the native coin in fees"
        " (2000000000 wei per gas)"
    )


def test_a_native_payout_is_decoded(check: Decode, make_request: MakeRequest) -> None:
    decoded = check(make_request(asset=NATIVE, amount=ETHER))
    assert (decoded.destination, decoded.amount) == (PAYEE, ETHER)


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (call("approve(address,uint256)", TO_ATTACKER, UNLIMITED), "approve(address 0xee"),
        (call("increaseAllowance(address,uint256)", TO_ATTACKER, UNLIMITED), "increaseAllowance"),
        (call("setApprovalForAll(address,bool)", TO_ATTACKER, UNLIMITED), "setApprovalForAll"),
        (
            call("transferFrom(address,address,uint256)", TO_ATTACKER, TO_ATTACKER, UNLIMITED),
            "transferFrom",
        ),
        (
            call("permit(address,address,uint256,uint256,uint8,bytes32,bytes32)", *[UNLIMITED] * 7),
            "permit",
        ),
        (call("multicall(bytes[])"), "multicall"),
        (call("transferOwnership(address)", TO_ATTACKER), "transferOwnership"),
        (b"\xde\xad\xbe\xef" + TO_ATTACKER + UNLIMITED, "selector 0xdeadbeef"),
        (b"", "a plain transfer of the native coin"),
        (b"\xa9\x05", "no call"),
        (abi.encode_transfer(PAYEE, 25_000_000) + b"\x00", "68 bytes of calldata, not 69"),
        (abi.encode_transfer(PAYEE, 25_000_000)[:-1], "68 bytes of calldata, not 67"),
        (
            abi.TRANSFER + b"\x01" + abi.encode_transfer(PAYEE, 25_000_000)[5:],
            "not an address",
        ),
    ],
)
def test_any_call_but_a_transfer_is_refused(
    check: Decode, make_request: MakeRequest, data: bytes, seen: str
) -> None:
    reason, message = refused(check, make_request(fields={"data": data}))
    assert reason is Reason.call_not_allowed
    assert seen in message


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        # The bytes do other than the claims.
        ({"fields": {"data": abi.encode_transfer(ATTACKER, 25_000_000)}}, "claim_mismatch"),
        ({"fields": {"data": abi.encode_transfer(PAYEE, 25_000_001)}}, "claim_mismatch"),
        ({"fields": {"to": ATTACKER}}, "claim_mismatch"),
        ({"fields": {"value": 1}}, "claim_mismatch"),
        ({"asset": NATIVE, "fields": {"to": ATTACKER}}, "claim_mismatch"),
        ({"asset": NATIVE, "fields": {"value": 1}}, "claim_mismatch"),
        ({"amount": 0}, "claim_mismatch"),
        ({"fields": {"chain_id": 1}}, "chain_mismatch"),
        ({"network": "eip155:1"}, "claim_mismatch"),
        (
            {"network": "eip155:1", "asset": "eip155:1/slip44:60"},
            "network_not_allowed",
        ),
        # The shape.
        ({"fields": {"to": None}}, "contract_creation"),
        ({"fields": {"access_list": ((PAYEE, ()),)}}, "access_list"),
        ({"asset": NATIVE, "fields": {"data": b"\x00"}}, "call_not_allowed"),
        # The policy.
        ({"asset": f"{NETWORK}/erc20:{ATTACKER}"}, "asset_not_allowed"),
        ({"amount": 10_000_000_001}, "over_limit"),
        ({"asset": NATIVE, "amount": 10_000 * ETHER + 1}, "over_limit"),
        ({"fields": {"gas_limit": 1_000_001}}, "gas_limit_above_cap"),
        ({"fields": {"max_fee_per_gas": 10_000 * 10**9 + 1}}, "fee_above_cap"),
        ({"destination": TOKEN}, "destination_not_allowed"),
        # The key.
        ({"branch": Branch.deposit}, "key_not_allowed"),
        ({"index": 1}, "key_not_allowed"),
        ({"index": -1}, "malformed"),
        ({"index": 1 << 31}, "malformed"),
        # The form.
        ({"intent_id": ""}, "malformed"),
        ({"intent_id": "po_1\nfrozen"}, "malformed"),
        ({"intent_id": "p" * 129}, "malformed"),
        ({"attempt": -1}, "malformed"),
        ({"token_amount": "-1"}, "malformed"),
        ({"token_amount": "25000000.0"}, "malformed"),
        ({"token_amount": "٣"}, "malformed"),
        ({"token_amount": ""}, "malformed"),
        ({"unsigned": b""}, "malformed"),
        ({"unsigned": b"\x02\xc0"}, "malformed"),
        ({"unsigned": b"\x03\xc0"}, "malformed"),
        ({"unsigned": b"\x04\xc0"}, "malformed"),
        ({"unsigned": rlp.encode([b"\x01"] * 9)}, "malformed"),
    ],
)
def test_requests_that_are_refused(
    check: Decode, make_request: MakeRequest, changes: dict[str, Any], reason: str
) -> None:
    assert refused(check, make_request(**changes))[0] == reason


@pytest.mark.parametrize(
    "unsigned",
    [evm.keccak256(b"anything"), b"\x19\x01" + bytes(64), b"\x19Ethereum Signed Message:\n5hello"],
)
def test_a_hash_or_a_message_is_no_transaction(
    check: Decode, make_request: MakeRequest, unsigned: bytes
) -> None:
    assert refused(check, make_request(unsigned=unsigned))[0] is Reason.malformed


@pytest.mark.parametrize(
    "claims",
    [
        {"destination": "0x" + "00" * 20},
        {"destination": "0x12"},
        {"destination": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD"},
        {"asset": "usdc"},
        {"asset": "eip155:84532/slip44:0"},
        {"asset": "eip155:84532/erc721:" + TOKEN},
    ],
)
def test_malformed_claims_are_refused(
    check: Decode, make_request: MakeRequest, claims: dict[str, str]
) -> None:
    request = msgspec.structs.replace(make_request(), **claims)
    assert refused(check, request)[0] is Reason.malformed


def test_a_payout_leaves_from_and_goes_elsewhere_than_the_treasury(
    check: Decode, make_request: MakeRequest, keystore: Keystore
) -> None:
    treasury = keystore.address(Branch.treasury, 0)
    reason, _ = refused(check, make_request(destination=treasury))
    assert reason is Reason.destination_not_allowed


def test_a_destination_list_of_the_policy_is_kept(
    keystore: Keystore, policy: Policy, make_request: MakeRequest
) -> None:
    rule = msgspec.structs.replace(
        policy.assets[0], destinations=(PAYEE.upper().replace("X", "x"),)
    )
    strict = msgspec.structs.replace(policy, assets=(rule,))
    assert decode(make_request(), strict, keystore.address).destination == PAYEE
    with pytest.raises(SignerRefused, match="destinations"):
        decode(make_request(destination=ATTACKER), strict, keystore.address)


class TestSweep:
    def request(self, make_request: MakeRequest, keystore: Keystore, **changes: Any) -> SignRequest:
        defaults: dict[str, Any] = {
            "purpose": Purpose.sweep,
            "branch": Branch.deposit,
            "index": 7,
            "destination": keystore.address(Branch.treasury, 0),
        }
        return make_request(**(defaults | changes))

    @pytest.mark.parametrize("asset", [USDC, NATIVE])
    def test_to_the_treasury_of_any_amount(
        self, check: Decode, make_request: MakeRequest, keystore: Keystore, asset: str
    ) -> None:
        request = self.request(make_request, keystore, asset=asset, amount=10**30)
        assert check(request).source == keystore.address(Branch.deposit, 7)

    @pytest.mark.parametrize("asset", [USDC, NATIVE])
    def test_to_a_foreign_address_is_refused(
        self, check: Decode, make_request: MakeRequest, keystore: Keystore, asset: str
    ) -> None:
        request = self.request(make_request, keystore, asset=asset, destination=ATTACKER)
        assert refused(check, request)[0] is Reason.destination_not_allowed

    def test_to_an_own_deposit_address_is_refused(
        self, check: Decode, make_request: MakeRequest, keystore: Keystore
    ) -> None:
        own = keystore.address(Branch.deposit, 8)
        request = self.request(make_request, keystore, destination=own)
        assert refused(check, request)[0] is Reason.destination_not_allowed

    def test_to_a_treasury_index_outside_the_policy_is_refused(
        self, check: Decode, make_request: MakeRequest, keystore: Keystore
    ) -> None:
        other = keystore.address(Branch.treasury, 1)
        request = self.request(make_request, keystore, destination=other)
        assert refused(check, request)[0] is Reason.destination_not_allowed

    def test_to_a_cold_treasury_of_the_policy(
        self, policy: Policy, make_request: MakeRequest, keystore: Keystore
    ) -> None:
        rule = msgspec.structs.replace(policy.networks[0], cold_treasury_addresses=(PAYEE,))
        cold = msgspec.structs.replace(policy, networks=(rule,))
        request = self.request(make_request, keystore, destination=PAYEE)
        assert decode(request, cold, keystore.address).destination == PAYEE

    def test_from_the_treasury_is_refused(
        self, check: Decode, make_request: MakeRequest, keystore: Keystore
    ) -> None:
        request = self.request(make_request, keystore, branch=Branch.treasury)
        assert refused(check, request)[0] is Reason.key_not_allowed

    def test_of_an_unlisted_token_is_refused(
        self, check: Decode, make_request: MakeRequest, keystore: Keystore
    ) -> None:
        request = self.request(make_request, keystore, asset=f"{NETWORK}/erc20:{ATTACKER}")
        assert refused(check, request)[0] is Reason.asset_not_allowed


class TestTopup:
    def request(self, make_request: MakeRequest, keystore: Keystore, **changes: Any) -> SignRequest:
        defaults: dict[str, Any] = {
            "purpose": Purpose.topup,
            "asset": NATIVE,
            "amount": ETHER,
            "destination": keystore.address(Branch.deposit, 7),
            "destination_index": 7,
        }
        return make_request(**(defaults | changes))

    def test_to_an_own_deposit_address(
        self, check: Decode, make_request: MakeRequest, keystore: Keystore
    ) -> None:
        decoded = check(self.request(make_request, keystore))
        assert decoded.destination == keystore.address(Branch.deposit, 7)

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"destination": ATTACKER}, "destination_not_allowed"),
            ({"destination_index": 8}, "destination_not_allowed"),
            ({"destination_index": None}, "destination_not_allowed"),
            ({"destination_index": -1}, "malformed"),
            ({"amount": ETHER + 1}, "over_limit"),
            ({"asset": USDC}, "asset_not_allowed"),
            ({"branch": Branch.deposit}, "key_not_allowed"),
            ({"fields": {"data": b"\x01"}}, "call_not_allowed"),
        ],
    )
    def test_anything_else_is_refused(
        self,
        check: Decode,
        make_request: MakeRequest,
        keystore: Keystore,
        changes: dict[str, Any],
        reason: str,
    ) -> None:
        assert refused(check, self.request(make_request, keystore, **changes))[0] == reason


class TestCancel:
    """A nonce of one of our keys is used up: its intent names it, and nothing moves."""

    def request(self, make_request: MakeRequest, keystore: Keystore, **changes: Any) -> SignRequest:
        branch, index = changes.pop("branch", Branch.treasury), changes.pop("index", 0)
        own = keystore.address(branch, index)
        defaults: dict[str, Any] = {
            "intent_id": f"cancel:{NETWORK}:{own}:7",
            "purpose": Purpose.cancel,
            "branch": branch,
            "index": index,
            "asset": NATIVE,
            "destination": own,
            "amount": 0,
            "fields": {"nonce": 7, "gas_limit": 21_000},
        }
        return make_request(**(defaults | changes))

    @pytest.mark.parametrize("branch", [Branch.treasury, Branch.deposit])
    def test_of_an_own_nonce(
        self, check: Decode, make_request: MakeRequest, keystore: Keystore, branch: Branch
    ) -> None:
        decoded = check(self.request(make_request, keystore, branch=branch))
        assert (decoded.amount, decoded.destination) == (0, keystore.address(branch, 0))

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"destination": ATTACKER}, "destination_not_allowed"),
            ({"amount": 1}, "claim_mismatch"),
            ({"asset": USDC}, "claim_mismatch"),
            ({"index": 5}, "key_not_allowed"),
            ({"intent_id": "po_1"}, "claim_mismatch"),
            ({"fields": {"nonce": 8}}, "claim_mismatch"),
            ({"fields": {"nonce": 7, "data": b"\x01"}}, "call_not_allowed"),
            ({"fields": {"nonce": 7, "value": 1}}, "claim_mismatch"),
        ],
    )
    def test_anything_else_is_refused(
        self,
        check: Decode,
        make_request: MakeRequest,
        keystore: Keystore,
        changes: dict[str, Any],
        reason: str,
    ) -> None:
        assert refused(check, self.request(make_request, keystore, **changes))[0] == reason


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(evm.Transaction)])
def test_every_field_of_the_transaction_is_bound(
    check: Decode, make_request: MakeRequest, name: str
) -> None:
    """A changed field is refused, or is one that moves no money beyond the caps."""
    changed: dict[str, Any] = {
        "chain_id": 1,
        "nonce": 5,
        "max_priority_fee_per_gas": 1,
        "max_fee_per_gas": 10**18,
        "gas_limit": 10**9,
        "to": ATTACKER,
        "value": 1,
        "data": abi.encode_transfer(ATTACKER, 25_000_000),
        "access_list": ((ATTACKER, ()),),
    }
    request = make_request(fields={name: changed[name]})
    if name in ("nonce", "max_priority_fee_per_gas"):
        assert check(request).amount == 25_000_000
    else:
        refused(check, request)


def test_a_key_reference_is_typed() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"branch": "master", "index": 0}, KeyReference)


def test_a_withdrawal_goes_to_an_address_that_the_policy_names_as_cold(
    keystore: Keystore, policy: Policy, make_request: MakeRequest
) -> None:
    rule = msgspec.structs.replace(
        policy.networks[0], cold_treasury_addresses=(evm.checksum_address(PAYEE),)
    )
    named = msgspec.structs.replace(policy, networks=(rule,))
    request = make_request(purpose=Purpose.withdrawal, amount=50_000_000_000)
    # Above what one payout may be: it stays the house's own.
    assert decode(request, named, keystore.address).destination == PAYEE
    for changed, reason in (
        (make_request(purpose=Purpose.withdrawal, destination=ATTACKER), "destination_not_allowed"),
        (make_request(purpose=Purpose.withdrawal, amount=0), "claim_mismatch"),
        (make_request(purpose=Purpose.withdrawal, branch=Branch.deposit), "key_not_allowed"),
    ):
        found, _ = refused(lambda each: decode(each, named, keystore.address), changed)
        assert found == reason
    assert refused(lambda each: decode(each, policy, keystore.address), request)[0] == (
        Reason.destination_not_allowed
    )


def test_gas_goes_to_another_treasury_address_too(
    keystore: Keystore, policy: Policy, make_request: MakeRequest
) -> None:
    both = msgspec.structs.replace(policy, treasury_indexes=(0, 1))
    other, own = keystore.address(Branch.treasury, 1), keystore.address(Branch.treasury, 0)
    gas = {"purpose": Purpose.topup, "asset": NATIVE, "amount": ETHER}
    request = make_request(destination=other, **gas)
    assert decode(request, both, keystore.address).destination == other
    for changed, rules in (
        (request, policy),
        (make_request(destination=own, **gas), both),
        (make_request(destination=ATTACKER, **gas), both),
    ):
        with pytest.raises(SignerRefused) as caught:
            decode(changed, rules, keystore.address)
        assert caught.value.reason is Reason.destination_not_allowed
