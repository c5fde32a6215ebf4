"""The client's calls about fees and settlements, and what is answered to them."""

from collections.abc import Callable
from typing import Any

from sakk.client import SakkClient
from sakk.client.objects import Resource

from . import reporting
from .escrow_calls import shown

Call = Callable[[SakkClient], Resource]

FEE = shown("fee", amount=5, currency="usdc", source="pin_1")
CONNECTED = shown("connected_account", account="acct_1", platform="acct_2", status="active")
APPLICATION_FEE = shown(
    "application_fee",
    account="acct_1",
    amount=5,
    application="acct_2",
    currency="usdc",
    source="pin_1",
)
FEE_SCHEDULE = shown("fee_schedule", name="Standard", version_in_force=1)
RATE = shown("rate", base="usdc", quote="eur", bid="0.92", ask="0.93")
CONVERSION = shown(
    "conversion",
    source_currency="usdc",
    source_amount=5,
    target_currency="usdt",
    target_amount=4,
    quote="cq_1",
    status="posted",
)
CONVERSION_QUOTE = shown(
    "conversion_quote",
    source_currency="usdc",
    source_amount=5,
    target_currency="usdt",
    target_amount=4,
    expires_at=1,
)
ORDER = shown("order", base="usdt", quote="usdc", side="buy", status="awaiting", units=5)
HEDGE_POLICY = shown("hedge_policy", against="usdc", auto_usd_cents=5, digest="00")
FX_POSITION = shown("fx_position", amount=-5, currency="usdt")
SETTLEMENT = shown("settlement", number=7, currency="usdc", status="paid")
SETTLEMENT_LINE = shown(
    "balance_transaction",
    amount=5,
    currency="usdc",
    type="payment",
    net=5,
    number=1,
    settlement="set_1",
)
SETTLEMENT_SCHEDULE = shown("settlement_schedule", interval="daily")

