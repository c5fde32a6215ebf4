"""Captures: many transfers with authorization in one transaction, and what became of each.

The contract (contracts/src/evm/Capture.sol) hands each to the token. One that fails stops no other
and is named by an event; one that succeeds is told by the token's own events.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sakk.core import abi, eip3009, evm, permit2
from sakk.core.contract import CAPTURE
from sakk.core.disperse import Contradiction, Log, failures
from sakk.core.eip3009 import Authorization

LINES_MAX: Final = 100
# What the contract wants to have left before it tries a transfer: see Capture.sol.
GAS_BEFORE_TRANSFER: Final = 200_000 * 64 // 63 + 20_000
# What a line takes at the most, beside what it takes in the token.
LINE_GAS_MAX: Final = 240_000
UNITS_MAX: Final = (1 << 96) - 1
TIME_MAX: Final = (1 << 48) - 1

SELECTOR: Final = abi.selector("capture(address,bytes32[])")
_WORDS: Final = 5
_HEAD_WORDS: Final = 3
_TIME_BYTES: Final = 6
_UNITS_BYTES: Final = 12
_PARITY: Final = 1 << 255


@dataclass(frozen=True, slots=True)
class Line:
    """One transfer of a capture: what was signed, and the 65 bytes of the key's signature."""

    authorization: Authorization
    signature: bytes


