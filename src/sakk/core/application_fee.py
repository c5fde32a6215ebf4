"""Application fees: what a platform takes of what it does for an account that is connected to it.

An amount that is named with the payment, or else what the platform's rules say. It is taken in the
coin that came, in proportion to what came of what was asked for: of a payment in many parts never
more than the amount, and of any no more than the merchant agreed to, nor than the operator's fee
leaves. Each division rounds down, in the merchant's favour. What goes back with a refund is a
transfer of its own, out of the platform's balance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sakk.core import money
from sakk.core.connected_account import MILLION, ConnectedAccount
from sakk.core.errors import ParameterInvalid
from sakk.core.fee import FeeKind, FeeVersion, Movement, OnRefund, Price, price

PREFIX: Final = "afee"


class ApplicationFeeReason(StrEnum):
    """Why it moved: taken, given back with a refund, or undone with what it was taken of."""

    charged = "charged"
    returned = "returned"
    reversed = "reversed"


class ApplicationFeeStatus(StrEnum):
    """``pending``: goes back as soon as the platform's balance covers it."""

    pending = "pending"
    posted = "posted"


@dataclass(frozen=True, slots=True)
class Application:
    """For whom something is done: kept with it, whatever becomes of the connection.

    ``amount``: what is taken, in the unit of what it is taken of; None: by the platform's rules.
    """

    platform: str
    connected_account: str
    fee_ppm_max: int
    amount: int | None = None

    def document(self) -> dict[str, Any]:
        """As it is kept with a payment."""
        return {
            "platform": self.platform,
            "connected_account": self.connected_account,
            "fee_ppm_max": self.fee_ppm_max,
            "amount": self.amount,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationFee:
    """One transfer between a merchant and its platform; ``amount`` below zero went back.

    ``account_id`` is the platform's: the fee is its income. ``source``: the pay-in, payout or
    refund. ``rule`` of ``version`` of the connection's rules, or neither where it was named.
    """

    id: str
    account_id: str
    connected: str
    livemode: bool
    connected_account: str
    kind: str
    reason: str
    status: str
    source: str
    payment_intent: str | None
    currency: str
    decimals: int
    basis: int
    amount: int
    version: int | None
    rule: int | None
    parts: list[dict[str, Any]]
    attempt: int = 0
    retry_at: datetime | None = None
    failures: int = 0
    lease_token: str | None = None
    lease_until: datetime | None = None
    created: datetime


def applied(
    connected: ConnectedAccount | None, amount: int | None, *, of: int, param: str
) -> Application | None:
    """For whom something of an amount is done, and what they take; ParameterInvalid for a fee that
    nobody agreed to. None where an account acts for itself."""
    if connected is None:
        if amount is not None:
            raise ParameterInvalid(
                "Only a platform takes an application fee, of an account that is connected to it:"
                " name the account in Stripe-Account.",
                param=param,
            )
        return None
    most = of * connected.fee_ppm_max // MILLION
    if amount is not None and amount > most:
        raise ParameterInvalid(
            "The account agreed to {ppm} parts per million, which is {most} of this. Take no more.",
            param=param,
            ppm=connected.fee_ppm_max,
            most=most,
        )
    return Application(connected.platform, connected.id, connected.fee_ppm_max, amount)


def read_application(document: dict[str, Any] | None) -> Application | None:
    """What `Application.document` wrote."""
    return None if document is None else Application(**document)


@dataclass(frozen=True, slots=True)
class Span:
    """What part of a payment a pay-in is, in the payment's unit: from ``before`` to ``after`` of
    ``asked``. ``value``: what the whole of it is worth."""

    asked: int
    before: int
    after: int
    value: int


def of_payin(
    application: Application,
    span: Span,
    *,
    kind: FeeKind,
    currency: str,
    network: str | None,
    arrived: int,
    credited: int,
    left: int,
    version: FeeVersion | None,
    volume: int = 0,
) -> tuple[int, dict[str, Any]] | None:
    """What is taken of a pay-in and its terms, in the coin's unit; None where nothing is, and no
    rule says so. What a rule prices at 0 has terms: it counts towards the month.

    ``arrived``: all of it, ``credited``: what of it is the merchant's, ``left``: what the
    operator's fee leaves of that.
    """
    if application.amount is not None:
        due = application.amount * min(span.after, span.asked) // span.asked
        due -= application.amount * min(span.before, span.asked) // span.asked
        units = arrived * due // span.value if span.value else 0
        found = None
    else:
        movement = Movement(kind, currency, network, credited, volume)
        found = None if version is None else price(version, movement)
        units = 0 if found is None else found.fee
    units = max(0, min(units, credited * application.fee_ppm_max // MILLION, left))
    return _decided(application, found, units, credited)


def of_payout(
    application: Application,
    *,
    amount: int,
    currency: str,
    network: str | None,
    version: FeeVersion | None,
    volume: int = 0,
) -> tuple[int, dict[str, Any]] | None:
    """What is taken for a payout, on top of it; None where nothing is, and no rule says so."""
    found = None
    units = application.amount or 0
    if application.amount is None and version is not None:
        found = price(version, Movement(FeeKind.payout, currency, network, amount, volume))
        units = 0 if found is None else found.fee
    units = min(units, amount * application.fee_ppm_max // MILLION)
    return _decided(application, found, units, amount)


def _decided(
    application: Application, found: Price | None, units: int, basis: int
) -> tuple[int, dict[str, Any]] | None:
    if not units and found is None:
        return None
    return units, terms_of(application, found, units, basis)


def terms_of(
    application: Application, found: Price | None, units: int, basis: int
) -> dict[str, Any]:
    """By what it was decided: kept with what it is taken of."""
    parts = [{"label": "application_fee_amount", "amount": units}]
    if found is not None:
        parts = [{"label": each.label, "amount": each.units} for each in found.parts]
        if found.fee > units:
            parts.append({"label": "agreed_maximum", "amount": units - found.fee})
    return {
        "platform": application.platform,
        "connected_account": application.connected_account,
        "version": None if found is None else found.version,
        "rule": None if found is None else found.rule,
        "basis": basis,
        "parts": parts,
        "on_refund": OnRefund.kept.value if found is None else found.on_refund.value,
    }


def undone(before: Sequence[ApplicationFee], *, due: int) -> list[tuple[str, int]]:
    """What of a payment's returned fees is the platform's again after a part of the payment was
    undone: by refund, the newest first. ``due``: what has to be back of what still stands.

    The fee of what was undone went back with it; what a refund had given back of it before is not
    given twice.
    """
    of_refund: dict[str, int] = {}
    for each in before:
        of_refund[each.source] = of_refund.get(each.source, 0) - each.amount
    above = sum(of_refund.values()) - due
    result: list[tuple[str, int]] = []
    for source, units in reversed(of_refund.items()):
        share = min(units, above)
        if share > 0:
            result.append((source, share))
            above -= share
    return result


def given(before: Sequence[ApplicationFee]) -> dict[str, int]:
    """How much was refunded, by the refunds that had to give a share of a fee back."""
    result: dict[str, int] = {}
    for each in before:
        sign = 1 if each.reason == ApplicationFeeReason.returned else -1
        result[each.source] = result.get(each.source, 0) + sign * each.basis
    return result


def public(fee: ApplicationFee) -> dict[str, Any]:
    """The API's object ``application_fee``, to the platform and to the merchant."""
    return {
        "id": fee.id,
        "object": "application_fee",
        "account": fee.connected,
        "amount": fee.amount,
        "amount_decimal": money.format_decimal(fee.amount, fee.decimals),
        "application": fee.account_id,
        "basis": fee.basis,
        "connected_account": fee.connected_account,
        "created": int(fee.created.timestamp()),
        "currency": fee.currency,
        "kind": fee.kind,
        "livemode": fee.livemode,
        "metadata": {},
        "parts": fee.parts,
        "payment_intent": fee.payment_intent,
        "reason": fee.reason,
        "rule": fee.rule,
        "source": fee.source,
        "status": fee.status,
        "version": fee.version,
    }
