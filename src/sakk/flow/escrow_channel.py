"""Escrow channels: opened and topped up by a payer's deposit.

A deposit is judged before a call of ours carries it: the channel's own terms, the payer's voucher,
the lists, and a trial on the newest state. What it brings is charged once it is final.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sakk.core import caip, evm
from sakk.core.errors import ParameterInvalid
from sakk.core.escrow import (
    AMOUNT_MAX,
    ESCROW,
    WITHDRAW_DELAY_MAX,
    WITHDRAW_DELAY_MIN,
    AnyAuthorization,
    ChannelConfig,
    PermitAuthorization,
    channel_id,
    encode_deposit,
    is_signed,
)
from sakk.core.escrow_call import PREFIX as CALL_PREFIX
from sakk.core.escrow_call import CallKind, CallStatus, EscrowCall
from sakk.core.escrow_channel import (
    PREFIX,
    WITHDRAW_DELAY_SECONDS,
    ChannelStatus,
    EscrowChannel,
    Refusal,
)
from sakk.core.network import Asset, Network
from sakk.core.permit2 import PERMIT2
from sakk.core.screening import Direction, ScreeningRequest, Verdict
from sakk.flow import receiving_address
from sakk.flow.context import Parts
from sakk.flow.escrow_call import BUILD, authorizer
from sakk.flow.stage import wake
from sakk.rails.evm.disperse import allowed_units
from sakk.rails.evm.escrow import why_refused
from sakk.store import escrow_channel as store
from sakk.store import network as networks
from sakk.store.identity import new_id

DECLINED: Final = "declined"
DEPOSIT_REFUSED: Final = "invalid_batch_settlement_evm_deposit_simulation_failed"
DEPOSIT_FAILED: Final = "invalid_batch_settlement_evm_deposit_transaction_failed"
PENDING: Final = "settlement_pending"


class Refused(Exception):
    """A payment is refused, by one of x402's codes, with words for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Terms:
    """How one pays an account through the escrow, on one network, in one token.

    ``receiver`` and ``authorizer`` are what a channel has to name.
    """

    network: Network
    asset: Asset
    account_id: str
    receiver: str
    authorizer: str
    withdraw_delay: int = WITHDRAW_DELAY_SECONDS


@dataclass(frozen=True, slots=True)
class Deposit:
    """A payer's deposit as it came: the channel, its first voucher, and the coins it signed for."""

    config: ChannelConfig
    ceiling: int
    signature: bytes
    units: int
    authorization: AnyAuthorization


def terms(parts: Parts, account_id: str, *, network: str, asset: str, livemode: bool) -> Terms:
    """What a door offers. ParameterInvalid names what is not there.

    The account's receiving address on the network is issued by the first request for it.
    """
    now = parts.clock()
    with parts.database.begin() as connection:
        found = networks.find_network(connection, network)
        if found is None or not found.enabled or found.livemode is not livemode:
            raise ParameterInvalid(
                f"There is no network {network!r} in this mode.", param="network"
            )
        listed = {each.asset: each for each in networks.list_assets(connection, network=network)}
        token = listed.get(asset)
        decimals = {each.currency: each.decimals for each in networks.list_currencies(connection)}
        if token is None or token.contract is None or not token.payin_enabled:
            raise ParameterInvalid(f"{asset!r} is no token that is credited here.", param="asset")
        if token.decimals != decimals[token.currency]:
            raise ParameterInvalid(
                f"{asset!r} is counted finer than its currency {token.currency!r}: it has no"
                " channels. Offer another token, or the scheme exact.",
                param="asset",
            )
        receiver = receiving_address.obtain(
            connection,
            identifier=new_id("ra"),
            account_id=account_id,
            livemode=livemode,
            name=network,
            now=now,
        )
        return Terms(found, token, account_id, receiver.address, authorizer(connection))


def check_config(config: ChannelConfig, wanted: Terms) -> None:
    """Refused unless a channel pays this account, in this token, and gives it time to claim."""
    assert wanted.asset.contract is not None
    if config.receiver != wanted.receiver:
        raise Refused(Refusal.receiver_mismatch, f"The channel pays {config.receiver}.")
    if config.receiver_authorizer != wanted.authorizer:
        raise Refused(Refusal.authorizer_mismatch, "The channel names another authorizer.")
    if config.payer_authorizer == evm.ZERO_ADDRESS:
        # The payer's account could be given other code (EIP-7702) before a voucher is claimed.
        raise Refused(
            Refusal.signature,
            "Name the key that signs the vouchers as payerAuthorizer: what the payer's own account"
            " signs, its code can unsay before it is claimed.",
        )
    if config.token != wanted.asset.contract:
        raise Refused(Refusal.token_mismatch, f"The channel is in {config.token}.")
    if not WITHDRAW_DELAY_MIN <= config.withdraw_delay <= WITHDRAW_DELAY_MAX:
        raise Refused(Refusal.delay_range, "withdrawDelay is 900 to 2592000 seconds.")
    if config.withdraw_delay != wanted.withdraw_delay:
        raise Refused(Refusal.delay_mismatch, f"withdrawDelay is {wanted.withdraw_delay} here.")


