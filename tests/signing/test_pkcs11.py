"""Treasury keys in a token: made there, kept there, and the signer's word holds all the same."""

import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.signing.conftest import NATIVE, PASSPHRASE, Clock
from tests.signing.soft_token import LABEL, PIN, SoftToken, soft_token
from typer.testing import CliRunner

from sakk.cli.app import make_app
from sakk.core import evm
from sakk.core.errors import Misconfigured
from sakk.signing.keystore import Keystore, Secret, drill_signature
from sakk.signing.policy import Policy, write_policy
from sakk.signing.protocol import Branch, KeyReference, Purpose, Reason, SignerRefused, SignRequest
from sakk.signing.server import SignerFiles, open_keys
from sakk.signing.signer import Signer

pkcs11 = pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")
from sakk.signing import pkcs11 as module  # noqa: E402

MakeRequest = Callable[..., SignRequest]


@pytest.fixture
def soft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftToken]:
    folder = tmp_path / "hsm"
    folder.mkdir()
    made = soft_token(folder, monkeypatch)
    # The module reads its configuration once a start of the library.
    if made.module in pkcs11._loaded:
        pkcs11.lib(made.module).reinitialize()
    yield made
    if made.module in pkcs11._loaded:
        pkcs11.lib(made.module).finalize()


@pytest.fixture
def token(soft: SoftToken) -> Iterator[module.Token]:
    opened = module.Token(soft.module, LABEL, Secret(PIN.encode()), clock=lambda: 0.0)
    yield opened
    opened.close()


@pytest.fixture
def mixed(token: module.Token, soft: SoftToken, keystore: Keystore) -> module.TokenKeystore:
    """Treasury key 1 in the token, key 0 and the deposits in the file."""
    address = token.generate("one")
    key = module.TokenKey(1, "one", evm.checksum_address(address))
    file = module.TokenFile(module=soft.module, token=LABEL, xpub=keystore.xpub, treasury=(key,))
    return module.TokenKeystore(file, token, keystore)


@pytest.fixture
def signer_of(
    files: SignerFiles, policy: Policy, mixed: module.TokenKeystore, clock: Clock
) -> Iterator[Callable[[], Signer]]:
    """The signer, as at a start of its process, with both treasury keys allowed."""
    write_policy(files.policy, msgspec.structs.replace(policy, treasury_indexes=(0, 1)))
    opened: list[Signer] = []

    def open_signer() -> Signer:
        while opened:
            opened.pop().close()
        opened.append(
            Signer(keystore=mixed, policy_path=files.policy, log_path=files.log, clock=clock)
        )
        return opened[0]

    yield open_signer
    while opened:
        opened.pop().close()


def raw_of(signer: Signer, request: SignRequest) -> bytes:
    response = signer.answer(request, peer_uid=0)
    assert hasattr(response, "raw"), response
    return bytes(response.raw)


def reason_of(signer: Signer, request: SignRequest) -> Reason:
    response = signer.answer(request, peer_uid=0)
    assert hasattr(response, "reason"), response
    found: Reason = response.reason
    return found


def test_a_key_is_made_in_the_token_and_can_not_leave_it(token: module.Token) -> None:
    address = token.generate("treasury")
    assert token.address("treasury") == address
    assert token.address("another") is None
    key = token._key("treasury")
    assert not key[pkcs11.Attribute.EXTRACTABLE]
    assert key[pkcs11.Attribute.NEVER_EXTRACTABLE]
    with pytest.raises((pkcs11.AttributeSensitive, pkcs11.AttributeTypeInvalid)):
        key[pkcs11.Attribute.VALUE]


def test_a_key_that_could_leave_is_refused(token: module.Token) -> None:
    with token._writing() as session:
        session.create_domain_parameters(
            pkcs11.KeyType.EC,
            {pkcs11.Attribute.EC_PARAMS: bytes.fromhex("06052b8104000a")},
            local=True,
        ).generate_keypair(
            store=True, label="loose", private_template={pkcs11.Attribute.EXTRACTABLE: True}
        )
    with pytest.raises(Misconfigured, match="can be taken out"):
        token.check_kept("loose")