CALLS: list[tuple[Call, dict[str, Any], str, Any]] = [
    (
        lambda c: c.connected_accounts.retrieve("cac_1"),
        CONNECTED,
        "GET /v1/connected_accounts/cac_1",
        None,
    ),
    (
        lambda c: c.connected_accounts.create(
            account="acct_1", permissions=["payments"], application_fee_ppm_max=5
        ),
        CONNECTED,
        "POST /v1/connected_accounts",
        {"account": "acct_1", "permissions": ["payments"], "application_fee_ppm_max": 5},
    ),
    (
        lambda c: c.connected_accounts.update("cac_1", application_fee_rules=[]),
        CONNECTED,
        "POST /v1/connected_accounts/cac_1",
        {"application_fee_rules": []},
    ),
    (
        lambda c: c.connected_accounts.accept("cac_1"),
        CONNECTED,
        "POST /v1/connected_accounts/cac_1/accept",
        {},
    ),
    (
        lambda c: c.connected_accounts.revoke("cac_1"),
        CONNECTED,
        "POST /v1/connected_accounts/cac_1/revoke",
        {},
    ),
    (
        lambda c: c.application_fees.retrieve("afee_1"),
        APPLICATION_FEE,
        "GET /v1/application_fees/afee_1",
        None,
    ),
    (lambda c: c.fees.retrieve("fee_1"), FEE, "GET /v1/fees/fee_1", None),
    (
        lambda c: c.fee_schedules.retrieve("fsch_1"),
        FEE_SCHEDULE,
        "GET /v1/fee_schedules/fsch_1",
        None,
    ),
    (lambda c: c.orders.retrieve("ord_1"), ORDER, "GET /v1/orders/ord_1", None),
    (
        lambda c: c.orders.approve("ord_1", code="123456"),
        ORDER,
        "POST /v1/orders/ord_1/approve",
        {"code": "123456"},
    ),
    (lambda c: c.orders.cancel("ord_1"), ORDER, "POST /v1/orders/ord_1/cancel", {}),
    (
        lambda c: c.hedge_policies.retrieve("usdt"),
        HEDGE_POLICY,
        "GET /v1/hedge_policies/usdt",
        None,
    ),
    (
        lambda c: c.hedge_policies.propose(
            currency="usdt", against="usdc", threshold_usd_cents=1, auto_usd_cents=5
        ),
        HEDGE_POLICY,
        "POST /v1/hedge_policies",
        {"currency": "usdt", "against": "usdc", "threshold_usd_cents": 1, "auto_usd_cents": 5},
    ),
    (
        lambda c: c.hedge_policies.confirm("usdt", digest="00", code="123456"),
        HEDGE_POLICY,
        "POST /v1/hedge_policies/usdt/confirm",
        {"digest": "00", "code": "123456"},
    ),
    (
        lambda c: c.hedge_policies.decline("usdt"),
        HEDGE_POLICY,
        "POST /v1/hedge_policies/usdt/decline",
        {},
    ),
    (
        lambda c: c.fee_schedules.create(name="Standard", rules=[{"percent_ppm": 5_000}]),
        FEE_SCHEDULE,
        "POST /v1/fee_schedules",
        {"name": "Standard", "rules": [{"percent_ppm": 5_000}]},
    ),
    (
        lambda c: c.fee_schedules.update("fsch_1", rules=[{"percent_ppm": 4_000}]),
        FEE_SCHEDULE,
        "POST /v1/fee_schedules/fsch_1",
        {"rules": [{"percent_ppm": 4_000}]},
    ),
]
CALLS += [
    (
        lambda c: c.conversions.retrieve("conv_1"),
        CONVERSION,
        "GET /v1/conversions/conv_1",
        None,
    ),
    (
        lambda c: c.conversions.create(quote="cq_1"),
        CONVERSION,
        "POST /v1/conversions",
        {"quote": "cq_1"},
    ),
    (
        lambda c: c.conversion_quotes.retrieve("cq_1"),
        CONVERSION_QUOTE,
        "GET /v1/conversion_quotes/cq_1",
        None,
    ),
    (
        lambda c: c.conversion_quotes.create(
            source_currency="usdc", target_currency="usdt", amount=4, fixed="target"
        ),
        CONVERSION_QUOTE,
        "POST /v1/conversion_quotes",
        {
            "source_currency": "usdc",
            "target_currency": "usdt",
            "amount": 4,
            "fixed": "target",
        },
    ),
    (lambda c: c.rates.retrieve("usdc-eur"), RATE, "GET /v1/rates/usdc-eur", None),
    (
        lambda c: c.settlements.retrieve("set_1"),
        SETTLEMENT,
        "GET /v1/settlements/set_1",
        None,
    ),
    (
        lambda c: c.settlements.create(currency="usdc"),
        SETTLEMENT,
        "POST /v1/settlements",
        {"currency": "usdc"},
    ),
    (
        lambda c: c.settlement_schedules.put(interval="daily", cutoff="17:30", held=False),
        SETTLEMENT_SCHEDULE,
        "POST /v1/settlement_schedules",
        {"interval": "daily", "cutoff": "17:30", "held": False},
    ),
    *reporting.CALLS,
]

LISTS: list[tuple[Callable[[SakkClient], Any], dict[str, Any], str]] = [
    (lambda c: c.orders.list(), ORDER, "/v1/orders"),
    (lambda c: c.hedge_policies.list(), HEDGE_POLICY, "/v1/hedge_policies"),
    (lambda c: c.connected_accounts.list(), CONNECTED, "/v1/connected_accounts"),
    (lambda c: c.application_fees.list(), APPLICATION_FEE, "/v1/application_fees"),
    (lambda c: c.fees.list(), FEE, "/v1/fees"),
    (lambda c: c.fee_schedules.list(), FEE_SCHEDULE, "/v1/fee_schedules"),
    (lambda c: c.conversions.list(), CONVERSION, "/v1/conversions"),
    (lambda c: c.conversion_quotes.list(), CONVERSION_QUOTE, "/v1/conversion_quotes"),
    (lambda c: c.fx_positions.list(), FX_POSITION, "/v1/fx_positions"),
    (lambda c: c.rates.list(), RATE, "/v1/rates"),
    (lambda c: c.settlements.list(), SETTLEMENT, "/v1/settlements"),
    (lambda c: c.settlement_schedules.list(), SETTLEMENT_SCHEDULE, "/v1/settlement_schedules"),
    (lambda c: c.settlements.lines("set_1"), SETTLEMENT_LINE, "/v1/settlements/set_1/lines"),
    *reporting.LISTS,
]
