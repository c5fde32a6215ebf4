"""What the network takes: measured, quoted, charged where the operator says so, and booked."""

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.flow.harness import World
from tests.flow.money import BENEFICIARY, UNIT, payout_now, rich, units_at
from tests.flow.wiring import WHOLE_TOKEN

from sakk.core import chart
from sakk.core.beneficiary import Wanted
from sakk.core.errors import AmountTooSmall, ParameterInvalid, ResourceMissing, Unavailable
from sakk.core.network import Currency
from sakk.core.payout import Payout, PayoutRequest
from sakk.core.quote import COST_AGE_MAX, QUOTE_LENGTH, Quote
from sakk.flow import account as accounts
from sakk.flow import payout as payouts
from sakk.flow import quote as flow
from sakk.store import network
from sakk.store.identity import new_id


def charge(world: World, *, account: str | None = None, how: str = "charge") -> None:
    with world.database.begin() as connection:
        accounts.update(
            connection,
            account or world.account,
            {"payouts": {"network_fee": how}},
            livemode=False,
            by_operator=True,
            now=world.clock(),
        )


def price(world: World, usd: int) -> None:
    """The native coin is worth so many US dollars."""
    with world.database.begin() as connection:
        [eth] = [each for each in network.list_currencies(connection) if each.currency == "eth"]
        worth: Currency = replace(eth, usd_numerator=usd, usd_denominator=1)
        network.put_currency(connection, worth)


def quoted(world: World, *, account: str | None = None, amount: int | None = None) -> Quote:
    with world.database.begin() as connection:
        terms = payouts.read_terms(
            connection, account_id=account or world.account, livemode=False, now=world.clock()
        )
        return flow.create(
            connection,
            network_name=world.chain.network,
            currency="usdc",
            terms=terms,
            identifier=new_id("qt"),
            account_id=account or world.account,
            livemode=False,
            metadata={},
            now=world.clock(),
            amount=amount,
        )


def paid(world: World, amount: int, *, quote: str | None = None, mode: str = "sender") -> Payout:
    wanted = Wanted(network=world.chain.network, address=BENEFICIARY)
    return payouts.create(
        world.parts,
        PayoutRequest(amount, "usdc", wanted, fee_mode=mode, quote=quote),
        identifier=new_id("po"),
        account_id=world.account,
        livemode=False,
    ).run(world.database)


def revenue(world: World) -> int:
    return world.ledger(chart.fee_revenue(UNIT))


def test_nothing_is_charged_unless_the_operator_says_so(world: World) -> None:
    rich(world, 100)
    price(world, 3_000)
    world.run_only("quote.measure")
    made = quoted(world)
    assert (made.fee, made.network_fee > 0) == (0, True)
    assert paid(world, WHOLE_TOKEN).fee == 0
    # The operator's own account says what holds for those that say nothing.
    charge(world, account=world.operator)
    assert quoted(world).fee == made.network_fee
    charge(world, how="waive")
    assert quoted(world).fee == 0


@pytest.mark.parametrize("mode", ["sender", "receiver"])
def test_the_promised_fee_is_charged_and_booked(world: World, mode: str) -> None:
    rich(world, 100)
    price(world, 3_000)
    charge(world)
    world.run_only("quote.measure")
    made = quoted(world)
    assert made.fee == made.network_fee > 0
    # What it costs now is not what was promised.
    price(world, 30_000)
    row = paid(world, 10 * WHOLE_TOKEN, quote=made.id, mode=mode)
    assert (row.fee, row.quote) == (made.fee, made.id)
    world.run()
    world.finalize()
    arrived = 10 * WHOLE_TOKEN - (made.fee if mode == "receiver" else 0)
    assert payout_now(world, row).status == "posted"
    assert units_at(world, BENEFICIARY) == arrived
    assert revenue(world) == made.fee
    assert world.balance() == 100 * WHOLE_TOKEN - arrived - made.fee
    world.check()


def test_a_quote_is_for_what_it_says_and_for_a_while(world: World) -> None:
    rich(world, 100)
    price(world, 3_000)
    charge(world)
    world.run_only("quote.measure")
    made = quoted(world)
    other = world.merchant()
    with world.database.begin() as connection, pytest.raises(ResourceMissing):
        flow.retrieve(connection, made.id, account_id=other, livemode=False)
    wanted = Wanted(network=world.chain.network, address=BENEFICIARY)
    for request, says in (
        (PayoutRequest(WHOLE_TOKEN, "usdt", wanted, quote=made.id), "for usdc"),
        (PayoutRequest(WHOLE_TOKEN, "usdc", wanted, quote="qt_none"), "No such quote"),
    ):
        with pytest.raises(ParameterInvalid, match=says) as caught:
            payouts.create(
                world.parts,
                request,
                identifier=new_id("po"),
                account_id=world.account,
                livemode=False,
            )
        assert caught.value.param == "quote"
    world.advance(QUOTE_LENGTH)
    with pytest.raises(ParameterInvalid, match="expired"):
        paid(world, WHOLE_TOKEN, quote=made.id)


def test_a_fee_that_eats_the_payout_and_one_that_is_not_known(world: World) -> None:
    rich(world, 100)
    price(world, 3_000)
    charge(world)
    world.run_only("quote.measure")
    fee = quoted(world).fee
    with pytest.raises(AmountTooSmall, match="takes the whole"):
        paid(world, fee, mode="receiver")
    # Nobody looked at the network for a while.
    world.advance(COST_AGE_MAX + timedelta(seconds=1))
    with pytest.raises(Unavailable):
        paid(world, WHOLE_TOKEN)
    world.run_only("quote.measure")
    assert paid(world, WHOLE_TOKEN).fee > 0


def test_less_than_the_minimum_is_not_sent(world: World) -> None:
    rich(world, 100)
    with world.database.begin() as connection:
        found = network.find_asset(connection, world.asset("usdc"))
        assert found is not None
        network.put_asset(connection, replace(found, payout_minimum=2 * WHOLE_TOKEN))
    with pytest.raises(AmountTooSmall, match=r"2\.000000 usdc"):
        paid(world, 2 * WHOLE_TOKEN - 1)
    assert paid(world, 2 * WHOLE_TOKEN).amount == 2 * WHOLE_TOKEN
