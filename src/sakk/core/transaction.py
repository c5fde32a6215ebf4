"""Chain transactions of ours: the one shape that payouts, refunds, sweeps and top-ups are sent in.

``built → signed → broadcast → confirmed → posted``, or ``refused`` by the signer, ``failed`` when
the chain proves that it reverted, ``unknown`` while nobody can say: then only the same signed bytes
may be sent again. Nonce, signed bytes and hash are committed before the first broadcast.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sakk.core import chart, money
from sakk.core.chart import TransferCode
from sakk.core.evm import checksum_address
from sakk.core.posting import Posting

REBROADCAST_AFTER = timedelta(seconds=5)
REBROADCAST_AFTER_MAX = timedelta(minutes=5)
# What an operator asks of a transaction that is to use its nonce up and do nothing.
ASK_CANCEL = "cancel"


class TransactionStatus(StrEnum):
    built = "built"
    signed = "signed"
    broadcast = "broadcast"
    unknown = "unknown"
    confirmed = "confirmed"
    posted = "posted"
    failed = "failed"
    refused = "refused"

    @property
    def is_over(self) -> bool:
        """Will nothing more come of it, unless its block leaves the chain?"""
        return self in (
            TransactionStatus.posted,
            TransactionStatus.failed,
            TransactionStatus.refused,
        )


class Purpose(StrEnum):
    payout = "payout"
    refund = "refund"
    sweep = "sweep"
    collect = "collect"
    topup = "topup"
    cancel = "cancel"
    withdrawal = "withdrawal"
    recovery = "recovery"
    disperse = "disperse"
    allowance = "allowance"
    deploy = "deploy"
    # Payers' coins move by what they signed: a call of ours, and no money of ours.
    capture = "capture"
    rotation = "rotation"
    # Calls of x402's escrow: those that bring coins here, and the others.
    redemption = "redemption"
    escrow = "escrow"
    # Signed by us, for a payout that a restored database does not know.
    forgotten = "forgotten"


# One payment to somebody, by a transfer that carries no other.
PLAIN = frozenset({Purpose.payout, Purpose.refund})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainTransaction:
    """One transaction from a key of ours. Amounts in atomic units, gas cost in the native coin's.

    ``subject``: the payout, refund or sweep that it carries out; its own id where it carries many,
    which name it. ``since_block``: the head's number when the nonce was taken. ``succeeded``: what
    the receipt says, None before. ``arrived_units``: what reached the destination.
    ``failed_lines``: of a dispersal that succeeded, the lines that did not, each with what the
    token answered; ``arrived_units`` are then those of the other lines. ``orphaned``: it was final,
    and its block left the chain since: what succeeded is sent again, what failed is called off.
    ``again``: what the chain said the next time, while that is booked.
    ``block_hash``: of the block that holds it, or that used its nonce otherwise. ``replacements``:
    the number of the newest attempt that was signed; ``raw``, ``hash`` and the fees are that
    attempt's until a block holds another. ``waits_for``: why it is not replaced now. ``asked``:
    what is to be done with it, ``replace`` or ``cancel``. ``explanation``: the signer's words for
    what it signed.
    """

    id: str
    livemode: bool
    network: str
    purpose: str
    subject: str
    account_id: str | None = None
    sender: str
    key_branch: str
    key_index: int
    nonce: int
    asset: str
    destination: str
    destination_index: int | None = None
    token_amount: int
    gas_limit: int
    max_fee_per_gas: int
    max_priority_fee_per_gas: int
    unsigned: bytes
    since_block: int
    raw: bytes | None = None
    hash: str | None = None
    status: str
    block_number: int | None = None
    block_hash: str | None = None
    succeeded: bool | None = None
    gas_cost: int | None = None
    arrived_units: int | None = None
    failed_lines: dict[str, str] | None = None
    orphaned: bool = False
    again: dict[str, Any] | None = None
    error: str | None = None
    broadcasts: int = 0
    attempt: int = 0
    signed_at: datetime | None = None
    broadcast_at: datetime | None = None
    confirmed_at: datetime | None = None
    posted_at: datetime | None = None
    retry_at: datetime | None = None
    failures: int = 0
    lease_token: str | None = None
    lease_until: datetime | None = None
    replacements: int = 0
    replace_at: datetime | None = None
    waits_for: str | None = None
    asked: str | None = None
    explanation: str | None = None
    created: datetime

    @property
    def carries_payouts(self) -> bool:
        """Is it for payouts, whose rows name it?"""
        return self.purpose in (Purpose.payout, Purpose.refund, Purpose.disperse)

    def pays(self, line: int | None) -> bool:
        """Did it pay a line (None: its only one), by what is known of its receipt?"""
        return bool(self.succeeded) and str(line) not in (self.failed_lines or {})

    def why_unpaid(self, line: int | None) -> str:
        """Why a line was not paid, by proof of the chain: in words for the merchant."""
        answer = (self.failed_lines or {}).get(str(line))
        if answer is not None:
            return f"The token did not make this transfer: {answer}."
        return self.error or "The transaction reverted on the chain."


# What these name an amount of is not taken from the sender.
TAKES_NOTHING = (Purpose.allowance, Purpose.capture)


class AttemptStatus(StrEnum):
    built = "built"
    signed = "signed"
    refused = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One version of a transaction: the same nonce and call, at a price of its own.

    Any attempt that was signed may be mined, however many came after it. One that ``cancels`` does
    nothing but use the nonce up. ``attempt`` is 0 for the first.
    """

    id: str
    transaction: str
    attempt: int
    network: str
    cancels: bool = False
    max_fee_per_gas: int
    max_priority_fee_per_gas: int
    unsigned: bytes
    raw: bytes | None = None
    hash: str | None = None
    status: str
    explanation: str | None = None
    error: str | None = None
    signed_at: datetime | None = None
    created: datetime


