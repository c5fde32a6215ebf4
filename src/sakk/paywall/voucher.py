"""Vouchers of ``batch-settlement`` as a Sakk is asked about them: records beside those of sessions.

``POST /v1/charges`` takes both (docs/concepts/channels.md). A record is 128 bytes, its result 96.
"""

import struct
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, NamedTuple

from sakk.client.session import uuid_bytes

COMMIT, RELEASE = 5, 6
WHOLE: Final = (1 << 64) - 1
_RESERVE = 4
_RECORD = struct.Struct(">BBHQ8s12s32s64s")
_END = struct.Struct(">BxHQ8x12s16s80x")
_RESULT = struct.Struct(">BxH20s8x16s12s12sQ16s")
_AMOUNT_MAX: Final = (1 << 64) - 2
_CEILING_MAX: Final = (1 << 96) - 1
MISMATCH: Final = "invalid_batch_settlement_evm_cumulative_amount_mismatch"
REASONS: Final = {
    32: "invalid_batch_settlement_evm_voucher_payload",
    33: "invalid_batch_settlement_evm_channel_not_found",
    34: "invalid_batch_settlement_evm_token_mismatch",
    35: "invalid_batch_settlement_evm_voucher_signature",
    36: MISMATCH,
    37: "invalid_batch_settlement_evm_cumulative_exceeds_balance",
    38: "invalid_batch_settlement_evm_channel_busy",
    39: "invalid_batch_settlement_evm_missing_channel",
    40: "invalid_batch_settlement_evm_charge_exceeds_signed_cumulative",
}
STATUS_MISMATCH: Final = 36


class Voucher(NamedTuple):
    """A payer's word: the channel may be charged up to ``ceiling`` altogether."""

    channel: bytes
    ceiling: int
    signature: bytes

    @property
    def channel_id(self) -> str:
        """Its name on the chain, 0x-hex."""
        return "0x" + self.channel.hex()

    @classmethod
    def read(cls, channel: str, ceiling: str, signature: str) -> "Voucher":
        """A voucher of the wire; ValueError where it is none."""
        if not ceiling.isascii() or not ceiling.isdigit() or len(ceiling) > 39:
            raise ValueError("maxClaimableAmount must be a whole number in digits")
        return cls(_hex(channel, 32), int(ceiling), _hex(signature, 65))


@dataclass(frozen=True, slots=True)
class Reserved:
    """What became of a reservation. ``reason``: why it was refused, x402's code.

    ``channel`` and ``attempt`` name the charge; ``extra``: where the channel stands, as x402 says
    it, where it was asked for at length.
    """

    reason: str | None
    payer: str = ""
    balance: int = 0
    claimed: int = 0
    withdraw_begun: int = 0
    channel: bytes = bytes(16)
    attempt: int = 0
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of_document(cls, result: dict[str, Any]) -> "Reserved":
        """What was answered at length; ValueError, KeyError where it makes no sense."""
        if result["status"] != "reserved":
            return cls(str(result["reason"]), extra=result.get("extra") or {})
        channel, _, attempt = str(result["charge"]).rsplit(":", 2)
        state = (result.get("extra") or {}).get("channelState") or {}
        return cls(
            None,
            payer=str(result["payer"]).lower(),
            balance=int(state.get("balance", 0)),
            claimed=int(state.get("totalClaimed", 0)),
            withdraw_begun=int(state.get("withdrawRequestedAt", 0)),
            channel=uuid_bytes(channel),
            attempt=int(attempt),
        )


@lru_cache(maxsize=256)
def asset_tag(network: str, asset: str) -> bytes:
    """In which coin a price is: a channel of another coin can not pay it."""
    return sha256(f"{network}/erc20:{asset.lower()}".encode()).digest()[:8]


def reserve_record(voucher: Voucher, amount: int, tag: bytes, seconds: int) -> bytes | None:
    """Reserve a call by a voucher; None where its numbers are too long for a record."""
    if amount > _AMOUNT_MAX or voucher.ceiling > _CEILING_MAX:
        return None
    return _RECORD.pack(
        _RESERVE,
        voucher.signature[64],
        seconds,
        amount,
        tag,
        voucher.ceiling.to_bytes(12, "big"),
        voucher.channel,
        voucher.signature[:64],
    )


def end_record(step: int, voucher: Voucher, reserved: Reserved, amount: int) -> bytes:
    """Commit a call, what it used or ``WHOLE``; or release it."""
    return _end(step, reserved.attempt, amount, voucher.ceiling, reserved.channel)


def release_of(record: bytes, result: bytes) -> bytes | None:
    """The release of what a record reserves, by its result; None of another kind of record."""
    if record[0] != _RESERVE:
        return None
    ceiling = int.from_bytes(record[20:32], "big")
    reserved = read_reserved(result)
    return _end(RELEASE, reserved.attempt, 0, ceiling, reserved.channel)


def read_reserved(result: bytes) -> Reserved:
    """The result of a reservation."""
    status, attempt, payer, _, balance, claimed, begun, channel = _RESULT.unpack(result)
    if status:
        return Reserved(REASONS.get(status, "unexpected_verify_error"))
    return Reserved(
        None,
        payer="0x" + payer.hex(),
        balance=int.from_bytes(balance, "big"),
        claimed=int.from_bytes(claimed, "big"),
        withdraw_begun=begun,
        channel=channel,
        attempt=attempt,
    )


def _end(step: int, attempt: int, amount: int, ceiling: int, channel: bytes) -> bytes:
    return _END.pack(step, attempt, amount, ceiling.to_bytes(12, "big"), channel)


def _hex(text: str, size: int) -> bytes:
    if len(text) != 2 + 2 * size or text[:2] != "0x":
        raise ValueError(f"{text[:80]!r} are not {size} bytes in hex")
    return bytes.fromhex(text[2:])
