"""Requests of ``batch-settlement`` as a facilitator judges them: what they hold, read once."""

from dataclasses import dataclass

from sakk.core import caip, evm
from sakk.core.escrow import (
    ChannelConfig,
    channel_id,
    encode_refund,
    encode_refund_signed,
    is_signed,
)
from sakk.core.escrow_channel import Refusal
from sakk.core.escrow_wire import Payload, read_amount
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
    deposit = asked.payload.deposit
    if deposit is None or deposit.authorization.erc3009_authorization is None:
        raise Refused(
            "invalid_batch_settlement_evm_erc3009_authorization_required",
            "Deposits are taken by erc3009Authorization.",
        )
    ceiling, signature, _ = voucher_of(asked, config)
    units = read_amount(deposit.amount, "amount")
    authorization = deposit.authorization.erc3009_authorization.read()
    return Deposit(config, ceiling, signature, units, authorization)


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
