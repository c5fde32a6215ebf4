"""Dispersals, allowances and deployments: what the signer reads in them and never forgets."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sakk.core import abi, evm
from sakk.core.contract import DISPERSE, SALT
from sakk.core.disperse import LINES_MAX, encode_disperse
from sakk.core.disperse import Payment as Line
from sakk.rails.evm.contract import creation_code
from sakk.signing.policy import Policy, write_policy
from sakk.signing.protocol import (
    APPROVALS_MAX,
    FRAME_BYTES_MAX,
    Approval,
    Branch,
    KeyReference,
    Payment,
    Purpose,
    Reason,
    Refused,
    Signed,
    SignRequest,
    approval_message,
    decode_request,
    encode,
    payment_request,
    request_digest,
)
from sakk.signing.server import SignerFiles
from sakk.signing.signer import Signer

NETWORK = "eip155:84532"
TOKEN = "0x036cbd53842c5426634e7929541ec2318f3dcf7e"
USDC = f"{NETWORK}/erc20:{TOKEN}"
NATIVE = f"{NETWORK}/slip44:60"
ANYONE = "0x" + "66" * 20
UNITS = 1_000_000

MakeRequest = Callable[..., SignRequest]
OpenSigner = Callable[[], Signer]


class Clock(Protocol):
    def advance(self, **span: float) -> None: ...


def payee(place: int) -> str:
    return f"0x{0xBEEF0000 + place:040x}"


def lines(count: int, *, first: int = 0, units: int = UNITS) -> tuple[Payment, ...]:
    return tuple(
        Payment(f"po_{place}", payee(place), str(units)) for place in range(first, first + count)
    )


def request(
    purpose: Purpose, /, *, data: bytes, to: str, destination: str, amount: int, **claims: Any
) -> SignRequest:
    fields: dict[str, Any] = {
        "chain_id": 84532,
        "nonce": 0,
        "max_priority_fee_per_gas": 10**9,
        "max_fee_per_gas": 2 * 10**9,
        "gas_limit": 1_000_000,
        "to": to,
        "value": 0,
        "data": data,
    } | claims.pop("fields", {})
    made = SignRequest(
        intent_id="tx_1",
        purpose=purpose,
        network=NETWORK,
        key=KeyReference(Branch.treasury, 0),
        unsigned=evm.encode_unsigned(evm.Transaction(**fields)),
        asset=USDC,
        destination=destination,
        token_amount=str(amount),
    )
    return msgspec.structs.replace(made, **claims)


def dispersal(payments: Sequence[Payment], /, **claims: Any) -> SignRequest:
    """A dispersal that is true to itself; ``claims`` change what the request says."""
    paid = [Line(each.destination, int(each.token_amount)) for each in payments]
    made: dict[str, Any] = {
        "data": encode_disperse(TOKEN, paid),
        "to": DISPERSE.address,
        "destination": DISPERSE.address,
        "amount": sum(each.units for each in paid),
        "payments": tuple(payments),
    }
    return request(Purpose.disperse, **made | claims)


def signed(signer: Signer, wanted: SignRequest) -> Signed:
    response = signer.answer(wanted, peer_uid=0)
    assert isinstance(response, Signed), response
    return response


def refused(signer: Signer, wanted: SignRequest) -> tuple[Reason, tuple[str, ...]]:
    response = signer.answer(wanted, peer_uid=0)
    assert isinstance(response, Refused), response
    return response.reason, response.intents


def alone(make_request: MakeRequest, payment: Payment, **fields: Any) -> SignRequest:
    return make_request(
        intent_id=payment.intent_id,
        destination=payment.destination,
        amount=int(payment.token_amount),
        fields=fields,
    )


def test_every_line_is_explained_and_the_bytes_are_the_call(open_signer: OpenSigner) -> None:
    refund = msgspec.structs.replace(lines(1, first=7)[0], purpose=Purpose.refund)
    wanted = dispersal([*lines(2), refund])
    found = signed(open_signer(), wanted)
    made = evm.decode_signed(found.raw).transaction
    assert (made.to, made.value) == (DISPERSE.address, 0)
    head, *rest = found.explanation.splitlines()
    assert head.startswith(f"disperse tx_1: 3 payments, {3 * UNITS} units of {USDC} from 0x")
    assert "at most 0.002000000000000000 of the native coin in fees" in head
    assert rest == [
        f"payout po_0: {UNITS} units to {payee(0)}",
        f"payout po_1: {UNITS} units to {payee(1)}",
        f"refund po_7: {UNITS} units to {payee(7)}",
    ]


def test_a_whole_dispersal_with_all_approvals_fits_a_frame(open_signer: OpenSigner) -> None:
    approvals = tuple(Approval(bytes(32), bytes(64)) for _ in range(APPROVALS_MAX))
    most = tuple(msgspec.structs.replace(each, approvals=approvals) for each in lines(LINES_MAX))
    frame = encode(dispersal(most))
    assert len(frame) < FRAME_BYTES_MAX
    assert decode_request(frame[4:]) == dispersal(most)
    many = dispersal(lines(LINES_MAX), fields={"gas_limit": 1 << 24})
    assert len(encode(signed(open_signer(), many))) < FRAME_BYTES_MAX


OTHER = encode_disperse(TOKEN, [Line(payee(0), UNITS), Line(payee(1), UNITS + 1)])


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"data": encode_disperse(TOKEN, [Line(payee(0), UNITS)])}, Reason.claim_mismatch),
        ({"data": OTHER}, Reason.claim_mismatch),
        ({"data": abi.encode_transfer(payee(0), UNITS)}, Reason.call_not_allowed),
        (
            {"data": encode_disperse(ANYONE, [Line(payee(0), UNITS), Line(payee(1), UNITS)])},
            Reason.claim_mismatch,
        ),
        ({"to": ANYONE}, Reason.call_not_allowed),
        ({"to": ANYONE, "destination": ANYONE}, Reason.call_not_allowed),
        ({"destination": ANYONE}, Reason.claim_mismatch),
        ({"amount": UNITS}, Reason.claim_mismatch),
        ({"fields": {"value": 1}}, Reason.claim_mismatch),
        ({"asset": NATIVE}, Reason.claim_mismatch),
        ({"asset": f"{NETWORK}/erc20:{ANYONE}"}, Reason.claim_mismatch),
        ({"payments": ()}, Reason.malformed),
        ({"payments": lines(2)[::-1]}, Reason.claim_mismatch),
        ({"payments": (lines(1)[0],) * 2}, Reason.malformed),
        ({"intent_id": "po_0"}, Reason.malformed),
        ({"payments": (lines(1)[0], Payment("", payee(1), "1"))}, Reason.malformed),
        ({"payments": (lines(1)[0], Payment("po_1", payee(1), "-1"))}, Reason.malformed),
        ({"payments": (lines(1)[0], Payment("po_1", "0x1", "1"))}, Reason.malformed),
        (
            {"payments": (lines(1)[0], Payment("po_1", payee(1), "1", Purpose.sweep))},
            Reason.malformed,
        ),
        ({"key": KeyReference(Branch.deposit, 0)}, Reason.key_not_allowed),
        ({"purpose": Purpose.payout}, Reason.malformed),
        ({"purpose": Purpose.payout, "payments": ()}, Reason.call_not_allowed),
        # Two payments may use twice what one transfer may.
        ({"fields": {"gas_limit": 2_000_001}}, Reason.gas_limit_above_cap),
    ],
)
def test_a_dispersal_that_is_not_what_it_says_is_refused(
    open_signer: OpenSigner, claims: dict[str, Any], reason: Reason
) -> None:
    assert refused(open_signer(), dispersal(lines(2), **claims))[0] is reason


def test_no_transaction_uses_more_gas_than_the_protocol_allows(open_signer: OpenSigner) -> None:
    many = dispersal(lines(20), fields={"gas_limit": (1 << 24) + 1})
    assert refused(open_signer(), many)[0] is Reason.gas_limit_above_cap


def test_too_many_lines_are_refused(open_signer: OpenSigner) -> None:
    assert refused(open_signer(), dispersal(lines(LINES_MAX + 1)))[0] is Reason.malformed


def test_a_payout_is_signed_once_alone_or_with_others(
    open_signer: OpenSigner, make_request: MakeRequest
) -> None:
    signer = open_signer()
    first = signed(signer, dispersal(lines(2)))
    lone = alone(make_request, lines(1, first=9)[0], nonce=1)
    signed(signer, lone)
    for _ in range(2):
        # The same request gives the same bytes; its payments are signed nowhere else.
        assert signed(signer, dispersal(lines(2))) == first
        for payment in lines(2):
            reason, intents = refused(signer, alone(make_request, payment, nonce=2))
            assert (reason, intents) == (Reason.intent_conflict, ())
        mixed = dispersal([lines(2)[1], *lines(1, first=5)], intent_id="tx_2")
        assert refused(signer, mixed) == (Reason.intent_conflict, ("po_1",))
        carried = dispersal([*lines(1, first=9), *lines(1, first=5)], intent_id="tx_3")
        assert refused(signer, carried) == (Reason.intent_conflict, ("po_9",))
        signer = open_signer()
    signed(signer, dispersal(lines(1, first=5), intent_id="tx_4"))


def test_a_later_attempt_pays_the_same_lines_for_other_fees(open_signer: OpenSigner) -> None:
    signer = open_signer()
    first = signed(signer, dispersal(lines(2)))
    dearer = {"max_fee_per_gas": 4 * 10**9}
    again = dispersal(lines(2), attempt=1, fields=dearer)
    assert signed(signer, again).hash != first.hash
    others = dispersal([lines(1)[0], *lines(1, first=3)], attempt=2, fields=dearer)
    assert refused(signer, others)[0] is Reason.intent_conflict
    fewer = dispersal([Payment("po_0", payee(0), str(2 * UNITS))], attempt=2, fields=dearer)
    assert refused(signer, fewer)[0] is Reason.intent_conflict
    next_nonce = dispersal(lines(2), attempt=2, fields={**dearer, "nonce": 1})
    assert refused(signer, next_nonce)[0] is Reason.intent_conflict


def change_asset(files: SignerFiles, policy: Policy, lock: int = 0, **changes: Any) -> None:
    rule = msgspec.structs.replace(policy.assets[0], **changes)
    approvers = changes.get("approvals_above") is not None
    changed = msgspec.structs.replace(
        policy,
        assets=(rule, *policy.assets[1:]),
        destination_time_lock_seconds=lock,
        approvers=tuple(key.hex() for key in APPROVERS) if approvers else (),
    )
    write_policy(files.policy, changed)


KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([number] * 32)) for number in (1, 2)]
APPROVERS = [key.public_key().public_bytes_raw() for key in KEYS]


def test_the_limit_and_the_destinations_hold_for_each_line(
    open_signer: OpenSigner, files: SignerFiles, policy: Policy
) -> None:
    change_asset(files, policy, per_transaction_max=str(UNITS))
    signer = open_signer()
    big = [lines(1)[0], *lines(2, first=1, units=UNITS + 1), lines(1, first=3)[0]]
    assert refused(signer, dispersal(big)) == (Reason.over_limit, ("po_1", "po_2"))
    # Together they may be more than what one payment may be.
    signed(signer, dispersal([big[0], big[3]]))
    change_asset(files, policy, destinations=(payee(5), payee(6)))
    listed = dispersal(lines(3, first=5), intent_id="tx_2")
    assert refused(signer, listed) == (Reason.destination_not_allowed, ("po_7",))


def test_the_day_s_limit_holds_for_the_sum(
    open_signer: OpenSigner, files: SignerFiles, policy: Policy, make_request: MakeRequest
) -> None:
    change_asset(files, policy, per_day_max=str(5 * UNITS))
    signer = open_signer()
    signed(signer, alone(make_request, lines(1, first=9)[0]))
    wanted = [*lines(2), *lines(1, first=2, units=3 * UNITS), *lines(1, first=3)]
    # What fits goes on; what is too much for today is named.
    assert refused(signer, dispersal(wanted)) == (Reason.over_velocity, ("po_2",))
    signed(signer, dispersal([*lines(2), *lines(1, first=3)]))
    signer = open_signer()
    more = dispersal(lines(2, first=4), intent_id="tx_2")
    assert refused(signer, more) == (Reason.over_velocity, ("po_5",))


def test_new_destinations_wait_together_and_old_ones_do_not(
    open_signer: OpenSigner, files: SignerFiles, policy: Policy, clock: Clock
) -> None:
    signer = open_signer()
    signed(signer, dispersal(lines(2)))
    change_asset(files, policy, lock=60)
    wanted = dispersal(
        [Payment("po_a", payee(0), "1"), *lines(2, first=4), Payment("po_b", payee(4), "2")],
        intent_id="tx_2",
    )
    assert refused(signer, wanted) == (Reason.destination_time_locked, ("po_4", "po_5", "po_b"))
    clock.advance(seconds=59)
    signer = open_signer()
    assert refused(signer, wanted)[0] is Reason.destination_time_locked
    clock.advance(seconds=1)
    signed(signer, wanted)


def test_each_payment_above_needs_its_own_approvals(
    open_signer: OpenSigner, files: SignerFiles, policy: Policy
) -> None:
    change_asset(files, policy, approvals_above=str(UNITS))
    signer = open_signer()
    small, large = lines(1)[0], lines(1, first=1, units=2 * UNITS)[0]
    wanted = dispersal([small, large])
    assert refused(signer, wanted) == (Reason.approvals_required, ("po_1",))

    def approved(of: Payment, by: Sequence[Ed25519PrivateKey]) -> Payment:
        message = approval_message(payment_request(wanted, of))
        given = [Approval(key.public_key().public_bytes_raw(), key.sign(message)) for key in by]
        return msgspec.structs.replace(large, approvals=tuple(given))

    assert refused(signer, dispersal([small, approved(large, KEYS[:1])])) == (
        Reason.approvals_required,
        ("po_1",),
    )
    assert refused(signer, dispersal([small, approved(small, KEYS)])) == (
        Reason.approval_invalid,
        ("po_1",),
    )
    signed(signer, dispersal([small, approved(large, KEYS)]))
    # A later attempt pays the same for other fees, and needs none again.
    signed(signer, dispersal([small, large], attempt=1, fields={"max_fee_per_gas": 4 * 10**9}))


def test_payments_do_not_change_what_other_requests_are(make_request: MakeRequest) -> None:
    """An intent that an earlier release signed is still the same request."""
    digest = "369d69e19b6b258fc3c9875ce8f099806df0207edc90e26038dd8a84c168dc07"
    assert request_digest(make_request()) == digest
    assert request_digest(dispersal(lines(1))) != request_digest(dispersal(lines(2)))


def allowance(**claims: Any) -> SignRequest:
    data = abi.encode_approve(claims.pop("spender", DISPERSE.address), evm.UINT256_MAX)
    made: dict[str, Any] = {
        "data": data,
        "to": TOKEN,
        "destination": DISPERSE.address,
        "amount": evm.UINT256_MAX,
    }
    return request(Purpose.allowance, **made | claims)


def test_an_allowance_is_given_to_our_contract_alone(open_signer: OpenSigner) -> None:
    found = signed(open_signer(), allowance())
    assert f"{DISPERSE.address} may take any number of units of {USDC}" in found.explanation


def test_an_allowance_is_taken_back_by_one_of_nothing(open_signer: OpenSigner) -> None:
    data = abi.encode_approve(DISPERSE.address, 0)
    found = signed(open_signer(), allowance(data=data, amount=0))
    assert f"may take 0 units of {USDC}" in found.explanation


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"spender": ANYONE}, Reason.claim_mismatch),
        ({"spender": ANYONE, "destination": ANYONE}, Reason.destination_not_allowed),
        ({"amount": 1}, Reason.claim_mismatch),
        ({"to": ANYONE}, Reason.claim_mismatch),
        ({"fields": {"value": 1}}, Reason.claim_mismatch),
        ({"data": abi.encode_transfer(ANYONE, 1)}, Reason.call_not_allowed),
        ({"asset": f"{NETWORK}/erc20:{ANYONE}", "to": ANYONE}, Reason.asset_not_allowed),
        ({"key": KeyReference(Branch.deposit, 0)}, Reason.key_not_allowed),
        ({"purpose": Purpose.payout}, Reason.call_not_allowed),
    ],
)
def test_any_other_allowance_is_refused(
    open_signer: OpenSigner, claims: dict[str, Any], reason: Reason
) -> None:
    assert refused(open_signer(), allowance(**claims))[0] is reason


def deployment(**claims: Any) -> SignRequest:
    made: dict[str, Any] = {
        "data": SALT + creation_code("Disperse"),
        "to": evm.CREATE2_DEPLOYER,
        "destination": DISPERSE.address,
        "amount": 0,
        "asset": NATIVE,
    }
    return request(Purpose.deploy, **made | claims)


def test_our_own_code_is_deployed(open_signer: OpenSigner) -> None:
    found = signed(open_signer(), deployment())
    assert f"creates contract {DISPERSE.address}" in found.explanation


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"data": SALT + creation_code("Disperse") + b"\x00"}, Reason.call_not_allowed),
        ({"data": b"\x01" * 32 + creation_code("Disperse")}, Reason.call_not_allowed),
        ({"to": ANYONE}, Reason.call_not_allowed),
        ({"fields": {"value": 1}}, Reason.call_not_allowed),
        ({"fields": {"to": None}}, Reason.contract_creation),
        ({"fields": {"gas_limit": 5_000_001}}, Reason.gas_limit_above_cap),
        ({"destination": ANYONE}, Reason.claim_mismatch),
        ({"amount": 1}, Reason.claim_mismatch),
        ({"key": KeyReference(Branch.deposit, 0)}, Reason.key_not_allowed),
    ],
)
def test_nothing_else_is_deployed(
    open_signer: OpenSigner, claims: dict[str, Any], reason: Reason
) -> None:
    assert refused(open_signer(), deployment(**claims))[0] is reason
