"""Payments by x402's ``exact`` scheme: one signed authorization each, carried out once.

``reserved → requested → sent → settled → posted``, or ``failed``. A payment that ``verify`` found
good is reserved under (network, token, payer, nonce), so that no copy of it is good a second time;
``settle`` requests it; it is sent with a transaction of ours, settled when a block holds it, and
posted when that is final. ``failed`` when it moved nothing and, by this house, never will.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sakk.core import eip3009, evm, permit2
from sakk.core.caip import chain_id, erc20_asset, erc20_contract
from sakk.core.eip3009 import Authorization
from sakk.core.evm import checksum_address
from sakk.core.permit2 import Permit
from sakk.core.x402 import (
    Eip3009Authorization,
    Invalid,
    Permit2Authorization,
    Reason,
    Request,
    Requirement,
    Settled,
    check_terms,
    read_exact,
    read_hex,
    read_units,
)

PREFIX: Final = "xp"
# An authorization has to be good so much longer: until a block can hold it. As the official
# facilitator counts.
TIME_LEFT_MIN: Final = timedelta(seconds=6)
# Of a wallet that may not be there yet (ERC-6492): the last 32 bytes of its signature.
_UNDEPLOYED = bytes.fromhex("6492" * 16)
_WORD = 32


class Method(StrEnum):
    """Which kind of authorization it is."""

    eip3009 = "eip3009"
    permit2 = "permit2"


class X402Status(StrEnum):
    reserved = "reserved"
    requested = "requested"
    sent = "sent"
    settled = "settled"
    posted = "posted"
    failed = "failed"


# What takes of the payer's coins, or is about to.
OPEN = (X402Status.reserved, X402Status.requested, X402Status.sent)
# What moved the coins.
PAID = (X402Status.settled, X402Status.posted)


# Network, verifier, payer and nonce: what is good for one payment.
NonceKey = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Claim:
    """A payment as its request says it: addresses in lower case, times in unix seconds.

    ``nonce``: 32 bytes of 0x-hex. ``asset``: CAIP-19. ``creates``: beside the signature stood how
    to create the wallet that gives it.
    """

    method: Method
    network: str
    asset: str
    payer: str
    pay_to: str
    units: int
    valid_after: int
    valid_before: int
    nonce: str
    signature: bytes
    creates: bool = field(default=False, compare=False)

    @property
    def token(self) -> str:
        contract = erc20_contract(self.asset)
        assert contract is not None
        return contract

    @property
    def verifier(self) -> str:
        """The contract that counts the nonce: the token's own, or Permit2 for all tokens."""
        return permit2.PERMIT2 if self.method is Method.permit2 else self.token

    @property
    def key(self) -> NonceKey:
        """What no two payments have in common."""
        return self.network, self.verifier, self.payer, self.nonce

    @property
    def authorization(self) -> Authorization:
        return Authorization(
            payer=self.payer,
            to=self.pay_to,
            units=self.units,
            valid_after=self.valid_after,
            valid_before=self.valid_before,
            nonce=bytes.fromhex(self.nonce[2:]),
        )

    @property
    def permit(self) -> Permit:
        return Permit(
            payer=self.payer,
            token=self.token,
            units=self.units,
            nonce=int(self.nonce, 16),
            deadline=self.valid_before,
            to=self.pay_to,
            valid_after=self.valid_after,
        )

    @property
    def is_by_key(self) -> bool:
        """Is the signature of the length that a key's has?"""
        return len(self.signature) == eip3009.KEY_SIGNATURE_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class X402Payment:
    """One payment. ``account_id``: whose address it goes to; None where it is nobody's here.

    ``by_key``: the payer's key signed, and no wallet contract. ``transaction`` carries it,
    as line ``transaction_line`` where it carries several. ``log_index``: of the token's Transfer in
    its block. ``idempotency_key``: a hash of what the one who settles calls it by.
    ``waiting_until``: so long somebody waits for the outcome, whose it is alone. ``answered_at``:
    when a success was told, which is done once.
    """

    id: str
    account_id: str | None
    livemode: bool
    network: str
    asset: str
    method: str
    verifier: str
    payer: str
    nonce: str
    pay_to: str
    token_amount: int
    valid_after: int
    valid_before: int
    signature: bytes
    by_key: bool
    status: str
    resource: str | None = None
    transaction: str | None = None
    transaction_line: int | None = None
    tx_hash: str | None = None
    block_number: int | None = None
    log_index: int | None = None
    failure_code: str | None = None
    failure_message: str | None = None
    idempotency_key: str | None = None
    waiting_until: datetime | None = None
    answered_at: datetime | None = None
    requested_at: datetime | None = None
    settled_at: datetime | None = None
    attempt: int = 0
    retry_at: datetime | None = None
    failures: int = 0
    lease_token: str | None = None
    lease_until: datetime | None = None
    created: datetime

    @property
    def claim(self) -> Claim:
        return Claim(
            method=Method(self.method),
            network=self.network,
            asset=self.asset,
            payer=self.payer,
            pay_to=self.pay_to,
            units=self.token_amount,
            valid_after=self.valid_after,
            valid_before=self.valid_before,
            nonce=self.nonce,
            signature=self.signature,
        )


