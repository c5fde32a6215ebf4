from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.networks import a_network

from sakk.core.gas_price import GWEI, Caps
from sakk.core.money import Rate, convert_up
from sakk.core.network import (
    BLOCK_DELAY_MAX,
    Asset,
    Currency,
    Followed,
    Network,
    is_final,
    public_currency,
    public_network,
    unit_rate,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
NAME = "eip155:84532"
CONTRACT = "0x" + "ab" * 20


def currency(
    code: str = "usdc", decimals: int = 6, usd: tuple[int, int] | None = (1, 1)
) -> Currency:
    numerator, denominator = usd or (None, None)
    return Currency(code, code.upper(), "coin", decimals, numerator, denominator, START)


def asset(**changes: Any) -> Asset:
    fields: dict[str, Any] = {
        "asset": f"{NAME}/erc20:{CONTRACT}",
        "network": NAME,
        "contract": CONTRACT,
        "currency": "usdc",
        "symbol": "USDC",
        "decimals": 6,
        "quirks": [],
        "payin_enabled": True,
        "payout_enabled": True,
        "sweep_minimum": 1,
        "eip712_name": None,
        "eip712_version": None,
        "created": START,
    }
    return Asset(**{**fields, **changes})


def network() -> Network:
    return a_network(
        NAME, rpc_urls=["http://secret:secret@node"], confirmations=2, bloom="exact", created=START
    )


def test_a_network_caps_what_its_gas_may_cost() -> None:
    capped = replace(
        network(), max_fee_per_gas_max=30 * GWEI, max_priority_fee_per_gas_max=2 * GWEI
    )
    assert capped.fee_caps == Caps(30 * GWEI, 2 * GWEI)
    assert network().fee_caps == Caps()


@pytest.mark.parametrize(
    ("source", "target", "rate"),
    [
        (currency("usdc"), currency("usdc", usd=None), Rate(1, 1)),
        (currency("usdc"), currency("usd", 2), Rate(100, 10**6)),
        (currency("usd", 2), currency("usdc"), Rate(10**6, 100)),
        (currency("eth", 18, (3000, 1)), currency("usd", 2), Rate(300_000, 10**18)),
        (currency("usdc", usd=None), currency("usd", 2), None),
        (currency("usdc"), currency("usd", 2, None), None),
    ],
)
def test_unit_rate(source: Currency, target: Currency, rate: Rate | None) -> None:
    assert unit_rate(source, target) == rate


def test_unit_rate_of_two_prices_that_do_not_divide() -> None:
    """One euro is 7/6 dollars: 25.00 EUR are 29.166667 USDC, rounded up."""
    rate = unit_rate(currency("usdc"), currency("eur", 2, (7, 6)))
    assert rate is not None
    assert convert_up(2500, rate) == 29_166_667


@pytest.mark.parametrize(
    ("head", "confirmations", "final"),
    [(10, 0, True), (9, 0, False), (11, 2, False), (12, 2, True), (500, 2, True)],
)
def test_is_final(head: int, confirmations: int, final: bool) -> None:
    assert is_final(block_number=10, head_number=head, confirmations=confirmations) is final


@pytest.mark.parametrize(
    ("block_seconds", "looked", "past"),
    [
        (1, None, True),
        (0, None, False),
        (0, timedelta(seconds=2), False),
        (-3_600, BLOCK_DELAY_MAX - timedelta(microseconds=1), False),
        (-3_600, BLOCK_DELAY_MAX, True),
    ],
)
def test_a_network_is_read_past_a_moment_by_its_blocks(
    block_seconds: int, looked: timedelta | None, past: bool
) -> None:
    """The whole second counts, in which ``moment`` is: a payment in its block is in time."""
    moment = START + timedelta(milliseconds=400)
    stamp = int(START.timestamp()) + block_seconds
    followed = Followed(stamp, None if looked is None else moment + looked)
    assert followed.is_past(moment) is past


def test_native_coin_has_no_contract() -> None:
    assert asset(contract=None).is_native
    assert not asset().is_native


def test_public_currency_names_its_assets() -> None:
    shown = public_currency(currency(), [asset(), asset(asset="other", currency="usdt")])
    assert shown["assets"] == [asset().asset]
    assert shown["usd_rate"] == {"numerator": "1", "denominator": "1"}
    assert public_currency(currency(usd=None), [])["usd_rate"] is None


def test_public_network_keeps_rpc_addresses_to_itself() -> None:
    found = network()
    native = asset(asset=f"{NAME}/slip44:60", contract=None)
    elsewhere = asset(network="eip155:1")
    shown = public_network(found, [asset(), native, elsewhere], head_number=7)
    assert "secret" not in repr(shown)
    assert [token["contract"] for token in shown["tokens"]] == [CONTRACT]
    assert shown["head_block_number"] == 7


def test_the_operator_sees_which_addresses_a_network_gives_out() -> None:
    def seen(found: Network, *, operator: bool) -> tuple[str | None, str | None]:
        shown = public_network(found, [], head_number=None, operator=operator)
        return shown["deposit_method"], shown["deposit_factory"]

    cloning = replace(network(), deposit_factory="0x" + "11" * 20)
    assert seen(network(), operator=True) == ("key", None)
    assert seen(cloning, operator=True) == ("clone", "0x" + "11" * 20)
    assert seen(cloning, operator=False) == (None, None)


def test_a_networks_fee_caps() -> None:
    capped = replace(network(), max_fee_per_gas_max=3 * GWEI, max_priority_fee_per_gas_max=GWEI)
    assert capped.fee_caps == Caps(3 * GWEI, GWEI)
