"""x402's ``batch-settlement`` for one process: verified and settled, for two kinds of servers.

A server that keeps its own channels, as others' do, has its calls judged by the chain and carried
out: its vouchers are its own business. A server that says ``extra.channels: "sakk"`` and has an
account's key keeps none: to verify a voucher is to reserve the charge in the ledger, to settle it
is to take it, and redemption follows by itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import structlog

from sakk.core import caip, evm
from sakk.core.errors import ParameterInvalid, SakkError
from sakk.core.escrow import (
    ESCROW,
    ChannelConfig,
    channel_id,
    decode_pair,
    encode_claim,
    encode_claim_signed,
    encode_deposit,
    encode_multicall,
    encode_receiver_query,
    encode_settle,
)
from sakk.core.escrow_call import PREFIX as CALL_PREFIX
from sakk.core.escrow_call import CallKind, CallStatus, EscrowCall
from sakk.core.escrow_channel import SCHEME, EscrowChannel, Refusal, chain_extra, judge
from sakk.core.escrow_wire import read_amount, read_payload
from sakk.core.x402 import Invalid, Request, Settled, Verified, read_hex
from sakk.flow.context import Parts
from sakk.flow.escrow_call import BUILD, authorizer
from sakk.flow.escrow_channel import (
    DEPOSIT_FAILED,
    DEPOSIT_REFUSED,
    PENDING,
    Deposit,
    Refused,
    Terms,
    check_config,
    deposit_key,
    order_deposit,
    terms,
    try_deposit,
)
from sakk.flow.escrow_refund import REFUND_FAILED, order_refund
from sakk.flow.escrow_request import (
    Asked,
    check_requirement,
    config_of,
    deposit_of,
    refund_call,
    voucher_of,
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
# So long a server waits for a call to be final; after that it asks again.
CALL_SECONDS_MAX: Final = 60.0

log = structlog.get_logger(__name__)

Begun = TypeVar("Begun", bound="Settled | Ordered")


@dataclass(frozen=True, slots=True)
class Ordered:
    """A call of the escrow that is under way. ``finish`` says what the payment came to by now."""

    call: str
    finish: Callable[[], Settled]


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
            config = config_of(asked)
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

    def begin(
        self, request: Request, *, livemode: bool | None, account: str | None
    ) -> Settled | Ordered:
        """Carry a payment out and say what became of it, or the call whose end is awaited."""
        network = request.payment_requirements.network
        return _answered(network, lambda: self._begun(self._read(request, livemode, account)))

    def ended(self, calls: Sequence[str]) -> dict[str, EscrowCall]:
        """Those of these calls that are over."""
        with self._parts.database.begin() as connection:
            return {each.id: each for each in store.ended_calls(connection, calls)}

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
        ceiling, signature, name = voucher_of(asked, config)
        match asked.payload.type:
            case "voucher" if asked.account is not None:
                return self._reserved(asked, name, ceiling, signature).extra
            case "deposit" if asked.account is not None:
                check_config(config, self._terms(asked))
            case "deposit" | "voucher" | "refund":
                check_requirement(asked, config)
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
            deposit = deposit_of(asked, config)
            deposited = deposit.units
            with self._parts.database.begin() as connection:
                sender = authorizer(connection)
            try_deposit(self._parts, asked.network, deposit, sender=sender)
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
            asset=asked.asset,
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

    def _begun(self, asked: Asked) -> Settled | Ordered:
        match asked.payload.type:
            case "deposit":
                return self._settle_deposit(asked)
            case "voucher" if asked.account is not None:
                config = config_of(asked)
                ceiling, signature, name = voucher_of(asked, config)
                return self._taken(asked, config, name, ceiling, signature, transaction="")
            case "refund" if asked.account is not None:
                return self._settle_refund(asked)
            case "claim" | "settle" | "refund":
                return self._relay(asked)
            case other:
                raise Refused(Refusal.payload_type, f"A {other!r} is not settled.")

    def _settle_deposit(self, asked: Asked) -> Ordered:
        config = config_of(asked)
        ceiling, signature, name = voucher_of(asked, config)
        deposit = deposit_of(asked, config)
        if asked.account is None:
            check_requirement(asked, config)
            call = self._order(
                asked,
                encode_deposit(config, deposit.units, deposit.authorization),
                key=deposit_key(asked.asset, deposit, name),
            )
        else:
            self._check_place(asked, name, ceiling, deposit)
            call = order_deposit(self._parts, self._terms(asked), deposit)

        def finish(_: EscrowCall, tx_hash: str) -> Settled:
            if asked.account is None or not asked.amount:
                # The deposit alone: whoever asks charges its calls by itself.
                return self._done(asked, config, name, tx_hash, amount=deposit.units)
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

        return self._ordered(asked, call, DEPOSIT_FAILED, finish)

    def _check_place(self, asked: Asked, name: bytes, ceiling: int, deposit: Deposit) -> None:
        """A deposit that comes with a voucher which could not pay is not sent, and its payer told.

        One that lost its place signs from the channel's start: it finds it again, and deposits
        where it has to. What was ordered before goes on.
        """
        channel = self._vouchers.find(asked.network.network, "0x" + name.hex())
        with self._parts.database.begin() as connection:
            known = store.call_by_key(connection, deposit_key(asked.asset, deposit, name))
        if channel is None or channel.account_id != asked.account:
            return
        if known is not None and known.status != CallStatus.failed:
            return
        totals = self._vouchers.totals(channel)
        then = totals._replace(deposit=totals.deposit + deposit.units)
        # A door that charges by itself has the deposit alone settled: what it asks for is accepted.
        price = read_amount(asked.request.payment_payload.accepted.amount, "amount")
        judged = judge(then, ceiling=ceiling, amount=max(asked.amount, price, 1))
        if isinstance(judged, Refusal):
            raise _Told(judged, self._vouchers.standing(channel, totals))

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

    def _settle_refund(self, asked: Asked) -> Ordered:
        config = config_of(asked)
        ceiling, signature, name = voucher_of(asked, config)
        channel = self._own(asked, name)
        if channel is None or channel.account_id != asked.account:
            raise Refused(Refusal.missing_channel, "There is no such channel here.")
        asked_for = asked.payload.amount
        try:
            call = order_refund(
                self._parts,
                self._vouchers,
                channel,
                ceiling=ceiling,
                signature=signature,
                amount=None if asked_for is None else read_amount(asked_for, "amount"),
            )
        except Refused as refused:
            if refused.code != Refusal.amount_mismatch:
                raise
            standing = self._vouchers.standing(channel, self._vouchers.totals(channel))
            raise _Told(refused.code, standing) from refused

        def finish(done: EscrowCall, tx_hash: str) -> Settled:
            return self._done(asked, config, name, tx_hash, amount=done.token_amount)

        return self._ordered(asked, call, REFUND_FAILED, finish)

    def _relay(self, asked: Asked) -> Ordered:
        """Carry out what a server that keeps its own channels asks for."""
        payload = asked.payload
        claims = [each.read() for each in payload.claims]
        if payload.type == "settle":
            return self._relay_settle(asked)
        chain = caip.chain_id(asked.network.network)
        config = None if payload.type == "claim" else config_of(asked)
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
            calls.append(refund_call(payload, config))
        if not calls:
            raise Refused(Refusal.payload_type, "There is nothing to claim.")
        data = calls[0] if len(calls) == 1 else encode_multicall(calls)
        call = self._order(asked, data, sender=self._consenting(asked, about))

        def finish(_: EscrowCall, tx_hash: str) -> Settled:
            if config is None:
                return Settled(
                    success=True, transaction=tx_hash, network=asked.network.network, amount=""
                )
            units = read_amount(payload.amount or "0", "amount")
            return self._done(asked, config, channel_id(config, chain), tx_hash, amount=units)

        return self._ordered(asked, call, CLAIM_REFUSED, finish)

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

    def _relay_settle(self, asked: Asked) -> Ordered:
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

        def finish(_: EscrowCall, tx_hash: str) -> Settled:
            return Settled(
                success=True,
                transaction=tx_hash,
                network=asked.network.network,
                amount=str(claimed - paid),
            )

        call = self._order(asked, encode_settle(receiver, token))
        return self._ordered(asked, call, UNAVAILABLE, finish)

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

    def _ordered(
        self,
        asked: Asked,
        call: EscrowCall,
        failed: str,
        finish: Callable[[EscrowCall, str], Settled],
    ) -> Ordered:
        """``failed``: the reason when the call moved nothing."""

        def settled() -> Settled:
            return finish(*self._posted(call.id, failed))

        return Ordered(call.id, lambda: _answered(asked.network.network, settled))

    def _posted(self, identifier: str, failed: str) -> tuple[EscrowCall, str]:
        """A call that is posted, and its hash; Refused when it failed, or nobody knows yet."""
        tx_hash = ""
        with self._parts.database.begin() as connection:
            call = store.find_call(connection, identifier)
            assert call is not None
            if call.transaction is not None:
                sent = transactions.find(connection, call.transaction)
                tx_hash = "" if sent is None else sent.hash or ""
        if call.status == CallStatus.posted:
            return call, tx_hash
        if CallStatus(call.status).is_over:
            raise Refused(failed, call.failure or "It did not go through.")
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


def _answered(network: str, act: Callable[[], Begun]) -> Begun | Settled:
    """What ``act`` says; a refusal is an answer too."""
    extra: dict[str, Any] | None = None
    try:
        return act()
    except _Told as told:
        code, message, extra = told.code, None, told.extra or None
    except (Refused, Invalid, ValueError, SakkError) as error:
        code, message = _why(error)
    return Settled(
        success=False,
        transaction="",
        network=network,
        error_reason=code,
        error_message=message,
        extra=extra,
    )


def _why(error: Exception) -> tuple[str, str]:
    if isinstance(error, Refused):
        return error.code, error.message
    if isinstance(error, Invalid):
        return error.reason.value, error.message
    if isinstance(error, ParameterInvalid) or not isinstance(error, SakkError):
        return Refusal.payload, str(error)
    log.warning("escrow.unavailable", code=error.code)
    return UNAVAILABLE, "It could not be done now: try again."


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