def read_claim(request: Request) -> Claim:
    """Read what a request pays, and hold its two halves against each other; Invalid if they differ.

    In this order: versions, scheme, network; the payload's form; recipient, amount, token. What
    the signature, the clock and the chain say comes after.
    """
    check_terms(request)
    wanted = request.payment_requirements
    payload = read_exact(request.payment_payload)
    asset = _asset(wanted)
    signature = read_hex(payload.signature, "signature")
    creates = signature.endswith(_UNDEPLOYED)
    if creates:
        signature = unwrapped(signature)
    if payload.authorization is not None:
        claim = _by_eip3009(payload.authorization, wanted, asset, signature)
    else:
        assert payload.permit2_authorization is not None
        claim = _by_permit2(payload.permit2_authorization, wanted, asset, signature)
    return replace(claim, creates=creates)


def check_times(claim: Claim, now: datetime) -> None:
    """Invalid unless it is good now, and for long enough that a block can hold it."""
    by_permit = claim.method is Method.permit2
    if claim.valid_before < int((now + TIME_LEFT_MIN).timestamp()):
        raise Invalid(
            Reason.permit2_expired if by_permit else Reason.expired,
            "The authorization has expired, or does in a moment.",
        )
    if claim.valid_after > int(now.timestamp()):
        raise Invalid(
            Reason.permit2_not_yet_valid if by_permit else Reason.not_yet_valid,
            "The authorization is not good yet: is the payer's clock right?",
        )


def check_domain(wanted: Requirement, *, name: str, version: str) -> None:
    """Invalid unless the requirement names the token's EIP-712 domain as the token does."""
    given = (wanted.extra.get("name"), wanted.extra.get("version"))
    if not all(isinstance(each, str) for each in given):
        raise Invalid(Reason.missing_domain, "extra.name and extra.version are the token's domain.")
    if given[0] != name:
        raise Invalid(Reason.name_mismatch, f"The token's domain has the name {name!r}.")
    if given[1] != version:
        raise Invalid(Reason.version_mismatch, f"The token's domain has the version {version!r}.")


def is_signed(claim: Claim, separator: bytes) -> bool:
    """Did the payer's own key sign it? ``separator``: the token's EIP-712 domain."""
    if not claim.is_by_key:
        return False
    if claim.method is Method.permit2:
        signed = permit2.digest(claim.permit, chain_id(claim.network))
    else:
        signed = eip3009.digest(claim.authorization, separator)
    try:
        return evm.digest_signer(signed, claim.signature) == claim.payer
    except ValueError:
        return False


def bad_signature(claim: Claim) -> Invalid:
    """The refusal of a signature that is nobody's."""
    by_permit = claim.method is Method.permit2
    reason = Reason.permit2_signature if by_permit else Reason.invalid_signature
    return Invalid(reason, f"The signature is not {claim.payer}'s over this authorization.")


def undeployed(claim: Claim) -> Invalid:
    """The refusal of a signature that no key of the payer's gave, where no wallet stands."""
    if claim.creates:
        return Invalid(
            Reason.factory_not_allowed,
            "This signature asks to create the wallet first, which is done here for nobody.",
        )
    if claim.is_by_key:
        return bad_signature(claim)
    return Invalid(Reason.undeployed_wallet, "There is no wallet contract at the payer's.")


def unwrapped(signature: bytes) -> bytes:
    """The signature in one that says how to create its wallet too (ERC-6492); Invalid.

    ``abi.encode(address factory, bytes calldata, bytes signature)`` and 32 bytes that mark it. A
    wallet that stands gives it all the same, and only what is in it counts then.
    """
    body = signature.removesuffix(_UNDEPLOYED)
    begin = int.from_bytes(body[2 * _WORD : 3 * _WORD], "big")
    length = int.from_bytes(body[begin : begin + _WORD], "big")
    inner = body[begin + _WORD : begin + _WORD + length]
    if not 3 * _WORD <= begin <= len(body) - _WORD or len(inner) != length:
        raise Invalid(Reason.invalid_payload, "signature: it is not wrapped as ERC-6492 says.")
    return inner


def encode_call(claim: Claim) -> tuple[str, bytes]:
    """The contract and the calldata that carry a payment out alone."""
    if claim.method is Method.permit2:
        return permit2.EXACT_PROXY, permit2.encode_call(claim.permit, claim.signature)
    return claim.token, eip3009.encode_call(claim.authorization, claim.signature)


