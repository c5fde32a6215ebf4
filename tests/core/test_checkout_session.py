"""Where a payment stands, as its payer is told; and where a payer may be sent."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from sakk.core import checkout_session as rules
from sakk.core.checkout_session import Arrival, CheckoutSession, Line, Stand
from sakk.core.errors import ParameterInvalid
from sakk.core.money import UNITS_MAX, Rate
from sakk.core.payment import PaymentIntent, Quote

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
NETWORK = "eip155:84532"
ASSET = f"{NETWORK}/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"
QUOTE = Quote(
    network=NETWORK,
    asset=ASSET,
    contract="0x036cbd53842c5426634e7929541ec2318f3dcf7e",
    currency="usdc",
    decimals=6,
    token_amount=25_000_000,
    rate=Rate(100, 1_000_000),
    uri="ethereum:",
    address="0x" + "a1" * 20,
)
INTENT = PaymentIntent(
    id="pi_1",
    account_id="acct_1",
    livemode=False,
    amount=2_500,
    currency="usd",
    decimals=2,
    status="requires_action",
    amount_received=0,
    amount_status=None,
    timing=None,
    quotes=[QUOTE.to_document()],
    networks=[NETWORK],
    address="0x" + "a1" * 20,
    customer=None,
    description=None,
    metadata={},
    cancellation_reason=None,
    expires_at=NOW,
    canceled_at=None,
    succeeded_at=None,
    created=NOW,
)
SESSION = CheckoutSession(
    id="cs_1",
    account_id="acct_1",
    livemode=False,
    payment_intent="pi_1",
    token_hash="00",
    lines=[Line("Lamp", 1_250, 2).document()],
    success_url="https://shop.example/?s={CHECKOUT_SESSION_ID}",
    cancel_url=None,
    client_reference_id=None,
    locale=None,
    metadata={},
    created=NOW,
)


def arrival(units: int = 25_000_000, status: str = "seen", **changes: Any) -> Arrival:
    made = Arrival(
        network=NETWORK,
        asset=ASSET,
        token_amount=units,
        tx_hash="0x1",
        status=status,
        counts=True,
        block_number=100,
        confirmations_min=2,
        head_number=101,
    )
    return replace(made, **changes)


CASES: list[tuple[dict[str, Any], list[Arrival], Stand, int, int]] = [
    ({}, [], Stand.awaiting, 2_500, 0),
    ({}, [arrival()], Stand.confirming, 0, 0),
    ({}, [arrival(10_000_000)], Stand.confirming, 1_500, 0),
    ({"amount_received": 1_000}, [arrival(10_000_000, "posted")], Stand.partial, 1_500, 0),
    ({"status": "succeeded", "timing": "on_time"}, [arrival(status="posted")], Stand.paid, 0, 0),
    ({"status": "succeeded", "timing": "late"}, [arrival(status="posted")], Stand.paid_late, 0, 0),
    (
        {"status": "succeeded", "amount_status": "over"},
        [arrival(30_000_000, "released")],
        Stand.over,
        0,
        500,
    ),
    ({}, [arrival(status="held")], Stand.processing, 2_500, 0),
    # A gift card pays all of it, and its money is being moved.
    ({"status": "processing", "amount_held": 2_500}, [], Stand.confirming, 0, 0),
    ({"amount_held": 1_000}, [], Stand.partial, 1_500, 0),
    ({"status": "expired"}, [arrival(status="returned")], Stand.processing, 2_500, 0),
    ({"status": "expired"}, [], Stand.expired, 2_500, 0),
    ({"status": "expired"}, [arrival()], Stand.confirming, 0, 0),
    ({"status": "canceled"}, [], Stand.canceled, 2_500, 0),
    # Another token than was asked for does not count, and is not confirmed for this.
    ({}, [arrival(counts=False)], Stand.awaiting, 2_500, 0),
    # What went back is asked for again.
    (
        {"amount_received": 1_000, "amount_refunded": 1_000},
        [arrival(10_000_000, "posted")],
        Stand.awaiting,
        2_500,
        0,
    ),
]


@pytest.mark.parametrize(("changes", "arrivals", "stand", "due", "excess"), CASES)
def test_where_a_payment_stands(
    changes: dict[str, Any], arrivals: list[Arrival], stand: Stand, due: int, excess: int
) -> None:
    found = rules.progress_of(replace(INTENT, **changes), arrivals, least=2_500)
    assert (found.stand, found.due, found.excess) == (stand, due, excess)
    assert len(found.waiting) == sum(each.status == "seen" for each in arrivals)


def test_what_the_account_tolerates_is_not_due() -> None:
    assert rules.progress_of(INTENT, [arrival(24_900_000)], least=2_480).due == 0


@pytest.mark.parametrize(
    ("head", "confirmations"), [(None, 0), (99, 0), (100, 0), (101, 1), (102, 2), (900, 2)]
)
def test_confirmations_are_counted_to_what_is_needed(head: int | None, confirmations: int) -> None:
    assert arrival(head_number=head).confirmations == confirmations


@pytest.mark.parametrize(
    ("due", "decimals", "units"),
    [
        (2_500, 6, 25_000_000),
        (1, 6, 10_000),
        (1_500, 6, 15_000_000),
        # A token that is finer than its currency is asked for in whole units of that.
        (333, 2, 3_330_000),
    ],
)
def test_what_is_due_in_a_token_is_rounded_up(due: int, decimals: int, units: int) -> None:
    found = rules.due_units(QUOTE, due=due, amount=2_500, coin_decimals=decimals)
    assert found == units


def test_a_rate_that_does_not_divide_is_rounded_up() -> None:
    quote = replace(QUOTE, rate=Rate(100, 999_999))
    assert rules.due_units(quote, due=100, amount=2_500, coin_decimals=6) == 999_999
    assert rules.due_units(quote, due=100, amount=2_500, coin_decimals=2) == 1_000_000


@pytest.mark.parametrize(
    ("status", "session"),
    [
        ("requires_action", "open"),
        ("processing", "open"),
        ("succeeded", "complete"),
        ("canceled", "expired"),
        ("expired", "expired"),
    ],
)
def test_a_session_stands_where_its_payment_does(status: str, session: str) -> None:
    intent = replace(INTENT, status=status)
    shown = rules.public(SESSION, intent, url="https://pay.example/x")
    assert shown["status"] == session == rules.status_of(intent)
    assert rules.is_open(intent) is (session == "open")
    assert (shown["url"] is None) is (session != "open")
    assert shown["payment_status"] == ("paid" if session == "complete" else "unpaid")


def test_lines_add_up() -> None:
    assert rules.total_of([Line("a", 5, 2), Line("b", 1, 1)]) == 11
    [shown] = rules.public_lines(SESSION, INTENT)
    assert (shown["id"], shown["amount_total"], shown["unit_amount"]) == ("li_1_1", 2_500, 1_250)
    with pytest.raises(ParameterInvalid, match="more than an amount"):
        rules.total_of([Line("a", UNITS_MAX, 2)])


def test_the_payer_goes_back_with_the_sessions_id() -> None:
    assert rules.return_url(SESSION.success_url, "cs_1") == "https://shop.example/?s=cs_1"
    assert rules.return_url(None, "cs_1") is None
    assert rules.page_path("x") == "/checkout/x"


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "//shop.example/",
        "/relative",
        "https://",
        "https://user@shop.example/",
        "https://shop.example/a b",
        'https://shop.example/"',
        "https://shop.example/\u202e",
        "https://shop.example/\n",
        "https://[::1/",
        "https://shop.example/" + "x" * 2_048,
    ],
)
def test_a_payer_is_sent_to_the_web_alone(url: str) -> None:
    with pytest.raises(ParameterInvalid, match="web address"):
        rules.check_url(url, "success_url")


def test_a_web_address_is_taken_as_it_is() -> None:
    for url in ("https://shop.example/a?b=c#d", "http://127.0.0.1:8000/", "https://例え.jp/支払い"):
        assert rules.check_url(url, "success_url") == url
