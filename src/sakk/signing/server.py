"""The signer's process: a unix socket, a thread for each connection, one signer behind them."""

import contextlib
import os
import socket
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog

from sakk.core.errors import Misconfigured, SakkError, Unavailable
from sakk.signing.files import PRIVATE_MODE
from sakk.signing.harden import drop_privileges, harden_process, peer_uid
from sakk.signing.keystore import KeyRing, Keys, Keystore, Secret, open_keystore
from sakk.signing.protocol import (
    Reason,
    Refused,
    decode_request,
    encode,
    read_frame,
)
from sakk.signing.signer import Signer

CONNECTIONS_MAX: Final = 64
BACKLOG: Final = 64
# A connection that says nothing for so long is closed; clients open another.
IDLE_SECONDS_MAX: Final = 300.0
# From the first byte of a request to its last.
REQUEST_SECONDS_MAX: Final = 10.0
ACCEPT_POLL_SECONDS: Final = 0.25
JOIN_SECONDS_MAX: Final = 5.0

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SignerFiles:
    """The signer's files in a data directory."""

    directory: Path
    keystore: Path
    policy: Path
    log: Path
    token: Path


def signer_files(data_directory: Path) -> SignerFiles:
    """Where keystore, policy and log stand below ``SAKK_DATA_DIR``."""
    directory = data_directory / "signer"
    return SignerFiles(
        directory=directory,
        keystore=directory / "keystore.json",
        policy=directory / "policy.toml",
        log=directory / "log.jsonl",
        token=directory / "token.toml",
    )


def later_keystores(files: SignerFiles) -> list[Path]:
    """The files of the seeds that came after the first, oldest first."""
    return sorted(files.directory.glob("keystore-*.json"))


def open_seeds(files: SignerFiles, passphrase: str) -> Keystore | KeyRing:
    """The seed's file, or all of them where there are later ones; one passphrase opens each."""
    paths = [files.keystore, *later_keystores(files)]
    stores = [open_keystore(path, passphrase) for path in paths]
    return stores[0] if len(stores) == 1 else KeyRing(stores)


def open_keys(files: SignerFiles, *, passphrase: str | None, pin: str | None) -> Keys:
    """The keystore that these files describe: the seed's file, the token's, or both.

    Misconfigured says which secret is missing, and for what.
    """
    rest: Keystore | KeyRing | None = None
    if files.keystore.exists():
        if passphrase is None:
            raise Misconfigured(
                "SAKK_KEYSTORE_PASSPHRASE_FILE is not set: name the file with the keystore's"
                " passphrase. `sakk keys init` makes both.",
                param="SAKK_KEYSTORE_PASSPHRASE_FILE",
            )
        rest = open_seeds(files, passphrase)
    if not files.token.exists():
        if rest is None:
            raise Misconfigured(f"{files.keystore} is missing: make one with `sakk keys init`")
        return rest
    if pin is None:
        raise Misconfigured(
            "SAKK_TOKEN_PIN_FILE is not set: name the file with the token's PIN.",
            param="SAKK_TOKEN_PIN_FILE",
        )
    # Its library is an extra: a signer without a token does without it.
    try:
        from sakk.signing.pkcs11 import TokenKeystore, open_tokens, read_token_file
    except ImportError:
        raise Misconfigured(
            f"{files.token} names a token, and python-pkcs11 is not installed:"
            " `pip install 'sakk[pkcs11]'`"
        ) from None
    found = read_token_file(files.token)
    token, others = open_tokens(found, Secret(pin.encode()))
    return TokenKeystore(found, token, rest, others)


def main(
    *,
    files: SignerFiles,
    socket_path: Path,
    passphrase: str | None,
    pin: str | None = None,
    stop: threading.Event,
    clock: Callable[[], datetime],
    user: str | None = None,
    client_uid: int | None = None,
    on_ready: Callable[[], None] | None = None,
) -> None:
    """The role ``signer``: harden, become its own user if started as root, open, and serve.

    ``passphrase`` opens the file keystore, ``pin`` the token: of what is there, each is needed.
    With ``user``, the files and their directory must belong to that user. The socket is bound
    before the change of user; it belongs to ``client_uid`` (whom the other roles run as), or else
    to who started the signer. ``on_ready`` is called when clients can connect.
    """
    harden_process()
    starter = os.geteuid()
    allowed = frozenset({starter, 0} if client_uid is None else {client_uid, 0})
    with contextlib.closing(bind(socket_path)) as listener:
        if client_uid is not None and client_uid != starter:
            os.chown(socket_path, client_uid, -1)
        if user is not None and starter == 0:
            drop_privileges(user)
            # A change of user resets what prctl(2) set.
            harden_process()
        keystore = open_keys(files, passphrase=passphrase, pin=pin)
        with (
            contextlib.closing(keystore),
            contextlib.closing(
                Signer(keystore=keystore, policy_path=files.policy, log_path=files.log, clock=clock)
            ) as signer,
        ):
            serve_on(listener, signer, stop, allowed=allowed, on_ready=on_ready)
    with contextlib.suppress(OSError):
        socket_path.unlink(missing_ok=True)


