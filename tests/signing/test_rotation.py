"""Treasury keys that are given up, that succeed them, and that pay for gas alone."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sakk.core.approval import rotation_message
from sakk.core.errors import Misconfigured
from sakk.core.transaction import cancel_intent
from sakk.signing.keystore import (
    Keystore,
    change_passphrase,
    open_keystore,
    retire_key,
    verify_keystore,
)
from sakk.signing.policy import Policy, RotationRule, check_policy, write_policy
from sakk.signing.protocol import (
    Approval,
    Branch,
    Purpose,
    Reason,
    Refused,
    Response,
    Signed,
    SignRequest,
    StatusRequest,
)
from sakk.signing.server import SignerFiles
from sakk.signing.signer import Signer

NETWORK = "eip155:84532"
NATIVE = f"{NETWORK}/slip44:60"
PASSPHRASE = "correct horse battery staple"
OTHER = "another horse, another staple"
ETHER = 10**18

MakeRequest = Callable[..., SignRequest]
OpenSigner = Callable[[], Signer]


def said(signer: Signer, request: SignRequest) -> str:
    """``signed``, or the reason of the refusal."""
    answer: Response = signer.answer(request, peer_uid=0)
    if isinstance(answer, Refused):
        return answer.reason.value
    assert isinstance(answer, Signed)
    return "signed"


@pytest.fixture
def rotating(files: SignerFiles, policy: Policy) -> Policy:
    """Key 0 gives its coins to key 1; key 2 pays for gas alone."""
    changed = msgspec.structs.replace(
        policy,
        treasury_indexes=(0, 1),
        gas_indexes=(2,),
        rotations=(RotationRule(source=0, target=1),),
    )
    write_policy(files.policy, changed)
    return changed


@pytest.fixture
def move(keystore: Keystore, make_request: MakeRequest) -> MakeRequest:
    def move(intent: str = "tx_1", **changes: Any) -> SignRequest:
        return make_request(
            **{
                "intent_id": intent,
                "purpose": Purpose.rotation,
                "destination": keystore.address(Branch.treasury, 1),
                **changes,
            }
        )

    return move


def test_a_key_gives_its_coins_to_its_successor_and_to_nobody_else(
    rotating: Policy, open_signer: OpenSigner, move: MakeRequest, keystore: Keystore
) -> None:
    signer = open_signer()
    # More than one payout may be, and no day's limit counts it: it stays in the house.
    assert said(signer, move(amount=10**15)) == "signed"
    assert said(signer, move("tx_2", asset=NATIVE, amount=ETHER)) == "signed"
    gas_key, stranger = keystore.address(Branch.treasury, 2), "0x" + "ab" * 20
    for intent, changes, reason in (
        ("tx_3", {"destination": gas_key}, Reason.destination_not_allowed),
        ("tx_4", {"destination": stranger}, Reason.destination_not_allowed),
        ("tx_5", {"amount": 0}, Reason.claim_mismatch),
        ("tx_6", {"index": 1}, Reason.key_not_allowed),
        ("tx_7", {"branch": Branch.deposit}, Reason.key_not_allowed),
        ("tx_8", {"asset": f"{NETWORK}/erc20:0x{'cd' * 20}"}, Reason.asset_not_allowed),
    ):
        assert said(signer, move(intent, **changes)) == reason
    status = signer.answer(StatusRequest(), peer_uid=0)
    assert set(getattr(status, "spent", {})) == {f"{NETWORK}/fees"}


def test_a_key_that_the_policy_pays_with_no_more_only_gives(
    rotating: Policy,
    files: SignerFiles,
    open_signer: OpenSigner,
    move: MakeRequest,
    make_request: MakeRequest,
    keystore: Keystore,
) -> None:
    write_policy(files.policy, msgspec.structs.replace(rotating, treasury_indexes=(1,)))
    signer, source = open_signer(), keystore.address(Branch.treasury, 0)
    assert said(signer, make_request()) == Reason.key_not_allowed
    assert said(signer, move()) == "signed"
    gas = {"purpose": Purpose.topup, "asset": NATIVE, "amount": 1}
    assert said(signer, make_request(intent_id="tx_2", index=1, destination=source, **gas)) == (
        "signed"
    )
    nothing = {"purpose": Purpose.cancel, "asset": NATIVE, "amount": 0, "destination": source}
    cancel = make_request(intent_id=cancel_intent(NETWORK, source, 0), **nothing)
    assert said(signer, cancel) == "signed"


def test_what_the_keystore_marks_as_retired_stays_so_whatever_the_policy_says(
    rotating: Policy,
    files: SignerFiles,
    clock: Any,
    move: MakeRequest,
    make_request: MakeRequest,
) -> None:
    for _ in range(2):
        retire_key(files.keystore, PASSPHRASE, 0)
    marked = open_keystore(files.keystore, PASSPHRASE)
    assert (marked.is_retired(0), marked.is_retired(1)) == (True, False)
    signer = Signer(keystore=marked, policy_path=files.policy, log_path=files.log, clock=clock)
    try:
        assert said(signer, make_request()) == Reason.key_not_allowed
        assert said(signer, make_request(intent_id="po_2", index=1)) == "signed"
        assert said(signer, move()) == "signed"
    finally:
        signer.close()


def test_the_passphrase_is_changed_and_the_keys_stay(files: SignerFiles) -> None:
    before = open_keystore(files.keystore, PASSPHRASE)
    retire_key(files.keystore, PASSPHRASE, 3)
    with pytest.raises(Misconfigured, match="12 characters"):
        change_passphrase(files.keystore, PASSPHRASE, "short")
    with pytest.raises(Misconfigured, match="is the one"):
        change_passphrase(files.keystore, PASSPHRASE, PASSPHRASE)
    change_passphrase(files.keystore, PASSPHRASE, OTHER)
    with pytest.raises(Misconfigured, match="does not open"):
        open_keystore(files.keystore, PASSPHRASE)
    after = verify_keystore(files.keystore, OTHER, xpub=before.xpub)
    assert after.address(Branch.treasury, 0) == before.address(Branch.treasury, 0)
    assert after.is_retired(3)


class TestApprovals:
    keys = tuple(Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3))

    @pytest.fixture(autouse=True)
    def two_of_three(self, rotating: Policy, files: SignerFiles) -> None:
        approvers = tuple(key.public_key().public_bytes_raw().hex() for key in self.keys)
        rule = RotationRule(source=0, target=1, approvals=2)
        changed = msgspec.structs.replace(rotating, approvers=approvers, rotations=(rule,))
        write_policy(files.policy, changed)

    def given(self, keystore: Keystore, *keys: Ed25519PrivateKey, to: int = 1) -> dict[str, Any]:
        source, target = (keystore.address(Branch.treasury, index) for index in (0, to))
        message = rotation_message(source=source, target=target)
        signed = [Approval(key.public_key().public_bytes_raw(), key.sign(message)) for key in keys]
        return {"approvals": tuple(signed)}

    def test_two_people_sign_once_for_all_that_moves(
        self, open_signer: OpenSigner, move: MakeRequest, keystore: Keystore
    ) -> None:
        signer, (one, two, _) = open_signer(), self.keys
        assert said(signer, move()) == Reason.approvals_required
        assert said(signer, move(**self.given(keystore, one, one))) == Reason.approvals_required
        elsewhere = self.given(keystore, one, two, to=5)
        assert said(signer, move(**elsewhere)) == Reason.approval_invalid
        both = self.given(keystore, one, two)
        assert said(signer, move(**both)) == "signed"
        assert said(signer, move("tx_2", asset=NATIVE, amount=5, **both)) == "signed"
        # A replacement moves what was approved.
        dearer = {"max_fee_per_gas": 3 * 10**9, "max_priority_fee_per_gas": 2 * 10**9}
        assert said(signer, move(attempt=1, fields=dearer)) == "signed"


def test_a_gas_key_pays_nobody_and_has_a_limit_of_its_own(
    rotating: Policy,
    files: SignerFiles,
    open_signer: OpenSigner,
    make_request: MakeRequest,
    keystore: Keystore,
) -> None:
    rule = msgspec.structs.replace(
        rotating.networks[0],
        topup_per_transaction_max=str(ETHER),
        topup_per_day_max=str(ETHER),
        gas_key_per_transaction_max=str(5 * ETHER),
        gas_key_per_day_max=str(8 * ETHER),
    )
    write_policy(files.policy, msgspec.structs.replace(rotating, networks=(rule,)))
    signer, gas_key = open_signer(), keystore.address(Branch.treasury, 2)
    assert said(signer, make_request(index=2)) == Reason.key_not_allowed
    gas = {"purpose": Purpose.topup, "asset": NATIVE}
    deposit = {"destination": keystore.address(Branch.deposit, 4), "destination_index": 4}
    assert said(
        signer, make_request(intent_id="tx_1", index=2, amount=ETHER, **deposit, **gas)
    ) == ("signed")

    def fund(intent: str, amount: int, **more: Any) -> str:
        asked = {"intent_id": intent, "destination": gas_key, "amount": amount, **gas, **more}
        return said(signer, make_request(**asked))

    assert fund("tx_2", 6 * ETHER) == Reason.over_limit
    assert fund("tx_3", 5 * ETHER) == "signed"
    assert fund("tx_4", 4 * ETHER) == Reason.over_velocity
    signer = open_signer()
    assert fund("tx_5", 4 * ETHER) == Reason.over_velocity
    assert fund("tx_6", 3 * ETHER) == "signed"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gas_indexes": (1,)}, "gas_indexes names 1"),
        ({"gas_indexes": (-1,)}, "gas_indexes are 0"),
        ({"treasury_indexes": (0, 1, 1)}, "treasury_indexes names something twice"),
        ({"rotations": (RotationRule(source=1, target=1),)}, "rotations\\[0\\].source"),
        ({"rotations": (RotationRule(source=0, target=9),)}, "rotations\\[0\\].target is 9"),
        ({"rotations": (RotationRule(source=0, target=1, approvals=1),)}, "approvals is 0 to 0"),
        ({"rotations": (RotationRule(source=0, target=1),) * 2}, "rotations names something twice"),
    ],
)
def test_what_is_wrong_is_named(rotating: Policy, changes: dict[str, Any], message: str) -> None:
    check_policy(rotating)
    with pytest.raises(ValueError, match=message):
        check_policy(msgspec.structs.replace(rotating, **changes))
