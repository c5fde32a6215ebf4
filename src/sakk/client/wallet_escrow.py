"""Pay by ``batch-settlement``: a deposit in x402's escrow contract, and a signed voucher a call.

Each voucher signs what may be claimed of the channel altogether; the seller claims the last one on
chain when it likes. Follows x402's ``specs/schemes/batch-settlement`` (EVM): the channel's id is
the EIP-712 hash of its configuration, a deposit is EIP-3009 ``receiveWithAuthorization`` by the
collector. Calls run in parallel: each voucher counts what is on its way. What may be lost to a
seller is what was signed and not served; what may be locked is the deposit, until the channel's
withdrawal delay is over.
"""

import secrets
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, Final

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

from sakk.client.exact import chain_id_of, is_address
from sakk.client.permit2 import METHOD, Approvals, is_by_permit2, sign_deposit
from sakk.client.wallet_fact import deposit_nonce, is_open
from sakk.client.wallet_log import PaymentLog, Receipt, State, now_ms
from sakk.client.wallet_node import NodeAway, ask_node, eth_call
from sakk.client.wallet_payment import (
    AskedAgain,
    Order,
    PaymentRefused,
    Payments,
    PaymentUnknown,
)
from sakk.client.wallet_policy import Asset, Policy
from sakk.client.wallet_step import Enter, Leave, Step
from sakk.client.x402 import (
    VERSION,
    Challenge,
    Payment,
    Requirement,
    X402Error,
    decode_header,
    encode_header,
)

NAME: Final = "batch-settlement"
ESCROW: Final = "0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003"
COLLECTOR: Final = "0x4020806089470a89826cB9fB1f4059150b550004"
WITHDRAW_SECONDS_MIN: Final = 900
# Coins are locked at most as long as this when a seller is silent.
WITHDRAW_SECONDS_MAX: Final = 7 * 86_400
_SALT: Final = "0x" + "00" * 32
_CHANNELS: Final = "0x" + keccak(text="channels(bytes32)")[:4].hex()
_DOMAIN: Final = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]
_CONFIG: Final = [
    {"name": "payer", "type": "address"},
    {"name": "payerAuthorizer", "type": "address"},
    {"name": "receiver", "type": "address"},
    {"name": "receiverAuthorizer", "type": "address"},
    {"name": "token", "type": "address"},
    {"name": "withdrawDelay", "type": "uint40"},
    {"name": "salt", "type": "bytes32"},
]
_VOUCHER: Final = [
    {"name": "channelId", "type": "bytes32"},
    {"name": "maxClaimableAmount", "type": "uint128"},
]
_DEPOSIT: Final = [
    {"name": "from", "type": "address"},
    {"name": "to", "type": "address"},
    {"name": "value", "type": "uint256"},
    {"name": "validAfter", "type": "uint256"},
    {"name": "validBefore", "type": "uint256"},
    {"name": "nonce", "type": "bytes32"},
]
# What a seller says of a channel whose deposit did not arrive.
LACKING: Final = frozenset(
    {
        "invalid_batch_settlement_evm_channel_not_found",
        "invalid_batch_settlement_evm_missing_channel",
        "invalid_batch_settlement_evm_cumulative_exceeds_balance",
    }
)
MISMATCH: Final = frozenset(
    {
        "invalid_batch_settlement_evm_cumulative_amount_mismatch",
        "invalid_batch_settlement_evm_cumulative_below_claimed",
    }
)


@dataclass(slots=True)
class EscrowChannel:
    """A channel as the wallet has it, in atomic units.

    ``deposit``: all that was deposited; ``charged``: what calls cost; ``in_flight``: what calls may
    cost whose answers did not come yet. ``unsure`` and ``unsure_charged``: what of the first two
    was never answered. ``is_heard_of``: the seller has said where it stands, or that there is none.
    """

    id: str
    config: dict[str, Any]
    deposit: int = 0
    charged: int = 0
    in_flight: int = 0
    unsure: int = 0
    unsure_charged: int = 0
    is_heard_of: bool = False


