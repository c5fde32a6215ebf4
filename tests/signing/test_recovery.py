"""The signer's own rule on recoveries: what may leave a deposit key for somebody else."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from sakk.core.errors import Misconfigured
from sakk.signing.keystore import Keystore
from sakk.signing.policy import Policy, RecoveryRule, load_policy, write_policy
from sakk.signing.protocol import Branch, Purpose, Reason, SignerRefused, SignRequest
from sakk.signing.rules import decode
from sakk.signing.server import SignerFiles

NETWORK = "eip155:84532"
USDC = f"{NETWORK}/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"
NATIVE = f"{NETWORK}/slip44:60"
FOREIGN = f"{NETWORK}/erc20:0x{'11' * 20}"
PAYER = "0x" + "ab" * 20
OTHER = "0x" + "cd" * 20

MakeRequest = Callable[..., SignRequest]


def ask(
    make_request: MakeRequest, keystore: Keystore, policy: Policy, **changes: Any
) -> Reason | None:
    """Why a recovery is refused under a policy, None if it is not."""
    wanted: dict[str, Any] = {
        "purpose": Purpose.recovery,
        "branch": Branch.deposit,
        "index": 7,
        "asset": FOREIGN,
        "destination": PAYER,
        "amount": 100,
    }
    try:
        decoded = decode(make_request(**(wanted | changes)), policy, keystore.address)
    except SignerRefused as refusal:
        return refusal.reason
    assert "go back from deposit address" in decoded.explanation
    return None


@pytest.mark.parametrize(
    ("rules", "changes", "reason"),
    [
        # Without a rule nothing goes back.
        ([], {}, "asset_not_allowed"),
        ([{"units_max": "100"}], {}, None),
        ([{"units_max": "99"}], {}, "over_limit"),
        ([{"units_max": "100", "destinations": (PAYER,)}], {}, None),
        ([{"units_max": "100", "destinations": (OTHER,)}], {}, "destination_not_allowed"),
        # A rule for any token reaches nothing that the policy names, nor the native coin.
        ([{"units_max": "100"}], {"asset": USDC}, "asset_not_allowed"),
        ([{"units_max": "100"}], {"asset": NATIVE}, "asset_not_allowed"),
        ([{"units_max": "100", "asset": USDC}], {"asset": USDC}, None),
        ([{"units_max": "100", "asset": NATIVE}], {"asset": NATIVE}, None),
        # The rule that names an asset goes before the one for any.
        ([{"units_max": "100"}, {"units_max": "9", "asset": FOREIGN}], {}, "over_limit"),
        # A treasury key asks a factory for it, and sends nothing itself.
        ([{"units_max": "100"}], {"branch": Branch.treasury, "index": 0}, "call_not_allowed"),
        ([{"units_max": "100"}], {"amount": 0}, "claim_mismatch"),
        (
            [{"units_max": "100"}],
            {"destination": "0x" + "11" * 20},
            "destination_not_allowed",
        ),
    ],
)
def test_what_may_go_back(
    keystore: Keystore,
    policy: Policy,
    make_request: MakeRequest,
    rules: list[dict[str, Any]],
    changes: dict[str, Any],
    reason: str | None,
) -> None:
    own = tuple(RecoveryRule(network=NETWORK, **each) for each in rules)
    strict = msgspec.structs.replace(policy, recoveries=own)
    assert ask(make_request, keystore, strict, **changes) == reason


def test_the_file_says_it_and_is_read_back(files: SignerFiles, policy: Policy) -> None:
    rule = RecoveryRule(network=NETWORK, units_max="5", asset=FOREIGN, destinations=(PAYER,))
    write_policy(files.policy, msgspec.structs.replace(policy, recoveries=(rule,)))
    assert load_policy(files.policy)[0].recoveries == (rule,)
    write_policy(files.policy, msgspec.structs.replace(policy, recoveries=()))
    assert load_policy(files.policy)[0].recoveries == ()


@pytest.mark.parametrize(
    "rule",
    [
        {"network": "eip155:1", "units_max": "5"},
        {"network": NETWORK, "units_max": "many"},
        {"network": NETWORK, "units_max": "5", "asset": "eip155:1/slip44:60"},
        {"network": NETWORK, "units_max": "5", "destinations": ("0x12",)},
    ],
)
def test_a_rule_that_is_wrong_is_named(
    files: SignerFiles, policy: Policy, rule: dict[str, Any]
) -> None:
    wrong = msgspec.structs.replace(policy, recoveries=(RecoveryRule(**rule),))
    with pytest.raises(ValueError, match=r"recoveries\[0\]"):
        write_policy(files.policy, wrong)
    files.policy.write_text("recoveries = 1")
    with pytest.raises(Misconfigured):
        load_policy(files.policy)
