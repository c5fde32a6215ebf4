"""Orders at venues, and the rates behind them: a source that says something, one that does not."""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import select

from sakk.core.hedge_policy import HedgePolicy, HedgeProposal
from sakk.core.order import OPEN, ChildOrder, Order, OrderStatus
from sakk.core.rate import SCALE, Observation, Peg
from sakk.core.rate_source import RateSource
from sakk.store import hedge_policy as policies
from sakk.store import order as store
from sakk.store import rate as rates
from sakk.store.database import Database
from sakk.store.identity import new_id, now

HOSTILE = "<script>alert(1)</script>\u202e=1+1"
ROUTE = {
    "children": [{"venue": "simulated_north", "units": 12_345_678_901, "price": "1.0007"}],
    "left": 0,
    "reasons": [
        "simulated_north: 12345678901 units at 1.0007 or better, its fee 500 ppm, 40 ms",
        "simulated_south: left out, its minimum of 10000000 units is more than can be had of it",
    ],
    "venues": [
        {
            "venue": "simulated_north",
            "why": "chosen",
            "units": 12_345_678_901,
            "price": "1.0007",
            "fee_ppm": 500,
            "latency_ms": 40,
            "minimum": 0,
        },
        {
            "venue": "simulated_south",
            "why": "minimum",
            "units": 0,
            "price": "1.0006",
            "fee_ppm": 400,
            "latency_ms": 25,
            "minimum": 10_000_000,
        },
    ],
}


def put_order(database: Database, *, proposed_by: str = "per_1") -> dict[str, str]:
    """The operator's alone: whose accounts there are plays no part."""
    moment = now()
    waiting = Order(
        id=new_id("ord"),
        livemode=False,
        base="usdt",
        base_decimals=6,
        quote="usdc",
        quote_decimals=6,
        side="buy",
        units=12_345_678_901,
        limit_price=SCALE * 10_050 // 10_000,
        usd_cents=1_234_567,
        reason="hedge",
        status=OrderStatus.awaiting.value,
        approvals=["per_1"],
        route=None,
        filled_units=0,
        quote_units=0,
        fee_units=0,
        created=moment,
        ended_at=None,
    )
    done = replace(
        waiting,
        id=new_id("ord"),
        status=OrderStatus.done.value,
        route=ROUTE,
        filled_units=12_345_678_901,
        quote_units=12_354_320_876,
        fee_units=6_177_161,
        ended_at=moment,
    )
    child = ChildOrder(
        id=new_id("ordc"),
        order_id=done.id,
        livemode=False,
        venue="simulated_north",
        base="usdt",
        base_decimals=6,
        quote="usdc",
        quote_decimals=6,
        side="buy",
        units=done.units,
        price=SCALE * 10_007 // 10_000,
        status="done",
        asked=True,
        filled_units=done.filled_units,
        quote_units=done.quote_units,
        fee_units=done.fee_units,
        created=moment,
    )
    with database.begin() as connection:
        store.insert(connection, done)
        store.insert_children(connection, [child])
        store.insert(connection, waiting)
        c = store.orders.c
        open_order = connection.execute(
            select(c.id).where(c.base == "usdt", ~c.livemode, c.status.in_(OPEN))
        ).scalar_one()
        policies.put(connection, HedgePolicy("usdt", False, "usdc", 1_000, 50_000, moment))
        policies.put_proposal(
            connection,
            HedgeProposal("usdt", False, "usdc", 1_000, 90_000, HOSTILE, proposed_by, moment),
        )
    return {"order": open_order, "done_order": done.id, "hedge_policy": "usdt"}


def put_rates(database: Database) -> str:
    """Three sources of one pair, of which one is far off and one is old; a coin that is stopped."""
    moment = now()
    words = {
        "desk": (9_995, 10_005, 5),
        "house": (9_990, 10_001, 9),
        "far": (8_000, 8_010, 3),
        "old": (9_999, 10_000, 9_000),
    }
    with database.begin() as connection:
        for name, (bid, ask, age) in words.items():
            rates.put_source(
                connection,
                RateSource(
                    id=name,
                    kind="csv",
                    location=f"/srv/{name}.csv",
                    pairs=[{"base": "usdt", "quote": "usd"}],
                    every_seconds=15,
                    age_seconds=300,
                    enabled=name != "old",
                    state="outlier" if name == "far" else "ok",
                    error=HOSTILE if name == "far" else None,
                    checked=moment,
                    next_at=moment,
                    created=moment,
                ),
            )
            said = Observation(
                name,
                "usdt",
                "usd",
                bid * SCALE // 10_000,
                ask * SCALE // 10_000,
                moment - timedelta(seconds=age),
                moment,
            )
            rates.insert_observations(connection, [said])
        rates.put_peg(connection, Peg("usdt", "usd", 10_000, 1_800, moment, None, False, moment))
    return "far"
