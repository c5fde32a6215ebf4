"""The payloads of x402's ``batch-settlement``, as a facilitator reads them.

Specification: specs/schemes/batch-settlement/scheme_batch_settlement_evm.md of x402. What a payload
holds depends on its ``type``; what is not known is passed over.
"""

from typing import Annotated, Final

import msgspec

from sakk.core import evm
from sakk.core.escrow import (
    AMOUNT_MAX,
    Authorization,
    ChannelConfig,
    Claim,
    PermitAuthorization,
    parse_bytes32,
)
from sakk.core.x402 import Hex, Text, read_hex, read_units

CLAIMS_READ_MAX: Final = 200


class WireConfig(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """``channelConfig``."""

    payer: Text
    payer_authorizer: Text
    receiver: Text
    receiver_authorizer: Text
    token: Text
    withdraw_delay: Annotated[int, msgspec.Meta(ge=0, lt=1 << 40)]
    salt: Text

    def read(self) -> ChannelConfig:
        """The configuration; ValueError for what is no address, or no 32 bytes."""
        unnamed = self.payer_authorizer.lower() == evm.ZERO_ADDRESS
        return ChannelConfig(
            payer=evm.parse_address(self.payer),
            payer_authorizer=(
                evm.ZERO_ADDRESS if unnamed else evm.parse_address(self.payer_authorizer)
            ),
            receiver=evm.parse_address(self.receiver),
            receiver_authorizer=evm.parse_address(self.receiver_authorizer),
            token=evm.parse_address(self.token),
            withdraw_delay=self.withdraw_delay,
            salt=parse_bytes32(self.salt),
        )


class WireVoucher(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """``voucher``."""

    channel_id: Text
    max_claimable_amount: Text
    signature: Hex


class WireErc3009(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """``erc3009Authorization``; ``salt`` is a number of 256 bits in 0x-hex."""

    valid_after: Text
    valid_before: Text
    salt: Text
    signature: Hex

    def read(self) -> Authorization:
        return Authorization(
            read_units(self.valid_after, "validAfter"),
            read_units(self.valid_before, "validBefore"),
            int.from_bytes(parse_bytes32(self.salt), "big"),
            read_hex(self.signature, "signature"),
        )


class WirePermitted(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """``permitted``: how much of which token."""

    token: Text
    amount: Text


class WireWitness(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """``witness``: the channel that the coins go into."""

    channel_id: Text


class WirePermit2(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """``permit2Authorization`` of a deposit."""

    payer: Text = msgspec.field(name="from")
    permitted: WirePermitted
    spender: Text
    nonce: Text
    deadline: Text
    witness: WireWitness
    signature: Hex

    def read(self) -> PermitAuthorization:
        return PermitAuthorization(
            read_units(self.nonce, "nonce"),
            read_units(self.deadline, "deadline"),
            read_hex(self.signature, "signature"),
        )


class WireAuthorization(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """``authorization``: one of the two."""

    erc3009_authorization: WireErc3009 | None = None
    permit2_authorization: WirePermit2 | None = None


class WireDeposit(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """``deposit``."""

    amount: Text
    authorization: WireAuthorization


class WireClaimed(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """The ``voucher`` of a claim: the channel itself, and the total it is signed for."""

    channel: WireConfig
    max_claimable_amount: Text


class WireClaim(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """An entry of ``claims``."""

    voucher: WireClaimed
    signature: Hex
    total_claimed: Text

    def read(self) -> Claim:
        return Claim(
            self.voucher.channel.read(),
            read_amount(self.voucher.max_claimable_amount, "maxClaimableAmount"),
            read_hex(self.signature, "signature"),
            read_amount(self.total_claimed, "totalClaimed"),
        )


class Payload(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Any payload: what its ``type`` does not name is None or empty."""

    type: Text
    channel_config: WireConfig | None = None
    voucher: WireVoucher | None = None
    deposit: WireDeposit | None = None
    amount: Text | None = None
    claims: Annotated[list[WireClaim], msgspec.Meta(max_length=CLAIMS_READ_MAX)] = []
    claim_authorizer_signature: Hex | None = None
    refund_nonce: Text | None = None
    refund_authorizer_signature: Hex | None = None
    receiver: Text | None = None
    token: Text | None = None


_payload = msgspec.json.Decoder(Payload)


def read_payload(raw: bytes) -> Payload:
    """Read a payload; ValueError says what is wrong with it."""
    try:
        return _payload.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None


def read_amount(text: str, name: str) -> int:
    """A whole number of 128 bits in decimal digits; ValueError or Invalid names the field."""
    units = read_units(text, name)
    if units > AMOUNT_MAX:
        raise ValueError(f"{name} is a number of 128 bits")
    return units