def serve(
    socket_path: Path,
    keystore: Keys,
    policy_path: Path,
    log_path: Path,
    stop: threading.Event,
    *,
    clock: Callable[[], datetime],
    allowed_uids: frozenset[int] | None = None,
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Bind and answer until ``stop`` is set. Misconfigured if log, policy or socket do not fit."""
    allowed = allowed_uids or frozenset({os.geteuid(), 0})
    with contextlib.closing(
        Signer(keystore=keystore, policy_path=policy_path, log_path=log_path, clock=clock)
    ) as signer:
        with contextlib.closing(bind(socket_path)) as listener:
            serve_on(listener, signer, stop, allowed=allowed, on_ready=on_ready)
        socket_path.unlink(missing_ok=True)


def bind(socket_path: Path) -> socket.socket:
    """Bind the socket, mode 0600; one that a dead signer left behind is replaced."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        _clear(socket_path)
        # The umask, not a later chmod: there is no moment in which others could connect.
        umask = os.umask(0o777 & ~PRIVATE_MODE)
        try:
            listener.bind(str(socket_path))
        finally:
            os.umask(umask)
        listener.settimeout(ACCEPT_POLL_SECONDS)
    except BaseException:
        listener.close()
        raise
    return listener


def serve_on(
    listener: socket.socket,
    signer: Signer,
    stop: threading.Event,
    *,
    allowed: frozenset[int],
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Listen and answer until ``stop`` is set, or Unavailable when the log fails to write."""
    connections = _Connections(signer, allowed)
    try:
        listener.listen(BACKLOG)
        logger.info("signer ready", uid=os.geteuid())
        if on_ready is not None:
            on_ready()
        while not stop.is_set():
            if signer.broken:
                raise Unavailable("the signer's log failed to write: it is read again at a restart")
            with contextlib.suppress(TimeoutError):
                connection, _ = listener.accept()
                connections.start(connection)
    finally:
        connections.close()


class _Connections:
    """The threads that speak with clients, at most `CONNECTIONS_MAX` of them."""

    def __init__(self, signer: Signer, allowed: frozenset[int]) -> None:
        self._signer = signer
        self._allowed = allowed
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}

    def start(self, connection: socket.socket) -> None:
        """Check who is there, and give it a thread."""
        uid = peer_uid(connection)
        with self._lock:
            full = len(self._open) >= CONNECTIONS_MAX
            if uid in self._allowed and not full:
                thread = threading.Thread(
                    target=self._run, args=(connection, uid), name="signer", daemon=True
                )
                self._open[connection] = thread
                thread.start()
                return
        connection.close()
        logger.warning("connection refused", uid=uid, full=full)

    def close(self) -> None:
        """Wake every thread and wait: an answer under way is written first."""
        with self._lock:
            open_now = dict(self._open)
        for connection in open_now:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RD)
        for thread in open_now.values():
            thread.join(JOIN_SECONDS_MAX)

    def _run(self, connection: socket.socket, uid: int) -> None:
        try:
            with connection:
                while self._exchange(connection, uid):
                    pass
        except OSError:
            # The client went away, or said nothing for too long: it asks again if it must.
            pass
        except SakkError as error:
            logger.error("request not answered", error=error.message)
        except Exception as error:
            # The type only: what failed may have held a secret in its text.
            logger.error("request not answered", error=type(error).__name__)
        finally:
            with self._lock:
                del self._open[connection]

    def _exchange(self, connection: socket.socket, uid: int) -> bool:
        """One request and its response; False at the end of the connection."""
        connection.settimeout(IDLE_SECONDS_MAX)
        if not connection.recv(1, socket.MSG_PEEK):
            return False
        connection.settimeout(REQUEST_SECONDS_MAX)
        try:
            body = read_frame(connection)
            if body is None:
                return False
            request = decode_request(body)
        except ValueError as error:
            connection.sendall(encode(Refused(Reason.malformed, str(error)[:1000])))
            return False
        connection.sendall(encode(self._signer.answer(request, peer_uid=uid)))
        return True


def _clear(socket_path: Path) -> None:
    """Remove a dead signer's socket; Misconfigured if a living one, or no socket, is there."""
    try:
        mode = socket_path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise Misconfigured(f"{socket_path} is there and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(socket_path))
        except ConnectionRefusedError:
            socket_path.unlink(missing_ok=True)
            return
    raise Misconfigured(f"a signer is listening at {socket_path} already")
