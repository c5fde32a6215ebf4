"""Payment intents, as rules: quotes that round, what counts, and the status that follows."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.networks import a_token

from sakk.core.account import PaymentPolicy
from sakk.core.money import UNITS_MAX, Rate
from sakk.core.network import Asset, Currency
from sakk.core.payment import (
    AmountStatus,
    Assessment,
    Contribution,
    PaymentIntent,
    PaymentStatus,
    Quote,
    Timing,
    assess,
    enough,
    is_open,
    make_quote,
    public,
    quote_of,
    value_of,
)
from sakk.core.rate import Market, configured

START = datetime(2026, 1, 1, tzinfo=UTC)
EXPIRY = START + timedelta(hours=1)
ON_TIME = int(EXPIRY.timestamp())
LATE = ON_TIME + 1
NETWORK = "eip155:84532"
ADDRESS = "0x" + "cd" * 20
USDC, USDT = (f"{NETWORK}/erc20:0x{pair * 20}" for pair in ("aa", "bb"))
EUR = Currency("eur", "Euro", "fiat", 2, 7, 6, START)
USD = Currency("usd", "US dollar", "fiat", 2, 1, 1, START)


def coin(decimals: int = 6, usd: tuple[int, int] | None = (1, 1)) -> Currency:
    numerator, denominator = usd or (None, None)
    return Currency("usdc", "USD Coin", "coin", decimals, numerator, denominator, START)


def written_down(*currencies: Currency) -> Market:
    """No source is asked: what an operator wrote down with the currencies."""
    return Market(START, tuple(configured(currencies, [], now=START)))


def token(decimals: int = 6, contract: str | None = "0x" + "aa" * 20) -> Asset:
    return a_token(
        USDC, network=NETWORK, contract=contract, decimals=decimals, sweep_minimum=1, created=START
    )


def quote(asset: str = USDC, token_amount: int = 25_000_000, rate: Rate | None = None) -> Quote:
    return Quote(
        network=NETWORK,
        asset=asset,
        contract="0x" + asset[-40:],
        currency="usdc",
        decimals=6,
        token_amount=token_amount,
        rate=rate or Rate(100, 10**6),
        uri="ethereum:…",
    )


def intent(**changes: Any) -> PaymentIntent:
    fields: dict[str, Any] = {
        "id": "pi_1",
        "account_id": "acct_1",
        "livemode": False,
        "amount": 2500,
        "currency": "usd",
        "decimals": 2,
        "status": "requires_action",
        "amount_received": 0,
        "amount_status": None,
        "timing": None,
        "quotes": [quote(USDC).to_document(), quote(USDT).to_document()],
        "networks": [NETWORK],
        "address": ADDRESS,
        "customer": None,
        "description": None,
        "metadata": {},
        "cancellation_reason": None,
        "expires_at": EXPIRY,
        "canceled_at": None,
        "succeeded_at": None,
        "created": START,
    }
    return PaymentIntent(**{**fields, **changes})


def paid(units: int, *, posted: bool = True, asset: str = USDC, at: int = ON_TIME) -> Contribution:
    return Contribution(asset=asset, token_amount=units, posted=posted, block_timestamp=at)


@pytest.mark.parametrize(
    ("asset_decimals", "coin_decimals", "usd", "priced_in", "amount", "token_amount"),
    [
        # As many decimals as the coin; fewer; more; and a coin worth something else.
        (6, 6, (1, 1), USD, 2500, 25_000_000),
        (6, 6, (1, 1), USD, 1, 10_000),
        (18, 6, (1, 1), USD, 2500, 25 * 10**18),
        (0, 6, (1, 1), USD, 2500, 25),
        (0, 6, (1, 1), USD, 2501, 26),
        (0, 0, (1, 1), USD, 1, 1),
        (2, 6, (1, 1), USD, 2501, 2501),
        (6, 6, (1, 1), EUR, 2500, 29_166_667),
        (6, 6, (1_000_001, 1_000_000), USD, 2500, 24_999_976),
        (18, 18, (3000, 1), USD, 2500, 8_333_333_333_333_334),
        # More places than the coin's ledger unit has: rounded up to what can be credited.
        (18, 6, (1, 1), EUR, 2500, 29_166_667 * 10**12),
    ],
)
def test_quote_asks_enough_and_no_more(
    asset_decimals: int,
    coin_decimals: int,
    usd: tuple[int, int],
    priced_in: Currency,
    amount: int,
    token_amount: int,
) -> None:
    made = make_quote(
        token(asset_decimals),
        coin=coin(coin_decimals, usd),
        priced_in=priced_in,
        market=written_down(coin(coin_decimals, usd), priced_in),
        amount=amount,
        address=ADDRESS,
    )
    assert made is not None
    assert made.token_amount == token_amount
    assert f"uint256={token_amount}" in made.uri
    assert value_of([made], [(USDC, token_amount)], amount=amount) == amount
    # One atomic unit of the ledger less is less.
    step = 10 ** max(0, asset_decimals - coin_decimals)
    if token_amount > step:
        assert value_of([made], [(USDC, token_amount - step)], amount=amount) < amount
    assert quote_of(made.to_document()) == made


@pytest.mark.parametrize(
    ("asset", "money", "priced_in", "amount"),
    [
        (token(), coin(usd=None), USD, 2500),
        (token(contract=None), coin(), USD, 2500),
        (token(18), coin(18), USD, UNITS_MAX),
    ],
)
def test_no_quote(asset: Asset, money: Currency, priced_in: Currency, amount: int) -> None:
    made = make_quote(
        asset,
        coin=money,
        priced_in=priced_in,
        market=written_down(money, priced_in),
        amount=amount,
        address=ADDRESS,
    )
    assert made is None


@given(
    amount=st.integers(1, 10**12),
    usd=st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)),
    asset_decimals=st.integers(0, 18),
    coin_decimals=st.integers(0, 18),
    parts=st.lists(st.integers(1, 99), max_size=5),
)
def test_quoted_amount_in_parts_is_the_amount(
    amount: int, usd: tuple[int, int], asset_decimals: int, coin_decimals: int, parts: list[int]
) -> None:
    """However the quoted tokens are split over transfers, together they are exactly enough."""
    made = make_quote(
        token(asset_decimals),
        coin=coin(coin_decimals, usd),
        priced_in=USD,
        market=written_down(coin(coin_decimals, usd), USD),
        amount=amount,
        address=ADDRESS,
    )
    if made is None:
        return
    pieces = [made.token_amount * part // 100 // 5 for part in parts]
    pieces.append(made.token_amount - sum(pieces))
    assert value_of([made], [(USDC, piece) for piece in pieces], amount=amount) == amount


@pytest.mark.parametrize(
    ("paid", "value"),
    [
        ([(USDC, 25_000_000)], 2500),
        ([(USDC, 24_999_999)], 2499),
        ([(USDC, 25_000_001)], 2500),
        ([(USDC, 25_009_999)], 2500),
        ([(USDC, 25_010_000)], 2501),
        ([(USDC, 5_000), (USDC, 5_000)], 1),
        ([(USDC, 5_000), (USDT, 5_000)], 0),
        ([(USDC, 10_000_000), (USDT, 15_000_000)], 2500),
        ([], 0),
    ],
)
def test_value_is_rounded_down_per_token(paid: list[tuple[str, int]], value: int) -> None:
    assert value_of([quote(USDC), quote(USDT)], paid, amount=2500) == value


def test_exactly_the_quoted_number_is_the_amount_however_it_was_rounded() -> None:
    """29.166667 USDC for 25.00 EUR convert back to 25.0000002857; 0.0000005 less would not."""
    rounded = quote(token_amount=26, rate=Rate(100, 1))
    assert value_of([rounded], [(USDC, 26)], amount=2550) == 2550
    assert value_of([rounded], [(USDC, 27)], amount=2550) == 2700


@pytest.mark.parametrize(
    ("units", "bps", "least"),
    [(0, 0, 2500), (10, 0, 2490), (0, 100, 2475), (10, 100, 2475), (30, 100, 2470), (0, 1, 2500)],
)
def test_enough_takes_the_greater_tolerance(units: int, bps: int, least: int) -> None:
    policy = PaymentPolicy(tolerance_under_units=units, tolerance_percent_bps=bps)
    assert enough(2500, policy) == least


def test_nothing_is_never_enough() -> None:
    assert enough(5, PaymentPolicy(tolerance_under_units=100)) == 1
    assert enough(5, PaymentPolicy(tolerance_percent_bps=10_000)) == 1


@pytest.mark.parametrize(
    ("before", "arrived", "after"),
    [
        ("requires_action", [], ("requires_action", 0, None, None)),
        ("requires_action", [paid(1, posted=False)], ("requires_action", 0, None, "on_time")),
        (
            "requires_action",
            [paid(25_000_000, posted=False)],
            ("processing", 0, None, "on_time"),
        ),
        (
            "requires_action",
            [paid(10_000_000), paid(15_000_000, posted=False)],
            ("processing", 1000, "under", "on_time"),
        ),
        ("requires_action", [paid(10_000_000)], ("requires_action", 1000, "under", "on_time")),
        ("requires_action", [paid(25_000_000)], ("succeeded", 2500, "exact", "on_time")),
        ("requires_action", [paid(26_000_000)], ("succeeded", 2600, "over", "on_time")),
        (
            "requires_action",
            [paid(10_000_000), paid(15_000_000, asset=USDT)],
            ("succeeded", 2500, "exact", "on_time"),
        ),
        ("processing", [paid(25_000_000)], ("succeeded", 2500, "exact", "on_time")),
        ("processing", [paid(1, posted=False)], ("requires_action", 0, None, "on_time")),
        ("processing", [], ("requires_action", 0, None, None)),
        ("expired", [], ("expired", 0, None, None)),
        ("expired", [paid(1, at=LATE)], ("expired", 0, "under", "late")),
        ("expired", [paid(25_000_000, posted=False)], ("processing", 0, None, "on_time")),
        ("expired", [paid(25_000_000, at=LATE)], ("succeeded", 2500, "exact", "late")),
        (
            "expired",
            [paid(10_000_000), paid(15_000_000, at=LATE)],
            ("succeeded", 2500, "exact", "late"),
        ),
        # What is over stays over, whatever the chain takes back.
        ("succeeded", [], ("succeeded", 0, None, None)),
        ("succeeded", [paid(10_000_000)], ("succeeded", 1000, "under", "on_time")),
        ("canceled", [paid(25_000_000)], ("canceled", 2500, "exact", "on_time")),
    ],
)
def test_assess(
    before: str, arrived: list[Contribution], after: tuple[str, int, str | None, str | None]
) -> None:
    status, received, amount_status, timing = after
    assert assess(intent(status=before), arrived, policy=PaymentPolicy()) == Assessment(
        PaymentStatus(status),
        received,
        None if amount_status is None else AmountStatus(amount_status),
        None if timing is None else Timing(timing),
    )


def test_assess_within_the_tolerance() -> None:
    policy = PaymentPolicy(tolerance_under_units=1)
    found = assess(intent(), [paid(24_990_000)], policy=policy)
    assert (found.status, found.amount_status) == (PaymentStatus.succeeded, AmountStatus.under)


@pytest.mark.parametrize(
    ("status", "open_"),
    [
        ("requires_action", True),
        ("processing", True),
        ("succeeded", False),
        ("canceled", False),
        ("expired", False),
    ],
)
def test_is_open(status: str, open_: bool) -> None:
    assert is_open(status) is open_


@pytest.mark.parametrize("status", ["requires_action", "processing", "expired"])
def test_public_shows_where_to_pay_while_a_payment_may_count(status: str) -> None:
    shown = public(intent(status=status))
    [(network, entry)] = shown["next_action"]["crypto_display_details"]["deposit_addresses"].items()
    assert network == NETWORK
    assert entry["address"].lower() == ADDRESS
    assert [each["amount"] for each in entry["supported_tokens"]] == ["25000000", "25000000"]
    assert entry["supported_tokens"][0]["amount_decimal"] == "25.000000"
    assert (shown["amount"], shown["amount_decimal"]) == (2500, "25.00")


def test_public_shows_the_address_of_each_network() -> None:
    elsewhere = replace(
        quote(asset="eip155:1/erc20:0x" + "bb" * 20), network="eip155:1", address="0x" + "cc" * 20
    )
    documents = [quote().to_document(), elsewhere.to_document()]
    shown = public(intent(quotes=documents))["next_action"]["crypto_display_details"]
    found = {name: each["address"].lower() for name, each in shown["deposit_addresses"].items()}
    # An intent of before has one address, which no quote names.
    assert found == {NETWORK: ADDRESS, "eip155:1": "0x" + "cc" * 20}
    assert [quote_of(each).address for each in documents] == [None, "0x" + "cc" * 20]


@pytest.mark.parametrize("status", ["succeeded", "canceled"])
def test_public_of_a_finished_intent(status: str) -> None:
    shown = public(intent(status=status, succeeded_at=START, canceled_at=None))
    assert shown["next_action"] is None
    assert shown["succeeded_at"] == int(START.timestamp())
    assert shown["canceled_at"] is None


def test_what_went_back_does_not_pay() -> None:
    # Ten of twenty-five came late and went back: fifteen more are not enough, twenty-five are.
    row = intent(status="expired", amount_refunded=1_000)
    arrived = [paid(10_000_000), paid(15_000_000)]
    assert assess(row, arrived, policy=PaymentPolicy()).status is PaymentStatus.expired
    arrived = [paid(10_000_000), paid(25_000_000)]
    assert assess(row, arrived, policy=PaymentPolicy()).status is PaymentStatus.succeeded