class Escrow:
    """The escrow channels of a wallet. Threads may share it."""

    name = NAME

    def __init__(
        self,
        account: LocalAccount,
        policy: Policy,
        approvals: Approvals,
        log: PaymentLog | None = None,
    ) -> None:
        """``log``: where the last process left its channels."""
        self._account = account
        self._policy = policy
        self._approvals = approvals
        self._log = log
        self._assets = {(one.network, one.asset.lower()): one for one in policy.assets}
        self._lock = threading.Lock()
        self._channels: dict[str, EscrowChannel] = {}

    def asset_of(self, offer: Requirement) -> Asset | None:
        return self._assets.get((offer.network, offer.asset.lower()))

    def refuses(self, offer: Requirement) -> str | None:
        reason = self._refuses_terms(offer)
        asset = self.asset_of(offer)
        if reason is None and is_by_permit2(offer) and asset is not None:
            deposit = self.deposit_units(offer, asset)
            return self._approvals.refuses(offer, deposit) if deposit else None
        return reason

    def _refuses_terms(self, offer: Requirement) -> str | None:
        extra = offer.extra
        if chain_id_of(offer.network) is None:
            return "the network is no EVM chain (CAIP-2 eip155:N)"
        method = extra.get("assetTransferMethod", "eip3009")
        if method not in ("eip3009", METHOD):
            return "the deposit's transfer method is not one that this wallet signs"
        if method != METHOD and not all(
            isinstance(extra.get(name), str) for name in ("name", "version")
        ):
            return "the offer does not name the coin's EIP-712 domain (extra.name, extra.version)"
        if not is_address(offer.pay_to) or not is_address(str(extra.get("receiverAuthorizer"))):
            return "payTo or extra.receiverAuthorizer is no address"
        delay = extra.get("withdrawDelay", WITHDRAW_SECONDS_MIN)
        if not isinstance(delay, int) or not WITHDRAW_SECONDS_MIN <= delay <= WITHDRAW_SECONDS_MAX:
            return f"the withdrawal delay is not {WITHDRAW_SECONDS_MIN} to {WITHDRAW_SECONDS_MAX} s"
        return None

    def takes(self, offer: Requirement) -> int:
        asset = self.asset_of(offer)
        if asset is None or self._refuses_terms(offer) is not None:
            return offer.units
        return self.deposit_units(offer, asset, is_least=True)

    def channel(self, offer: Requirement) -> EscrowChannel:
        """The channel that an offer is paid by; one that was never paid by has no deposit."""
        config = {
            "payer": str(self._account.address),
            "payerAuthorizer": str(self._account.address),
            "receiver": offer.pay_to,
            "receiverAuthorizer": str(offer.extra["receiverAuthorizer"]),
            "token": offer.asset,
            "withdrawDelay": int(offer.extra.get("withdrawDelay", WITHDRAW_SECONDS_MIN)),
            "salt": _SALT,
        }
        identifier = self._hash(offer, "ChannelConfig", _CONFIG, config)
        with self._lock:
            known = self._channels.get(identifier)
        if known is not None:
            return known
        found = self._left_behind(offer, EscrowChannel(identifier, config))
        with self._lock:
            return self._channels.setdefault(identifier, found)

    def _left_behind(self, offer: Requirement, channel: EscrowChannel) -> EscrowChannel:
        """A channel as the last process that paid by it was told that it stands.

        What is left of its deposit is asked for by a voucher before another is signed.
        """
        last = None
        if self._log is not None:
            place = {"network": offer.network, "asset": offer.asset, "payee": offer.pay_to}
            last = self._log.last_paid(scheme=NAME, **place)
        if last is None:
            return channel
        receipt, header = last
        try:
            voucher = decode_header(header, Payment).payload["voucher"]
            signed = int(voucher["maxClaimableAmount"])
            state = (receipt.settlement or {})["extra"]["channelState"]
            charged, balance = int(state["chargedCumulativeAmount"]), int(state["balance"])
        except (X402Error, KeyError, TypeError, ValueError):
            return channel
        if voucher["channelId"] != channel.id or not 0 <= charged <= balance:
            return channel
        # Never more than was signed, whatever the seller said.
        charged = min(charged, signed)
        return replace(
            channel,
            deposit=balance,
            charged=charged,
            unsure=balance - charged,
            is_heard_of=True,
        )

    def pay(self, payments: Payments, order: Order) -> Generator[Step, Any, Receipt]:
        """One call by a voucher, with a deposit where the channel needs one.

        A call with a deposit goes alone, so that several do not each bring one. Before the first
        deposit into a channel of which no log tells, and after one whose answer did not come, a
        call by a voucher alone asks the seller what is there: until that is answered no deposit is
        signed, and what a voucher says of a channel that holds nothing can not be claimed. Raises
        AskedAgain where the seller says that the channel stands elsewhere.
        """
        if not self._goes_alone(order.offer, order.asset):
            return (yield from self._call(payments, order, 0))
        name = self.channel(order.offer).id
        yield Enter(name)
        try:
            alone = self._goes_alone(order.offer, order.asset)
            if alone:
                yield from self._look(payments, order)
                asks = not self.channel(order.offer).is_heard_of
                deposit = 0 if asks else self._affordable(payments, order)
                receipt = yield from self._call(payments, order, deposit)
        except GeneratorExit:
            # Nobody asks any more: whoever ran this lets go of what it held.
            raise
        except BaseException:
            yield Leave(name)
            raise
        yield Leave(name)
        if alone:
            return receipt
        return (yield from self._call(payments, order, 0))

    def _look(self, payments: Payments, order: Order) -> Generator[Step, Any, None]:
        """Ask the chain what the channel holds, before another deposit is signed.

        Raises PaymentUnknown while an earlier deposit may still arrive: it is not paid twice.
        """
        offer = order.offer
        node = self._policy.nodes.get(offer.network)
        if node is None:
            return
        channel = self.channel(offer)
        waiting = []
        for receipt in payments.log.unfinished():
            place = (receipt.network, receipt.asset.lower(), receipt.payee.lower())
            if place != (offer.network, offer.asset.lower(), offer.pay_to.lower()):
                continue
            if receipt.scheme == NAME and is_open(receipt):
                receipt = yield from payments.looked_up(receipt)
                # One that was refused may be taken too, and is in the payer's own channel then.
                waiting += [receipt] if receipt.state in (State.signed, State.unknown) else []
        try:
            [answer] = yield from ask_node(node, [eth_call(ESCROW, _CHANNELS + channel.id[2:])])
            balance, claimed = int(answer[2:66], 16), int(answer[66:130], 16)
        except (NodeAway, ValueError, TypeError) as error:
            # Without the node's word nothing is signed where a deposit may be on its way.
            if not waiting:
                return
            raise PaymentUnknown(f"{error}; ask again", waiting[0]) from error
        with self._lock:
            channel.is_heard_of = True
            if not waiting:
                channel.charged -= channel.unsure_charged if balance < channel.deposit else 0
                channel.deposit -= channel.unsure
                channel.unsure = channel.unsure_charged = 0
            # What another process of ours has put there is known by this, and what was claimed.
            channel.deposit = max(channel.deposit, balance)
            channel.charged = max(channel.charged, claimed)
        if waiting and self.deposit_units(offer, order.asset):
            raise PaymentUnknown(
                f"a deposit into {channel.id} was signed, and the chain does not show it: it may"
                " arrive until it expires, so that no other is signed; ask again",
                waiting[0],
            )

    def _call(
        self, payments: Payments, order: Order, deposit: int
    ) -> Generator[Step, Any, Receipt]:
        offer, challenge = order.offer, order.challenge
        assert challenge is not None
        now = int(time.time())
        payload = self.sign(offer, deposit=deposit, now=now)
        header = encode_header(
            Payment(VERSION, payload, offer, challenge.resource, challenge.extensions)
        )
        # A deposit counts when it is signed; calls spend what was deposited.
        receipt = replace(payments.receipt_of(order), counts=False)
        if deposit:
            lifetime = min(offer.max_timeout_seconds, self._policy.authorization_seconds_max)
            receipt = replace(
                receipt,
                counts=True,
                value=order.asset.value_of(deposit),
                expires_ms=1_000 * (now + lifetime),
                said=f"deposit of {deposit}",
            )
        charged, is_answered, asks = 0, True, not self.channel(offer).is_heard_of
        try:
            begun = payments.log.begin(
                receipt, header, host=order.host, limits=payments.policy.limits
            )
            if begun.id != receipt.id:
                header = payments.log.header_of(begun.id) or header
                return (yield from payments.carry(order.ask, begun, header))
            # What was signed and not answered may be claimed: it counts as charged.
            charged, is_answered = offer.units, False
            # A deposit waits for its block; the calls after it do not.
            carried = payments.carry(order.ask, begun, header, is_typical=not deposit)
            receipt = yield from carried
            charged, is_answered = _charged(receipt, offer.units), True
        except PaymentRefused as refused:
            charged, is_answered = 0, True
            again = refused.challenge
            if again is None or not self._stands_elsewhere(again, offer, asks=asks):
                raise
            if refused.receipt is not None:
                # The same request is paid anew, under the same key.
                payments.log.let_key_go(refused.receipt.id)
            raise AskedAgain(again) from refused
        finally:
            self.settled(offer, charged, deposit if charged else 0, is_answered=is_answered)
        return receipt

    def _stands_elsewhere(self, challenge: Challenge, offer: Requirement, *, asks: bool) -> bool:
        """Does a refusal say where the channel stands, so that the call is worth another try?

        ``asks``: the voucher was signed only to be told; any refusal tells that it pays nothing.
        """
        self.channel(offer).is_heard_of = True
        if challenge.error in MISMATCH and self._corrected(challenge, offer):
            return True
        if challenge.error in LACKING and offer.network not in self._policy.nodes:
            return self._recanted(offer) or asks
        return asks

    def _corrected(self, challenge: Challenge, offer: Requirement) -> bool:
        alike = ("scheme", "network", "asset", "pay_to")
        return any(
            all(getattr(one, name) == getattr(offer, name) for name in alike) and self.correct(one)
            for one in challenge.accepts
        )

    def _affordable(self, payments: Payments, order: Order) -> int:
        """How much to put up: a step, or the least that the seller takes where no more is left."""
        deposit = self.deposit_units(order.offer, order.asset)
        left = payments.log.left(payments.policy.limits, host=order.host, now_ms=now_ms())
        value = order.asset.value_of(deposit)
        if value <= min(left.values(), default=value):
            return deposit
        return self.deposit_units(order.offer, order.asset, is_least=True)

    def deposit_units(self, offer: Requirement, asset: Asset, *, is_least: bool = False) -> int:
        """How much to put up for a call: nothing where the deposit covers it, else a step.

        ``is_least``: no more than the seller asks for.
        """
        channel = self.channel(offer)
        with self._lock:
            needed = channel.charged + channel.in_flight + offer.units - channel.deposit
        if needed <= 0:
            return 0
        step: int = self._policy.step * 10**asset.decimals // asset.micro_usd
        asked = str(offer.extra.get("minDeposit", ""))
        least = int(asked) if asked.isascii() and asked.isdigit() else 0
        return max(needed, least or (0 if is_least else step))

    def sign(self, offer: Requirement, *, deposit: int, now: int) -> dict[str, Any]:
        """A call's payload; takes its amount until it is answered."""
        channel = self.channel(offer)
        with self._lock:
            cumulative = channel.charged + channel.in_flight + offer.units
            channel.in_flight += offer.units
        voucher = {"channelId": channel.id, "maxClaimableAmount": cumulative}
        signature = self._sign(offer, "Voucher", _VOUCHER, voucher)
        payload: dict[str, Any] = {
            "type": "voucher",
            "channelConfig": channel.config,
            "voucher": {
                "channelId": channel.id,
                "maxClaimableAmount": str(cumulative),
                "signature": signature,
            },
        }
        if deposit:
            payload["type"] = "deposit"
            payload["deposit"] = self._deposit(offer, channel, deposit, now)
        return payload

    def settled(
        self, offer: Requirement, charged: int, deposit: int, *, is_answered: bool = True
    ) -> None:
        """A call is over, and cost so much: nothing where it was refused.

        What was not answered counts as done, until the seller says of a later call that it was not.
        """
        channel = self.channel(offer)
        with self._lock:
            channel.in_flight -= offer.units
            channel.charged += charged
            channel.deposit += deposit
            if not is_answered and (deposit or channel.unsure or not channel.is_heard_of):
                channel.unsure += deposit
                channel.unsure_charged += charged
            elif charged:
                channel.unsure = channel.unsure_charged = 0
                channel.is_heard_of = True

    def _goes_alone(self, offer: Requirement, asset: Asset) -> bool:
        """Does a call bring a deposit, or ask whether the last one arrived?"""
        return bool(self.channel(offer).unsure) or bool(self.deposit_units(offer, asset))

    def _recanted(self, offer: Requirement) -> bool:
        """The seller says that a deposit which was not answered is not there: believe it.

        Should it arrive all the same, it is in the payer's own channel.
        """
        channel = self.channel(offer)
        with self._lock:
            if not channel.unsure and not channel.unsure_charged:
                return False
            channel.deposit -= channel.unsure
            channel.charged -= channel.unsure_charged
            channel.unsure = channel.unsure_charged = 0
        return True

    def correct(self, offer: Requirement) -> bool:
        """Take over where the seller says that the channel stands, if it shows our own signature.

        ``offer`` is of the corrective 402, whose ``extra`` has channelState and voucherState.
        """
        state, voucher = offer.extra.get("channelState"), offer.extra.get("voucherState")
        if not isinstance(state, dict) or not isinstance(voucher, dict):
            return False
        channel = self.channel(offer)
        try:
            charged = int(state["chargedCumulativeAmount"])
            signed = int(voucher["signedMaxClaimable"])
            balance = int(state.get("balance", 0))
            message = {"channelId": channel.id, "maxClaimableAmount": signed}
            signer = Account.recover_message(
                encode_typed_data(full_message=self._document(offer, "Voucher", _VOUCHER, message)),
                signature=str(voucher["signature"]),
            )
        except Exception:
            return False
        if signer != self._account.address or not 0 <= charged <= signed <= balance:
            return False
        with self._lock:
            channel.charged = max(channel.charged, charged)
            channel.deposit = max(channel.deposit, balance)
            channel.is_heard_of = True
        return True

    def _deposit(
        self, offer: Requirement, channel: EscrowChannel, units: int, now: int
    ) -> dict[str, Any]:
        lifetime = min(offer.max_timeout_seconds, self._policy.authorization_seconds_max)
        if is_by_permit2(offer):
            chain_id = chain_id_of(offer.network)
            assert chain_id is not None
            permit = sign_deposit(
                self._account,
                offer,
                chain_id,
                channel=channel.id,
                units=units,
                deadline=now + lifetime,
            )
            return {"amount": str(units), "authorization": permit}
        salt = secrets.token_bytes(32)
        nonce = deposit_nonce(channel.id, salt)
        message = {
            "from": str(self._account.address),
            "to": COLLECTOR,
            "value": units,
            "validAfter": 0,
            "validBefore": now + lifetime,
            "nonce": nonce,
        }
        domain = {
            "name": offer.extra["name"],
            "version": offer.extra["version"],
            "chainId": chain_id_of(offer.network),
            "verifyingContract": offer.asset,
        }
        document = _typed("ReceiveWithAuthorization", _DEPOSIT, domain, message)
        signed = self._account.sign_message(encode_typed_data(full_message=document))
        return {
            "amount": str(units),
            "authorization": {
                "erc3009Authorization": {
                    "validAfter": "0",
                    "validBefore": str(now + lifetime),
                    "salt": "0x" + salt.hex(),
                    "signature": "0x" + bytes(signed.signature).hex(),
                }
            },
        }

    def _document(
        self, offer: Requirement, kind: str, fields: list[dict[str, str]], message: dict[str, Any]
    ) -> dict[str, Any]:
        domain = {
            "name": "x402 Batch Settlement",
            "version": "1",
            "chainId": chain_id_of(offer.network),
            "verifyingContract": ESCROW,
        }
        return _typed(kind, fields, domain, message)

    def _hash(
        self, offer: Requirement, kind: str, fields: list[dict[str, str]], message: dict[str, Any]
    ) -> str:
        signable = encode_typed_data(full_message=self._document(offer, kind, fields, message))
        return "0x" + keccak(b"\x19\x01" + signable.header + signable.body).hex()

    def _sign(
        self, offer: Requirement, kind: str, fields: list[dict[str, str]], message: dict[str, Any]
    ) -> str:
        document = self._document(offer, kind, fields, message)
        signed = self._account.sign_message(encode_typed_data(full_message=document))
        return "0x" + bytes(signed.signature).hex()


def _charged(receipt: Receipt, signed: int) -> int:
    """What the seller says that a call cost; never more than was signed for it."""
    extra = (receipt.settlement or {}).get("extra")
    said = extra.get("chargedAmount") if isinstance(extra, dict) else None
    if isinstance(said, str) and said.isascii() and said.isdigit():
        return min(int(said), signed)
    return signed


def _typed(
    kind: str, fields: list[dict[str, str]], domain: dict[str, Any], message: dict[str, Any]
) -> dict[str, Any]:
    return {
        "types": {"EIP712Domain": _DOMAIN, kind: fields},
        "primaryType": kind,
        "domain": domain,
        "message": message,
    }
