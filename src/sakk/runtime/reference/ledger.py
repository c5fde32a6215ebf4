"""The page of the ledger: the chart, the codes, what each flow posts, and what is refused."""

from datetime import UTC, datetime

from sakk.core import chart, payin, payout_posting, sweep, transaction, transfer
from sakk.core.chart import LedgerAccount, TransferCode
from sakk.core.outflow import Outflow
from sakk.core.outflow import postings as outflow_postings
from sakk.core.payin import PayIn, PayInRole
from sakk.core.payout import Payout
from sakk.core.posting import Posting, reversed_postings
from sakk.core.sweep import Sweep
from sakk.core.transaction import ChainTransaction
from sakk.core.transfer import BookTransfer
from sakk.ledger.types import CreateTransferStatus
from sakk.runtime.reference.markdown import code, page, summary, table

ASSET = "ASSET"
NATIVE = "NATIVE"
NETWORK = "NETWORK"
ACCOUNT = "acct_…"
THEN = datetime(2026, 1, 1, tzinfo=UTC)
DECIMALS = 6
MOVED_WHEN = {
    TransferCode.payin: "a pay-in is credited",
    TransferCode.payin_quarantined: "a pay-in is held by screening",
    TransferCode.payin_released: "a held pay-in is released by a person",
    TransferCode.payin_reversed: "a reorganisation took a posted pay-in off the chain",
    TransferCode.payin_suspense: "the account's policy leaves all or part of a pay-in to a person",
    TransferCode.payin_dust: "a token has more decimals than its currency",
    TransferCode.payin_returned: "A recovery sends held or suspended coins back to their payer.",
    TransferCode.payin_fee: "a fee schedule charges a pay-in, in the set that credits it",
    TransferCode.treasury_funded: "the operator sends coins to the treasury",
    TransferCode.payout_hold: "a payout is requested (pending)",
    TransferCode.payout: "a payout is final on its chain",
    TransferCode.payout_void: "a payout that was settled is undone by the chain",
    TransferCode.payout_fee: "a fee schedule charges a payout or refund that is final",
    TransferCode.fee_returned: "a refund is final that gives a part of the payment's fee back",
    TransferCode.application_fee: "a platform takes its fee of a pay-in, where it is credited",
    TransferCode.application_fee_payout: "a platform takes its fee for a payout that is final",
    TransferCode.application_fee_refunded: "a part of a platform's fee goes back with a refund",
    TransferCode.sweep: "a deposit has reached the treasury",
    TransferCode.sweep_loss: "a token kept part of a sweep for itself",
    TransferCode.treasury_moved: "coins came from another address of the operator's own, hot or "
    "cold",
    TransferCode.payin_seized: "two people decided that a held pay-in is kept for an authority",
    TransferCode.seizure: "seized coins went from their deposit address to a vault",
    TransferCode.withdrawal: "coins went from the hot treasury to a vault",
    TransferCode.topup: "the treasury gave a deposit address native coin for gas",
    TransferCode.gas: "a transaction of ours is final, whether or not it succeeded",
    TransferCode.transaction_undone: "a reorganisation changed what a final transaction of ours "
    "did or cost",
    TransferCode.outflow: "coins left an address of ours without a transaction of ours",
    TransferCode.outflow_reversed: "a reorganisation took such an outflow off the chain",
    TransferCode.adopted: "an operator books native coin that no transaction names as received",
    TransferCode.book_transfer: "an account sends money to another account here",
    TransferCode.transfer_left: "money is sent to an e-mail address that no account has yet",
    TransferCode.transfer_claimed: "an account proved the address, and has what waited for it",
    TransferCode.transfer_returned: "nobody claimed it in time, or its sender called it off",
    TransferCode.transfer_fee: "a fee schedule charges what an account pays of a payment",
    TransferCode.conversion_taken: "an account gives one currency for another",
    TransferCode.conversion_given: "it is given the other",
    TransferCode.conversion_spread: "what its price is below the market's is revenue",
    TransferCode.conversion_fee: "a conversion is charged by the account's schedule",
    TransferCode.gift_card_issued: "an issuer pays what a gift card is worth",
    TransferCode.gift_card_redeemed: "a gift card is redeemed, in part or whole",
    TransferCode.gift_card_refunded: "what was redeemed goes back to its gift card",
    TransferCode.gift_card_replaced: "what is left of a lost gift card goes onto another",
    TransferCode.gift_card_lapsed: "what nobody redeemed of an expired card, back to its issuer",
    TransferCode.gift_card_fee: "a fee schedule charges what a gift card pays of a payment",
    TransferCode.gift_card_fee_returned: "what a card paid goes back to it, and of its fee a share",
    TransferCode.order_bought: "a venue filled an order: what it holds of ours now",
    TransferCode.order_spent: "what it took for that",
    TransferCode.order_fee: "and its fee",
    TransferCode.channel_funded: "a payer raises what may be charged on a channel",
    TransferCode.channel_charge: "a call is charged on a channel (pending, then posted or voided)",
    TransferCode.channel_closed: "a channel gives back what was not charged",
    TransferCode.channel_refunded: "a payee gives a charge back",
    TransferCode.escrow_deposited: "coins are final in the escrow contract",
    TransferCode.escrow_redeemed: "the escrow contract paid out what was charged",
    TransferCode.escrow_withdrawn: "a payer took coins out of the escrow contract",
    TransferCode.mandate_budgeted: "a mandate's budget begins",
    TransferCode.mandate_reserved: "money is committed under a mandate",
    TransferCode.mandate_restored: "money committed under a mandate came back unspent",
    TransferCode.mandate_spend: "an agent pays an account here under a mandate",
    TransferCode.parked: "an account parks idle balance",
    TransferCode.unparked: "an account takes parked balance back",
    TransferCode.reserve_held: "a settlement sets a part of the balance aside",
    TransferCode.reserve_released: "the days of a rolling reserve are over, or the fixed one fell",
    TransferCode.receivable_recovered: "a settlement takes back what the account owes",
    TransferCode.bank_opened: "a bank account of the operator's is opened here with what it holds",
    TransferCode.bank_payin: "a bank's statement shows money for an account",
    TransferCode.bank_fee: "what a provider took for a payout to a bank",
    TransferCode.bank_suspended: "a bank's statement shows what nobody here knows of",
    TransferCode.bank_assigned: "a person says whose such money is",
    TransferCode.bank_payout: "a bank's statement shows that a payout was made",
    TransferCode.bank_returned: "a bank gave back what a payout had sent",
    TransferCode.bank_sent_back: "a bank's statement shows that money in suspense went back",
    TransferCode.bank_return_fee: "what a bank took for money that went back",
    TransferCode.break_corrected: "two people correct what the books do not agree on",
}


