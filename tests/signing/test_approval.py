"""Approvals of whole batches: the signer finds each payment in what was signed, or signs it not."""

from collections.abc import Callable, Sequence

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sakk.core.approval_batch import (
    Membership,
    batch_message,
    leaf,
    path_of,
    root_of,
    tree,
)
from sakk.signing.policy import Policy, write_policy
from sakk.signing.protocol import (
    APPROVALS_MAX,
    FRAME_BYTES_MAX,
    Approval,
    Payment,
    Purpose,
    Reason,
    SignRequest,
    approval_message,
    decode_request,
    encode,
    payment_request,
)
from sakk.signing.server import SignerFiles
from sakk.signing.signer import Signer

from .test_disperse import alone, dispersal, lines, refused, signed

KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([number] * 32)) for number in (1, 2)]
BATCH = "pob_1"
MakeRequest = Callable[..., SignRequest]
OpenSigner = Callable[[], Signer]


@pytest.fixture
def signer(open_signer: OpenSigner, files: SignerFiles, policy: Policy) -> Signer:
    """One that asks for both approvers of everything."""
    rule = msgspec.structs.replace(policy.assets[0], approvals_above="0")
    approvers = tuple(key.public_key().public_bytes_raw().hex() for key in KEYS)
    changed = msgspec.structs.replace(
        policy, assets=(rule, *policy.assets[1:]), approvers=approvers, approvals_min=2
    )
    write_policy(files.policy, changed)
    return open_signer()


def content(payment: Payment) -> bytes:
    return approval_message(payment_request(dispersal(lines(1)), payment))


def approved(
    batch: Sequence[Payment], keys: Sequence[Ed25519PrivateKey] = KEYS
) -> tuple[Payment, ...]:
    """Payments that were approved together, by one signature of each."""
    levels = tree([leaf(content(each)) for each in batch])
    message = batch_message(BATCH, len(batch), root_of(levels))
    said = [(key.public_key().public_bytes_raw(), key.sign(message)) for key in keys]
    return tuple(
        msgspec.structs.replace(
            each,
            approvals=tuple(
                Approval(public, signature, Membership(BATCH, len(batch), place, path))
                for public, signature in said
            ),
        )
        for place, each in enumerate(batch)
        for path in [path_of(levels, place)]
    )


def test_one_signature_is_for_every_payment_of_a_batch(signer: Signer) -> None:
    batch = approved(lines(5))
    assert refused(signer, dispersal(lines(5))) == (
        Reason.approvals_required,
        tuple(each.intent_id for each in batch),
    )
    # In as many transactions as it takes, and in any order.
    signed(signer, dispersal(batch[3:]))
    signed(signer, dispersal(batch[:3], intent_id="tx_2", fields={"nonce": 1}))


def test_one_of_a_batch_may_be_sent_alone(signer: Signer, make_request: MakeRequest) -> None:
    [first, *_] = approved(lines(3))
    wanted = alone(make_request, first)
    signed(signer, msgspec.structs.replace(wanted, approvals=first.approvals))


@pytest.mark.parametrize(
    "change",
    [
        {"token_amount": "1000001"},
        {"destination": "0x" + "66" * 20},
        {"intent_id": "po_other"},
        {"purpose": Purpose.refund},
    ],
)
def test_a_line_that_was_altered_after_is_refused_and_it_alone(
    signer: Signer, change: dict[str, object]
) -> None:
    batch = list(approved(lines(4)))
    batch[2] = msgspec.structs.replace(batch[2], **change)
    reason, intents = refused(signer, dispersal(batch))
    assert (reason, intents) == (Reason.approval_invalid, (batch[2].intent_id,))
    signed(signer, dispersal([*batch[:2], batch[3]], intent_id="tx_2"))


def test_a_payment_that_was_in_no_batch_borrows_no_place(signer: Signer) -> None:
    batch = approved(lines(4))
    [stranger] = lines(1, first=9)
    for other in batch:
        borrowed = msgspec.structs.replace(stranger, approvals=other.approvals)
        assert refused(signer, dispersal([borrowed]))[0] is Reason.approval_invalid
    # A place that no tree has is no place, whatever is under it.
    member = batch[0].approvals[0].member
    assert member is not None
    for wrong in (
        member._replace(place=4),
        member._replace(path=()),
        member._replace(path=(b"",) * 2),
        member._replace(size=5),
        member._replace(batch="pob_2"),
    ):
        told = [msgspec.structs.replace(each, member=wrong) for each in batch[0].approvals]
        lied = msgspec.structs.replace(batch[0], approvals=tuple(told))
        assert refused(signer, dispersal([lied]))[0] is Reason.approval_invalid


def test_two_people_may_have_approved_different_parts(signer: Signer) -> None:
    """Each signed for what waited for them then: what both did is signed, the rest waits."""
    one, two = approved(lines(4), KEYS[:1]), approved(lines(3), KEYS[1:])
    both = [
        msgspec.structs.replace(mine, approvals=mine.approvals + theirs.approvals)
        for mine, theirs in zip(one, two, strict=False)
    ]
    assert refused(signer, dispersal([*both, one[3]])) == (
        Reason.approvals_required,
        (one[3].intent_id,),
    )
    signed(signer, dispersal(both))


def test_only_what_is_paid_to_others_is_approved_in_batches(
    open_signer: OpenSigner, files: SignerFiles, policy: Policy, make_request: MakeRequest
) -> None:
    cold = "0x" + "cc" * 20
    approvers = tuple(key.public_key().public_bytes_raw().hex() for key in KEYS)
    network = msgspec.structs.replace(
        policy.networks[0], cold_treasury_addresses=(cold,), withdrawal_approvals_min=1
    )
    changed = msgspec.structs.replace(
        policy, networks=(network, *policy.networks[1:]), approvers=approvers
    )
    write_policy(files.policy, changed)
    wanted = make_request(purpose=Purpose.withdrawal, intent_id="wd_1", destination=cold)
    levels = tree([leaf(approval_message(wanted))])
    message = batch_message(BATCH, 1, root_of(levels))
    approval = Approval(
        KEYS[0].public_key().public_bytes_raw(),
        KEYS[0].sign(message),
        Membership(BATCH, 1, 0, path_of(levels, 0)),
    )
    signer = open_signer()
    lied = msgspec.structs.replace(wanted, approvals=(approval,))
    assert refused(signer, lied)[0] is Reason.approval_invalid
    plain = Approval(approval.public_key, KEYS[0].sign(approval_message(wanted)))
    signed(signer, msgspec.structs.replace(wanted, approvals=(plain,)))


def test_a_whole_dispersal_of_the_largest_batch_fits_a_frame() -> None:
    """Though as many approved as may, each another part of it."""
    path = tuple(bytes(32) for _ in range(14))
    member = Membership("pob_" + "0" * 26, 10_000, 9_999, path)
    approvals = tuple(Approval(bytes(32), bytes(64), member) for _ in range(APPROVALS_MAX))
    most = tuple(msgspec.structs.replace(each, approvals=approvals) for each in lines(200))
    frame = encode(dispersal(most))
    assert len(frame) < FRAME_BYTES_MAX
    assert decode_request(frame[4:]) == dispersal(most)
