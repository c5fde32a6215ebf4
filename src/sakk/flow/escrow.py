"""x402's ``batch-settlement`` for one process: verified and settled, for two kinds of servers.

A server that keeps its own channels, as others' do, has its calls judged by the chain and carried
out: its vouchers are its own business. A server that says ``extra.channels: "sakk"`` and has an
account's key keeps none: to verify a voucher is to reserve the charge in the ledger, to settle it
is to take it, and redemption follows by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from sakk.core import caip, evm
from sakk.core.errors import ParameterInvalid, SakkError
from sakk.core.escrow import (
    ESCROW,
    ChannelConfig,
    channel_id,
    decode_pair,
    deposit_nonce,
    encode_claim,
    encode_claim_signed,
    encode_deposit,
    encode_multicall,
    encode_receiver_query,
    encode_refund,
    encode_refund_signed,
    encode_settle,
    is_signed,
)
from sakk.core.escrow_call import PREFIX as CALL_PREFIX
from sakk.core.escrow_call import CallKind, CallStatus, EscrowCall
from sakk.core.escrow_channel import SCHEME, EscrowChannel, Refusal, chain_extra
from sakk.core.escrow_wire import Payload, read_amount, read_payload
from sakk.core.network import Network
from sakk.core.x402 import Invalid, Request, Settled, Verified, read_hex, read_units
from sakk.flow.context import Parts
from sakk.flow.escrow_call import BUILD, authorizer
from sakk.flow.escrow_channel import (
    DEPOSIT_FAILED,
    DEPOSIT_REFUSED,
    PENDING,
    REFUND_FAILED,
    Deposit,
    Refused,
    Terms,
    await_call,
    check_config,
    order_deposit,
    order_refund,
    terms,
)
from sakk.flow.stage import wake
from sakk.flow.voucher import Answer, Presented, Vouchers
from sakk.rails.evm.escrow import read_states, why_refused
from sakk.rails.evm.rpc import parse_data
from sakk.store import escrow_channel as store
from sakk.store import network as networks
from sakk.store import transaction as transactions
from sakk.store.identity import new_id

OWN: Final = "sakk"
CLAIM_REFUSED: Final = "invalid_batch_settlement_evm_claim_simulation_failed"
NOTHING_DUE: Final = "invalid_batch_settlement_evm_nothing_to_settle"
UNAVAILABLE: Final = "unexpected_settle_error"

log = structlog.get_logger(__name__)


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


class EscrowFacilitator:
    """Verifies and settles ``batch-settlement``; safe to call from many threads."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._vouchers = Vouchers(parts)

    def verify(self, request: Request, *, livemode: bool | None, account: str | None) -> Verified:
        """Is the payment good? A voucher of a channel of ours is reserved by it."""
        payer: str | None = None
        try:
            asked = self._read(request, livemode, account)
            config = _config(asked)
            payer = evm.checksum_address(config.payer)
            return Verified(is_valid=True, payer=payer, extra=self._verified(asked, config))
        except _Told as told:
            return Verified(
                is_valid=False, payer=payer, invalid_reason=told.code, extra=told.extra or None
            )
        except (Refused, Invalid, ValueError, SakkError) as error:
            code, message = _why(error)
            return Verified(
                is_valid=False, payer=payer, invalid_reason=code, invalid_message=message
            )

    def settle(self, request: Request, *, livemode: bool | None, account: str | None) -> Settled:
        """Carry a payment out, and say what became of it."""
        network = request.payment_requirements.network
        try:
            asked = self._read(request, livemode, account)
            return self._settled(asked)
        except _Told as told:
            return Settled(
                success=False,
                transaction="",
                network=network,
                error_reason=told.code,
                extra=told.extra or None,
            )
        except (Refused, Invalid, ValueError, SakkError) as error:
            code, message = _why(error)
            return Settled(
                success=False,
                transaction="",
                network=network,
                error_reason=code,
                error_message=message,
            )

    def authorizer(self) -> str:
        with self._parts.database.begin() as connection:
            return evm.checksum_address(authorizer(connection))

    def _read(self, request: Request, livemode: bool | None, account: str | None) -> Asked:
        wanted = request.payment_requirements
        payload = read_payload(bytes(request.payment_payload.payload))
        with self._parts.database.begin() as connection:
            found = networks.find_network(connection, wanted.network)
        if found is None or not found.enabled or livemode not in (None, found.livemode):
            raise Refused("invalid_network", f"{wanted.network!r} is not served.")
        own = account if wanted.extra.get("channels") == OWN else None
        return Asked(request, payload, found, own)

    def _terms(self, asked: Asked) -> Terms:
        assert asked.account is not None
        return terms(
            self._parts,
            asked.account,
            network=asked.network.network,
            asset=asked.asset,
            livemode=asked.network.livemode,
        )

    def _verified(self, asked: Asked, config: ChannelConfig) -> dict[str, Any]:
        ceiling, signature, name = _voucher(asked, config)
        match asked.payload.type:
            case "voucher" if asked.account is not None:
                return self._reserved(asked, name, ceiling, signature).extra
            case "deposit" if asked.account is not None:
                check_config(config, self._terms(asked))
            case "deposit" | "voucher" | "refund":
                _check_requirement(asked, config)
            case other:
                raise Refused(Refusal.payload_type, f"A {other!r} is not verified.")
        return self._judged_by_chain(asked, config, name, ceiling)

    def _judged_by_chain(
        self, asked: Asked, config: ChannelConfig, name: bytes, ceiling: int
    ) -> dict[str, Any]:
        """What the contract says of a channel, if it lets this payment through. Raises Refused."""
        rpc = self._parts.rail_of(asked.network).rpc
        [state] = read_states(rpc, [name])
        deposited = 0
        if asked.payload.type == "deposit":
            deposit = _deposit(asked, config)
            deposited = deposit.units
            data = encode_deposit(config, deposited, deposit.authorization)
            with self._parts.database.begin() as connection:
                sender = authorizer(connection)
            refused = why_refused(rpc, sender=sender, data=data)
            if refused is not None:
                raise Refused(DEPOSIT_REFUSED, f"The deposit would not be taken: {refused}")
        if not state.balance + deposited:
            raise Refused(Refusal.not_found, "The channel holds nothing.")
        if ceiling > state.balance + deposited:
            raise Refused(Refusal.exceeds_balance, f"The channel holds {state.balance}.")
        least = state.total_claimed + (asked.payload.type != "refund")
        if ceiling < least:
            raise Refused(Refusal.below_claimed, f"{state.total_claimed} is claimed already.")
        return chain_extra("0x" + name.hex(), state)

    def _reserved(self, asked: Asked, name: bytes, ceiling: int, signature: bytes) -> Answer:
        assert asked.account is not None
        wanted = asked.request.payment_requirements
        presented = Presented(
            network=asked.network.network,
            channel="0x" + name.hex(),
            ceiling=ceiling,
            signature=signature,
            amount=asked.amount,
            timeout_seconds=min(max(wanted.max_timeout_seconds, 5), 3_600),
        )
        [answer] = self._vouchers.reserve(asked.account, [presented])
        if answer.refusal is not None:
            raise _Told(answer.refusal, answer.extra)
        return answer

    def _settled(self, asked: Asked) -> Settled:
        match asked.payload.type:
            case "deposit":
                return self._settle_deposit(asked)
            case "voucher" if asked.account is not None:
                config = _config(asked)
                ceiling, signature, name = _voucher(asked, config)
                return self._taken(asked, config, name, ceiling, signature, transaction="")
            case "refund" if asked.account is not None:
                return self._settle_refund(asked)
            case "claim" | "settle" | "refund":
                return self._relay(asked)
            case other:
                raise Refused(Refusal.payload_type, f"A {other!r} is not settled.")

    def _settle_deposit(self, asked: Asked) -> Settled:
        config = _config(asked)
        ceiling, signature, name = _voucher(asked, config)
        deposit = _deposit(asked, config)
        if asked.account is None:
            _check_requirement(asked, config)
            nonce = deposit_nonce(name, deposit.authorization.salt)
            call = self._order(
                asked,
                encode_deposit(config, deposit.units, deposit.authorization),
                key=f"deposit:{asked.asset}:{config.payer}:{nonce.hex()}",
            )
        else:
            call = order_deposit(self._parts, self._terms(asked), deposit)
        _, tx_hash = self._await(call, DEPOSIT_FAILED)
        if asked.account is not None:
            taken = self._taken(asked, config, name, ceiling, signature, transaction=tx_hash)
            return Settled(
                success=taken.success,
                transaction=tx_hash,
                network=taken.network,
                payer=taken.payer,
                amount=str(deposit.units),
                error_reason=taken.error_reason,
                extra=taken.extra,
            )
        return self._done(asked, config, name, tx_hash, amount=deposit.units)

    def _taken(
        self,
        asked: Asked,
        config: ChannelConfig,
        name: bytes,
        ceiling: int,
        signature: bytes,
        *,
        transaction: str,
    ) -> Settled:
        """Take what was reserved by a voucher, or reserve and take it."""
        network = asked.network.network
        channel = self._vouchers.find(network, "0x" + name.hex())
        if channel is None or channel.account_id != asked.account:
            raise Refused(Refusal.missing_channel, "There is no such channel here.")
        charge = self._vouchers.reserved(channel, ceiling)
        if charge is None:
            charge = self._reserved(asked, name, ceiling, signature).charge
        assert charge is not None
        answer = self._vouchers.commit(charge, asked.amount)
        if answer.refusal is not None:
            raise _Told(answer.refusal, answer.extra)
        return Settled(
            success=True,
            transaction=transaction,
            network=network,
            payer=evm.checksum_address(config.payer),
            amount="",
            extra=answer.extra,
        )

    def _settle_refund(self, asked: Asked) -> Settled:
        config = _config(asked)
        ceiling, signature, name = _voucher(asked, config)
        channel = self._own(asked, name)
        if channel is None or channel.account_id != asked.account:
            raise Refused(Refusal.missing_channel, "There is no such channel here.")
        asked_for = asked.payload.amount
        call = order_refund(
            self._parts,
            self._vouchers,
            channel,
            ceiling=ceiling,
            signature=signature,
            amount=None if asked_for is None else read_amount(asked_for, "amount"),
        )
        done, tx_hash = self._await(call, REFUND_FAILED)
        return self._done(asked, config, name, tx_hash, amount=done.token_amount)

    def _relay(self, asked: Asked) -> Settled:
        """Carry out what a server that keeps its own channels asks for."""
        payload = asked.payload
        claims = [each.read() for each in payload.claims]
        if payload.type == "settle":
            return self._relay_settle(asked)
        chain = caip.chain_id(asked.network.network)
        config = None if payload.type == "claim" else _config(asked)
        about = [each.config for each in claims] + ([] if config is None else [config])
        for each in about:
            if self._own(asked, channel_id(each, chain)) is not None:
                raise Refused(Refusal.busy, "This channel is kept here, and redeemed by itself.")
        calls = []
        if claims:
            signed = payload.claim_authorizer_signature
            calls.append(
                encode_claim(claims)
                if signed is None
                else encode_claim_signed(claims, read_hex(signed, "claimAuthorizerSignature"))
            )
        if config is not None:
            calls.append(_refund(payload, config))
        if not calls:
            raise Refused(Refusal.payload_type, "There is nothing to claim.")
        data = calls[0] if len(calls) == 1 else encode_multicall(calls)
        call = self._order(asked, data, sender=self._consenting(asked, about))
        _, tx_hash = self._await(call, CLAIM_REFUSED)
        if config is None:
            return Settled(
                success=True, transaction=tx_hash, network=asked.network.network, amount=""
            )
        units = read_amount(payload.amount or "0", "amount")
        return self._done(asked, config, channel_id(config, chain), tx_hash, amount=units)

    def _consenting(self, asked: Asked, about: Sequence[ChannelConfig]) -> str | None:
        """Who has to make a call without a signature: the authorizer, if it is ours."""
        payload = asked.payload
        signed = (payload.claim_authorizer_signature or not payload.claims) and (
            payload.refund_authorizer_signature or payload.type != "refund"
        )
        if signed:
            return None
        with self._parts.database.begin() as connection:
            ours = authorizer(connection)
        if any(each.receiver_authorizer != ours for each in about):
            raise Refused(
                "invalid_batch_settlement_evm_authorizer_address_mismatch",
                "The channels name another authorizer, and its signature is not there.",
            )
        return ours

    def _relay_settle(self, asked: Asked) -> Settled:
        payload = asked.payload
        if payload.receiver is None or payload.token is None:
            raise Refused(Refusal.payload, "A settle names its receiver and token.")
        receiver, token = evm.parse_address(payload.receiver), evm.parse_address(payload.token)
        rpc = self._parts.rail_of(asked.network).rpc
        query = "0x" + encode_receiver_query(receiver, token).hex()
        answer = rpc.call("eth_call", [{"to": ESCROW, "data": query}, "latest"], str)
        claimed, paid = decode_pair(parse_data(answer))
        if claimed <= paid:
            raise Refused(NOTHING_DUE, "Nothing is claimed that is not paid.")
        _, tx_hash = self._await(self._order(asked, encode_settle(receiver, token)), UNAVAILABLE)
        return Settled(
            success=True,
            transaction=tx_hash,
            network=asked.network.network,
            amount=str(claimed - paid),
        )

    def _order(
        self, asked: Asked, data: bytes, *, key: str | None = None, sender: str | None = None
    ) -> EscrowCall:
        """Order a call for others, once it would go through."""
        with self._parts.database.begin() as connection:
            caller = sender or authorizer(connection)
        refused = why_refused(self._parts.rail_of(asked.network).rpc, sender=caller, data=data)
        known = None
        if key is not None:
            with self._parts.database.begin() as connection:
                known = store.call_by_key(connection, key)
        if known is not None and known.status != CallStatus.failed:
            return known
        if refused is not None:
            raise Refused(CLAIM_REFUSED if key is None else DEPOSIT_REFUSED, refused)
        call = EscrowCall(
            id=new_id(CALL_PREFIX),
            kind=CallKind.relay.value,
            livemode=asked.network.livemode,
            network=asked.network.network,
            asset=asked.asset,
            channel_id=None,
            account_id=None,
            key=key if key is not None and known is None else f"relay:{new_id(CALL_PREFIX)}",
            sender=sender,
            destination=ESCROW,
            token_amount=0,
            data=data,
            status=CallStatus.requested.value,
            created=self._parts.clock(),
        )
        with self._parts.database.begin() as connection:
            if not store.insert_call(connection, call):
                standing = store.call_by_key(connection, call.key)
                assert standing is not None
                return standing
            wake(connection, BUILD)
        return call

    def _await(self, call: EscrowCall, failed: str) -> tuple[EscrowCall, str]:
        """Wait for a call's end; Refused when it failed, or when nobody knows yet."""
        done = await_call(self._parts, call.id)
        tx_hash = ""
        if done.transaction is not None:
            with self._parts.database.begin() as connection:
                sent = transactions.find(connection, done.transaction)
            tx_hash = "" if sent is None else sent.hash or ""
        if done.status == CallStatus.posted:
            return done, tx_hash
        if CallStatus(done.status).is_over:
            raise Refused(failed, done.failure or "It did not go through.")
        raise Refused(PENDING, f"{tx_hash or 'The transaction'} is not final yet: ask again.")

    def _done(
        self, asked: Asked, config: ChannelConfig, name: bytes, tx_hash: str, *, amount: int
    ) -> Settled:
        [state] = read_states(self._parts.rail_of(asked.network).rpc, [name])
        return Settled(
            success=True,
            transaction=tx_hash,
            network=asked.network.network,
            payer=evm.checksum_address(config.payer),
            amount=str(amount),
            extra={"channelState": chain_extra("0x" + name.hex(), state)},
        )

    def _own(self, asked: Asked, name: bytes) -> EscrowChannel | None:
        with self._parts.database.begin() as connection:
            return store.named(connection, asked.network.network, "0x" + name.hex())


