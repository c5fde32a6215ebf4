"""Sweeps: coins on deposit addresses are collected to the treasury.

The same statuses as a payout. Credit never waits for a sweep, and held money is never swept:
an address with a held pay-in of any asset stays untouched.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sakk.core import chart
from sakk.core.chart import TransferCode
from sakk.core.evm import checksum_address
from sakk.core.network import Currency
from sakk.core.payout import PayoutStatus as SweepStatus
from sakk.core.posting import Posting

__all__ = [
    "Sweep",
    "SweepMethod",
    "SweepSource",
    "SweepStatus",
    "deposit_units",
    "postings",
    "public",
    "units_worth_collecting",
]

# What one deposit costs, in gas: a hundredth of a first collection by the hub, or a top-up and a
# transfer (docs/operating/treasury.md, `sakk bench gas`).
GAS_BY_HUB = 31_400
GAS_BY_KEY = 61_300
# Where no hub says otherwise: a deposit waits while its gas is more than so much of its worth, and
# at most so long.
COST_PERCENT_MAX = 5
AGE_SECONDS_MAX = 7 * 86_400
# More than any deposit: what is never worth its gas.
UNITS_NEVER = 10**77


class SweepMethod(StrEnum):
    """How coins leave a deposit address: by its own key and a top-up, or at the hub's call.

    A clone has no key: it pays at its factory's call. A recovery leaves by the address's own key,
    or by the factory's recoverer, and goes to whoever paid, not to a treasury; so does a seizure,
    which goes to a vault.
    """

    key = "key"
    hub = "hub"
    clone = "clone"
    recovery = "recovery"
    seizure = "seizure"


class SweepSource(StrEnum):
    """What the coins are in the ledger: on deposit, held in quarantine, seized, in suspense as a
    pay-in or as native coin that was adopted, or never in it at all."""

    deposit = "deposit"
    quarantine = "quarantine"
    seized = "seized"
    suspense = "suspense"
    adopted = "adopted"
    unbooked = "unbooked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """One collection of ``token_amount`` atomic units from a deposit address.

    ``arrived_units``: what a final collection by the hub brought of it, 0 if it moved nothing; None
    before, and for a sweep that is a transaction of its own. ``factory``: whose clone the address
    is, None where it has a key.
    """

    id: str
    livemode: bool
    network: str
    asset: str
    address: str
    key_index: int
    destination: str
    token_amount: int
    status: str
    method: str = SweepMethod.key.value
    source: str = SweepSource.deposit.value
    factory: str | None = None
    arrived_units: int | None = None
    topup: str | None = None
    transaction: str | None = None
    tx_hash: str | None = None
    waits_for: str | None = None
    failure_code: str | None = None
    attempt: int = 0
    posted_at: datetime | None = None
    retry_at: datetime | None = None
    failures: int = 0
    lease_token: str | None = None
    lease_until: datetime | None = None
    created: datetime


def units_worth_collecting(
    coin: Currency,
    native: Currency,
    *,
    decimals: int,
    native_decimals: int,
    cost_wei: int,
    percent_max: int,
) -> int:
    """The least atomic units of a token whose worth lets ``cost_wei`` be ``percent_max`` of it.

    0 where a price is not known: the asset's own minimum decides then. Rounded up.
    """
    if coin.usd_numerator is None or coin.usd_denominator is None:
        return 0
    if native.usd_numerator is None or native.usd_denominator is None:
        return 0
    if not percent_max:
        return UNITS_NEVER
    dividend: int = cost_wei * native.usd_numerator * coin.usd_denominator * 10**decimals * 100
    divisor: int = native.usd_denominator * coin.usd_numerator * 10**native_decimals * percent_max
    units: int = -(-dividend // divisor)
    return min(units, UNITS_NEVER)


def postings(sweep: Sweep, *, arrived_units: int) -> list[Posting]:
    """Custody moves from deposit to hot; what a token kept for itself on the way is a loss.

    A recovery's coins leave custody, out of where they were held, whatever the token kept of them.
    What is seized stays so, in a vault.
    """
    source = chart.custody(sweep.asset, "deposit")
    if sweep.method == SweepMethod.seizure:
        vault = chart.custody(sweep.asset, "cold")
        return [Posting(vault, source, sweep.token_amount, TransferCode.seizure)]
    if sweep.method == SweepMethod.recovery:
        if sweep.source == SweepSource.unbooked:
            return []
        held = chart.suspense(sweep.asset)
        if sweep.source == SweepSource.quarantine:
            held = chart.quarantine(sweep.asset)
        return [Posting(held, source, sweep.token_amount, TransferCode.payin_returned)]
    result: list[Posting] = []
    arrived = min(arrived_units, sweep.token_amount)
    if arrived:
        result.append(
            Posting(chart.custody(sweep.asset, "hot"), source, arrived, TransferCode.sweep)
        )
    if sweep.token_amount > arrived:
        lost = chart.loss("transfer_fee", sweep.asset)
        missing = sweep.token_amount - arrived
        result.append(Posting(lost, source, missing, TransferCode.sweep_loss))
    return result


def deposit_units(sweep: Sweep) -> list[tuple[str, str, int]]:
    """What a sweep takes of what we count on deposit addresses: (address, asset, units)."""
    if sweep.source in (SweepSource.unbooked, SweepSource.adopted, SweepSource.seized):
        return []
    return [(sweep.address, sweep.asset, sweep.token_amount)]


def public(sweep: Sweep) -> dict[str, Any]:
    """The operator's object ``sweep``."""
    return {
        "id": sweep.id,
        "object": "sweep",
        "address": checksum_address(sweep.address),
        "asset": sweep.asset,
        "created": int(sweep.created.timestamp()),
        "destination": checksum_address(sweep.destination),
        "failure_code": sweep.failure_code,
        "livemode": sweep.livemode,
        "metadata": {},
        "network": sweep.network,
        "status": sweep.status,
        "token_amount": str(sweep.token_amount),
        "tx_hash": sweep.tx_hash,
        "waits_for": sweep.waits_for,
    }
