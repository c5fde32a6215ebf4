"""Pay-ins: one transfer seen on a rail, what it pays, and the postings that follow.

``seen → confirmed → screened → posted``, or ``held → released``, or ``orphaned`` by a
reorganisation before its money was posted, ``reversed`` by new transfers after.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sakk.core import chart, money
from sakk.core.account import PaymentPolicy
from sakk.core.chart import AccountCode, LedgerAccount, TransferCode
from sakk.core.evm import checksum_address
from sakk.core.payment import PaymentIntent, PaymentStatus, Quote, is_open, value_of
from sakk.core.posting import Posting, reversed_postings


class PayInStatus(StrEnum):
    seen = "seen"
    confirmed = "confirmed"
    screened = "screened"
    posted = "posted"
    held = "held"
    released = "released"
    returned = "returned"
    seized = "seized"
    orphaned = "orphaned"
    reversed = "reversed"


class PayInRole(StrEnum):
    """What a pay-in is to us, decided when it is matched."""

    payment = "payment"  # counts towards its payment intent
    late = "late"  # after expiry, and the account does not accept late payments
    finished = "finished"  # to the address of a succeeded or cancelled intent
    wrong_asset = "wrong_asset"  # listed, but not what the intent asked for
    customer = "customer"  # to a customer's permanent address
    receiving = "receiving"  # to the account's own permanent address
    treasury = "treasury"  # the operator funds the treasury
    vault = "vault"  # to an address of the operator's own whose key is elsewhere
    lost = "lost"  # to an address that was given out after the backup that the database is
    unlisted = "unlisted"  # a token that is on no list of ours
    excessive = "excessive"  # more units than a ledger account can hold


# What is the operator's own, and no merchant's.
OPERATORS = (PayInRole.treasury.value, PayInRole.vault.value)
# The reason of what only moved between the treasury and vaults, with the place that it left.
MOVED_FROM = "moved_from_"

# What a merchant is told of a pay-in that a person looks at, and of one that was not accepted.
UNDER_REVIEW = "under_review"
DECLINED = "declined"
# The reason of what screening holds begins so.
SCREENED = "screening_"

# What no ledger account is opened for: it is held as a row until a person decides.
UNBOOKABLE = (PayInRole.unlisted.value, PayInRole.excessive.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class PayIn:
    """One transfer to an address of ours. ``token_amount`` in atomic units, ``amount`` in currency.

    ``credit_units`` and ``suspense_units`` say how the token amount is posted, once decided.
    ``reviewed``: it was held, so its end is ``released``. ``quarantined``: the ledger holds it in
    quarantine. ``orphaned``: its block left the chain and the row has yet to follow.
    """

    id: str
    account_id: str | None = None
    livemode: bool
    network: str
    asset: str
    contract: str | None = None
    currency: str | None = None
    decimals: int | None = None
    token_amount: int
    amount: int | None = None
    address: str
    sender: str
    tx_hash: str
    log_index: int
    block_number: int
    block_hash: str
    block_timestamp: int
    status: str
    role: str | None = None
    counts: bool = False
    reason: str | None = None
    payment_intent: str | None = None
    customer: str | None = None
    screening: str | None = None
    credit_units: int | None = None
    suspense_units: int | None = None
    # What its account is charged for it, in the currency's unit, and by which price.
    fee: int = 0
    fee_terms: dict[str, Any] | None = None
    # What refunds had given back of the fee when the chain undid it: the merchant's to give back.
    fee_given_back: int | None = None
    # What goes back of the fee at once, by refunds made before the chain undid its payment.
    fee_returned: int = 0
    # What a platform takes of it, of what the operator's fee leaves, and by which terms.
    application_fee: int = 0
    application_terms: dict[str, Any] | None = None
    quarantined: bool = False
    reviewed: bool = False
    orphaned: bool = False
    attempt: int = 0
    matched_at: datetime | None = None
    confirmed_at: datetime | None = None
    screened_at: datetime | None = None
    posted_at: datetime | None = None
    retry_at: datetime | None = None
    failures: int = 0
    lease_token: str | None = None
    lease_until: datetime | None = None
    created: datetime


@dataclass(frozen=True, slots=True)
class Match:
    """How a pay-in is understood: its role, whether it counts, and why not if it does not."""

    role: PayInRole
    counts: bool
    reason: str | None


def match_payment(
    *,
    asset: str,
    block_timestamp: int,
    intent: PaymentIntent,
    quotes: Sequence[Quote],
    policy: PaymentPolicy,
    counted_before: bool,
) -> Match:
    """Decide what a transfer to an intent's address is.

    ``counted_before``: the same transaction counted towards this intent until a reorganisation
    took it off the chain; mined again, it counts again.
    """
    if all(quote.asset != asset for quote in quotes):
        return Match(PayInRole.wrong_asset, False, "wrong_asset")
    late = block_timestamp > int(intent.expires_at.timestamp())
    if counted_before:
        return Match(PayInRole.payment, True, "late" if late else None)
    if not is_open(intent.status) and intent.status != PaymentStatus.expired:
        return Match(PayInRole.finished, False, "finished")
    if not late:
        return Match(PayInRole.payment, True, None)
    if policy.late == "accept":
        return Match(PayInRole.payment, True, "late")
    return Match(PayInRole.late, False, "late")


@dataclass(frozen=True, slots=True)
class Allocation:
    """Where a pay-in's atomic units go: to the merchant, and to suspense for a person."""

    credit_units: int
    suspense_units: int
    reason: str | None