def cancel_intent(network: str, sender: str, nonce: int) -> str:
    """The signer's intent for using one nonce of one address up, and nothing else."""
    return f"cancel:{network}:{sender}:{nonce}"


def is_replaceable(transaction: ChainTransaction) -> bool:
    """Has it been sent, and does no block hold it? Then another attempt may take its nonce."""
    if transaction.block_hash is not None:
        return False
    match TransactionStatus(transaction.status):
        case TransactionStatus.broadcast | TransactionStatus.unknown:
            return True
        case TransactionStatus.posted | TransactionStatus.failed:
            return transaction.orphaned
        case (
            TransactionStatus.built
            | TransactionStatus.signed
            | TransactionStatus.confirmed
            | TransactionStatus.refused
        ):
            return False


def rebroadcast_delay(broadcasts: int) -> timedelta:
    """How long to wait for a block before the same bytes are sent again; doubles to a limit."""
    doubled: timedelta = REBROADCAST_AFTER * (2 ** min(broadcasts, 10))
    return min(doubled, REBROADCAST_AFTER_MAX)


@dataclass(frozen=True, slots=True)
class GasCoin:
    """The coin that a network takes for gas: the asset, and the unit in which its cost is counted.

    ``decimals`` are the asset's and ``unit_decimals`` the currency's.
    """

    asset: str
    unit: str
    decimals: int
    unit_decimals: int


def gas_postings(transaction: ChainTransaction, *, coin: GasCoin) -> list[Posting]:
    """What the network took, from whence it was paid; owed whether or not it reverted.

    It is the operator's expense, in the coin's currency; what is too small for that is dust.
    """
    cost = transaction.gas_cost
    if not cost:
        return []
    source = (
        chart.gas_tank(transaction.network, coin.asset)
        if transaction.key_branch == "deposit"
        else chart.custody(coin.asset, "hot")
    )
    amount, dust_units = money.rescale(
        cost, from_decimals=coin.decimals, to_decimals=coin.unit_decimals
    )
    moved = []
    if amount:
        bridge = chart.conversion_asset(coin.asset)
        moved.append(Posting(bridge, source, cost - dust_units, TransferCode.gas))
        owed = chart.conversion_currency(coin.asset, coin.unit)
        moved.append(Posting(chart.fee_network(coin.unit), owed, amount, TransferCode.gas))
    if dust_units:
        moved.append(Posting(chart.dust(coin.asset), source, dust_units, TransferCode.gas))
    return moved


def topup_postings(transaction: ChainTransaction, *, native_asset: str) -> list[Posting]:
    """Native coin for gas moves from the treasury to the gas station's tank: a deposit address.

    From one treasury address to another it stays where it is in the books.
    """
    if transaction.destination_index is None:
        return []
    return [
        Posting(
            chart.gas_tank(transaction.network, native_asset),
            chart.custody(native_asset, "hot"),
            transaction.token_amount,
            TransferCode.topup,
        )
    ]


def operator_view(transaction: ChainTransaction) -> dict[str, Any]:
    """The operator's object ``chain_transaction``. Fees in wei per gas, as strings."""
    return {
        "id": transaction.id,
        "object": "chain_transaction",
        "asked": transaction.asked,
        "asset": transaction.asset,
        "block_number": transaction.block_number,
        "created": int(transaction.created.timestamp()),
        "destination": checksum_address(transaction.destination),
        "error": transaction.error,
        "explanation": transaction.explanation,
        "gas_cost": None if transaction.gas_cost is None else str(transaction.gas_cost),
        "gas_limit": transaction.gas_limit,
        "hash": transaction.hash,
        "livemode": transaction.livemode,
        "max_fee_per_gas": str(transaction.max_fee_per_gas),
        "max_priority_fee_per_gas": str(transaction.max_priority_fee_per_gas),
        "metadata": {},
        "network": transaction.network,
        "nonce": transaction.nonce,
        "purpose": transaction.purpose,
        "replacements": transaction.replacements,
        "sender": checksum_address(transaction.sender),
        "status": transaction.status,
        "subject": transaction.subject,
        "succeeded": transaction.succeeded,
        "token_amount": str(transaction.token_amount),
        "waits_for": transaction.waits_for,
    }


def attempt_view(attempt: Attempt) -> dict[str, Any]:
    """One attempt, as part of the operator's object. Fees in wei per gas, as strings."""
    return {
        "attempt": attempt.attempt,
        "cancels": attempt.cancels,
        "created": int(attempt.created.timestamp()),
        "error": attempt.error,
        "explanation": attempt.explanation,
        "hash": attempt.hash,
        "max_fee_per_gas": str(attempt.max_fee_per_gas),
        "max_priority_fee_per_gas": str(attempt.max_priority_fee_per_gas),
        "status": attempt.status,
    }


def forgotten_postings(transaction: ChainTransaction) -> list[Posting]:
    """Coins went to somebody whose payout the database forgot: a person settles that."""
    return [
        Posting(
            chart.suspense(transaction.asset),
            chart.custody(transaction.asset, "hot"),
            transaction.token_amount,
            TransferCode.outflow,
        )
    ]


def public(transaction: ChainTransaction) -> dict[str, Any]:
    """The part of the API's payout and sweep objects that speaks of the chain."""
    return {
        "id": transaction.id,
        "hash": transaction.hash,
        "nonce": transaction.nonce,
        "network": transaction.network,
        "block_number": transaction.block_number,
        "status": transaction.status,
        "gas_cost": None if transaction.gas_cost is None else str(transaction.gas_cost),
    }
