"""The door to the signer for everyone else: typed calls over its unix socket."""

import socket
import threading
from pathlib import Path
from typing import TypeVar

import msgspec

from sakk.signing.protocol import (
    REASON_CHARACTERS_MAX,
    FindRequest,
    FreezeRequest,
    Line,
    LineRequest,
    NotSigned,
    Public,
    PublicRequest,
    Refused,
    Request,
    Response,
    Signed,
    SignerUnavailable,
    SignRequest,
    Status,
    StatusRequest,
    UnfreezeRequest,
    decode_response,
    encode,
    read_frame,
    refusal,
)

TIMEOUT_SECONDS = 15.0
IDLE_CONNECTIONS_MAX = 8

T = TypeVar("T", bound=Response)


class SignerClient:
    """A client for threads: each call takes an idle connection or opens one.

    Every call may raise SignerUnavailable; asking again is safe, an intent is signed once.
    """

    def __init__(self, socket_path: Path, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._path = socket_path
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._idle: list[socket.socket] = []
        self._closed = False

    def __enter__(self) -> "SignerClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def public(self) -> Public:
        """The deposit xpub and the treasury's addresses."""
        return self._expect(PublicRequest(), Public)

    def status(self) -> Status:
        """Whether it is frozen, its log's head, and what its limits have left."""
        return self._expect(StatusRequest(), Status)

    def sign(self, request: SignRequest) -> Signed:
        """Signed bytes for a transaction; SignerRefused says which rule forbids it."""
        return self._expect(request, Signed)

    def find(self, intent_id: str, *, attempt: int = 0) -> Signed | None:
        """What was signed for an intent, or None; SignerRefused while frozen."""
        found = self._expect(FindRequest(intent_id=intent_id, attempt=attempt), (Signed, NotSigned))
        return found if isinstance(found, Signed) else None

    def line(self, sequence: int) -> str | None:
        """The hash of a line of the signer's log; None if the log ends before it."""
        return self._expect(LineRequest(sequence), Line).hash

    def freeze(self, request: FreezeRequest) -> Status:
        """Stop signing at once; only a command at the signer's files undoes it."""
        reason = request.reason[:REASON_CHARACTERS_MAX]
        return self._expect(msgspec.structs.replace(request, reason=reason), Status)

    def unfreeze(self, request: UnfreezeRequest) -> Status:
        """End a freeze by what approvers signed; SignerRefused where the policy does not let it."""
        return self._expect(request, Status)

    def close(self) -> None:
        """Close the idle connections; calls under way close their own."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _expect(self, request: Request, kind: type[T] | tuple[type[T], ...]) -> T:
        response = self._call(encode(request))
        if isinstance(response, Refused):
            raise refusal(response.reason, response.message, response.intents)
        if not isinstance(response, kind):
            raise SignerUnavailable(f"the signer answered {type(response).__name__}")
        return response

    def _call(self, frame: bytes) -> Response:
        """Send and receive once; a connection that idled while the signer restarted gets a second.

        Sending twice is safe: the signer answers a repeated request from its log.
        """
        with self._lock:
            idle = self._idle.pop() if self._idle else None
        if idle is not None:
            try:
                return self._exchange(idle, frame)
            except TimeoutError as error:
                raise self._unavailable(error) from error
            except (OSError, ValueError):
                pass
        try:
            return self._exchange(self._connect(), frame)
        except (OSError, ValueError) as error:
            raise self._unavailable(error) from error

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(self._timeout_seconds)
            connection.connect(str(self._path))
        except BaseException:
            connection.close()
            raise
        return connection

    def _exchange(self, connection: socket.socket, frame: bytes) -> Response:
        """One request, one response; the connection is kept only if all went well."""
        try:
            connection.sendall(frame)
            body = read_frame(connection)
            if body is None:
                raise ConnectionResetError("the signer closed the connection")
            response = decode_response(body)
        except BaseException:
            connection.close()
            raise
        with self._lock:
            keep = not self._closed and len(self._idle) < IDLE_CONNECTIONS_MAX
            if keep:
                self._idle.append(connection)
        if not keep:
            connection.close()
        return response

    def _unavailable(self, error: Exception) -> SignerUnavailable:
        return SignerUnavailable(f"no answer from the signer at {self._path}: {error}")
