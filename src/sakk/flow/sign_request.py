"""Sign requests: what the signer is asked for, of a transaction and of each later attempt of it."""

from collections.abc import Mapping, Sequence

from sakk.core.payout import Payout
from sakk.core.transaction import Attempt, ChainTransaction, Purpose, cancel_intent
from sakk.flow.context import Parts
from sakk.flow.x402_payment import recipients
from sakk.signing.protocol import Approval, Branch, KeyReference, Payment, SignRequest
from sakk.signing.protocol import Purpose as SigningPurpose
from sakk.store import payout as payouts
from sakk.store import sweep as sweeps


def sign_request(
    row: ChainTransaction,
    attempt: Attempt | None = None,
    *,
    carried: Sequence[Payout] = (),
    approvals: Mapping[str, Sequence[Approval]] | None = None,
    deposits: Sequence[int] = (),
    native: str | None = None,
) -> SignRequest:
    """What the signer is asked for: the transaction as it was built, or a later attempt of it.

    ``carried``: the payouts of a dispersal, in the order of its lines. ``approvals``: what people
    signed of each payout; a later attempt needs none again. ``deposits``: the key indexes of the
    addresses that a call of the hub collects from, in order. ``native``: the network's own coin,
    for an attempt that only uses the nonce up.
    """
    if attempt is not None and attempt.cancels:
        assert native is not None
        return SignRequest(
            intent_id=cancel_intent(row.network, row.sender, row.nonce),
            purpose=SigningPurpose.cancel,
            network=row.network,
            key=KeyReference(branch=Branch(row.key_branch), index=row.key_index),
            unsigned=attempt.unsigned,
            asset=native,
            destination=row.sender,
            token_amount="0",  # noqa: S106
            attempt=attempt.attempt,
        )
    # A payout or sweep is signed once for ever; a sweep may need gas more than once.
    match Purpose(row.purpose):
        case Purpose.topup | Purpose.rotation:
            intent = row.id
        case Purpose.cancel:
            intent = cancel_intent(row.network, row.sender, row.nonce)
        case (
            Purpose.payout
            | Purpose.refund
            | Purpose.sweep
            | Purpose.collect
            | Purpose.withdrawal
            | Purpose.recovery
            | Purpose.disperse
            | Purpose.allowance
            | Purpose.deploy
            | Purpose.redemption
            | Purpose.escrow
            | Purpose.capture
        ):
            intent = row.subject
    payments = carried if row.purpose == Purpose.disperse else ()
    given = approvals or {}
    return SignRequest(
        intent_id=intent,
        purpose=SigningPurpose(row.purpose),
        network=row.network,
        key=KeyReference(branch=Branch(row.key_branch), index=row.key_index),
        unsigned=row.unsigned if attempt is None else attempt.unsigned,
        asset=row.asset,
        destination=row.destination,
        token_amount=str(row.token_amount),
        attempt=0 if attempt is None else attempt.attempt,
        destination_index=row.destination_index,
        deposits=tuple(deposits),
        approvals=tuple(given.get(row.subject, ())),
        payments=tuple(_payment(each, given.get(each.id, ())) for each in payments),
    )


def carried_payouts(parts: Parts, row: ChainTransaction) -> list[Payout]:
    """The payouts that a transaction carries, in the order of its lines."""
    if not row.carries_payouts:
        return []
    with parts.database.begin() as connection:
        return payouts.lock_carried(connection, row.id)


def deposit_indexes(parts: Parts, row: ChainTransaction) -> list[int]:
    """The key indexes of the deposit addresses that a transaction is about, in its order.

    Of a call of the hub or of a factory those that it moves coins from, of a capture to.
    """
    by_factory = row.purpose == Purpose.recovery and row.key_branch == "treasury"
    with parts.database.begin() as connection:
        if row.purpose == Purpose.capture:
            return recipients(connection, row)
        if row.purpose != Purpose.collect and not by_factory:
            return []
        return [each.key_index for each in sweeps.of_transaction(connection, row.id)]


def _payment(payout: Payout, approvals: Sequence[Approval]) -> Payment:
    return Payment(
        payout.id,
        payout.destination,
        str(payout.token_amount),
        SigningPurpose(payout.purpose),
        tuple(approvals),
    )