def allocate(
    payin: PayIn,
    *,
    policy: PaymentPolicy,
    intent: PaymentIntent | None,
    quotes: Sequence[Quote],
    paid_before: Sequence[tuple[str, int]],
    refunded: int = 0,
) -> Allocation:
    """Split a pay-in by the account's policy.

    ``paid_before``: (asset, atomic units) that were credited for the intent earlier; ``refunded``:
    what of that goes back, in the intent's unit.
    """
    role = PayInRole(payin.role or PayInRole.unlisted)
    match role:
        case PayInRole.customer | PayInRole.receiving | PayInRole.treasury | PayInRole.vault:
            return Allocation(payin.token_amount, 0, payin.reason)
        case PayInRole.late:
            return _by_policy(payin, policy.late, "late")
        case PayInRole.finished:
            return _by_policy(payin, policy.finished, "finished")
        case PayInRole.wrong_asset:
            return _by_policy(payin, policy.wrong_asset, "wrong_asset")
        case PayInRole.lost:
            return Allocation(0, payin.token_amount, "address_lost")
        case PayInRole.unlisted | PayInRole.excessive:
            return Allocation(0, payin.token_amount, role.value)
        case PayInRole.payment:
            pass
    assert intent is not None
    excess = _excess_units(payin, intent, quotes, paid_before, refunded=refunded)
    if excess and policy.over == "refund_due":
        return Allocation(payin.token_amount - excess, excess, "over_refund_due")
    return Allocation(payin.token_amount, 0, "over" if excess else payin.reason)


def _by_policy(payin: PayIn, choice: str, reason: str) -> Allocation:
    if choice in ("accept", "credit"):
        return Allocation(payin.token_amount, 0, reason)
    if choice == "refund_due":
        return Allocation(0, payin.token_amount, f"{reason}_refund_due")
    return Allocation(0, payin.token_amount, reason)


def _excess_units(
    payin: PayIn,
    intent: PaymentIntent,
    quotes: Sequence[Quote],
    paid_before: Sequence[tuple[str, int]],
    *,
    refunded: int,
) -> int:
    """Atomic units of this pay-in beyond what the intent still asked for."""
    quote = next(quote for quote in quotes if quote.asset == payin.asset)
    # What went back is asked for again.
    credited = intent.amount_credited + intent.amount_held - refunded
    if not paid_before and not credited:
        return max(0, payin.token_amount - quote.token_amount)
    before = credited
    before += value_of(quotes, paid_before, amount=intent.amount) if paid_before else 0
    if not credited and all(asset == payin.asset for asset, _ in paid_before):
        asked = quote.token_amount - sum(units for _, units in paid_before)
        return max(0, payin.token_amount - max(0, asked))
    asked = money.convert_up(max(0, intent.amount - before), quote.rate)
    return max(0, payin.token_amount - asked)