def ledger_page() -> str:
    """Accounts, transfer codes, worked examples, refusals."""
    return page(
        "Ledger",
        "What the ledger is and why it is built so: [the ledger](../concepts/ledger.md). The "
        "numbers of codes stand in the journal and never change.",
        "## Accounts",
        "An account's full name is its path, `#` and its unit. The unit is an asset (CAIP-19, in "
        "atomic units) for coins that are held, or a currency for money that is owed; test money "
        "has units of its own, `test/usdc`. Below, `ASSET` stands for a token such as "
        "`eip155:8453/erc20:0x833589fcd6edb6e08f4c7c32d4f71b54bda02913`, `NATIVE` for the "
        "network's own coin (`eip155:8453/slip44:60`), `NETWORK` for `eip155:8453`. **Limit**: "
        "the account can not be overdrawn.",
        table(
            ["code", "name", "path", "unit", "limit", "meaning"],
            [
                [
                    str(int(account.code)),
                    code(account.code.name),
                    code(account.path),
                    code(account.unit),
                    "yes" if account.debits_must_not_exceed_credits else "",
                    meaning,
                ]
                for account, meaning in _accounts()
            ],
        ),
        "## Transfer codes",
        table(
            ["code", "name", "moved when"],
            [[str(int(each)), code(each.name), MOVED_WHEN[each]] for each in TransferCode],
        ),
        "## What each flow posts",
        "Made by the same functions that post: a coin with 6 decimals, credited as `usdc` to the "
        "account `acct_…`, in live mode. The legs of a set happen together or not at all.",
        *_examples(),
        "## Refusals",
        "Of several that apply, the first in this order is given. A refusal marked *again* may "
        "pass later; it is journalled like a success, and a later attempt has an id of its own.",
        table(
            ["number", "status", "again"],
            [
                [str(int(each)), code(each.name), "yes" if each.transient else ""]
                for each in CreateTransferStatus
            ],
        ),
    )


