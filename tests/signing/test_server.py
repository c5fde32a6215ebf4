"""The signer as a real process behind its real socket: refused, killed, restarted, spied on."""

import contextlib
import dataclasses
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from sakk.core import evm
from sakk.signing.client import SignerClient
from sakk.signing.keystore import Keystore
from sakk.signing.policy import Policy, write_policy
from sakk.signing.protocol import (
    FRAME_BYTES_MAX,
    Branch,
    FreezeRequest,
    Purpose,
    Reason,
    Refused,
    SignerRefused,
    SignerRefusedNow,
    SignerUnavailable,
    SignRequest,
    decode_response,
    encode,
    read_frame,
)
from sakk.signing.server import SignerFiles, signer_files

SCRIPT = Path(__file__).with_name("signer_process.py")
USDC = "eip155:84532/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"
PASSPHRASE = "correct horse battery staple"
ATTACKER = "0x" + "ee" * 20
START_MS = 1_767_225_600_000
DAY_MS = 86_400_000
WAIT_SECONDS = 30
NOBODY = 65534

MakeRequest = Callable[..., SignRequest]


@dataclasses.dataclass
class SignerProcess:
    """A signer's process that can be started again on the same files and socket."""

    files: SignerFiles
    socket_path: Path
    process: subprocess.Popen[str]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.wait()

    def wait(self) -> int:
        code = self.process.wait(WAIT_SECONDS)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        return code

    def client(self) -> SignerClient:
        return SignerClient(self.socket_path, timeout_seconds=WAIT_SECONDS)


Start = Callable[..., SignerProcess]


