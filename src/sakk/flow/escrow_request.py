"""Requests of ``batch-settlement`` as a facilitator judges them: what they hold, read once."""

from dataclasses import dataclass

from sakk.core import caip, evm
from sakk.core.escrow import (
    PERMIT2_COLLECTOR,
    AnyAuthorization,
    ChannelConfig,
    channel_id,
    encode_refund,
    encode_refund_signed,
    is_signed,
)
from sakk.core.escrow_channel import Refusal
from sakk.core.escrow_wire import Payload, WirePermit2, read_amount
from sakk.core.network import Network
from sakk.core.x402 import Request, read_hex, read_units
from sakk.flow.escrow_channel import Deposit, Refused


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it was read. ``account``: whose channels they are here; None: not ours."""

    request: Request
    payload: Payload
    network: Network
    account: str | None

    @property
    def asset(self) -> str:
        wanted = self.request.payment_requirements
        return f"{self.network.network}/erc20:{evm.parse_address(wanted.asset)}"

    @property
    def amount(self) -> int:
        return read_amount(self.request.payment_requirements.amount, "amount")


def config_of(asked: Asked) -> ChannelConfig:
    if asked.payload.channel_config is None:
        raise Refused(Refusal.payload_type, "The payload holds no channelConfig.")
    return asked.payload.channel_config.read()


def voucher_of(asked: Asked, config: ChannelConfig) -> tuple[int, bytes, bytes]:
    """The total, the signature and the channel of a voucher, which has to be the payer's."""
    voucher = asked.payload.voucher
    if voucher is None:
        raise Refused(Refusal.payload_type, "The payload holds no voucher.")
    chain = caip.chain_id(asked.network.network)
    name = channel_id(config, chain)
    if voucher.channel_id.lower() != "0x" + name.hex():
        raise Refused(Refusal.id_mismatch, "channelId is not that of channelConfig.")
    ceiling = read_amount(voucher.max_claimable_amount, "maxClaimableAmount")
    signature = read_hex(voucher.signature, "signature")
    signer = config.voucher_signer
    if not is_signed(name, ceiling, signature, chain_id=chain, signer=signer):
        raise Refused(Refusal.signature, f"The voucher is not signed by {signer}.")
    return ceiling, signature, name


def deposit_of(asked: Asked, config: ChannelConfig) -> Deposit:
    """The deposit of a payload, by an ERC-3009 authorization or by Permit2."""
    deposit = asked.payload.deposit
    signed = None if deposit is None else deposit.authorization
    if deposit is None or signed is None:
        raise Refused(Refusal.payload_type, "The payload holds no deposit.")
    if (signed.erc3009_authorization is None) == (signed.permit2_authorization is None):
        raise Refused(
            Refusal.erc3009_required,
            "A deposit is signed as erc3009Authorization or as permit2Authorization, one of them.",
        )
    ceiling, signature, name = voucher_of(asked, config)
    units = read_amount(deposit.amount, "amount")
    if signed.erc3009_authorization is not None:
        authorization: AnyAuthorization = signed.erc3009_authorization.read()
    else:
        assert signed.permit2_authorization is not None
        _check_permit(signed.permit2_authorization, config, units=units, name=name)
        authorization = signed.permit2_authorization.read()
    return Deposit(config, ceiling, signature, units, authorization)


def _check_permit(signed: WirePermit2, config: ChannelConfig, *, units: int, name: bytes) -> None:
    """Refused unless Permit2 is to bring just this into just this channel: x402's own codes."""
    if evm.parse_address(signed.payer) != config.payer:
        raise Refused(Refusal.permit2_signature, f"Signed by {signed.payer}, not by the payer.")
    if evm.parse_address(signed.spender) != PERMIT2_COLLECTOR:
        raise Refused(Refusal.permit2_spender, f"The spender is {PERMIT2_COLLECTOR}.")
    if evm.parse_address(signed.permitted.token) != config.token:
        raise Refused(Refusal.token_mismatch, f"The channel is in {config.token}.")
    if read_amount(signed.permitted.amount, "permitted.amount") != units:
        raise Refused(Refusal.permit2_amount, f"{units} units are to be deposited.")
    if signed.witness.channel_id.lower() != "0x" + name.hex():
        raise Refused(Refusal.id_mismatch, "witness.channelId is not that of channelConfig.")


def check_requirement(asked: Asked, config: ChannelConfig) -> None:
    """Refused unless a channel is what the server asks for."""
    wanted = asked.request.payment_requirements
    if config.receiver != evm.parse_address(wanted.pay_to):
        raise Refused(Refusal.receiver_mismatch, f"The channel pays {config.receiver}.")
    named = wanted.extra.get("receiverAuthorizer")
    if not isinstance(named, str) or config.receiver_authorizer != named.lower():
        raise Refused(Refusal.authorizer_mismatch, "The channel names another authorizer.")
    if config.token != evm.parse_address(wanted.asset):
        raise Refused(Refusal.token_mismatch, f"The channel is in {config.token}.")
    delay = wanted.extra.get("withdrawDelay")
    if delay is not None and config.withdraw_delay != delay:
        raise Refused(Refusal.delay_mismatch, f"withdrawDelay is {delay} there.")


def refund_call(payload: Payload, config: ChannelConfig) -> bytes:
    units = read_amount(payload.amount or "", "amount")
    if payload.refund_authorizer_signature is None:
        return encode_refund(config, units)
    nonce = read_units(payload.refund_nonce or "", "refundNonce")
    signature = read_hex(payload.refund_authorizer_signature, "refundAuthorizerSignature")
    return encode_refund_signed(config, units, nonce, signature)
