"""What a chain says of what a wallet signed: whether it was taken, and whether it still can be.

EIP-3009 has ``authorizationState`` of a token, Permit2 a bitmap of nonces for all tokens. Only the
chain's own clock says that something has expired, and a little later than it was signed for, so
that a reorganisation of a few blocks does not bring it back.
"""

from dataclasses import dataclass
from typing import Any, Final

from eth_utils.crypto import keccak

from sakk.client.permit2 import PERMIT2
from sakk.client.wallet_log import Receipt, State
from sakk.client.wallet_node import Call, eth_call, word
from sakk.client.x402 import Payment, decode_header

EXACT: Final = "exact"
BATCH_SETTLEMENT: Final = "batch-settlement"
OPEN_STATES: Final = (State.signed, State.unknown, State.refused)
EXPIRED_SECONDS: Final = 120
_STATE: Final = "0x" + keccak(text="authorizationState(address,bytes32)")[:4].hex()
_BITMAP: Final = "0x" + keccak(text="nonceBitmap(address,uint256)")[:4].hex()


@dataclass(frozen=True, slots=True)
class Signed:
    """An authorisation: ``nonce`` of 256 bits, ``expires`` in seconds since 1970."""

    payer: str
    token: str
    nonce: int
    expires: int
    by_permit2: bool

    @property
    def calls(self) -> list[Call]:
        """What to ask a node: the newest block, and whether the nonce was used."""
        head = Call("eth_getBlockByNumber", ["latest", False])
        if self.by_permit2:
            data = _BITMAP + word(self.payer) + f"{self.nonce >> 8:064x}"
            return [head, eth_call(PERMIT2, data)]
        return [head, eth_call(self.token, _STATE + word(self.payer) + f"{self.nonce:064x}")]

    def state(self, block: Any, answer: Any) -> State | None:
        """What became of it by a node's answers; None while it may still be taken. ValueError."""
        try:
            found, time = int(answer, 16), int(block["timestamp"], 16)
        except (TypeError, KeyError) as error:
            raise ValueError(f"no such answer is known: {error}") from error
        if found >> (self.nonce & 0xFF) & 1 if self.by_permit2 else found:
            return State.paid
        return State.released if time >= self.expires + EXPIRED_SECONDS else None


def is_open(receipt: Receipt) -> bool:
    """May what was signed still move coins: an exact payment, or a deposit?"""
    schemes = (EXACT, BATCH_SETTLEMENT)
    return receipt.scheme in schemes and receipt.counts and receipt.state in OPEN_STATES


def signed_of(receipt: Receipt, header: str) -> Signed:
    """What a payment's header authorises."""
    payload = decode_header(header, Payment).payload
    found = payload["deposit"]["authorization"] if "deposit" in payload else payload
    permit = found.get("permit2Authorization")
    if permit is not None:
        nonce, expires = int(permit["nonce"]), int(permit["deadline"])
    elif "deposit" in payload:
        signed = found["erc3009Authorization"]
        salt = bytes.fromhex(signed["salt"][2:])
        nonce = int.from_bytes(deposit_nonce(payload["voucher"]["channelId"], salt), "big")
        expires = int(signed["validBefore"])
    else:
        signed = found["authorization"]
        nonce, expires = int(signed["nonce"], 16), int(signed["validBefore"])
    return Signed(receipt.payer, receipt.asset, nonce, expires, permit is not None)


def deposit_nonce(channel: str, salt: bytes) -> bytes:
    """The nonce of a deposit's authorisation, as the collector makes it."""
    return keccak(bytes.fromhex(channel[2:]) + salt)
