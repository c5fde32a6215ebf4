"""The chart of accounts: every ledger account by name, and the codes of transfers.

An account is a path and a unit; its full name is ``path#unit``. The unit is a currency (money owed)
or an asset in atomic units (coins held). Test money has units of its own, ``test/usdc``, so that it
can never meet live money. Accounts of coins held are debit-normal, accounts of money owed
credit-normal.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

Custody = Literal["hot", "cold", "deposit"]
MerchantBalance = Literal["incoming", "available", "reserved"]


class AccountCode(IntEnum):
    """What kind of account it is; on the wire and in the journal, never renumbered."""

    custody = 10
    dust = 11
    suspense = 12
    quarantine = 13
    # Retired: what the networks took, before it was an expense in `fee_network`.
    gas = 14
    conversion = 15
    gas_tank = 16
    seized = 17
    escrow = 18
    bank = 19
    merchant_incoming = 20
    merchant_available = 21
    merchant_reserved = 22
    receivable = 23
    bank_suspense = 24
    payout_in_flight = 30
    fee_revenue = 40
    fee_network = 41
    fee_venue = 42
    equity_operator = 50
    loss = 51
    fx = 60
    venue = 61
    channel = 70
    mandate_budget = 71
    mandate_spent = 72
    pool = 80
    unclaimed = 90
    gift_card = 91


class TransferCode(IntEnum):
    """Why money moved; on the wire and in the journal, never renumbered."""

    payin = 100
    payin_quarantined = 101
    payin_released = 102
    payin_reversed = 103
    payin_suspense = 104
    payin_dust = 105
    payin_returned = 106
    payin_seized = 107
    payin_fee = 108
    treasury_funded = 110
    treasury_moved = 111
    payout_hold = 200
    payout = 201
    payout_void = 202
    payout_fee = 203
    fee_returned = 204
    sweep = 300
    sweep_loss = 301
    topup = 310
    withdrawal = 311
    seizure = 312
    gas = 320
    transaction_undone = 330
    outflow = 400
    outflow_reversed = 401
    adopted = 410
    book_transfer = 500
    transfer_left = 501
    transfer_claimed = 502
    transfer_returned = 503
    transfer_fee = 504
    conversion_taken = 510
    conversion_given = 511
    conversion_spread = 512
    conversion_fee = 513
    gift_card_issued = 520
    gift_card_redeemed = 521
    gift_card_refunded = 522
    gift_card_replaced = 523
    gift_card_lapsed = 524
    gift_card_fee = 525
    gift_card_fee_returned = 526
    order_bought = 530
    order_spent = 531
    order_fee = 532
    channel_funded = 600
    channel_charge = 601
    channel_closed = 602
    channel_refunded = 603
    escrow_deposited = 610
    escrow_redeemed = 611
    escrow_withdrawn = 612
    mandate_budgeted = 620
    mandate_reserved = 621
    mandate_restored = 622
    mandate_spend = 623
    parked = 630
    unparked = 631
    reserve_held = 700
    reserve_released = 701
    receivable_recovered = 702
    break_corrected = 720
    application_fee = 730
    application_fee_payout = 731
    application_fee_refunded = 732
    bank_opened = 800
    bank_payin = 801
    bank_suspended = 802
    bank_assigned = 803
    bank_payout = 804
    bank_returned = 805
    bank_fee = 806
    bank_sent_back = 807
    bank_return_fee = 808


@dataclass(frozen=True, slots=True)
class LedgerAccount:
    """One account of the chart. ``owner`` is the merchant whose money it is, if any."""

    path: str
    unit: str
    code: AccountCode
    debits_must_not_exceed_credits: bool = False
    owner: str | None = None

    @property
    def name(self) -> str:
        return f"{self.path}#{self.unit}"


def currency_unit(currency: str, *, livemode: bool) -> str:
    """The ledger's unit of a currency in the given mode."""
    return currency if livemode else f"test/{currency}"


def currency_of_unit(unit: str) -> tuple[str, bool]:
    """The currency and mode of a unit that ``currency_unit`` made."""
    return (unit[len("test/") :], False) if unit.startswith("test/") else (unit, True)


def custody(asset: str, place: Custody) -> LedgerAccount:
    """Coins that we hold on chain, in atomic units."""
    return LedgerAccount(f"custody:{asset}:{place}", asset, AccountCode.custody)


def dust(asset: str) -> LedgerAccount:
    """Atomic units too small for the currency's scale."""
    return LedgerAccount(f"dust:{asset}", asset, AccountCode.dust)


def suspense(asset: str) -> LedgerAccount:
    """Coins whose owner a person must decide."""
    return LedgerAccount(f"suspense:{asset}", asset, AccountCode.suspense)


def quarantine(asset: str) -> LedgerAccount:
    """Coins that screening holds back."""
    return LedgerAccount(f"quarantine:{asset}", asset, AccountCode.quarantine)


def seized(asset: str) -> LedgerAccount:
    """Coins kept for an authority: nobody's here, and never released."""
    return LedgerAccount(f"seized:{asset}", asset, AccountCode.seized)


def escrow(asset: str) -> LedgerAccount:
    """Coins that payers put into the escrow contract for channels here, in atomic units."""
    return LedgerAccount(f"escrow:{asset}", asset, AccountCode.escrow)


def gas_tank(network: str, native: str) -> LedgerAccount:
    """Native coin that the gas station gave to deposit addresses, in atomic units."""
    return LedgerAccount(f"gas:tank:{network}", native, AccountCode.gas_tank)