def settled(payment: X402Payment) -> Settled:
    """The answer to ``settle`` by what a payment is."""
    status = X402Status(payment.status)
    if status in PAID:
        return Settled(
            success=True,
            transaction=payment.tx_hash or "",
            network=payment.network,
            payer=checksum_address(payment.payer),
            amount=str(payment.token_amount),
        )
    reason, message = Reason.pending.value, "The transaction is on its way: ask again."
    if status is X402Status.failed:
        reason = payment.failure_code or Reason.failed.value
        message = payment.failure_message or "The payment failed."
    return Settled(
        success=False,
        transaction=payment.tx_hash or "",
        network=payment.network,
        payer=checksum_address(payment.payer),
        error_reason=reason,
        error_message=message,
    )


def public(payment: X402Payment, *, payin: str | None) -> dict[str, Any]:
    """The API's object ``x402_payment``. ``payin``: the pay-in that it became, once it is seen."""
    return {
        "id": payment.id,
        "object": "x402_payment",
        "account": payment.account_id,
        "asset": payment.asset,
        "block_number": payment.block_number,
        "created": int(payment.created.timestamp()),
        "failure_code": payment.failure_code,
        "livemode": payment.livemode,
        "metadata": {},
        "method": payment.method,
        "network": payment.network,
        "nonce": payment.nonce,
        "pay_to": checksum_address(payment.pay_to),
        "payer": checksum_address(payment.payer),
        "payin": payin,
        "resource": payment.resource,
        "status": payment.status,
        "token_amount": str(payment.token_amount),
        "tx_hash": payment.tx_hash,
    }


def _asset(wanted: Requirement) -> str:
    try:
        return erc20_asset(wanted.network, wanted.asset)
    except ValueError as error:
        raise Invalid(Reason.asset_unknown, f"asset: {error}") from None


def _by_eip3009(
    signed: Eip3009Authorization, wanted: Requirement, asset: str, signature: bytes
) -> Claim:
    pay_to = _address(wanted.pay_to, "payTo")
    if _address(signed.to, "to") != pay_to:
        raise Invalid(Reason.recipient_mismatch, f"Signed for {signed.to}, wanted by {pay_to}.")
    units = read_units(signed.value, "value")
    if units != _wanted_units(wanted):
        raise Invalid(
            Reason.value_mismatch, f"{units} units are signed, {wanted.amount} are wanted."
        )
    return Claim(
        method=Method.eip3009,
        network=wanted.network,
        asset=asset,
        payer=_address(signed.from_, "from"),
        pay_to=pay_to,
        units=units,
        valid_after=read_units(signed.valid_after, "validAfter"),
        valid_before=read_units(signed.valid_before, "validBefore"),
        nonce="0x" + read_hex(signed.nonce, "nonce", length=eip3009.NONCE_BYTES).hex(),
        signature=signature,
    )


def _by_permit2(
    signed: Permit2Authorization, wanted: Requirement, asset: str, signature: bytes
) -> Claim:
    if _address(signed.spender, "spender") != permit2.EXACT_PROXY:
        raise Invalid(
            Reason.permit2_spender, f"The spender is x402's proxy, {permit2.EXACT_PROXY}."
        )
    pay_to = _address(wanted.pay_to, "payTo")
    if _address(signed.witness.to, "witness.to") != pay_to:
        raise Invalid(
            Reason.permit2_recipient, f"Signed for {signed.witness.to}, wanted by {pay_to}."
        )
    units = read_units(signed.permitted.amount, "permitted.amount")
    if units != _wanted_units(wanted):
        raise Invalid(
            Reason.permit2_amount, f"{units} units are signed, {wanted.amount} are wanted."
        )
    if _address(signed.permitted.token, "permitted.token") != erc20_contract(asset):
        raise Invalid(
            Reason.permit2_token, f"Signed for {signed.permitted.token}, wanted is {asset}."
        )
    return Claim(
        method=Method.permit2,
        network=wanted.network,
        asset=asset,
        payer=_address(signed.from_, "from"),
        pay_to=pay_to,
        units=units,
        valid_after=read_units(signed.witness.valid_after, "witness.validAfter"),
        valid_before=read_units(signed.deadline, "deadline"),
        nonce=f"0x{read_units(signed.nonce, 'nonce'):064x}",
        signature=signature,
    )


def _wanted_units(wanted: Requirement) -> int:
    units = read_units(wanted.amount, "amount", Reason.invalid_requirements)
    if not units:
        raise Invalid(Reason.invalid_requirements, "A payment of nothing is no payment.")
    return units


def _address(text: str, name: str) -> str:
    try:
        return evm.parse_address(text)
    except ValueError as error:
        raise Invalid(Reason.invalid_payload, f"{name}: {error}") from None