def order_deposit(parts: Parts, wanted: Terms, deposit: Deposit) -> EscrowCall:
    """Judge a deposit and have it carried out; the same again is the same call. Raises Refused."""
    check_config(deposit.config, wanted)
    chain = caip.chain_id(wanted.network.network)
    name = channel_id(deposit.config, chain)
    signer = deposit.config.voucher_signer
    if not 0 < deposit.units <= AMOUNT_MAX or not 0 < deposit.ceiling <= AMOUNT_MAX:
        raise Refused(Refusal.payload, "Amounts are positive integers of 128 bits.")
    if not is_signed(name, deposit.ceiling, deposit.signature, chain_id=chain, signer=signer):
        raise Refused(Refusal.signature, f"The voucher is not signed by {signer}.")
    config = deposit.config
    key = deposit_key(wanted.asset.asset, deposit, name)
    with parts.database.begin() as connection:
        known = store.call_by_key(connection, key)
    if known is not None and known.status != CallStatus.failed:
        return known
    _screen(parts, wanted, config.payer, units=deposit.units)
    data = try_deposit(parts, wanted.network, deposit, sender=wanted.authorizer)
    now = parts.clock()
    channel = _channel(wanted, config, name, now=now)
    with parts.database.begin() as connection:
        store.insert_channel(connection, channel)
        standing = store.named(connection, channel.network, channel.channel)
        assert standing is not None
        if standing.status == ChannelStatus.withdrawing:
            raise Refused(Refusal.busy, "The channel's payer is withdrawing from it.")
        call = EscrowCall(
            id=new_id(CALL_PREFIX),
            kind=CallKind.deposit.value,
            livemode=channel.livemode,
            network=channel.network,
            asset=channel.asset,
            channel_id=standing.id,
            account_id=channel.account_id,
            key=key if known is None else f"{key}:{new_id('again')}",
            sender=None,
            destination=ESCROW,
            token_amount=deposit.units,
            data=data,
            status=CallStatus.requested.value,
            created=now,
        )
        if not store.insert_call(connection, call):
            standing_call = store.call_by_key(connection, key)
            assert standing_call is not None
            return standing_call
        wake(connection, BUILD)
    return call


def deposit_key(asset: str, deposit: Deposit, name: bytes) -> str:
    """What a deposit may be asked for once by: the nonce of what its payer signed."""
    return f"deposit:{asset}:{deposit.config.payer}:{deposit.authorization.name_for(name)}"


def try_deposit(parts: Parts, network: Network, deposit: Deposit, *, sender: str) -> bytes:
    """The calldata of a deposit that the newest state would take. Raises Refused."""
    config, signed = deposit.config, deposit.authorization
    if isinstance(signed, PermitAuthorization) and signed.deadline <= parts.clock().timestamp():
        raise Refused(Refusal.permit2_expired, "The permit's deadline is over.")
    data = encode_deposit(config, deposit.units, signed)
    rpc = parts.rail_of(network).rpc
    refused = why_refused(rpc, sender=sender, data=data)
    if refused is None:
        return data
    if isinstance(signed, PermitAuthorization):
        allowed = allowed_units(rpc, token=config.token, owner=config.payer, spender=PERMIT2)
        if allowed < deposit.units:
            raise Refused(
                Refusal.permit2_allowance,
                f"The payer has to approve Permit2 ({evm.checksum_address(PERMIT2)}) for the token"
                " first, by a transaction of its own.",
            )
    raise Refused(DEPOSIT_REFUSED, f"The deposit would not be taken: {refused}")


def _channel(wanted: Terms, config: ChannelConfig, name: bytes, *, now: datetime) -> EscrowChannel:
    return EscrowChannel(
        id=new_id(PREFIX),
        account_id=wanted.account_id,
        livemode=wanted.network.livemode,
        network=wanted.network.network,
        asset=wanted.asset.asset,
        currency=wanted.asset.currency,
        channel="0x" + name.hex(),
        payer=config.payer,
        payer_authorizer=config.payer_authorizer,
        receiver=config.receiver,
        receiver_authorizer=config.receiver_authorizer,
        token=config.token,
        withdraw_delay=config.withdraw_delay,
        salt=config.salt,
        status=ChannelStatus.opening.value,
        created=now,
    )


def _screen(parts: Parts, wanted: Terms, payer: str, *, units: int) -> None:
    """Refused unless the lists and the rules in force say nothing of the payer."""
    with parts.database.begin() as connection:
        request = ScreeningRequest(
            subject=new_id(PREFIX),
            account_id=wanted.account_id,
            livemode=wanted.network.livemode,
            network=wanted.network.network,
            asset=wanted.asset.asset,
            direction=Direction.incoming,
            sender=payer,
            receiver=wanted.receiver,
            token_units=units,
        )
        engine = parts.screening_engine()
        [verdict] = engine.screen([request], connection=connection, at=parts.clock(), asked=False)
    if verdict.verdict != Verdict.clear:
        raise Refused(DECLINED, "This payment is not accepted.")