def credited_amount(units: int, *, asset_decimals: int, currency_decimals: int) -> tuple[int, int]:
    """A token amount in the currency's unit, rounded down, and the atomic units left as dust."""
    return money.rescale(units, from_decimals=asset_decimals, to_decimals=currency_decimals)


def postings(
    payin: PayIn, *, asset_decimals: int, currency_decimals: int, source: str = "custody"
) -> list[Posting]:
    """The linked set that books a screened pay-in; ``source`` is custody or quarantine."""
    debit = _custody(payin) if source == "custody" else chart.quarantine(payin.asset)
    credit_units, suspense_units = payin.credit_units or 0, payin.suspense_units or 0
    if payin.role in OPERATORS:
        return _operators_postings(payin, debit)
    code = TransferCode.payin if source == "custody" else TransferCode.payin_released
    result: list[Posting] = []
    amount, dust_units = credited_amount(
        credit_units, asset_decimals=asset_decimals, currency_decimals=currency_decimals
    )
    if credit_units - dust_units:
        bridge = chart.conversion_asset(payin.asset)
        result.append(Posting(debit, bridge, credit_units - dust_units, code))
    if amount:
        assert payin.account_id is not None
        assert payin.currency is not None
        unit = chart.currency_unit(payin.currency, livemode=payin.livemode)
        owed = chart.merchant(payin.account_id, "available", unit)
        bridge = chart.conversion_currency(payin.asset, unit)
        result.append(Posting(bridge, owed, amount, code))
        if payin.fee:
            earned = chart.fee_revenue(unit)
            result.append(Posting(owed, earned, payin.fee, TransferCode.payin_fee))
        if payin.fee_returned:
            earned, back = chart.fee_revenue(unit), payin.fee_returned
            result.append(Posting(earned, owed, back, TransferCode.fee_returned))
        if payin.application_fee:
            assert payin.application_terms is not None
            platform = chart.merchant(payin.application_terms["platform"], "available", unit)
            code = TransferCode.application_fee
            result.append(Posting(owed, platform, payin.application_fee, code))
    if dust_units:
        result.append(Posting(debit, chart.dust(payin.asset), dust_units, TransferCode.payin_dust))
    if suspense_units:
        waiting = chart.suspense(payin.asset)
        result.append(Posting(debit, waiting, suspense_units, TransferCode.payin_suspense))
    return result


def reversal_postings(booked: list[Posting], *, fee_given_back: int = 0) -> list[Posting]:
    """What undoes a booked pay-in. Its fees go straight back to where the credit came from: the
    merchant gives back what it kept, and is owed nothing; a platform gives back its own.

    ``booked`` without what went back of its fee. ``fee_given_back``: what the merchant has of the
    fee already, by refunds or with the pay-in itself; nobody gives it twice.
    """
    back = {TransferCode.payin_fee: fee_given_back}
    shares = [
        replace(each, amount=each.amount - back.get(each.code, 0))
        for each in booked
        if each.code in _SHARES and each.amount > back.get(each.code, 0)
    ]
    undo: list[Posting] = []
    for each in reversed_postings(
        [each for each in booked if each.code not in _SHARES], TransferCode.payin_reversed
    ):
        if not shares or each.debit.code is not AccountCode.merchant_available:
            undo.append(each)
            continue
        undo += [
            Posting(share.credit, each.credit, share.amount, TransferCode.payin_reversed)
            for share in shares
        ]
        kept = each.amount - sum(share.amount for share in shares)
        if kept:
            undo.append(replace(each, amount=kept))
    return undo


# What others have of a pay-in.
_SHARES = (TransferCode.payin_fee, TransferCode.application_fee)