class _Told(Exception):
    """A voucher is refused, with what its payer needs to find its place again."""

    def __init__(self, code: str, extra: dict[str, Any]) -> None:
        super().__init__(code)
        self.code = code
        self.extra = extra


def _why(error: Exception) -> tuple[str, str]:
    if isinstance(error, Refused):
        return error.code, error.message
    if isinstance(error, Invalid):
        return error.reason.value, error.message
    if isinstance(error, ParameterInvalid) or not isinstance(error, SakkError):
        return Refusal.payload, str(error)
    log.warning("escrow.unavailable", code=error.code)
    return UNAVAILABLE, "It could not be done now: try again."


def _config(asked: Asked) -> ChannelConfig:
    if asked.payload.channel_config is None:
        raise Refused(Refusal.payload_type, "The payload holds no channelConfig.")
    return asked.payload.channel_config.read()


def _voucher(asked: Asked, config: ChannelConfig) -> tuple[int, bytes, bytes]:
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


def _deposit(asked: Asked, config: ChannelConfig) -> Deposit:
    deposit = asked.payload.deposit
    if deposit is None or deposit.authorization.erc3009_authorization is None:
        raise Refused(
            "invalid_batch_settlement_evm_erc3009_authorization_required",
            "Deposits are taken by erc3009Authorization.",
        )
    ceiling, signature, _ = _voucher(asked, config)
    units = read_amount(deposit.amount, "amount")
    authorization = deposit.authorization.erc3009_authorization.read()
    return Deposit(config, ceiling, signature, units, authorization)


def _check_requirement(asked: Asked, config: ChannelConfig) -> None:
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


def _refund(payload: Payload, config: ChannelConfig) -> bytes:
    units = read_amount(payload.amount or "", "amount")
    if payload.refund_authorizer_signature is None:
        return encode_refund(config, units)
    nonce = read_units(payload.refund_nonce or "", "refundNonce")
    signature = read_hex(payload.refund_authorizer_signature, "refundAuthorizerSignature")
    return encode_refund_signed(config, units, nonce, signature)


def kinds(parts: Parts) -> list[dict[str, Any]]:
    """What ``supported`` says: each network on which a token is paid in, and the authorizer."""
    with parts.database.begin() as connection:
        paid_in = {
            each.network
            for each in networks.list_assets(connection)
            if each.payin_enabled and each.contract is not None
        }
        named = evm.checksum_address(authorizer(connection))
        return [
            {
                "x402Version": 2,
                "scheme": SCHEME,
                "network": each.network,
                "extra": {"receiverAuthorizer": named},
            }
            for each in networks.list_networks(connection)
            if each.enabled and each.network in paid_in
        ]
