"""A payer of channels in the escrow: what it signs, in x402's own form."""

import secrets
from dataclasses import dataclass
from typing import Any, Final

from coincurve import PrivateKey

from sakk.core import abi, evm
from sakk.core.eip3009 import domain_separator
from sakk.core.escrow import (
    COLLECTOR,
    Authorization,
    ChannelConfig,
    channel_id,
    deposit_nonce,
    voucher_digest,
)

FOR_EVER: Final = 1 << 40
_RECEIVE_TYPE: Final = evm.keccak256(
    b"ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,"
    b"uint256 validBefore,bytes32 nonce)"
)


@dataclass(frozen=True, slots=True)
class EscrowPayer:
    """A key with coins of one token. ``domain``: the token's EIP-712 name and version."""

    key: PrivateKey
    chain: int
    token: str
    domain: tuple[str, str]

    @property
    def address(self) -> str:
        return evm.public_key_address(self.key.public_key.format(compressed=False))

    def channel(self, *, receiver: str, authorizer: str, delay: int) -> ChannelConfig:
        """A channel that nobody has opened yet."""
        return ChannelConfig(
            payer=self.address,
            payer_authorizer=self.address,
            receiver=receiver.lower(),
            receiver_authorizer=authorizer.lower(),
            token=self.token,
            withdraw_delay=delay,
            salt=secrets.token_bytes(32),
        )

    def voucher(self, config: ChannelConfig, units: int) -> bytes:
        return self._sign(voucher_digest(channel_id(config, self.chain), units, self.chain))

    def authorization(self, config: ChannelConfig, units: int) -> Authorization:
        """For a deposit of so many units."""
        salt = secrets.randbits(256)
        words = (
            abi.encode_address(self.address),
            abi.encode_address(COLLECTOR),
            abi.encode_uint(units),
            abi.encode_uint(0),
            abi.encode_uint(FOR_EVER),
            deposit_nonce(channel_id(config, self.chain), salt),
        )
        separator = domain_separator(*self.domain, self.chain, self.token)
        content = evm.keccak256(_RECEIVE_TYPE + b"".join(words))
        signed = self._sign(evm.keccak256(b"\x19\x01" + separator + content))
        return Authorization(0, FOR_EVER, salt, signed)

    def voucher_payload(self, config: ChannelConfig, units: int) -> dict[str, Any]:
        """x402's payload of a call that is paid by a voucher for a total of so many units."""
        return {
            "type": "voucher",
            "channelConfig": _wire(config),
            "voucher": {
                "channelId": "0x" + channel_id(config, self.chain).hex(),
                "maxClaimableAmount": str(units),
                "signature": "0x" + self.voucher(config, units).hex(),
            },
        }

    def deposit_payload(self, config: ChannelConfig, units: int, first: int) -> dict[str, Any]:
        """x402's payload of a channel's first call, which brings a deposit of so many units."""
        signed = self.authorization(config, units)
        authorization = {
            "validAfter": str(signed.valid_after),
            "validBefore": str(signed.valid_before),
            "salt": f"0x{signed.salt:064x}",
            "signature": "0x" + signed.signature.hex(),
        }
        deposit = {
            "amount": str(units),
            "authorization": {"erc3009Authorization": authorization},
        }
        return self.voucher_payload(config, first) | {"type": "deposit", "deposit": deposit}

    def _sign(self, digest: bytes) -> bytes:
        compact = self.key.sign_recoverable(digest, hasher=None)
        return compact[:64] + bytes([27 + compact[64]])


def _wire(config: ChannelConfig) -> dict[str, Any]:
    return {
        "payer": evm.checksum_address(config.payer),
        "payerAuthorizer": evm.checksum_address(config.payer_authorizer),
        "receiver": evm.checksum_address(config.receiver),
        "receiverAuthorizer": evm.checksum_address(config.receiver_authorizer),
        "token": evm.checksum_address(config.token),
        "withdrawDelay": config.withdraw_delay,
        "salt": "0x" + config.salt.hex(),
    }