def test_signatures_are_low_in_s_and_of_the_address(mixed: module.TokenKeystore) -> None:
    """Half of a token's signatures have a high s: of forty some are turned."""
    address = mixed.address(Branch.treasury, 1)
    seen = set()
    for number in range(40):
        digest = evm.keccak256(bytes([number]))
        signature = mixed.sign_digest(digest, Branch.treasury, 1)
        assert signature.s <= module.CURVE_ORDER // 2
        assert evm.recover(digest, signature) == address
        seen.add(signature.y_parity)
    assert seen == {0, 1}


def test_a_mixed_keystore_signs_with_each_key_where_it_is(
    mixed: module.TokenKeystore, keystore: Keystore
) -> None:
    assert mixed.fingerprint == keystore.fingerprint
    for branch, index in ((Branch.treasury, 0), (Branch.deposit, 7)):
        assert mixed.address(branch, index) == keystore.address(branch, index)
        assert drill_signature(mixed, branch, index=index) == keystore.address(branch, index)
    assert drill_signature(mixed, Branch.treasury, index=1) == mixed.address(Branch.treasury, 1)
    assert mixed.address(Branch.treasury, 1) != keystore.address(Branch.treasury, 1)


def test_without_the_deposits_seed_their_addresses_are_known_and_nothing_of_them_is_signed(
    mixed: module.TokenKeystore, token: module.Token, keystore: Keystore
) -> None:
    file = module.TokenFile(
        module="", token=LABEL, xpub=keystore.xpub, treasury=tuple(mixed._keys.values())
    )
    alone = module.TokenKeystore(file, token, None)
    assert alone.address(Branch.deposit, 3) == keystore.address(Branch.deposit, 3)
    drill_signature(alone, Branch.treasury, index=1)
    with pytest.raises(SignerRefused) as caught:
        drill_signature(alone, Branch.deposit)
    assert caught.value.reason is Reason.key_not_allowed
    with pytest.raises(ValueError, match="no treasury key"):
        alone.address(Branch.treasury, 0)