def _accounts() -> list[tuple[LedgerAccount, str]]:
    unit = "usdc"
    held = summary(chart.custody)[:-1]
    return [
        (chart.custody(ASSET, "deposit"), f"{held}: on deposit addresses."),
        (chart.custody(ASSET, "hot"), f"{held}: in the treasury."),
        (chart.custody(ASSET, "cold"), f"{held}: in vaults, whose keys are elsewhere."),
        (chart.dust(ASSET), summary(chart.dust)),
        (chart.suspense(ASSET), summary(chart.suspense)),
        (chart.quarantine(ASSET), summary(chart.quarantine)),
        (chart.gas_tank(NETWORK, NATIVE), summary(chart.gas_tank)),
        (chart.conversion_asset(ASSET), summary(chart.conversion_asset)),
        (chart.conversion_currency(ASSET, unit), summary(chart.conversion_currency)),
        (chart.merchant(ACCOUNT, "incoming", unit), "Not used yet."),
        (chart.merchant(ACCOUNT, "available", unit), summary(chart.merchant)),
        (chart.merchant(ACCOUNT, "reserved", unit), "What settlements set aside of it."),
        (chart.bank("ba_…", "eur"), summary(chart.bank)),
        (chart.bank_suspense("ba_…", "eur"), summary(chart.bank_suspense)),
        (chart.receivable(ACCOUNT, unit), summary(chart.receivable)),
        (chart.payout_in_flight(unit), summary(chart.payout_in_flight)),
        (chart.fee_revenue(unit), summary(chart.fee_revenue)),
        (chart.fee_network("eth"), summary(chart.fee_network)),
        (chart.fx("usdc", "eur", unit), summary(chart.fx)),
        (chart.venue("VENUE", unit), summary(chart.venue)),
        (chart.fee_venue(unit), summary(chart.fee_venue)),
        (chart.escrow(ASSET), summary(chart.escrow)),
        (chart.channel("ch_…", unit), summary(chart.channel)),
        (chart.mandate_budget("mnd_…", "BUDGET", unit), summary(chart.mandate_budget)),
        (chart.mandate_spent("mnd_…", unit), summary(chart.mandate_spent)),
        (chart.pool(ACCOUNT, unit), summary(chart.pool)),
        (chart.unclaimed(ACCOUNT, unit), summary(chart.unclaimed)),
        (chart.gift_card("gc_…", unit), summary(chart.gift_card)),
        (chart.equity_operator(ASSET), summary(chart.equity_operator)),
        (chart.loss("transfer_fee", ASSET), summary(chart.loss)),
    ]


def _examples() -> list[str]:
    credited = _payin(credit_units=25_000_000)
    reversal = reversed_postings(_booked(credited), TransferCode.payin_reversed)
    paid = _payout()
    sent = _transaction()
    return [
        _example("A pay-in of 25 USDC, posted", _booked(credited)),
        _example(
            "An overpaid one (30 for 25) under `over: refund_due`",
            _booked(_payin(token_amount=30_000_000, credit_units=25_000_000, suspense=5_000_000)),
        ),
        _example(
            "A token with 18 decimals: 1.000000000000000007 arrives",
            payin.postings(
                _payin(token_amount=10**18 + 7, credit_units=10**18 + 7),
                asset_decimals=18,
                currency_decimals=DECIMALS,
            ),
        ),
        _example("Held by screening", payin.quarantine_postings(credited)),
        _example(
            "Released after a hold",
            payin.postings(
                credited, asset_decimals=DECIMALS, currency_decimals=DECIMALS, source="quarantine"
            ),
        ),
        _example(
            "Reversed after a reorganisation (what the balance does not cover is debited to "
            "`receivable` instead)",
            reversal,
        ),
        _example(
            "The operator funds the treasury",
            payin.postings(
                _payin(role=PayInRole.treasury, credit_units=25_000_000),
                asset_decimals=DECIMALS,
                currency_decimals=DECIMALS,
            ),
        ),
        _example("A payout of 10 USDC is requested (pending)", [payout_posting.hold_posting(paid)]),
        _example(
            "The payout is final: the hold is posted, and with it",
            [
                *transaction.gas_postings(sent, coin=transaction.GasCoin(NATIVE, "eth", 18, 18)),
                *payout_posting.settlement_postings(paid),
            ],
        ),
        _example("A sweep of 25 USDC", sweep.postings(_sweep(), arrived_units=25_000_000)),
        _example("A top-up for its gas", transaction.topup_postings(sent, native_asset=NATIVE)),
        _example("An outflow that is not ours", outflow_postings(_outflow())),
        _example("A book transfer of 5 USDC", transfer.postings(_transfer())),
    ]