def conversion_asset(asset: str) -> LedgerAccount:
    """The asset side of the bridge between coins held and money owed."""
    return LedgerAccount(f"conversion:{asset}", asset, AccountCode.conversion)


def conversion_currency(asset: str, unit: str) -> LedgerAccount:
    """The currency side of the same bridge."""
    return LedgerAccount(f"conversion:{asset}", unit, AccountCode.conversion)


def merchant(account_id: str, balance: MerchantBalance, unit: str) -> LedgerAccount:
    """Money that we owe a merchant; it can not be overdrawn."""
    code = {
        "incoming": AccountCode.merchant_incoming,
        "available": AccountCode.merchant_available,
        "reserved": AccountCode.merchant_reserved,
    }[balance]
    return LedgerAccount(
        f"merchant:{account_id}:{balance}",
        unit,
        code,
        debits_must_not_exceed_credits=True,
        owner=account_id,
    )


def receivable(account_id: str, unit: str) -> LedgerAccount:
    """What a reversal could not take back from the merchant's balance."""
    return LedgerAccount(f"receivable:{account_id}", unit, AccountCode.receivable, owner=account_id)


def bank(bank_account: str, unit: str) -> LedgerAccount:
    """Money that the operator has in an account at a bank, as the bank's statements say."""
    return LedgerAccount(f"bank:{bank_account}", unit, AccountCode.bank)


def bank_suspense(bank_account: str, unit: str) -> LedgerAccount:
    """What moved in an account at a bank and whose owner a person must decide."""
    return LedgerAccount(f"suspense:{bank_account}", unit, AccountCode.bank_suspense)


def payout_in_flight(unit: str) -> LedgerAccount:
    """Money that left a merchant's balance and has not left the chain yet."""
    return LedgerAccount("payout:in_flight", unit, AccountCode.payout_in_flight)


def fee_revenue(unit: str) -> LedgerAccount:
    """What the operator earned by fees."""
    return LedgerAccount("fee:revenue", unit, AccountCode.fee_revenue)


def fee_network(unit: str) -> LedgerAccount:
    """What the networks took for our transactions: the operator's expense."""
    return LedgerAccount("fee:network", unit, AccountCode.fee_network)


def fx(one: str, other: str, unit: str) -> LedgerAccount:
    """What exchanges between two currencies took in of one and gave out of the other.

    One pair of accounts for both directions, whichever currency is named first; the pair's balances
    are the position that the operator holds.
    """
    pair = "-".join(sorted((one, other)))
    return LedgerAccount(f"fx:{pair}", unit, AccountCode.fx)


def venue(name: str, unit: str) -> LedgerAccount:
    """What a venue holds of the operator's own; below zero it is owed to the venue."""
    return LedgerAccount(f"venue:{name}", unit, AccountCode.venue)


def fee_venue(unit: str) -> LedgerAccount:
    """What venues took for orders: the operator's expense."""
    return LedgerAccount("fee:venue", unit, AccountCode.fee_venue)


def channel(channel_id: str, unit: str, *, payer: str | None = None) -> LedgerAccount:
    """What was put into a channel and is not charged yet; it can not be overdrawn.

    ``payer`` is the account on this Sakk whose money it was; None for who deposits on a chain.
    """
    return LedgerAccount(
        f"channel:{channel_id}",
        unit,
        AccountCode.channel,
        debits_must_not_exceed_credits=True,
        owner=payer,
    )


def mandate_budget(mandate_id: str, budget: str, unit: str) -> LedgerAccount:
    """What a mandate still allows of one budget (``total``, or a period's index).

    It counts, and holds no money: its other side is `mandate_spent`.
    """
    return LedgerAccount(
        f"mandate:{mandate_id}:{budget}",
        unit,
        AccountCode.mandate_budget,
        debits_must_not_exceed_credits=True,
    )


def mandate_spent(mandate_id: str, unit: str) -> LedgerAccount:
    """The other side of a mandate's budgets: with them it adds up to nothing."""
    return LedgerAccount(f"mandate:{mandate_id}:spent", unit, AccountCode.mandate_spent)


def uses_unit(*, livemode: bool) -> str:
    """In which payments under mandates are counted; no currency is named so."""
    return currency_unit("mandate/use", livemode=livemode)


def pool(account_id: str, unit: str) -> LedgerAccount:
    """What an account has parked; it can not be overdrawn."""
    return LedgerAccount(
        f"pool:{account_id}",
        unit,
        AccountCode.pool,
        debits_must_not_exceed_credits=True,
        owner=account_id,
    )


def unclaimed(account_id: str, unit: str) -> LedgerAccount:
    """What an account sent to whom nobody is here yet: its own until it is claimed."""
    return LedgerAccount(
        f"unclaimed:{account_id}",
        unit,
        AccountCode.unclaimed,
        debits_must_not_exceed_credits=True,
        owner=account_id,
    )


def gift_card(card_id: str, unit: str) -> LedgerAccount:
    """What is left on a gift card, owed to whoever holds it; it can not be overdrawn."""
    return LedgerAccount(
        f"gift:{card_id}",
        unit,
        AccountCode.gift_card,
        debits_must_not_exceed_credits=True,
    )


def equity_operator(unit: str) -> LedgerAccount:
    """The operator's own money: the treasury's opening balance and gas."""
    return LedgerAccount("equity:operator", unit, AccountCode.equity_operator)


def loss(kind: str, unit: str) -> LedgerAccount:
    """What is gone, by kind: ``transfer_fee`` is what a token kept for itself on a sweep."""
    return LedgerAccount(f"loss:{kind}", unit, AccountCode.loss)