def test_one_intent_has_the_same_bytes_for_ever_though_the_token_is_randomised(
    signer_of: Callable[[], Signer],
    mixed: module.TokenKeystore,
    make_request: MakeRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request = make_request(index=1)
    digest = evm.signing_hash(evm.decode_unsigned(request.unsigned))
    signatures = {mixed.sign_digest(digest, Branch.treasury, 1) for _ in range(3)}
    assert len(signatures) == 3
    # Killed between the token's answer and the log: that signature left no trace and no one has it.
    signer = signer_of()

    class Killed(Exception):
        pass

    def die(name: str) -> None:
        if name == "signer.log.before":
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("sakk.signing.signer.failpoint", die)
        with pytest.raises(Killed):
            signer.answer(request, peer_uid=0)
    signer = signer_of()
    raw = raw_of(signer, request)
    assert raw_of(signer, request) == raw
    assert raw_of(signer_of(), request) == raw
    # The log's own bytes: they need no token.
    mixed.close()
    assert raw_of(signer_of(), request) == raw


def test_a_token_that_is_away_is_a_refusal_for_now(
    signer_of: Callable[[], Signer],
    mixed: module.TokenKeystore,
    token: module.Token,
    soft: SoftToken,
    make_request: MakeRequest,
) -> None:
    signer = signer_of()
    raw_of(signer, make_request(index=1))
    soft.take_out()
    token.close()
    token._not_before = -1.0
    again = make_request(index=1, intent_id="po_2", fields={"nonce": 1})
    assert reason_of(signer, again) is Reason.keystore_unavailable
    assert reason_of(signer, again) is Reason.keystore_unavailable
    # What the file keystore has goes on meanwhile, and so does everything that needs no key.
    raw_of(signer, make_request(intent_id="po_3", index=0))
    assert signer.answer(make_request(index=1), peer_uid=0)
    soft.put_back()
    token._not_before = -1.0
    raw_of(signer, again)


def test_a_session_that_broke_is_opened_again(
    signer_of: Callable[[], Signer], token: module.Token, make_request: MakeRequest
) -> None:
    now = [100.0]
    token._clock = lambda: now[0]
    signer = signer_of()
    raw_of(signer, make_request(index=1))
    token._session.close()  # behind its back, as a device that was reset does
    again = make_request(index=1, intent_id="po_2", fields={"nonce": 1})
    assert reason_of(signer, again) is Reason.keystore_unavailable
    # Not at once: a device that comes back is not hammered.
    assert reason_of(signer, again) is Reason.keystore_unavailable
    now[0] += module.REOPEN_SECONDS
    raw_of(signer, again)


def test_a_wrong_pin_is_tried_once(soft: SoftToken, token: module.Token) -> None:
    """Three would lock most tokens."""
    token.generate("one")
    token.close()  # a token counts one login for all sessions of a process
    wrong = module.Token(soft.module, LABEL, Secret(b"000000"))
    for _ in range(5):
        with pytest.raises(SignerRefused, match="the PIN was refused") as caught:
            wrong.sign("one", bytes(32))
        assert caught.value.transient
    token.sign("one", bytes(32))


def test_another_key_under_the_label_is_noticed(
    mixed: module.TokenKeystore, token: module.Token, keystore: Keystore
) -> None:
    token.generate("other")
    key = msgspec.structs.replace(mixed._keys[1], label="other")
    file = module.TokenFile(module="", token=LABEL, xpub=keystore.xpub, treasury=(key,))
    swapped = module.TokenKeystore(file, token, keystore)
    with pytest.raises(SignerRefused, match="has the address") as caught:
        drill_signature(swapped, Branch.treasury, index=1)
    assert caught.value.reason is Reason.keystore_unavailable


def test_a_topup_and_a_sweep_know_the_tokens_treasury(
    signer_of: Callable[[], Signer], mixed: module.TokenKeystore, make_request: MakeRequest
) -> None:
    signer = signer_of()
    treasury = mixed.address(Branch.treasury, 1)
    sweep = make_request(
        purpose=Purpose.sweep,
        destination=treasury,
        branch=Branch.deposit,
        index=5,
        intent_id="sw_1",
    )
    raw_of(signer, sweep)
    topup = make_request(
        purpose=Purpose.topup,
        asset=NATIVE,
        amount=10**15,
        destination=mixed.address(Branch.deposit, 5),
        destination_index=5,
        key=KeyReference(Branch.treasury, 1),
        intent_id="tx_1",
    )
    raw_of(signer, topup)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 2}, "version is 2"),
        ({"xpub": "xpub-no"}, "extended public key"),
        ({"treasury": (module.TokenKey(-1, "a", "0x" + "11" * 20),)}, "treasury index -1"),
        ({"treasury": (module.TokenKey(0, "a", "0x12"),)}, "address"),
        ({"treasury": (module.TokenKey(0, "a", "0x" + "11" * 20),) * 2}, "twice"),
    ],
)
def test_a_file_that_does_not_hold_is_refused(
    tmp_path: Path, keystore: Keystore, change: dict[str, Any], says: str
) -> None:
    good = module.TokenFile(module="/m", token=LABEL, xpub=keystore.xpub, treasury=())
    path = tmp_path / "token.toml"
    module.write_token_file(path, good)
    assert module.read_token_file(path) == good
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    module.write_token_file(path, msgspec.structs.replace(good, **change))
    with pytest.raises(Misconfigured, match=says):
        module.read_token_file(path)


