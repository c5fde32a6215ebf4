"""The signer's half of a lift: by its own files, or by approvers where its policy lets them."""

from collections.abc import Callable

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sakk.core.freeze import lift_message
from sakk.signing.policy import Policy, check_policy, write_policy
from sakk.signing.protocol import (
    Approval,
    FreezeRequest,
    Reason,
    Refused,
    Status,
    UnfreezeRequest,
)
from sakk.signing.server import SignerFiles
from sakk.signing.signer import Signer

KEYS = tuple(Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3))
APPROVERS = tuple(key.public_key().public_bytes_raw().hex() for key in KEYS[:2])
WHY = "key ceremony 12"

OpenSigner = Callable[[], Signer]


def lift(
    signer: Signer, *keys: Ed25519PrivateKey, freeze: str = "frz_1", reason: str = WHY
) -> Status | Refused:
    message = lift_message(freeze="frz_1", network="eip155:84532", asset=None, reason=WHY)
    approvals = tuple(
        Approval(key.public_key().public_bytes_raw(), key.sign(message)) for key in keys
    )
    answer = signer.answer(UnfreezeRequest(freeze, reason, approvals), peer_uid=0)
    assert isinstance(answer, Status | Refused)
    return answer


@pytest.fixture
def frozen(open_signer: OpenSigner) -> Signer:
    signer = open_signer()
    for name, network in (("frz_1", "eip155:84532"), ("frz_2", None)):
        signer.answer(FreezeRequest("theft", freeze=name, network=network), peer_uid=0)
    return signer


def test_no_request_ends_a_freeze_where_the_file_does_not_say_so(
    frozen: Signer, files: SignerFiles, policy: Policy
) -> None:
    write_policy(files.policy, msgspec.structs.replace(policy, approvers=APPROVERS))
    answer = lift(frozen, *KEYS[:2])
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.frozen


def test_two_approvers_end_the_one_that_they_signed(
    frozen: Signer, open_signer: OpenSigner, files: SignerFiles, policy: Policy
) -> None:
    changed = msgspec.structs.replace(policy, approvers=APPROVERS, lift_approvals=2)
    write_policy(files.policy, changed)
    one, two, stranger = KEYS
    for keys in ((), (one,), (one, one), (one, stranger)):
        assert isinstance(lift(frozen, *keys), Refused), keys
    # Signed for another reason, or for another freeze.
    for answer in (lift(frozen, one, two, reason="x"), lift(frozen, one, two, freeze="frz_2")):
        assert isinstance(answer, Refused)
        assert answer.reason is Reason.approval_invalid
    answer = lift(frozen, one, two)
    assert isinstance(answer, Status)
    assert [each.freeze for each in answer.freezes] == ["frz_2"]
    # Again, and after a restart, it is over; the same freeze does not come back.
    signer = open_signer()
    assert isinstance(lift(signer, one, two), Status)
    late = signer.answer(FreezeRequest("theft", freeze="frz_1"), peer_uid=0)
    assert isinstance(late, Status)
    assert [each.freeze for each in late.freezes] == ["frz_2"]


@pytest.mark.parametrize(("wanted", "approvers"), [(1, 2), (3, 2), (-1, 2), (2, 0)])
def test_one_alone_never_lifts(policy: Policy, wanted: int, approvers: int) -> None:
    named = msgspec.structs.replace(policy, approvers=APPROVERS[:approvers])
    check_policy(named)
    with pytest.raises(ValueError, match="lift_approvals is 0, or 2"):
        check_policy(msgspec.structs.replace(named, lift_approvals=wanted))
