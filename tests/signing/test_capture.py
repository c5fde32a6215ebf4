"""Captures: payers' coins by what they signed, to this signer's own addresses, and nothing else."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from tests.signing.test_disperse import TOKEN, UNITS, USDC, refused, request, signed

from sakk.core import abi, eip3009, permit2
from sakk.core.capture import LINES_MAX, Line, encode_capture
from sakk.core.contract import CAPTURE
from sakk.core.eip3009 import Authorization
from sakk.signing.keystore import Keystore
from sakk.signing.policy import Policy, write_policy
from sakk.signing.protocol import Branch, KeyReference, Purpose, Reason, SignRequest
from sakk.signing.server import SignerFiles
from sakk.signing.signer import Signer

OpenSigner = Callable[[], Signer]
PAYER, ANYONE = "0x" + "a1" * 20, "0x" + "66" * 20
CAPTURE_KEY = 9


@pytest.fixture
def own_only(files: SignerFiles, policy: Policy) -> Policy:
    """Coins go to the signer's own addresses; a key of its own carries them."""
    changed = msgspec.structs.replace(
        policy, capture_for_anyone=False, capture_indexes=(CAPTURE_KEY,)
    )
    write_policy(files.policy, changed)
    return changed


def line(to: str, units: int = UNITS, nonce: int = 1) -> Line:
    return Line(Authorization(PAYER, to, units, 0, 1 << 40, nonce.to_bytes(32, "big")), bytes(65))


def capture(*lines: Line, **claims: Any) -> SignRequest:
    made: dict[str, Any] = {
        "data": encode_capture(TOKEN, lines),
        "to": CAPTURE.address,
        "destination": CAPTURE.address,
        "amount": sum(each.authorization.units for each in lines),
    }
    return request(Purpose.capture, **made | claims)


def test_payers_coins_come_to_our_addresses(
    keystore: Keystore, own_only: Policy, open_signer: OpenSigner
) -> None:
    signer = open_signer()
    ours = [keystore.address(Branch.deposit, index) for index in (3, 5)]
    both = capture(line(ours[0]), line(ours[1], 5), deposits=(3, 5))
    made = signed(signer, both)
    assert made.explanation.startswith("capture tx_1: ")
    assert signed(signer, both) == made
    key = KeyReference(Branch.treasury, CAPTURE_KEY)
    signed(signer, capture(line(ours[0]), deposits=(3,), key=key, intent_id="tx_2"))
    alone = eip3009.encode_call(line(ours[0]).authorization, bytes(65))
    signed(
        signer,
        capture(
            line(ours[0]), data=alone, to=TOKEN, destination=TOKEN, deposits=(3,), intent_id="tx_3"
        ),
    )
    permit = permit2.Permit(PAYER, TOKEN, UNITS, 1, 1 << 40, ours[1], 0)
    signed(
        signer,
        capture(
            line(ours[1]),
            data=permit2.encode_call(permit, bytes(65)),
            to=permit2.EXACT_PROXY,
            destination=permit2.EXACT_PROXY,
            deposits=(5,),
            intent_id="tx_4",
        ),
    )


def test_what_is_not_that_is_refused(
    keystore: Keystore, own_only: Policy, open_signer: OpenSigner
) -> None:
    signer = open_signer()
    ours = line(keystore.address(Branch.deposit, 3))
    other = replace(ours, authorization=replace(ours.authorization, to=ANYONE))
    eur = USDC.replace(TOKEN, ANYONE)
    cases: list[tuple[SignRequest, Reason]] = [
        (capture(ours), Reason.claim_mismatch),
        (capture(ours, deposits=(3, 3)), Reason.claim_mismatch),
        (capture(other, deposits=(3,)), Reason.destination_not_allowed),
        (capture(ours, deposits=(4,)), Reason.destination_not_allowed),
        (capture(ours, deposits=(-1,)), Reason.malformed),
        (capture(ours, amount=UNITS - 1, deposits=(3,)), Reason.claim_mismatch),
        (capture(ours, asset=eur, deposits=(3,)), Reason.claim_mismatch),
        (capture(ours, fields={"value": 1}, deposits=(3,)), Reason.claim_mismatch),
        (capture(ours, to=ANYONE, deposits=(3,)), Reason.call_not_allowed),
        (capture(ours, fields={"gas_limit": 2_000_000}, deposits=(3,)), Reason.gas_limit_above_cap),
        (
            capture(ours, data=abi.encode_transfer(ANYONE, UNITS), to=TOKEN, deposits=(3,)),
            Reason.call_not_allowed,
        ),
        (
            capture(ours, key=KeyReference(Branch.treasury, 8), deposits=(3,)),
            Reason.key_not_allowed,
        ),
        (
            capture(
                *[replace(ours) for _ in range(LINES_MAX + 1)], deposits=(3,) * (LINES_MAX + 1)
            ),
            Reason.malformed,
        ),
    ]
    for wanted, reason in cases:
        assert refused(signer, wanted)[0] is reason, wanted


def test_a_key_for_captures_pays_nobody(own_only: Policy, open_signer: OpenSigner) -> None:
    payment = request(
        Purpose.payout,
        data=abi.encode_transfer(ANYONE, UNITS),
        to=TOKEN,
        destination=ANYONE,
        amount=UNITS,
        key=KeyReference(Branch.treasury, CAPTURE_KEY),
        fields={"gas_limit": 100_000},
    )
    assert refused(open_signer(), payment)[0] is Reason.key_not_allowed


def test_anyone_may_be_paid_where_the_policy_says_so(open_signer: OpenSigner) -> None:
    signer = open_signer()
    signed(signer, capture(line(ANYONE)))
    named = capture(line(ANYONE), deposits=(3,), intent_id="tx_2")
    assert refused(signer, named)[0] is Reason.destination_not_allowed
