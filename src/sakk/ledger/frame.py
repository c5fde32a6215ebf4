"""Frames between the ledger's process and those that ask it.

A frame is a u32 length (little-endian) and a msgpack array. A question frame is a list of
``[op, body]``, an answer frame the list of ``[body, code, message, param, retry_after_seconds]``
in the same order; an empty code means success. Each question is a request of its own: chains do
not reach across them. A connection may have many frames under way; they are answered in order.
A frame that is none is answered by one error, and the connection ends.
"""

import struct
from collections.abc import Iterator

import msgspec

from sakk.core.errors import ParameterInvalid, RateLimited, SakkError, Unavailable
from sakk.ledger.calls import Op
from sakk.ledger.types import OutcomeUnknown
from sakk.ledger.writer import Fenced

FRAME_BYTES_MAX = 4 << 20
CALL_SECONDS_MAX = 60.0  # more than the writer waits for its journal
LENGTH = struct.Struct("<I")
TCP = "tcp://"

_ERRORS: dict[str, type[SakkError]] = {
    kind.code: kind for kind in (ParameterInvalid, Unavailable, Fenced, OutcomeUnknown)
}


class Question(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One operation as it is sent; see ``sakk.ledger.calls``."""

    op: int
    body: bytes


class Answer(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What became of a question; an empty ``code`` means that ``body`` is its answer."""

    body: bytes = b""
    code: str = ""
    message: str = ""
    param: str | None = None
    retry_after_seconds: int = 0


class NotAFrame(Exception):
    """The other side sent bytes that are no frame: the connection can not go on."""


_encoder = msgspec.msgpack.Encoder()
_questions = msgspec.msgpack.Decoder(list[Question])
_answers = msgspec.msgpack.Decoder(list[Answer])


def encode_frame(items: list[Question] | list[Answer]) -> bytes:
    """A frame's bytes, length included."""
    payload = _encoder.encode(items)
    return LENGTH.pack(len(payload)) + payload


def decode_questions(payload: bytes) -> list[Question]:
    """The questions in a frame without its length; NotAFrame."""
    try:
        return _questions.decode(payload)
    except msgspec.MsgspecError as error:
        raise NotAFrame(str(error)) from error


def decode_answers(payload: bytes) -> list[Answer]:
    """The answers in a frame without its length; NotAFrame."""
    try:
        return _answers.decode(payload)
    except msgspec.MsgspecError as error:
        raise NotAFrame(str(error)) from error


class Cutter:
    """Cuts what arrives into frames."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def cut(self, data: bytes) -> Iterator[bytes]:
        """The frames that are whole by now, without their lengths; NotAFrame if one is too long."""
        rest = self._rest
        rest += data
        start = 0
        while len(rest) - start >= LENGTH.size:
            (length,) = LENGTH.unpack_from(rest, start)
            if length > FRAME_BYTES_MAX:
                raise NotAFrame(f"a frame of {length} bytes is longer than {FRAME_BYTES_MAX}")
            end = start + LENGTH.size + length
            if len(rest) < end:
                break
            with memoryview(rest) as view:
                frame = bytes(view[start + LENGTH.size : end])
            start = end
            yield frame
        del rest[:start]


def answer_of(error: SakkError) -> Answer:
    """An error as it is sent."""
    return Answer(
        code=error.code,
        message=error.message,
        param=error.param,
        retry_after_seconds=error.retry_after_seconds if isinstance(error, RateLimited) else 0,
    )


def error_of(answer: Answer, op: Op) -> SakkError:
    """The error that the other side raised."""
    if answer.code == RateLimited.code:
        return RateLimited(
            answer.message, param=answer.param, retry_after_seconds=answer.retry_after_seconds
        )
    kind = _ERRORS.get(answer.code, OutcomeUnknown if op.writes else Unavailable)
    return kind(answer.message, param=answer.param)


def lost(op: Op, reason: object) -> SakkError:
    """What a broken connection means for a question that was sent."""
    if op.writes:
        return OutcomeUnknown(f"the ledger was lost during a call ({reason}); repeat the same ids")
    return Unavailable(f"the ledger was lost during a call ({reason}); ask again")