def _example(title: str, postings: list[Posting]) -> str:
    rows = [
        [code(each.debit.name), code(each.credit.name), f"{each.amount:,}", code(each.code.name)]
        for each in postings
    ]
    return f"### {title}\n\n" + table(["debit", "credit", "amount", "code"], rows)


def _booked(row: PayIn) -> list[Posting]:
    return payin.postings(row, asset_decimals=DECIMALS, currency_decimals=DECIMALS)


def _payin(
    *,
    credit_units: int,
    token_amount: int = 25_000_000,
    suspense: int = 0,
    role: PayInRole = PayInRole.payment,
) -> PayIn:
    return PayIn(
        id="pin_…",
        account_id=ACCOUNT,
        livemode=True,
        network=NETWORK,
        asset=ASSET,
        currency="usdc",
        token_amount=token_amount,
        address="0x…",
        sender="0x…",
        tx_hash="0x…",
        log_index=0,
        block_number=0,
        block_hash="0x…",
        block_timestamp=0,
        status="screened",
        role=role.value,
        credit_units=credit_units,
        suspense_units=suspense,
        created=THEN,
    )


def _payout() -> Payout:
    return Payout(
        id="po_…",
        account_id=ACCOUNT,
        livemode=True,
        amount=10_000_000,
        fee=0,
        currency="usdc",
        decimals=DECIMALS,
        network=NETWORK,
        asset=ASSET,
        token_amount=10_000_000,
        destination="0x…",
        fee_mode="sender",
        status="confirmed",
        hold="held",
        metadata={},
        created=THEN,
    )


def _sweep() -> Sweep:
    return Sweep(
        id="sw_…",
        livemode=True,
        network=NETWORK,
        asset=ASSET,
        address="0x…",
        key_index=0,
        destination="0x…",
        token_amount=25_000_000,
        status="confirmed",
        created=THEN,
    )


def _transaction() -> ChainTransaction:
    return ChainTransaction(
        id="tx_…",
        livemode=True,
        network=NETWORK,
        purpose="payout",
        subject="po_…",
        sender="0x…",
        key_branch="treasury",
        key_index=0,
        nonce=0,
        asset=ASSET,
        destination="0x…",
        token_amount=80_000_000_000_000,
        gas_limit=0,
        max_fee_per_gas=0,
        max_priority_fee_per_gas=0,
        unsigned=b"",
        since_block=0,
        status="confirmed",
        gas_cost=63_000_000_000_000,
        created=THEN,
    )


def _outflow() -> Outflow:
    return Outflow(
        id="out_…",
        livemode=True,
        network=NETWORK,
        asset=ASSET,
        token_amount=1_000_000,
        address="0x…",
        place="deposit",
        receiver="0x…",
        tx_hash="0x…",
        log_index=0,
        block_number=0,
        block_hash="0x…",
        status="seen",
        created=THEN,
    )


def _transfer() -> BookTransfer:
    return BookTransfer(
        id="tr_…",
        account_id=ACCOUNT,
        livemode=True,
        destination="acct_other",
        amount=5_000_000,
        currency="usdc",
        decimals=DECIMALS,
        status="requested",
        failure_code=None,
        description=None,
        metadata={},
        created=THEN,
    )
