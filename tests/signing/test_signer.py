"""What the signer remembers: intents, velocity, time locks, approvals, the freeze."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sakk.core import evm
from sakk.core.errors import Misconfigured
from sakk.signing.budget import Spent
from sakk.signing.freeze import request_freeze, request_unfreeze
from sakk.signing.keystore import SCRYPT_N_MIN, Keystore, create_keystore
from sakk.signing.policy import Policy, RecoveryRule, write_policy
from sakk.signing.protocol import (
    Approval,
    Branch,
    FindRequest,
    FreezeRequest,
    NotSigned,
    Public,
    PublicRequest,
    Purpose,
    Reason,
    Refused,
    Signed,
    SignRequest,
    Status,
    StatusRequest,
    approval_message,
)
from sakk.signing.server import SignerFiles
from sakk.signing.signer import REFUSALS_LOGGED_PER_HOUR_MAX, Signer

NETWORK = "eip155:84532"
USDC = f"{NETWORK}/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"
NATIVE = f"{NETWORK}/slip44:60"
ETHER = 10**18
OTHER = "0x" + "cd" * 20

MakeRequest = Callable[..., SignRequest]
OpenSigner = Callable[[], Signer]


class Clock(Protocol):
    def advance(self, **span: float) -> None: ...


def sign(signer: Signer, request: SignRequest) -> Signed:
    response = signer.answer(request, peer_uid=0)
    assert isinstance(response, Signed), response
    return response


def refused(signer: Signer, request: SignRequest | FindRequest | PublicRequest) -> Reason:
    response = signer.answer(request, peer_uid=0)
    assert isinstance(response, Refused), response
    return response.reason


def status(signer: Signer) -> Status:
    response = signer.answer(StatusRequest(), peer_uid=0)
    assert isinstance(response, Status)
    return response


def change_policy(files: SignerFiles, policy: Policy, **changes: Any) -> None:
    write_policy(files.policy, msgspec.structs.replace(policy, **changes))


def change_asset(files: SignerFiles, policy: Policy, **changes: Any) -> None:
    rule = msgspec.structs.replace(policy.assets[0], **changes)
    change_policy(files, policy, assets=(rule, *policy.assets[1:]))


def change_network(files: SignerFiles, policy: Policy, **changes: Any) -> None:
    change_policy(files, policy, networks=(msgspec.structs.replace(policy.networks[0], **changes),))


def test_signed_bytes_are_the_transaction_signed_by_the_treasury(
    open_signer: OpenSigner, make_request: MakeRequest, keystore: Keystore
) -> None:
    request = make_request()
    signed = sign(open_signer(), request)
    decoded = evm.decode_signed(signed.raw)
    assert decoded.transaction == evm.decode_unsigned(request.unsigned)
    assert evm.recover_sender(decoded) == keystore.address(Branch.treasury, 0)
    assert signed.hash == evm.transaction_hash(signed.raw)


def test_an_intent_gives_the_same_bytes_for_ever_and_no_others(
    open_signer: OpenSigner, make_request: MakeRequest
) -> None:
    signer = open_signer()
    first = sign(signer, make_request())
    assert sign(signer, make_request()) == first
    assert sign(open_signer(), make_request()) == first
    again = open_signer()
    assert refused(again, make_request(amount=25_000_001)) is Reason.intent_conflict
    assert refused(again, make_request(fields={"nonce": 1})) is Reason.intent_conflict
    assert refused(again, make_request(purpose=Purpose.refund)) is Reason.intent_conflict
    assert status(again).signed_total == 1


def test_a_refused_intent_is_not_bound(open_signer: OpenSigner, make_request: MakeRequest) -> None:
    signer = open_signer()
    too_dear = make_request(fields={"max_fee_per_gas": ETHER})
    assert refused(signer, too_dear) is Reason.fee_above_cap
    sign(signer, make_request())


@pytest.mark.parametrize("restart", [False, True])
def test_a_later_attempt_may_change_fees_only(
    open_signer: OpenSigner, make_request: MakeRequest, restart: bool
) -> None:
    signer = open_signer()
    first = sign(signer, make_request())
    if restart:
        signer = open_signer()
    for other in (
        make_request(attempt=1, fields={"nonce": 1}),
        make_request(attempt=1, amount=1),
        make_request(attempt=1, destination="0x" + "cd" * 20),
        make_request(attempt=1, purpose=Purpose.refund),
        make_request(attempt=1, asset=NATIVE, amount=25_000_000),
    ):
        assert refused(signer, other) is Reason.intent_conflict
    dearer = make_request(attempt=2, fields={"max_fee_per_gas": 3 * 10**9})
    second = sign(signer, dearer)
    assert second.raw != first.raw
    assert second.explanation.endswith(f", replaces {first.hash}")
    assert sign(signer, make_request()) == first
    assert refused(signer, make_request(attempt=1)) is Reason.intent_conflict


def test_what_was_signed_can_be_found(open_signer: OpenSigner, make_request: MakeRequest) -> None:
    signed = sign(open_signer(), make_request())
    signer = open_signer()
    assert signer.answer(FindRequest("po_1"), peer_uid=0) == signed
    assert signer.answer(FindRequest("po_1", attempt=1), peer_uid=0) == NotSigned()
    assert signer.answer(FindRequest("po_2"), peer_uid=0) == NotSigned()


def test_velocity_is_a_rolling_day_and_outlives_a_restart(
    open_signer: OpenSigner,
    make_request: MakeRequest,
    files: SignerFiles,
    policy: Policy,
    clock: Clock,
) -> None:
    change_asset(files, policy, per_day_max="60000000")
    signer = open_signer()
    sign(signer, make_request(intent_id="po_1"))
    clock.advance(hours=12)
    sign(signer, make_request(intent_id="re_2", purpose=Purpose.refund))
    signer = open_signer()
    assert status(signer).spent[USDC] == "50000000"
    third = make_request(intent_id="po_3")
    assert refused(signer, third) is Reason.over_velocity
    clock.advance(hours=11, minutes=59)
    assert refused(open_signer(), third) is Reason.over_velocity
    clock.advance(minutes=1)
    sign(open_signer(), third)


def test_a_repeated_or_replaced_intent_counts_once(
    open_signer: OpenSigner, make_request: MakeRequest, files: SignerFiles, policy: Policy
) -> None:
    change_asset(files, policy, per_day_max="25000000")
    signer = open_signer()
    sign(signer, make_request())
    sign(signer, make_request())
    sign(signer, make_request(attempt=1, fields={"max_fee_per_gas": 3 * 10**9}))
    assert status(signer).spent[USDC] == status(open_signer()).spent[USDC] == "25000000"


def test_a_replacement_counts_only_what_it_may_cost_more(
    open_signer: OpenSigner, make_request: MakeRequest, files: SignerFiles, policy: Policy
) -> None:
    gas, name = 100_000, f"{NETWORK}/fees"
    change_network(files, policy, fee_per_day_max=str(gas * 5 * 10**9))
    signer = open_signer()
    sign(signer, make_request())
    sign(signer, make_request(attempt=1, fields={"max_fee_per_gas": 3 * 10**9}))
    assert status(signer).spent[name] == str(gas * 3 * 10**9)
    # An attempt may also be cheaper than one before: that takes nothing back.
    sign(signer, make_request(attempt=2, fields={"max_fee_per_gas": 2 * 10**9}))
    sign(signer, make_request(attempt=3, fields={"max_fee_per_gas": 5 * 10**9}))
    assert status(signer).spent[name] == status(open_signer()).spent[name] == str(gas * 5 * 10**9)
    again = open_signer()
    dearer = make_request(attempt=4, fields={"max_fee_per_gas": 5 * 10**9 + 1})
    assert refused(again, dearer) is Reason.over_velocity


def test_fees_of_a_day_are_limited_for_sweeps_too(
    open_signer: OpenSigner,
    make_request: MakeRequest,
    files: SignerFiles,
    policy: Policy,
    keystore: Keystore,
) -> None:
    fee = 100_000 * 2 * 10**9
    change_network(files, policy, fee_per_day_max=str(2 * fee))
    signer = open_signer()

    def sweep(name: str) -> SignRequest:
        return make_request(
            intent_id=name,
            purpose=Purpose.sweep,
            branch=Branch.deposit,
            destination=keystore.address(Branch.treasury, 0),
        )

    sign(signer, sweep("sw_1"))
    sign(signer, sweep("sw_2"))
    assert refused(signer, sweep("sw_3")) is Reason.over_velocity
    # A sweep stays with the operator: it uses none of the asset's budget.
    assert USDC not in status(signer).spent


def test_topups_of_a_day_are_limited(
    open_signer: OpenSigner,
    make_request: MakeRequest,
    files: SignerFiles,
    policy: Policy,
    keystore: Keystore,
) -> None:
    change_network(files, policy, topup_per_day_max=str(ETHER))
    signer = open_signer()

    def topup(index: int, amount: int) -> SignRequest:
        return make_request(
            intent_id=f"sw_{index}/topup",
            purpose=Purpose.topup,
            asset=NATIVE,
            amount=amount,
            destination=keystore.address(Branch.deposit, index),
            destination_index=index,
        )

    sign(signer, topup(1, ETHER))
    assert refused(signer, topup(2, 1)) is Reason.over_velocity
    assert status(signer).spent[f"{NETWORK}/topup"] == str(ETHER)


def test_a_clock_that_goes_back_frees_no_velocity(
    open_signer: OpenSigner,
    make_request: MakeRequest,
    files: SignerFiles,
    policy: Policy,
    clock: Clock,
) -> None:
    change_asset(files, policy, per_day_max="25000000")
    sign(open_signer(), make_request(intent_id="po_1"))
    clock.advance(days=-40)
    assert refused(open_signer(), make_request(intent_id="po_2")) is Reason.over_velocity


def test_a_new_destination_waits_and_an_old_one_does_not(
    open_signer: OpenSigner,
    make_request: MakeRequest,
    files: SignerFiles,
    policy: Policy,
    clock: Clock,
) -> None:
    change_policy(files, policy, destination_time_lock_seconds=3600)
    assert refused(open_signer(), make_request()) is Reason.destination_time_locked
    clock.advance(minutes=59)
    assert refused(open_signer(), make_request()) is Reason.destination_time_locked
    clock.advance(minutes=1)
    sign(open_signer(), make_request())
    sign(open_signer(), make_request(intent_id="po_2"))
    elsewhere = make_request(intent_id="po_3", destination="0x" + "cd" * 20)
    assert refused(open_signer(), elsewhere) is Reason.destination_time_locked


def test_a_destination_that_the_policy_lists_does_not_wait(
    open_signer: OpenSigner, make_request: MakeRequest, files: SignerFiles, policy: Policy
) -> None:
    rule = msgspec.structs.replace(policy.assets[0], destinations=("0x" + "ab" * 20,))
    change_policy(files, policy, destination_time_lock_seconds=3600, assets=(rule,))
    sign(open_signer(), make_request())


class TestApprovals:
    keys = tuple(Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3))

    @pytest.fixture(autouse=True)
    def policy_with_approvers(self, files: SignerFiles, policy: Policy) -> None:
        rule = msgspec.structs.replace(policy.assets[0], approvals_above="1000000")
        approvers = tuple(self.public(key).hex() for key in self.keys)
        change_policy(files, policy, assets=(rule,), approvers=approvers, approvals_min=2)

    @staticmethod
    def public(key: Ed25519PrivateKey) -> bytes:
        return key.public_key().public_bytes_raw()

    def approve(self, request: SignRequest, *keys: Ed25519PrivateKey) -> tuple[Approval, ...]:
        message = approval_message(request)
        return tuple(Approval(self.public(key), key.sign(message)) for key in keys)

    def test_a_withdrawal_and_a_recovery_have_a_number_of_their_own(
        self,
        open_signer: OpenSigner,
        make_request: MakeRequest,
        files: SignerFiles,
        policy: Policy,
    ) -> None:
        network = msgspec.structs.replace(
            policy.networks[0], cold_treasury_addresses=(OTHER,), withdrawal_approvals_min=1
        )
        back = RecoveryRule(network=NETWORK, units_max="100", approvals_min=2)
        change_policy(
            files,
            policy,
            networks=(network,),
            recoveries=(back,),
            approvers=tuple(self.public(key).hex() for key in self.keys),
        )
        signer, (one, two, _) = open_signer(), self.keys
        withdrawal: dict[str, Any] = {
            "purpose": Purpose.withdrawal,
            "destination": OTHER,
            "intent_id": "wd_1",
        }
        recovery: dict[str, Any] = {
            "purpose": Purpose.recovery,
            "branch": Branch.deposit,
            "index": 7,
            "asset": f"{NETWORK}/erc20:0x{'11' * 20}",
            "destination": OTHER,
            "amount": 100,
            "intent_id": "sw_1",
        }
        for changes, needed in ((withdrawal, 1), (recovery, 2)):
            request = make_request(**changes)
            for keys in ((), (one,), (one, one))[:needed]:
                few = msgspec.structs.replace(request, approvals=self.approve(request, *keys))
                assert refused(signer, few) is Reason.approvals_required
            both = self.approve(request, one, two)
            sign(signer, msgspec.structs.replace(request, approvals=both))
            # A later attempt moves what was approved with the first.
            dearer = {"max_fee_per_gas": 3 * 10**9}
            sign(signer, make_request(**changes, attempt=1, fields=dearer))

    def test_below_the_limit_none_is_needed(
        self, open_signer: OpenSigner, make_request: MakeRequest
    ) -> None:
        sign(open_signer(), make_request(amount=1_000_000))

    def test_above_it_two_people_are(
        self, open_signer: OpenSigner, make_request: MakeRequest
    ) -> None:
        signer, request, (one, two, _) = open_signer(), make_request(), self.keys
        for approvals in (
            (),
            self.approve(request, one),
            self.approve(request, one, one),
        ):
            bad = msgspec.structs.replace(request, approvals=approvals)
            assert refused(signer, bad) is Reason.approvals_required
        good = msgspec.structs.replace(request, approvals=self.approve(request, one, two))
        signed = sign(signer, good)
        assert sign(signer, request) == signed

    def test_of_another_payout_or_by_a_stranger_do_not_count(
        self, open_signer: OpenSigner, make_request: MakeRequest
    ) -> None:
        signer, request, (one, two, _) = open_signer(), make_request(), self.keys
        stranger = Ed25519PrivateKey.from_private_bytes(b"\x09" * 32)
        other = make_request(amount=24_000_000)
        for approvals in (
            self.approve(other, one, two),
            (Approval(self.public(one), b"\x00" * 64), *self.approve(request, two)),
            (Approval(self.public(one), b"short"), *self.approve(request, two)),
            self.approve(request, *[one] * 17),
        ):
            bad = msgspec.structs.replace(request, approvals=approvals)
            assert refused(signer, bad) is Reason.approval_invalid
        # Whom the policy does not name counts for nothing, and spoils nothing.
        unknown = self.approve(request, one, stranger)
        short = msgspec.structs.replace(request, approvals=unknown)
        assert refused(signer, short) is Reason.approvals_required
        enough = (*unknown, *self.approve(request, two))
        sign(signer, msgspec.structs.replace(request, approvals=enough))


class TestFreeze:
    def test_stops_everything_until_it_is_undone_at_the_files(
        self, open_signer: OpenSigner, make_request: MakeRequest, files: SignerFiles
    ) -> None:
        signer = open_signer()
        signed = sign(signer, make_request())
        frozen = signer.answer(FreezeRequest("a key was seen"), peer_uid=0)
        assert isinstance(frozen, Status)
        assert frozen.frozen
        for restart in (False, True):
            signer = open_signer() if restart else signer
            assert refused(signer, make_request()) is Reason.frozen
            assert refused(signer, make_request(intent_id="po_2")) is Reason.frozen
            assert refused(signer, FindRequest("po_1")) is Reason.frozen
            assert status(signer).frozen_reason == "the signer is frozen: a key was seen"
        request_unfreeze(files.directory, "keys rotated")
        assert sign(signer, make_request()) == signed
        assert not (files.directory / "unfreeze").exists()
        assert sign(open_signer(), make_request()) == signed

    def test_a_stale_unfreeze_does_not_undo_it(
        self, open_signer: OpenSigner, make_request: MakeRequest, files: SignerFiles
    ) -> None:
        request_unfreeze(files.directory, "too early")
        signer = open_signer()
        sign(signer, make_request())
        signer.answer(FreezeRequest("now"), peer_uid=0)
        assert refused(signer, make_request()) is Reason.frozen

    def test_an_unfreeze_that_others_could_write_is_not_obeyed(
        self, open_signer: OpenSigner, make_request: MakeRequest, files: SignerFiles
    ) -> None:
        signer = open_signer()
        signer.answer(FreezeRequest("now"), peer_uid=0)
        request_unfreeze(files.directory, "please")
        (files.directory / "unfreeze").chmod(0o666)
        assert refused(signer, make_request()) is Reason.frozen
        assert "chmod 600" in (status(signer).frozen_reason or "")

    def test_a_part_of_it_alone(
        self, open_signer: OpenSigner, make_request: MakeRequest, files: SignerFiles
    ) -> None:
        signer = open_signer()
        sign(signer, make_request())
        signer.answer(FreezeRequest("a depeg", freeze="frz_1", asset=USDC), peer_uid=0)
        for restart in (False, True):
            signer = open_signer() if restart else signer
            assert refused(signer, make_request()) is Reason.frozen
            assert refused(signer, FindRequest("po_1")) is Reason.frozen
            [state] = status(signer).freezes
            assert (state.freeze, state.asset, state.network) == ("frz_1", USDC, None)
        sign(signer, make_request(intent_id="po_native", asset=NATIVE, amount=1))
        signer.answer(FreezeRequest("a fork", freeze="frz_2", network=NETWORK), peer_uid=0)
        assert refused(signer, make_request(intent_id="po_3", asset=NATIVE)) is Reason.frozen
        request_unfreeze(files.directory, "the fork is over", freeze="frz_2")
        sign(signer, make_request(intent_id="po_3", asset=NATIVE, amount=1))
        assert refused(signer, make_request(intent_id="po_4")) is Reason.frozen

    def test_one_that_was_lifted_does_not_come_back_late(
        self, open_signer: OpenSigner, make_request: MakeRequest, files: SignerFiles
    ) -> None:
        signer = open_signer()
        for _ in range(2):
            signer.answer(FreezeRequest("drill", freeze="frz_1"), peer_uid=0)
        assert len(status(signer).freezes) == 1
        request_unfreeze(files.directory, "over", freeze="frz_1")
        sign(signer, make_request())
        signer = open_signer()
        signer.answer(FreezeRequest("drill", freeze="frz_1"), peer_uid=0)
        sign(signer, make_request(intent_id="po_2"))

    def test_by_a_file_while_it_did_not_answer(
        self, open_signer: OpenSigner, make_request: MakeRequest, files: SignerFiles
    ) -> None:
        open_signer()
        request_freeze(files.directory, FreezeRequest("away", freeze="frz_1"))
        signer = open_signer()
        assert refused(signer, make_request()) is Reason.frozen
        assert not (files.directory / "freeze").exists()
        request_unfreeze(files.directory, "back")
        sign(signer, make_request())
        # One that others could have written, or that says nothing, stops it all the same.
        for content, mode in ((b"{}", 0o600), (b"{}", 0o666)):
            (files.directory / "freeze").write_bytes(content)
            (files.directory / "freeze").chmod(mode)
            assert refused(signer, make_request()) is Reason.frozen
        (files.directory / "freeze").unlink()
        sign(signer, make_request())

    def test_an_unfreeze_that_says_nothing_is_not_obeyed(
        self, open_signer: OpenSigner, make_request: MakeRequest, files: SignerFiles
    ) -> None:
        signer = open_signer()
        signer.answer(FreezeRequest("now"), peer_uid=0)
        (files.directory / "unfreeze").touch(mode=0o600)
        assert refused(signer, make_request()) is Reason.frozen

    def test_by_the_policy_file(
        self,
        open_signer: OpenSigner,
        make_request: MakeRequest,
        files: SignerFiles,
        policy: Policy,
    ) -> None:
        signer = open_signer()
        change_policy(files, policy, frozen=True)
        assert refused(signer, make_request()) is Reason.frozen
        assert status(signer).frozen
        change_policy(files, policy)
        sign(signer, make_request())


def test_the_policy_is_read_again_and_nothing_is_signed_without_one(
    open_signer: OpenSigner, make_request: MakeRequest, files: SignerFiles, policy: Policy
) -> None:
    signer = open_signer()
    sign(signer, make_request())
    first_digest = status(signer).policy_digest
    change_asset(files, policy, per_transaction_max="1")
    assert refused(signer, make_request(intent_id="po_2")) is Reason.over_limit
    assert status(signer).policy_digest != first_digest
    files.policy.write_text("version = 'x'")
    assert refused(signer, make_request(intent_id="po_3")) is Reason.policy_invalid
    assert "version" in (status(signer).policy_error or "")
    files.policy.unlink()
    assert refused(signer, PublicRequest()) is Reason.policy_invalid
    change_policy(files, policy)
    sign(signer, make_request(intent_id="po_3"))
    assert status(signer).policy_error is None
    assert status(signer).policy_digest == first_digest


def test_refusals_are_logged_once(open_signer: OpenSigner, make_request: MakeRequest) -> None:
    signer = open_signer()
    for _ in range(3):
        assert refused(signer, make_request(index=5)) is Reason.key_not_allowed
    assert status(signer).refused_total == 3
    sequence = status(signer).log_sequence
    assert refused(signer, make_request(index=5)) is Reason.key_not_allowed
    assert status(signer).log_sequence == sequence
    assert refused(signer, make_request(index=6)) is Reason.key_not_allowed
    assert status(signer).log_sequence == sequence + 1


def test_refusals_cannot_fill_the_disk(
    open_signer: OpenSigner,
    make_request: MakeRequest,
    files: SignerFiles,
    policy: Policy,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert REFUSALS_LOGGED_PER_HOUR_MAX > 5
    monkeypatch.setattr("sakk.signing.signer.REFUSALS_LOGGED_PER_HOUR_MAX", 5)
    change_policy(files, policy, destination_time_lock_seconds=60)
    signer = open_signer()
    for index in range(1, 10):
        refused(signer, make_request(index=index))
    assert status(signer).log_sequence == 2 + 5
    assert refused(signer, make_request()) is Reason.too_many_refusals
    clock.advance(hours=1)
    assert refused(signer, make_request()) is Reason.destination_time_locked


def test_public_shows_addresses_and_no_secret(open_signer: OpenSigner, keystore: Keystore) -> None:
    public = open_signer().answer(PublicRequest(), peer_uid=0)
    assert public == Public(
        xpub=keystore.xpub, treasury_addresses={0: keystore.address(Branch.treasury, 0)}
    )


def test_the_log_of_another_keystore_is_refused(
    open_signer: OpenSigner, files: SignerFiles, tmp_path: Path, clock: Any
) -> None:
    open_signer().close()
    other = create_keystore(
        tmp_path / "other.json", "another passphrase", now=clock(), scrypt_n=SCRYPT_N_MIN
    )
    with pytest.raises(Misconfigured, match="log of another keystore"):
        Signer(keystore=other, policy_path=files.policy, log_path=files.log, clock=clock)


def test_spent_counts_what_is_inside_the_window() -> None:
    spent = Spent(window_ms=10)
    spent.add(0, 5)
    spent.add(4, 7)
    assert [spent.total(now) for now in (4, 9, 10, 13, 14)] == [12, 12, 7, 7, 0]
