"""Conversions in a real ledger: held prices, revenue, positions, limits, and what is refused."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import credit
from tests.flow.test_fee import charged_by, volume
from tests.flow.test_rate import put

from sakk.core import chart
from sakk.core.conversion import Conversion, ConversionQuote
from sakk.core.errors import (
    BalanceInsufficient,
    ParameterInvalid,
    PermissionDenied,
    ResourceMissing,
    SakkError,
    Unavailable,
    UnexpectedState,
)
from sakk.core.fee import FeeKind, FeeRule
from sakk.core.freeze import Freeze
from sakk.core.rate_source import SourceKind
from sakk.flow import conversion as flow
from sakk.flow import rate as rates
from sakk.flow.rate_fetch import Fetcher
from sakk.ledger.projection import wait_projected
from sakk.store import conversion as store
from sakk.store import freeze as freezes
from sakk.store.fee import fees
from sakk.store.identity import new_id


def ask(
    world: World,
    amount: int = 10 * WHOLE_TOKEN,
    source: str = "usdc",
    target: str = "usdt",
    **more: Any,
) -> ConversionQuote:
    with world.database.begin() as connection:
        return flow.quote(
            connection,
            flow.Wish(source, target, amount, **more),
            identifier=new_id("cq"),
            account_id=world.account,
            livemode=False,
            now=world.clock(),
        )


def convert(world: World, quote: ConversionQuote, identifier: str | None = None) -> Conversion:
    return flow.create(
        world.parts,
        quote.id,
        identifier=identifier or new_id("conv"),
        account_id=world.account,
        livemode=False,
    )


def terms(world: World, account: str = "", **changes: int) -> None:
    with world.database.begin() as connection:
        flow.put_terms(connection, account, livemode=False, now=world.clock(), **changes)


def say(world: World, folder: Path, *lines: str) -> None:
    """The desk says something else from now on."""
    world.advance(timedelta(seconds=20))
    (folder / "desk.csv").write_text("\n".join(("base,quote,bid,ask", *lines, "")))
    assert rates.rate_stage(world.parts, Fetcher()).run() == 1


def test_a_held_price_is_kept_and_its_spread_and_fee_are_revenue(
    world: World, tmp_path: Path
) -> None:
    put(world.parts, "desk", SourceKind.csv, str(tmp_path / "desk.csv"), "usdt-usd")
    say(world, tmp_path, "usdt,usd,0.999,1.001")
    charged_by(world, FeeRule(kind=FeeKind.conversion, currency="usdc", percent_ppm=10_000))
    credit(world, 100)
    terms(world, spread_ppm=5_000, lock_seconds=90)
    quote = ask(world)
    # A dollar buys 1 / 1.001 tether, of which the spread keeps half a percent.
    assert (quote.target_amount, quote.spread, quote.service_fee) == (9_940_059, 49_950, 100_000)
    assert (quote.sources, quote.path) == (["configured", "desk"], ["usdc", "usd", "usdt"])
    say(world, tmp_path, "usdt,usd,1.004,1.006")
    made = convert(world, quote)
    assert (made.status, made.target_amount) == ("posted", 9_940_059)
    assert world.balance() == 100 * WHOLE_TOKEN - 10 * WHOLE_TOKEN - 100_000
    assert world.balance("usdt") == 9_940_059
    assert world.ledger(chart.fee_revenue("test/usdt")) == 49_950
    assert world.ledger(chart.fee_revenue("test/usdc")) == 100_000
    assert world.event_types(about=made.id) == ["conversion.posted"]
    with world.database.begin() as connection:
        [fee] = connection.execute(fees.select().where(fees.c.source == made.id)).all()
    assert (fee.kind, int(fee.amount), int(fee.basis)) == ("conversion", 100_000, 10 * WHOLE_TOKEN)
    # The same request again is the same conversion; the quote is used.
    assert convert(world, quote, made.id) == made
    with pytest.raises(ParameterInvalid, match=made.id):
        convert(world, quote)
    # What the pair took and gave is open, and worth less now.
    wait_projected(world.database.url)
    with world.database.begin() as connection:
        found = flow.positions(connection, livemode=False, now=world.clock())
    assert [(each.currency, each.units, each.usd_cents) for each in found] == [
        ("usdc", 10 * WHOLE_TOKEN, 1_000),
        ("usdt", -9_990_009, -1_003),
    ]
    # And back is never more than went.
    back = convert(world, ask(world, made.target_amount, "usdt", "usdc"))
    assert back.target_amount < 10 * WHOLE_TOKEN
    assert world.balance("usdt") == 0
    world.check()


def test_what_is_over_used_stopped_or_not_covered_moves_nothing(world: World) -> None:
    credit(world, 10)
    quote = ask(world, 3 * WHOLE_TOKEN, fixed="target")
    assert quote.source_amount == 3 * WHOLE_TOKEN
    with world.database.begin() as connection:
        rates.put_peg(connection, currency="usdt", peg="usd", now=world.clock())
        rates.stop(connection, "usdt", now=world.clock())
    for refused in (lambda: convert(world, quote), lambda: ask(world)):
        with pytest.raises(UnexpectedState, match="over usdt"):
            refused()
    with world.database.begin() as connection:
        rates.clear(connection, "usdt", now=world.clock())
    world.advance(timedelta(seconds=61))
    with pytest.raises(ParameterInvalid, match="has expired"):
        convert(world, quote)
    charged_by(world, FeeRule(kind=FeeKind.conversion))
    dear = ask(world, 10 * WHOLE_TOKEN + 1)
    for _ in range(2):
        with pytest.raises(BalanceInsufficient):
            convert(world, dear, "conv_01kdvcr00000000000000000aa")
    # What did not come about makes nothing cheaper.
    assert volume(world, FeeKind.conversion) == 0
    with pytest.raises(ParameterInvalid, match="No such quote"):
        flow.create(
            world.parts,
            dear.id,
            identifier=new_id("conv"),
            account_id=world.operator,
            livemode=False,
        )
    assert (world.balance(), world.balance("usdt")) == (10 * WHOLE_TOKEN, 0)
    # Of many that come at once with one quote, one converts.
    once = ask(world)

    def attempt(_: int) -> str:
        try:
            return convert(world, once).status
        except SakkError as error:
            return error.code

    with ThreadPoolExecutor(4) as threads:
        answers = sorted(threads.map(attempt, range(4)))
    assert answers == ["parameter_invalid"] * 3 + ["posted"]
    assert (world.balance(), world.balance("usdt")) == (0, 10 * WHOLE_TOKEN)
    world.check()


def test_of_two_at_once_under_one_number_the_first_is_carried_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker whose lease ran out asks for another quote, and its number is taken meanwhile."""
    charged_by(world, FeeRule(kind=FeeKind.conversion, currency="usdc", fixed=1))
    credit(world, 100)
    identifier = new_id("conv")
    first, second = ask(world), ask(world, 30 * WHOLE_TOKEN)
    lock = store.lock_account

    def meanwhile(connection: Connection, account_id: str) -> None:
        monkeypatch.setattr(store, "lock_account", lock)
        assert convert(world, first, identifier).quote == first.id
        lock(connection, account_id)

    monkeypatch.setattr(store, "lock_account", meanwhile)
    made = convert(world, second, identifier)
    assert (made.status, made.quote, made.source_amount) == ("posted", first.id, 10 * WHOLE_TOKEN)
    with world.database.begin() as connection:
        kept = flow.retrieve(connection, identifier, account_id=None, livemode=False)
    assert kept == made
    assert volume(world, FeeKind.conversion) == 10 * WHOLE_TOKEN
    assert world.balance() == 90 * WHOLE_TOKEN - 1
    world.check()


