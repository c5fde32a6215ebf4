"""What payouts move in the ledger: the hold, its settlement, fees, and what undoes them."""

from dataclasses import replace

from sakk.core import chart
from sakk.core.chart import AccountCode, LedgerAccount, TransferCode
from sakk.core.payout import MoneySource, Payout, debited, delivered
from sakk.core.posting import Posting


def hold_posting(payout: Payout) -> Posting:
    """The reservation: pending from where the money stands, into what is in flight."""
    return Posting(_stands(payout), _in_flight(payout), _held(payout), TransferCode.payout_hold)


def _stands(payout: Payout) -> LedgerAccount:
    """Where the payout's money is until it is sent, and where it returns to."""
    if payout.source == MoneySource.suspense:
        return chart.suspense(payout.asset)
    unit = chart.currency_unit(payout.currency, livemode=payout.livemode)
    return chart.merchant(payout.account_id, "available", unit)


def _in_flight(payout: Payout) -> LedgerAccount:
    """Money in flight is counted in what it is reserved in: a currency, or coins in suspense."""
    if payout.source == MoneySource.suspense:
        return chart.payout_in_flight(payout.asset)
    return chart.payout_in_flight(chart.currency_unit(payout.currency, livemode=payout.livemode))


def _held(payout: Payout) -> int:
    return payout.token_amount if payout.source == MoneySource.suspense else debited(payout)


def settlement_postings(payout: Payout) -> list[Posting]:
    """After the hold is posted: money in flight becomes coins that left custody, and the fee."""
    in_flight = _in_flight(payout)
    if payout.source == MoneySource.suspense:
        hot = chart.custody(payout.asset, "hot")
        return [Posting(in_flight, hot, payout.token_amount, TransferCode.payout)]
    unit = chart.currency_unit(payout.currency, livemode=payout.livemode)
    result = [
        Posting(
            in_flight,
            chart.conversion_currency(payout.asset, unit),
            delivered(payout),
            TransferCode.payout,
        ),
        Posting(
            chart.conversion_asset(payout.asset),
            chart.custody(payout.asset, "hot"),
            payout.token_amount,
            TransferCode.payout,
        ),
    ]
    if payout.fee:
        result.append(Posting(in_flight, chart.fee_revenue(unit), payout.fee, TransferCode.payout))
    return result


def fee_postings(payout: Payout) -> list[Posting]:
    """Beside the settlement: what the schedule charges, and what of a payment's fee goes back."""
    if payout.source == MoneySource.suspense:
        return []
    unit = chart.currency_unit(payout.currency, livemode=payout.livemode)
    earned = chart.fee_revenue(unit)
    result: list[Posting] = []
    if payout.service_fee:
        in_flight = _in_flight(payout)
        result.append(Posting(in_flight, earned, payout.service_fee, TransferCode.payout_fee))
    if payout.application_fee:
        assert payout.application_terms is not None
        platform = chart.merchant(payout.application_terms["platform"], "available", unit)
        code = TransferCode.application_fee_payout
        result.append(Posting(_in_flight(payout), platform, payout.application_fee, code))
    if payout.fee_returned:
        code = TransferCode.fee_returned
        result.append(Posting(earned, _stands(payout), payout.fee_returned, code))
    return result


def undone_fee(posting: Posting) -> Posting:
    """What undoes a settlement's posting: a fee that went back is owed again, and no limit of the
    balance can stop that."""
    if posting.debit.code is AccountCode.merchant_available:
        assert posting.debit.owner is not None
        owing = chart.receivable(posting.debit.owner, posting.debit.unit)
        return replace(posting, debit=owing)
    return posting


def undone_posting(payout: Payout) -> Posting:
    """A settled payout was undone by the chain: the money is back where it stood."""
    return Posting(_in_flight(payout), _stands(payout), _held(payout), TransferCode.payout_void)


def owed_posting(payout: Payout) -> Posting:
    """A payout whose money had been given back was made by the chain after all: it is owed to us.

    The balance may not cover it any more, and no limit may stop what has happened already. What
    stood in suspense has no limit, so it is taken from there.
    """
    in_flight, owing = _in_flight(payout), _stands(payout)
    if payout.source == MoneySource.balance:
        owing = chart.receivable(payout.account_id, in_flight.unit)
    return Posting(owing, in_flight, _held(payout), TransferCode.payout)