def is_moved(payin: PayIn) -> bool:
    """Did it come from another address of the operator's own?"""
    return payin.role in OPERATORS and (payin.reason or "").startswith(MOVED_FROM)


def _operators_postings(payin: PayIn, debit: LedgerAccount) -> list[Posting]:
    """New money is the operator's; what only moved leaves the place where it was."""
    equity = chart.equity_operator(payin.asset)
    units = payin.token_amount
    if not is_moved(payin):
        return [Posting(debit, equity, units, TransferCode.treasury_funded)]
    place: chart.Custody = "hot" if payin.reason == f"{MOVED_FROM}hot" else "cold"
    left = chart.custody(payin.asset, place)
    return [
        Posting(debit, equity, units, TransferCode.treasury_moved),
        Posting(equity, left, units, TransferCode.treasury_moved),
    ]


def quarantine_postings(payin: PayIn) -> list[Posting]:
    """Book a held pay-in: the coins are ours to keep safe, nobody's to spend."""
    return [
        Posting(
            _custody(payin),
            chart.quarantine(payin.asset),
            payin.token_amount,
            TransferCode.payin_quarantined,
        )
    ]


def seizure_postings(payin: PayIn) -> list[Posting]:
    """Book a held pay-in as seized: out of quarantine, kept for an authority."""
    return [
        Posting(
            chart.quarantine(payin.asset),
            chart.seized(payin.asset),
            payin.token_amount,
            TransferCode.payin_seized,
        )
    ]


def _custody(payin: PayIn) -> LedgerAccount:
    if payin.role == PayInRole.vault:
        return chart.custody(payin.asset, "cold")
    return chart.custody(payin.asset, "hot" if payin.role == PayInRole.treasury else "deposit")


def is_screened_reason(reason: str | None) -> bool:
    """Does this reason say that screening held it? No merchant reads it, then or later."""
    return (reason or "").startswith(SCREENED)


def shown_status(status: str) -> str:
    """What a merchant is told: neither that coins went back nor that they were seized."""
    match PayInStatus(status):
        case PayInStatus.held:
            return UNDER_REVIEW
        case PayInStatus.returned | PayInStatus.seized:
            return DECLINED
        case (
            PayInStatus.seen
            | PayInStatus.confirmed
            | PayInStatus.screened
            | PayInStatus.posted
            | PayInStatus.released
            | PayInStatus.orphaned
            | PayInStatus.reversed
        ):
            return status


def public(payin: PayIn, *, operator: bool) -> dict[str, Any]:
    """The API's object ``payin``; a merchant sees a held one as ``under_review``, no reason."""
    is_withheld = shown_status(payin.status) != payin.status or is_screened_reason(payin.reason)
    return {
        "id": payin.id,
        "object": "payin",
        "account": payin.account_id,
        "address": checksum_address(payin.address),
        "amount": payin.amount,
        "application_fee": payin.application_fee,
        "amount_decimal": None
        if payin.amount is None or payin.decimals is None
        else money.format_decimal(payin.amount, payin.decimals),
        "asset": payin.asset,
        "block_hash": payin.block_hash,
        "block_number": payin.block_number,
        "block_timestamp": payin.block_timestamp,
        "created": int(payin.created.timestamp()),
        "currency": payin.currency,
        "customer": payin.customer,
        "fee": payin.fee,
        "fee_returned": payin.fee_returned,
        "livemode": payin.livemode,
        "log_index": payin.log_index,
        "metadata": {},
        "network": payin.network,
        "payment_intent": payin.payment_intent,
        "reason": payin.reason if operator or not is_withheld else None,
        "role": payin.role,
        "screening": payin.screening if operator else None,
        "sender": checksum_address(payin.sender),
        "status": payin.status if operator else shown_status(payin.status),
        "suspense_units": None if payin.suspense_units is None else str(payin.suspense_units),
        "token_amount": str(payin.token_amount),
        "tx_hash": payin.tx_hash,
    }
