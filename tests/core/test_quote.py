"""Quotes: what a transfer costs in the currency that is sent, and when that is not known."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.core.test_network import NAME, START, asset, currency

from sakk.core.errors import ParameterInvalid
from sakk.core.network import Currency
from sakk.core.quote import (
    COST_AGE_MAX,
    TRANSFER_GAS_DEFAULT,
    Quote,
    TransferCost,
    fees_promised,
    network_fee,
    network_fees,
    public,
    typical_gas,
)

GWEI = 10**9
TOKEN = asset().asset
NATIVE = f"{NAME}/slip44:60"
COST = TransferCost(TOKEN, NAME, 65_000, 2 * GWEI, START)


@pytest.mark.parametrize(
    ("gas_price", "native", "paid_in", "fee"),
    [
        # 65,000 gas at 2 gwei is 0.00013 ETH.
        (2 * GWEI, currency("eth", 18, (3_000, 1)), currency("usdc", 6), 390_000),
        (2 * GWEI, currency("eth", 18, (3_000, 1)), currency("usd", 2), 39),
        (2 * GWEI, currency("eth", 18, (3_000, 1)), currency("eur", 2, (27, 25)), 37),
        (1, currency("eth", 18, (3_000, 1)), currency("usdc", 6), 1),
        (2 * GWEI, currency("eth", 18, None), currency("usdc", 6), None),
        (2 * GWEI, currency("eth", 18, (3_000, 1)), currency("usdc", 6, None), None),
    ],
)
def test_the_networks_fee_is_rounded_up(
    gas_price: int, native: Currency, paid_in: Currency, fee: int | None
) -> None:
    cost = replace(COST, gas_price=gas_price)
    assert network_fee(cost, native=native, currency=paid_in) == fee


@pytest.mark.parametrize(
    ("changes", "age", "known"),
    [
        ({}, timedelta(), True),
        ({}, COST_AGE_MAX, True),
        ({}, COST_AGE_MAX + timedelta(seconds=1), False),
        ({"asset": "eip155:1/erc20:0x1"}, timedelta(), False),
        ({"network": "eip155:1"}, timedelta(), False),
    ],
)
def test_a_fee_is_known_while_its_measure_is_fresh(
    changes: dict[str, Any], age: timedelta, known: bool
) -> None:
    cost = replace(COST, **changes)
    native = asset(asset=NATIVE, contract=None, currency="eth", decimals=18)
    assets = [asset(), native]
    currencies = {"usdc": currency(), "eth": currency("eth", 18, (3_000, 1))}
    found = network_fees({cost.asset: cost}, assets, currencies, now=START + age)
    assert found == ({TOKEN: 390_000} if known else {})
    unpriced = currencies | {"eth": currency("eth", 18, None)}
    assert network_fees({cost.asset: cost}, assets, unpriced, now=START) == {}


@pytest.mark.parametrize(
    ("limits", "gas"),
    [([], TRANSFER_GAS_DEFAULT), ([100_000], 80_000), ([50_000, 75_000, 1_000_000], 60_000)],
)
def test_the_gas_of_a_transfer_is_what_transfers_needed(limits: list[int], gas: int) -> None:
    assert typical_gas(limits) == gas


QUOTE = Quote(
    id="qt_1",
    account_id="acct_1",
    livemode=False,
    kind="payout",
    network=NAME,
    asset=TOKEN,
    currency="usdc",
    decimals=6,
    fee=0,
    network_fee=390_000,
    gas=65_000,
    gas_price=2 * GWEI,
    metadata={},
    expires_at=START + timedelta(minutes=10),
    created=START,
)


@pytest.mark.parametrize(
    ("quote", "age", "says"),
    [
        (None, timedelta(), "No such quote: 'qt_1'"),
        (QUOTE, timedelta(minutes=10), "expired"),
        (replace(QUOTE, asset="eip155:1/erc20:0x1"), timedelta(), "for usdc on"),
    ],
)
def test_a_quote_that_is_no_promise_for_this(
    quote: Quote | None, age: timedelta, says: str
) -> None:
    with pytest.raises(ParameterInvalid, match=says) as caught:
        fees_promised(quote, "qt_1", asset(), now=START + age)
    assert caught.value.param == "quote"


def test_the_fee_that_was_promised() -> None:
    quote = replace(QUOTE, fee=7)
    assert fees_promised(quote, quote.id, asset(), now=START) == {TOKEN: 7}


def test_what_is_shown() -> None:
    shown = public(QUOTE)
    assert (shown["fee"], shown["fee_decimal"]) == (0, "0.000000")
    assert (shown["network_fee"], shown["network_fee_decimal"]) == (390_000, "0.390000")
    assert shown["gas_price"] == str(2 * GWEI)
    assert shown["expires_at"] - shown["created"] == 600