def test_who_may_not_convert_and_how_much(world: World) -> None:
    terms(world, usd_cents_max=2_000, usd_cents_per_day_max=2_500)
    credit(world, 100)
    with pytest.raises(ParameterInvalid, match=r"at most 20\.00"):
        ask(world, 20 * WHOLE_TOKEN + 10_000)
    convert(world, ask(world, 20 * WHOLE_TOKEN))
    late = ask(world, 6 * WHOLE_TOKEN)
    with pytest.raises(ParameterInvalid, match=r"of which 20\.00 are used"):
        convert(world, late)
    world.advance(timedelta(days=1))
    convert(world, ask(world, 20 * WHOLE_TOKEN))
    for wish, error in (
        ({"source": "usdc", "target": "usdc"}, ParameterInvalid),
        ({"source": "usdc", "target": "xxx"}, ParameterInvalid),
        ({"source": "usdc", "target": "eur"}, Unavailable),
        ({"source": "usdc", "target": "usdt", "amount": 0}, ParameterInvalid),
    ):
        with pytest.raises(error):
            ask(world, **wish)
    with pytest.raises(ResourceMissing):
        terms(world, "acct_none", spread_ppm=1)
    terms(world, world.account, enabled=False)
    with pytest.raises(PermissionDenied, match="Nothing is converted"):
        ask(world)
    terms(world, world.account, enabled=True)
    with world.database.begin() as connection:
        freezes.insert(
            connection,
            Freeze(
                id=new_id("frz"),
                account_id=world.account,
                reason="looked into",
                origin="cli",
                created=world.clock(),
            ),
        )
    with pytest.raises(PermissionDenied) as caught:
        ask(world)
    # It says no more than to one that is switched off.
    assert caught.value.message == "Nothing is converted for this account now. Ask the operator."