@pytest.fixture
def start(files: SignerFiles) -> Iterator[Start]:
    """Start a signer and wait until it is ready, or has ended."""
    directory = files.directory.parent
    (directory / "clock").write_text(str(START_MS))
    started: list[SignerProcess] = []
    with tempfile.TemporaryDirectory() as run, (directory / "stderr").open("a+") as log:
        socket_path = Path(run, "signer.sock")

        def start(
            *,
            passphrase: str = PASSPHRASE,
            failpoint: str = "",
            user: str | None = None,
            files: SignerFiles = files,
        ) -> SignerProcess:
            data = files.directory.parent
            process = subprocess.Popen(
                [sys.executable, SCRIPT, data, socket_path, *([user] if user else [])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=os.environ | {"SAKK_FAILPOINTS": failpoint},
            )
            signer = SignerProcess(files, socket_path, process)
            started.append(signer)
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(passphrase + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if line != "ready\n":
                raise RuntimeError(f"exit {signer.wait()}: {line}")
            return signer

        yield start
        for signer in started:
            if signer.process.poll() is None:
                signer.process.send_signal(signal.SIGTERM)
            signer.wait()


def ask(path: Path, frame: bytes) -> bytes | None:
    """Speak to the socket directly, as whoever took the web process would."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(WAIT_SECONDS)
        connection.connect(str(path))
        connection.sendall(frame)
        connection.shutdown(socket.SHUT_WR)
        return read_frame(connection)


def refusal_of(path: Path, request: SignRequest) -> Reason:
    body = ask(path, encode(request))
    assert body is not None
    response = decode_response(body)
    assert isinstance(response, Refused)
    return response.reason


def framed(message: object) -> bytes:
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(4, "big") + body


def test_who_speaks_to_the_socket_directly_is_refused(
    start: Start, make_request: MakeRequest, keystore: Keystore
) -> None:
    path = start().socket_path
    sweep = {"purpose": Purpose.sweep, "branch": Branch.deposit}
    for request, reason in [
        (make_request(amount=10_000_000_001), Reason.over_limit),
        (make_request(fields={"data": b"\xde\xad\xbe\xef"}), Reason.call_not_allowed),
        (make_request(**sweep, destination=ATTACKER), Reason.destination_not_allowed),
        (make_request(fields={"chain_id": 1}), Reason.chain_mismatch),
        (make_request(token_amount="1"), Reason.claim_mismatch),
        (make_request(unsigned=evm.keccak256(b"a hash")), Reason.malformed),
    ]:
        assert refusal_of(path, request) is reason


NO_REQUESTS = [
    framed({"type": "sign_hash", "hash": b"\x01" * 32}),
    framed({"type": "unfreeze", "reason": "please"}),
    framed({"type": "sign", "hash": b"\x01" * 32}),
    framed({"type": "status", "extra": 1}),
    framed([1, 2, 3]),
    framed({}),
    (3).to_bytes(4, "big") + b"\xc1\xc1\xc1",
    (3).to_bytes(4, "big") + b"\xc1",
    (FRAME_BYTES_MAX + 1).to_bytes(4, "big"),
    b"\xff\xff\xff\xff",
    b"\x00",
    b"GET / HTTP/1.1\r\n\r\n",
]


def test_there_is_no_other_request(start: Start) -> None:
    signer = start()
    for frame in NO_REQUESTS:
        body = ask(signer.socket_path, frame)
        assert body is not None
        response = decode_response(body)
        assert isinstance(response, Refused), frame
        assert response.reason is Reason.malformed
    with signer.client() as client:
        assert client.status().signed_total == 0


def test_the_client_signs_and_reads_refusals(
    start: Start, make_request: MakeRequest, keystore: Keystore
) -> None:
    with start().client() as client:
        assert client.public().xpub == keystore.xpub
        assert client.find("po_1") is None
        signed = client.sign(make_request())
        assert client.find("po_1") == signed
        sender = evm.recover_sender(evm.decode_signed(signed.raw))
        assert sender == client.public().treasury_addresses[0]
        with pytest.raises(SignerRefused, match="above 10000000000 per transaction") as caught:
            client.sign(make_request(intent_id="po_2", amount=10_000_000_001))
        assert caught.value.reason is Reason.over_limit
        assert not caught.value.transient
        assert client.freeze(FreezeRequest("drill")).frozen
        with pytest.raises(SignerRefusedNow, match="frozen: drill") as caught:
            client.sign(make_request())
        assert caught.value.transient
        status = client.status()
        assert status.uid == os.geteuid()
        assert status.same_uid


def test_the_same_bytes_after_sigterm_and_after_sigkill(
    start: Start, make_request: MakeRequest
) -> None:
    first = start()
    with first.client() as client:
        signed = client.sign(make_request())
        first.process.send_signal(signal.SIGTERM)
        assert first.wait() == 0
        with pytest.raises(SignerUnavailable):
            client.sign(make_request())
        second = start()
        assert client.sign(make_request()) == signed
        second.kill()
        start()
        # The idle connection is dead: the client opens another by itself.
        assert client.sign(make_request()) == signed
        with pytest.raises(SignerRefused, match="other content"):
            client.sign(make_request(amount=1))


@pytest.mark.parametrize("point", ["signer.log.before", "signer.log.after"])
def test_killed_on_either_side_of_the_log(
    start: Start, make_request: MakeRequest, point: str
) -> None:
    signer = start(failpoint=f"{point}=kill")
    with signer.client() as client:
        with pytest.raises(SignerUnavailable):
            client.sign(make_request())
        assert signer.wait() == -signal.SIGKILL
        start()
        assert (client.find("po_1") is not None) is (point == "signer.log.after")
        signed = client.sign(make_request())
        assert client.sign(make_request()) == signed
        assert client.status().signed_total == 1


def test_velocity_across_a_restart(
    start: Start, make_request: MakeRequest, files: SignerFiles, policy: Policy
) -> None:
    rule = msgspec.structs.replace(policy.assets[0], per_day_max="40000000")
    write_policy(files.policy, msgspec.structs.replace(policy, assets=(rule,)))
    signer = start()
    with signer.client() as client:
        client.sign(make_request(intent_id="po_1"))
        signer.kill()
        start()
        with pytest.raises(SignerRefusedNow) as caught:
            client.sign(make_request(intent_id="po_2"))
        assert caught.value.reason is Reason.over_velocity
        (files.directory.parent / "clock").write_text(str(START_MS + DAY_MS))
        client.sign(make_request(intent_id="po_2"))


def test_a_torn_last_line_is_cut_off_and_a_changed_one_stops_the_start(
    start: Start, make_request: MakeRequest, files: SignerFiles
) -> None:
    signer = start()
    with signer.client() as client:
        signed = client.sign(make_request())
        signer.kill()
        whole = files.log.read_bytes()
        files.log.write_bytes(whole + b'{"sequence":4,"at":17672256')
        signer = start()
        assert client.sign(make_request()) == signed
        signer.kill()
    assert files.log.read_bytes() == whole
    files.log.write_bytes(whole.replace(b"25000000", b"25000001", 1))
    with pytest.raises(RuntimeError, match=r"exit 78: Misconfigured: .* is broken after line 2"):
        start()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda files: files.keystore.chmod(0o644), "chmod 600 .*keystore.json"),
        (lambda files: files.policy.chmod(0o640), "chmod 600 .*policy.toml"),
        (lambda files: files.policy.unlink(), "policy.toml is missing"),
        (lambda files: files.keystore.unlink(), "keystore.json is missing"),
        (lambda files: files.directory.chmod(0o777), "chmod 700"),
        (lambda files: files.log.symlink_to("/dev/null"), "not a regular file"),
        (lambda files: files.policy.write_text("version = 2"), "missing required field"),
    ],
)
def test_what_stops_the_start(
    start: Start, files: SignerFiles, spoil: Callable[[SignerFiles], None], message: str
) -> None:
    spoil(files)
    with pytest.raises(RuntimeError, match=f"exit 78: Misconfigured: .*{message}"):
        start()


def test_a_wrong_passphrase_stops_the_start(start: Start) -> None:
    with pytest.raises(RuntimeError, match="the passphrase is wrong"):
        start(passphrase="wrong horse battery staple")


def test_a_second_signer_does_not_start(start: Start) -> None:
    signer = start()
    with pytest.raises(RuntimeError, match="a signer is listening"):
        start()
    signer.socket_path.unlink()
    with pytest.raises(RuntimeError, match="in use by another signer"):
        start()


def test_something_else_at_the_sockets_path_stays(start: Start, files: SignerFiles) -> None:
    signer = start()
    signer.kill()
    signer.socket_path.unlink()
    signer.socket_path.write_text("a file")
    with pytest.raises(RuntimeError, match="is not a socket"):
        start()
    assert signer.socket_path.read_text() == "a file"


def test_modes_of_socket_and_log(start: Start, files: SignerFiles) -> None:
    signer = start()
    assert stat.S_IMODE(signer.socket_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(files.log.stat().st_mode) == 0o600


def test_the_process_leaves_no_core_and_gains_no_privilege(start: Start) -> None:
    pid = start().process.pid
    status = Path(f"/proc/{pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)


def test_many_clients_at_once_get_one_answer_per_intent(
    start: Start, make_request: MakeRequest
) -> None:
    with start().client() as client, ThreadPoolExecutor(8) as pool:
        requests = [make_request(intent_id=f"po_{number % 10}") for number in range(80)]
        signed = list(pool.map(client.sign, requests))
        assert len({item.raw for item in signed}) == 1
        assert client.status().signed_total == 10


def test_no_secret_is_written_anywhere(
    start: Start, make_request: MakeRequest, files: SignerFiles
) -> None:
    signer = start()
    with signer.client() as client:
        client.sign(make_request())
        with pytest.raises(SignerRefused):
            client.sign(make_request(amount=1))
    ask(signer.socket_path, b"\xff" * 100)
    signer.process.send_signal(signal.SIGTERM)
    assert signer.wait() == 0
    seed = bytes(range(32))
    written = b"".join(
        path.read_bytes() for path in files.directory.parent.rglob("*") if path.is_file()
    )
    assert b"signer ready" in written
    for secret in (seed, seed.hex().encode(), PASSPHRASE.encode(), b"xprv"):
        assert secret not in written


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
class TestOwnUser:
    def test_it_becomes_its_user_and_cannot_be_read(
        self, start: Start, files: SignerFiles, make_request: MakeRequest
    ) -> None:
        """`nobody` runs the signer: its callers, root, are told apart from it."""
        with tempfile.TemporaryDirectory() as name:
            Path(name).chmod(0o711)
            moved = signer_files(Path(name))
            shutil.copytree(files.directory, moved.directory)
            shutil.copy(files.directory.parent / "clock", name)
            for path in (moved.directory, moved.keystore, moved.policy):
                os.chown(path, NOBODY, NOBODY)
            signer = start(user="nobody", files=moved)
            with signer.client() as client:
                client.sign(make_request())
                status = client.status()
            assert status.uid == NOBODY
            assert not status.same_uid
            assert moved.log.stat().st_uid == NOBODY
            # A process that is not dumpable has its files in /proc owned by root (proc(5)).
            assert Path(f"/proc/{signer.process.pid}/environ").stat().st_uid == 0

    def test_an_unknown_user_or_root_is_refused(self, start: Start) -> None:
        for user, message in (("no-such-user", "there is no user"), ("root", "cannot be root")):
            with pytest.raises(RuntimeError, match=message):
                start(user=user)
