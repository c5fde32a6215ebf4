"""Balances and their statement: what an account may use, and the line for every movement of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sakk.core import ids, money
from sakk.core.chart import TransferCode

PREFIX = "txn"
_TIME_BITS = 62
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SOURCES: dict[TransferCode, str | None] = {
    TransferCode.payin: "pin",
    TransferCode.payin_quarantined: "pin",
    TransferCode.payin_released: "pin",
    TransferCode.payin_reversed: "pin",
    TransferCode.payin_suspense: "pin",
    TransferCode.payin_dust: "pin",
    TransferCode.payin_returned: "pin",
    TransferCode.payin_seized: "pin",
    TransferCode.payin_fee: "pin",
    TransferCode.treasury_funded: "pin",
    TransferCode.treasury_moved: "pin",
    TransferCode.payout_hold: "po",
    TransferCode.payout: "po",
    TransferCode.payout_void: "po",
    TransferCode.payout_fee: "po",
    # It stands among what the refund's transaction did.
    TransferCode.fee_returned: None,
    TransferCode.sweep: "sw",
    TransferCode.sweep_loss: "sw",
    TransferCode.topup: "tx",
    TransferCode.withdrawal: "tx",
    TransferCode.seizure: "tx",
    TransferCode.gas: "tx",
    TransferCode.transaction_undone: "tx",
    TransferCode.outflow: "out",
    TransferCode.outflow_reversed: "out",
    TransferCode.adopted: "ad",
    TransferCode.book_transfer: "tr",
    TransferCode.transfer_left: "tr",
    TransferCode.transfer_claimed: "tr",
    TransferCode.transfer_returned: "tr",
    TransferCode.transfer_fee: "tr",
    TransferCode.conversion_taken: "conv",
    TransferCode.conversion_given: "conv",
    TransferCode.conversion_spread: "conv",
    TransferCode.conversion_fee: "conv",
    TransferCode.gift_card_issued: "gcm",
    TransferCode.gift_card_redeemed: "gcm",
    TransferCode.gift_card_refunded: "gcm",
    TransferCode.gift_card_replaced: "gcm",
    TransferCode.gift_card_lapsed: "gcm",
    TransferCode.gift_card_fee: "gcm",
    TransferCode.gift_card_fee_returned: "gcm",
    TransferCode.order_bought: "ordc",
    TransferCode.order_spent: "ordc",
    TransferCode.order_fee: "ordc",
    TransferCode.channel_funded: "ch",
    TransferCode.channel_closed: "ch",
    TransferCode.channel_refunded: "ch",
    TransferCode.escrow_deposited: "ch",
    TransferCode.escrow_redeemed: "ch",
    TransferCode.escrow_withdrawn: "ch",
    # A charge's user data is of the call that it pays for.
    TransferCode.channel_charge: None,
    TransferCode.mandate_budgeted: "mnd",
    TransferCode.mandate_reserved: "mnd",
    TransferCode.mandate_restored: "mnd",
    TransferCode.mandate_spend: "spn",
    TransferCode.parked: "prk",
    TransferCode.unparked: "prk",
    TransferCode.reserve_held: "set",
    TransferCode.reserve_released: "set",
    TransferCode.receivable_recovered: "set",
    TransferCode.bank_opened: "ba",
    TransferCode.bank_payin: "bl",
    TransferCode.bank_suspended: "bl",
    TransferCode.bank_assigned: "bl",
    TransferCode.bank_payout: "po",
    TransferCode.bank_returned: "po",
    TransferCode.bank_fee: "po",
    TransferCode.bank_sent_back: "bl",
    TransferCode.bank_return_fee: "bl",
    # What the operator corrects is of its own books: a merchant sees the amount, and no row of it.
    TransferCode.break_corrected: None,
    TransferCode.application_fee: "pin",
    # It stands among what the payout's transaction did.
    TransferCode.application_fee_payout: None,
    TransferCode.application_fee_refunded: "afee",
}


@dataclass(frozen=True, slots=True)
class BalanceTransaction:
    """One line: the signed amount, and the balance after it, in the currency's unit.

    ``timestamp_ns``: the ledger's time, which no other line of the account has.
    """

    timestamp_ns: int
    currency: str
    decimals: int
    amount: int
    balance_after: int
    code: int
    source: str | None
    livemode: bool

    @property
    def id(self) -> str:
        """A UUIDv7 of the ledger's time, to the nanosecond: no id is stored."""
        now_ms = self.timestamp_ns // 1_000_000
        random = self.timestamp_ns.to_bytes(ids.RANDOM_BYTES, "big")
        return ids.encode(PREFIX, ids.uuid7(now_ms=now_ms, random=random))

    @property
    def timestamp(self) -> datetime:
        """The ledger's time, to the microsecond."""
        return _EPOCH + timedelta(microseconds=self.timestamp_ns // 1000)


def timestamp_of(identifier: str) -> int:
    """The ledger's time in a ``txn_`` id (ns); ValueError if it is none."""
    prefix, value = ids.decode(identifier)
    if prefix != PREFIX:
        raise ValueError(f"not a balance transaction: {identifier!r}")
    return value & ((1 << _TIME_BITS) - 1)


def source_prefix(code: int) -> str | None:
    """The kind of object that a movement's user data names."""
    return _SOURCES[TransferCode(code)]


_FEES = (
    TransferCode.payin_fee,
    TransferCode.fee_returned,
    TransferCode.conversion_fee,
    TransferCode.transfer_fee,
    TransferCode.gift_card_fee,
    TransferCode.gift_card_fee_returned,
)


def kind_of(code: int, amount: int) -> str:
    """Stripe's ``type`` of a balance transaction."""
    if code in (TransferCode.channel_charge, TransferCode.mandate_spend):
        return "payment"
    if code in _FEES:
        return "fee"
    if code in (TransferCode.application_fee, TransferCode.application_fee_payout):
        return "application_fee"
    if code == TransferCode.application_fee_refunded:
        return "application_fee_refund"
    if code in (TransferCode.reserve_held, TransferCode.reserve_released):
        return "reserve_transaction"
    match source_prefix(code):
        case "pin" | "bl":
            return "payment" if amount > 0 else "payment_reversal"
        case "po":
            return "payout"
        case "tr" | "ch" | "gcm":
            return "transfer"
        case "conv":
            return "conversion"
        case _:
            return "adjustment"


def public_transaction(line: BalanceTransaction) -> dict[str, Any]:
    """The API's object ``balance_transaction``, in Stripe's shape."""
    created = int(line.timestamp.timestamp())
    return {
        "id": line.id,
        "object": "balance_transaction",
        "amount": line.amount,
        "amount_decimal": money.format_decimal(line.amount, line.decimals),
        "available_on": created,
        "balance_after": line.balance_after,
        "created": created,
        "currency": line.currency,
        "description": None,
        "exchange_rate": None,
        "fee": 0,
        "fee_details": [],
        "livemode": line.livemode,
        "metadata": {},
        "net": line.amount,
        "reporting_category": kind_of(line.code, line.amount),
        "source": line.source,
        "status": "available",
        "type": kind_of(line.code, line.amount),
    }


def public_balance(
    available: Mapping[str, int],
    pending: Mapping[str, int],
    decimals: Mapping[str, int],
    *,
    livemode: bool,
) -> dict[str, Any]:
    """The API's object ``balance``: by currency, what may be used and what is on its way."""

    def amounts(of: Mapping[str, int]) -> list[dict[str, Any]]:
        return [
            {
                "amount": units,
                "amount_decimal": money.format_decimal(units, decimals[currency]),
                "currency": currency,
            }
            for currency, units in sorted(of.items())
        ]

    return {
        "object": "balance",
        "available": amounts(available),
        "livemode": livemode,
        "pending": amounts(pending),
    }
