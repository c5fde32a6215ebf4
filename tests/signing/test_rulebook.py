"""The signer's own rules: what the file does not allow is not signed, whatever is claimed."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sakk.core.policy import Action, Amount, Period
from sakk.signing.policy import (
    Policy,
    SignerRule,
    check_policy,
    load_policy,
    render_policy,
    render_rules,
    write_policy,
)
from sakk.signing.protocol import (
    Approval,
    Purpose,
    Reason,
    Refused,
    Signed,
    SignRequest,
    approval_message,
)
from sakk.signing.server import SignerFiles
from sakk.signing.signer import Signer

NETWORK = "eip155:84532"
USDC = f"{NETWORK}/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"
NATIVE = f"{NETWORK}/slip44:60"
PAYEE = "0x" + "ab" * 20
OTHER = "0x" + "cd" * 20
KEYS = tuple(Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3))
NAMES = tuple(key.public_key().public_bytes_raw().hex() for key in KEYS)

OpenSigner = Callable[[], Signer]
MakeRequest = Callable[..., SignRequest]


def change(files: SignerFiles, policy: Policy, *rules: SignerRule, **changes: Any) -> None:
    """Another file, as the operator installs it."""
    changed = msgspec.structs.replace(policy, approvers=NAMES, rules=rules, **changes)
    write_policy(files.policy, changed)


def allow(name: str = "allow", **conditions: Any) -> SignerRule:
    return SignerRule(name=name, action=Action.allow, **conditions)


def refused(signer: Signer, request: SignRequest) -> Reason:
    answer = signer.answer(request, peer_uid=0)
    assert isinstance(answer, Refused), answer
    return answer.reason


def sign(signer: Signer, request: SignRequest) -> Signed:
    answer = signer.answer(request, peer_uid=0)
    assert isinstance(answer, Signed), answer
    return answer


def approve(request: SignRequest, *keys: Ed25519PrivateKey) -> SignRequest:
    message = approval_message(request)
    given = tuple(Approval(key.public_key().public_bytes_raw(), key.sign(message)) for key in keys)
    return msgspec.structs.replace(request, approvals=given)


@pytest.mark.parametrize(
    ("conditions", "signs"),
    [
        ({}, True),
        ({"assets": (USDC,), "networks": (NETWORK,), "purposes": ("payout",)}, True),
        ({"assets": (NATIVE,)}, False),
        ({"networks": ("eip155:1",)}, False),
        ({"purposes": ("refund",)}, False),
        ({"destinations": (PAYEE.upper().replace("0X", "0x"),)}, True),
        ({"destinations": (OTHER,)}, False),
        ({"assets": (USDC,), "amount": Amount(up_to="25000000")}, True),
        ({"assets": (USDC,), "amount": Amount(up_to="24999999")}, False),
    ],
)
def test_what_no_rule_fits_is_not_signed(
    open_signer: OpenSigner,
    make_request: MakeRequest,
    files: SignerFiles,
    policy: Policy,
    conditions: dict[str, Any],
    signs: bool,
) -> None:
    change(files, policy, allow(**conditions))
    if signs:
        sign(open_signer(), make_request())
    else:
        assert refused(open_signer(), make_request()) is Reason.rule_blocks


def test_an_empty_list_of_rules_signs_nothing_and_none_at_all_is_as_before(
    open_signer: OpenSigner, make_request: MakeRequest, files: SignerFiles, policy: Policy
) -> None:
    change(files, policy)
    signer = open_signer()
    assert refused(signer, make_request()) is Reason.rule_blocks
    write_policy(files.policy, policy)
    assert "rules" not in render_policy(policy)
    sign(signer, make_request())


def test_the_first_that_fits_decides(
    open_signer: OpenSigner, make_request: MakeRequest, files: SignerFiles, policy: Policy
) -> None:
    block = SignerRule(name="not them", action=Action.block, destinations=(PAYEE,))
    change(files, policy, block, allow())
    signer = open_signer()
    assert refused(signer, make_request()) is Reason.rule_blocks
    sign(signer, make_request(intent_id="po_2", destination=OTHER))


class TestAWebProcessThatLies:
    """It claims what it likes; the file asks for two of three keys above 10 USDC, to one payee."""

    @pytest.fixture(autouse=True)
    def rules(self, files: SignerFiles, policy: Policy) -> None:
        small = allow("small", assets=(USDC,), amount=Amount(up_to="10000000"))
        large = SignerRule(
            name="large", action=Action.approve, approvals=2, approvers=NAMES[:2], assets=(USDC,)
        )
        change(files, policy, small, large)

    def test_without_approvals(self, open_signer: OpenSigner, make_request: MakeRequest) -> None:
        signer = open_signer()
        sign(signer, make_request(intent_id="po_0", amount=10_000_000))
        request = make_request()
        assert refused(signer, request) is Reason.approvals_required
        # One key is one approval, however often, and whoever else signs beside it.
        stranger = Ed25519PrivateKey.from_private_bytes(b"\x09" * 32)
        for keys in (KEYS[:1], [KEYS[0]] * 2, [KEYS[0], KEYS[2]], [KEYS[0], stranger]):
            assert refused(signer, approve(request, *keys)) is Reason.approvals_required
        sign(signer, approve(request, *KEYS[:2]))

    def test_about_what_was_approved(
        self, open_signer: OpenSigner, make_request: MakeRequest
    ) -> None:
        """Approvals of one payout are put on another: amount, destination, payout, purpose."""
        given = approve(make_request(), *KEYS[:2]).approvals
        for number, other in enumerate(
            (
                make_request(amount=26_000_000),
                make_request(destination=OTHER),
                make_request(intent_id="po_2"),
                make_request(purpose=Purpose.refund),
            )
        ):
            lie = msgspec.structs.replace(other, approvals=given)
            assert refused(open_signer(), lie) is Reason.approval_invalid, number

    def test_about_what_the_bytes_do(
        self, open_signer: OpenSigner, make_request: MakeRequest
    ) -> None:
        """The claims are what was approved, the bytes pay somebody else, or more."""
        signer, honest = open_signer(), make_request()
        for bytes_of in (make_request(destination=OTHER), make_request(amount=30_000_000)):
            lie = msgspec.structs.replace(approve(honest, *KEYS[:2]), unsigned=bytes_of.unsigned)
            assert refused(signer, lie) is Reason.claim_mismatch

    def test_that_the_policy_changed(
        self, open_signer: OpenSigner, make_request: MakeRequest
    ) -> None:
        """There is no field by which a request could name a version or say that it is approved."""
        claims = set(SignRequest.__struct_fields__)
        assert not {field for field in claims if "version" in field or "rule" in field}
        assert refused(open_signer(), make_request()) is Reason.approvals_required


DAY = Period(seconds=86_400, per="all", up_to="50000000")


def test_a_period_adds_up_what_this_signer_signed(
    open_signer: OpenSigner,
    make_request: MakeRequest,
    files: SignerFiles,
    policy: Policy,
    clock: Any,
) -> None:
    change(files, policy, allow(assets=(USDC,), period=DAY), allow("coin", assets=(NATIVE,)))
    sign(open_signer(), make_request(intent_id="po_1"))
    sign(open_signer(), make_request(intent_id="po_2", purpose=Purpose.refund))
    # Another asset is added up for itself, and a start forgets nothing.
    sign(open_signer(), make_request(intent_id="po_3", asset=NATIVE))
    assert refused(open_signer(), make_request(intent_id="po_4", amount=1)) is Reason.over_velocity
    clock.advance(days=1)
    sign(open_signer(), make_request(intent_id="po_4", amount=1))


def test_a_period_of_each_destination(
    open_signer: OpenSigner, make_request: MakeRequest, files: SignerFiles, policy: Policy
) -> None:
    most = Period(seconds=3_600, per="destination", above="30000000")
    change(
        files,
        policy,
        SignerRule(name="m", action=Action.block, assets=(USDC,), period=most),
        allow(),
    )
    signer = open_signer()
    sign(signer, make_request(intent_id="po_1"))
    assert refused(signer, make_request(intent_id="po_2")) is Reason.over_velocity
    sign(signer, make_request(intent_id="po_3", destination=OTHER))


def test_a_new_file_adds_up_what_was_signed_before_it(
    open_signer: OpenSigner, make_request: MakeRequest, files: SignerFiles, policy: Policy
) -> None:
    signer = open_signer()
    sign(signer, make_request(intent_id="po_1", amount=50_000_000))
    change(files, policy, allow(assets=(USDC,), period=DAY))
    assert refused(signer, make_request(intent_id="po_2", amount=1)) is Reason.over_velocity


def test_a_replacement_moves_nothing_again(
    open_signer: OpenSigner, make_request: MakeRequest, files: SignerFiles, policy: Policy
) -> None:
    two = SignerRule(name="two", action=Action.approve, approvals=2, assets=(USDC,), period=DAY)
    change(files, policy, two)
    signer = open_signer()
    first = approve(make_request(amount=50_000_000), *KEYS[:2])
    sign(signer, first)
    sign(signer, make_request(amount=50_000_000, attempt=1, fields={"max_fee_per_gas": 3 * 10**9}))


def test_rules_are_written_and_read_again(files: SignerFiles, policy: Policy) -> None:
    rules = (
        allow(assets=(USDC,), amount=Amount(above="1", up_to="5"), destinations=(PAYEE,)),
        SignerRule(name="two", action=Action.approve, approvals=2, assets=(USDC,), period=DAY),
    )
    change(files, policy, *rules)
    found, _ = load_policy(files.policy)
    assert found.rules == rules
    section = render_rules(rules)
    assert section in render_policy(found)
    assert 'amount = { above = "1", up_to = "5" }' in section


BAD: dict[str, tuple[SignerRule, str]] = {
    "no asset": (allow(amount=Amount(up_to="5")), r"rules\[0\].amount is in atomic units"),
    "whole": (
        allow(assets=(USDC,), amount=Amount(up_to="5", unit="whole")),
        r"rules\[0\].amount is in atomic units",
    ),
    "per account": (
        allow(assets=(USDC,), period=Period(seconds=5, per="account", up_to="5")),
        r"rules\[0\].period.per is destination or all",
    ),
    "no address": (allow(destinations=("address_book",)), r"rules\[0\].destinations are addresses"),
    "approvals": (allow(approvals=1), r"rules\[0\].approvals belong"),
    "too many": (
        SignerRule(name="a", action=Action.approve, approvals=3, approvers=NAMES[:2]),
        r"rules\[0\].approvals is 1 to 2",
    ),
    "none": (SignerRule(name="a", action=Action.approve), r"rules\[0\].approvals is 1 to 3"),
    "stranger": (
        SignerRule(name="a", action=Action.approve, approvals=1, approvers=("ab" * 32,)),
        r"rules\[0\].approvers names a key",
    ),
    "core": (allow(networks=("base",)), r"rules\[0\]\[networks\]\[0\]: 'base' can not stand"),
}


@pytest.mark.parametrize(("rule", "said"), BAD.values(), ids=BAD)
def test_what_a_file_can_not_say(policy: Policy, rule: SignerRule, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_policy(msgspec.structs.replace(policy, approvers=NAMES, rules=(rule,)))