def test_the_commands_make_a_key_find_it_again_and_measure_it(
    soft: SoftToken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin = tmp_path / "pin"
    pin.write_text(PIN + "\n")
    monkeypatch.setenv("SAKK_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SAKK_TOKEN_PIN_FILE", str(pin))
    app = make_app("keys")
    options = ["--keystore", "pkcs11", "--module", soft.module, "--token", LABEL]
    made = CliRunner().invoke(app, ["keys", "init", *options], catch_exceptions=False)
    assert made.exit_code == 0, made.output
    folder = tmp_path / "data" / "signer"
    [key] = module.read_token_file(folder / "token.toml").treasury
    assert (key.index, key.label) == (0, "sakk-treasury-0")
    assert key.address in made.stdout
    # The crash between the token and the file: the key is found by its label.
    (folder / "token.toml").unlink()
    again = CliRunner().invoke(app, ["keys", "init", *options], catch_exceptions=False)
    assert key.address in again.stdout
    second = CliRunner().invoke(app, ["keys", "init", *options, "--index", "1"])
    assert second.exit_code == 0, second.output
    assert len(module.read_token_file(folder / "token.toml").treasury) == 2
    measured = CliRunner().invoke(app, ["keys", "measure", "--seconds", "0.1", "--json"])
    assert json.loads(measured.stdout)["signatures_per_second"] > 0
    taken = CliRunner().invoke(app, ["keys", "init", *options, "--index", "1"])
    assert isinstance(taken.exception, Misconfigured)


def test_what_is_missing_is_said(files: SignerFiles, keystore: Keystore) -> None:
    module.write_token_file(
        files.token, module.TokenFile(module="/m", token=LABEL, xpub=keystore.xpub, treasury=())
    )
    with pytest.raises(Misconfigured, match="SAKK_KEYSTORE_PASSPHRASE_FILE"):
        open_keys(files, passphrase=None, pin=PIN)
    with pytest.raises(Misconfigured, match="SAKK_TOKEN_PIN_FILE"):
        open_keys(files, passphrase=PASSPHRASE, pin=None)
    assert open_keys(files, passphrase=PASSPHRASE, pin=PIN).xpub == keystore.xpub
    files.keystore.unlink()
    assert open_keys(files, passphrase=None, pin=PIN).xpub == keystore.xpub
    files.token.unlink()
    with pytest.raises(Misconfigured, match="sakk keys init"):
        open_keys(files, passphrase=None, pin=None)


def test_a_key_of_the_token_is_retired_in_its_file(
    mixed: module.TokenKeystore, soft: SoftToken, keystore: Keystore, tmp_path: Path
) -> None:
    path = tmp_path / "token.toml"
    address = evm.checksum_address(mixed.address(Branch.treasury, 1))
    key = module.TokenKey(1, "one", address)
    file = module.TokenFile(module=soft.module, token=LABEL, xpub=keystore.xpub, treasury=(key,))
    module.write_token_file(path, file)
    assert (mixed.is_retired(1), module.retire_token_key(path, 0)) == (False, False)
    for _ in range(2):
        assert module.retire_token_key(path, 1)
    marked = module.read_token_file(path)
    [token, others] = module.open_tokens(marked, Secret(PIN.encode()))
    again = module.TokenKeystore(marked, token, keystore, others)
    assert (again.is_retired(1), again.is_retired(0), others) == (True, False, {})


def test_a_key_may_be_in_another_token_than_the_first(
    token: module.Token, soft: SoftToken, keystore: Keystore, tmp_path: Path
) -> None:
    """The one token is named twice here: by a name that is not there, and by the key itself."""
    address = evm.checksum_address(token.generate("moved"))
    # A process logs in to a token once.
    token.close()
    key = module.TokenKey(1, "moved", address, module=soft.module, token=LABEL)
    path = tmp_path / "token.toml"
    file = module.TokenFile(module=soft.module, token="gone", xpub=keystore.xpub, treasury=(key,))
    module.write_token_file(path, file)
    found = module.read_token_file(path)
    assert found == file
    first, others = module.open_tokens(found, Secret(PIN.encode()))
    keys = module.TokenKeystore(found, first, keystore, others)
    assert drill_signature(keys, Branch.treasury, index=1) == address.lower()
    keys.close()
    half = msgspec.structs.replace(key, token=None)
    module.write_token_file(path, msgspec.structs.replace(file, treasury=(half,)))
    with pytest.raises(Misconfigured, match="a module or a token alone"):
        module.read_token_file(path)