@dataclass(frozen=True, slots=True)
class Moved:
    """Coins that a call moves by their owners' authorization: the token, to whom, how many."""

    token: str
    payer: str
    to: str
    units: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a line did: the place of the token's Transfer among the block's logs, or None with what
    the token answered. ``is_untried``: the gas was used up before it."""

    log_index: int | None
    answer: bytes = b""
    is_untried: bool = False


def fits(authorization: Authorization) -> bool:
    """Do its numbers fit a line? What is wider goes alone."""
    return (
        authorization.units <= UNITS_MAX
        and authorization.valid_after <= TIME_MAX
        and authorization.valid_before <= TIME_MAX
    )


def encode_capture(token: str, lines: Sequence[Line]) -> bytes:
    """Calldata of ``capture(token, words)``; ValueError for a line that does not fit."""
    words = [abi.encode_address(token), abi.encode_uint(2 * abi.WORD_BYTES)]
    words.append(abi.encode_uint(_WORDS * len(lines)))
    return SELECTOR + b"".join(words) + b"".join(_packed(each) for each in lines)


def decode_capture(data: bytes) -> tuple[str, tuple[Line, ...]]:
    """Read calldata that is exactly one capture: the token and its lines; ValueError otherwise."""
    if data[: abi.SELECTOR_BYTES] != SELECTOR:
        raise ValueError(f"not a capture but {abi.describe_call(data)}")
    body = data[abi.SELECTOR_BYTES :]
    words = [body[at : at + abi.WORD_BYTES] for at in range(0, len(body), abi.WORD_BYTES)]
    if len(words) < _HEAD_WORDS or len(words[-1]) != abi.WORD_BYTES:
        raise ValueError(f"a capture of {len(data)} bytes is cut off")
    offset, count = (int.from_bytes(word, "big") for word in words[1:_HEAD_WORDS])
    rest = words[_HEAD_WORDS:]
    if offset != 2 * abi.WORD_BYTES or count != len(rest) or not count or count % _WORDS:
        raise ValueError(f"a capture of {len(data)} bytes says that it holds {count} words")
    lines = [_unpacked(rest[at : at + _WORDS]) for at in range(0, count, _WORDS)]
    return abi.decode_address(words[0]), tuple(lines)


def moved_by(to: str | None, data: bytes) -> tuple[Moved, ...]:
    """What a call of any of the three kinds moves, in order; ValueError if it is of none.

    Several at once through our contract, or one: by the token itself, or by x402's Permit2 proxy.
    """
    if to == CAPTURE.address:
        token, lines = decode_capture(data)
        return tuple(_moved(token, each.authorization) for each in lines)
    if to == permit2.EXACT_PROXY:
        permit = permit2.decode_call(data)
        return (Moved(permit.token, permit.payer, permit.to, permit.units),)
    if to is None:
        raise ValueError("the creation of a contract")
    return (_moved(to, eip3009.decode_call(data)),)


def gas_limit(gas_used: int, *, margin_percent: int) -> int:
    """The limit for a capture that used so much when tried: its last line still begins."""
    return gas_used + gas_used * margin_percent // 100 + GAS_BEFORE_TRANSFER


def outcomes(
    moved: Sequence[Moved],
    logs: Sequence[tuple[int, Log]],
    *,
    to: str | None,
    sender: str,
) -> list[Outcome]:
    """What each line of a mined, successful call did, by the receipt's logs and their places.

    Only events of our contract about ``sender`` name failures. Every other line has a Transfer of
    its token, payer, recipient and units, of equal ones in their order. ``Contradiction`` if one
    lacks: then nothing is known.
    """
    told = [log for _, log in logs] if to == CAPTURE.address else []
    failed, untried_from = failures(told, CAPTURE.address, sender, lines=len(moved))
    left: dict[Moved, list[int]] = {}
    for place, log in logs:
        transfer = _transfer(log)
        if transfer is not None:
            left.setdefault(transfer, []).append(place)
    found = []
    for line, each in enumerate(moved):
        if line in failed:
            untried = untried_from is not None and line >= untried_from
            found.append(Outcome(None, failed[line], untried))
            continue
        places = left.get(each)
        if not places:
            raise Contradiction(f"line {line} did not fail, and its Transfer is not there")
        found.append(Outcome(places.pop(0)))
    return found


def _moved(token: str, authorization: Authorization) -> Moved:
    return Moved(token, authorization.payer, authorization.to, authorization.units)


def _transfer(log: Log) -> Moved | None:
    if len(log.topics) != 3 or log.topics[0] != abi.TRANSFER_TOPIC:
        return None
    payer, receiver = ("0x" + each[-2 * evm.ADDRESS_BYTES :] for each in log.topics[1:])
    return Moved(log.contract, payer, receiver, int.from_bytes(log.data, "big"))


def _packed(line: Line) -> bytes:
    signed = line.authorization
    if not fits(signed) or len(line.signature) != eip3009.KEY_SIGNATURE_BYTES:
        raise ValueError("this authorization does not fit a line")
    parity = line.signature[64] - 27 if line.signature[64] >= 27 else line.signature[64]
    s = int.from_bytes(line.signature[32:64], "big") | (_PARITY if parity else 0)
    return b"".join(
        (
            _raw(signed.payer) + signed.units.to_bytes(_UNITS_BYTES, "big"),
            _raw(signed.to)
            + signed.valid_after.to_bytes(_TIME_BYTES, "big")
            + signed.valid_before.to_bytes(_TIME_BYTES, "big"),
            signed.nonce,
            line.signature[:32],
            s.to_bytes(abi.WORD_BYTES, "big"),
        )
    )


def _unpacked(words: Sequence[bytes]) -> Line:
    whole = int.from_bytes(words[4], "big")
    signature = (
        words[3] + (whole & (_PARITY - 1)).to_bytes(32, "big") + bytes([27 + (whole >> 255)])
    )
    tail = words[1][evm.ADDRESS_BYTES :]
    return Line(
        Authorization(
            payer="0x" + words[0][: evm.ADDRESS_BYTES].hex(),
            to="0x" + words[1][: evm.ADDRESS_BYTES].hex(),
            units=int.from_bytes(words[0][evm.ADDRESS_BYTES :], "big"),
            valid_after=int.from_bytes(tail[:_TIME_BYTES], "big"),
            valid_before=int.from_bytes(tail[_TIME_BYTES:], "big"),
            nonce=words[2],
        ),
        signature,
    )


def _raw(address: str) -> bytes:
    return bytes.fromhex(evm.parse_address(address)[2:])
