"""Sweeps, as rules: what arrived is hot, what did not is lost, and both leave the deposit."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sakk.core import chart
from sakk.core.chart import TransferCode
from sakk.core.money import Rate
from sakk.core.network import Currency
from sakk.core.posting import Posting
from sakk.core.sweep import (
    UNITS_NEVER,
    Sweep,
    SweepSource,
    deposit_units,
    postings,
    public,
    units_worth_collecting,
)

ASSET = "eip155:84532/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"
SWEEP = Sweep(
    id="sw_1",
    livemode=False,
    network="eip155:84532",
    asset=ASSET,
    address="0x70997970c51812dc3a010c7d01b50e0d17dc79c8",
    key_index=3,
    destination="0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc",
    token_amount=1_000,
    status="confirmed",
    created=datetime(2026, 1, 2, tzinfo=UTC),
)


@pytest.mark.parametrize(
    ("arrived", "hot", "lost"),
    [
        (1_000, 1_000, 0),
        (999, 999, 1),
        (0, 0, 1_000),
        # A token that credits more than was sent: the surplus is no part of this sweep.
        (1_001, 1_000, 0),
    ],
)
def test_postings(arrived: int, hot: int, lost: int) -> None:
    legs = postings(SWEEP, arrived_units=arrived)
    assert {each.credit for each in legs} == {chart.custody(ASSET, "deposit")}
    moved = {(each.debit, each.code): each.amount for each in legs}
    expected = {
        (chart.custody(ASSET, "hot"), TransferCode.sweep): hot,
        (chart.loss("transfer_fee", ASSET), TransferCode.sweep_loss): lost,
    }
    assert moved == {key: amount for key, amount in expected.items() if amount}
    assert sum(each.amount for each in legs) == SWEEP.token_amount


USD = Rate(1, 1)


def currency(code: str, rate: Rate | None) -> Currency:
    """A coin at so many US dollars, or of no known price."""
    return Currency(
        currency=code,
        name=code,
        kind="coin",
        decimals=6,
        usd_numerator=None if rate is None else rate.numerator,
        usd_denominator=None if rate is None else rate.denominator,
        updated=datetime(2026, 1, 2, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("coin", "native", "cost_wei", "percent_max", "units"),
    [
        # Gas of one dollar is five percent of twenty.
        (USD, Rate(2_000, 1), 5 * 10**14, 5, 20_000_000),
        (USD, Rate(2_000, 1), 5 * 10**14, 100, 1_000_000),
        # Rounded up: a unit less would not be enough.
        (USD, Rate(2_000, 1), 5 * 10**14 + 1, 100, 1_000_001),
        (Rate(1, 2), Rate(2_000, 1), 5 * 10**14, 100, 2_000_000),
        (USD, Rate(2_000, 1), 0, 5, 0),
        # Without a price the asset's minimum decides alone.
        (None, Rate(2_000, 1), 5 * 10**14, 5, 0),
        (USD, None, 5 * 10**14, 5, 0),
        # Never, until it is old.
        (USD, Rate(2_000, 1), 5 * 10**14, 0, UNITS_NEVER),
        (USD, Rate(10**40, 1), 10**50, 1, UNITS_NEVER),
    ],
)
def test_what_a_deposit_must_be_worth(
    coin: Rate | None, native: Rate | None, cost_wei: int, percent_max: int, units: int
) -> None:
    found = units_worth_collecting(
        currency("usdc", coin),
        currency("eth", native),
        decimals=6,
        native_decimals=18,
        cost_wei=cost_wei,
        percent_max=percent_max,
    )
    assert found == units


def test_what_is_shown() -> None:
    shown = public(SWEEP)
    assert shown["object"] == "sweep"
    assert shown["address"] == "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    assert shown["destination"] == "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
    assert shown["token_amount"] == "1000"
    assert (shown["tx_hash"], shown["failure_code"]) == (None, None)


@pytest.mark.parametrize(
    ("source", "held", "counted"),
    [
        (SweepSource.quarantine, chart.quarantine(ASSET), True),
        (SweepSource.suspense, chart.suspense(ASSET), True),
        (SweepSource.adopted, chart.suspense(ASSET), False),
        (SweepSource.unbooked, None, False),
    ],
)
def test_a_recovery_leaves_from_where_the_coins_were_held(
    source: SweepSource, held: chart.LedgerAccount | None, counted: bool
) -> None:
    row = replace(SWEEP, method="recovery", source=source.value)
    # Whatever the token kept for itself: all of it left the address.
    legs = postings(row, arrived_units=990)
    moved = [(each.debit, each.credit, each.amount, each.code) for each in legs]
    custody = chart.custody(ASSET, "deposit")
    expected = [] if held is None else [(held, custody, 1_000, TransferCode.payin_returned)]
    assert moved == expected
    assert deposit_units(row) == ([(row.address, ASSET, 1_000)] if counted else [])


def test_a_seizure_moves_custody_to_a_vault_and_counts_among_no_deposits() -> None:
    row = replace(SWEEP, method="seizure", source="seized")
    units = SWEEP.token_amount
    assert postings(row, arrived_units=units) == [
        Posting(
            chart.custody(SWEEP.asset, "cold"),
            chart.custody(SWEEP.asset, "deposit"),
            units,
            TransferCode.seizure,
        )
    ]
    assert deposit_units(row) == []
