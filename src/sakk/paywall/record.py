"""Records of a session's calls: from a payer's header to what the Sakk is asked, and back to what
the payer is told (docs/reference/session-scheme.md). ``compiled/record.pyx`` does the same, byte
for byte, where it is built.
"""

import binascii
import struct
from typing import Final

RESERVE: Final = 1
_RECORD = struct.Struct(">BxHxxxxQ16s16s32s32s16s")
_RESULT = struct.Struct(">B3x20sQ16s32s16s")


def decode(header: bytes) -> bytes:
    """What a header of base64 holds; binascii.Error."""
    return binascii.a2b_base64(header, strict_mode=True)


def reserve_record(
    session: bytes,
    nonce: int,
    amount: int,
    request: bytes,
    mac: str,
    currency: bytes,
    timeout_seconds: int,
) -> bytes:
    """A reserve; ValueError where ``mac`` is not 64 hexadecimal digits."""
    return _RECORD.pack(
        RESERVE,
        timeout_seconds,
        nonce,
        session,
        amount.to_bytes(16, "big"),
        request,
        of_digits(mac),
        currency,
    )


def end_record(operation: int, session: bytes, nonce: int, amount: int, units: int) -> bytes:
    """A commit or a release."""
    return _RECORD.pack(
        operation,
        0,
        nonce,
        session,
        amount.to_bytes(16, "big"),
        units.to_bytes(8, "big"),
        b"",
        b"",
    )


def told(
    start: bytes, go_on: bytes, nonce: int, amount: int, request: bytes, result: bytes
) -> tuple[bytes, str]:
    """PAYMENT-RESPONSE's value of what was reserved, and who pays.

    ``start`` and ``go_on`` are what stands before and between the fields that vary.
    """
    _, payer, timestamp, _, mac, _ = _RESULT.unpack(result)
    who = "0x" + payer.hex()
    text = (
        f'{start.decode()}{nonce}","amount":"{amount}","timestamp":"{timestamp}",'
        f'"request_hash":"{request.hex()}","mac":"{mac.hex()}'
        f'{go_on.decode()}{nonce}","amount":"{amount}","payer":"{who}"}}'
    )
    return binascii.b2a_base64(text.encode(), newline=False), who


def of_digits(text: str) -> bytes:
    """32 bytes of 64 hexadecimal digits; ValueError."""
    found = bytes.fromhex(text)
    if len(found) != 32 or len(text) != 64:
        raise ValueError("64 hexadecimal digits are needed")
    return found
