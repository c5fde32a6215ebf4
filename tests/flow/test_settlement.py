"""Settlements: periods closed over real statements, reserves, payments, and what comes back."""

import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.flow.conftest import MakeWorld
from tests.flow.harness import CONFIRMATIONS, WHOLE_TOKEN, World
from tests.flow.money import credit, fund_treasury, let_pass, units_at
from tests.flow.policing import Desk
from tests.flow.refunding import OTHER
from tests.flow.test_conversion import say, terms
from tests.flow.test_fee import RULES, charged_by
from tests.flow.test_rate import put

from sakk.core import chart
from sakk.core.errors import ResourceMissing, SamePerson, Unavailable, UnexpectedState
from sakk.core.payout import Initiator
from sakk.core.policy import Action, Rule
from sakk.core.posting import Posting
from sakk.core.rate_source import SourceKind
from sakk.core.settlement import Interval, Settlement, SettlementTerms
from sakk.flow import beneficiary, statement
from sakk.flow import payout as payout_flow
from sakk.flow import settlement as flow
from sakk.flow.book import PostingSet
from sakk.flow.rate import clear, put_peg, stop
from sakk.flow.transfer import TransferRequest
from sakk.flow.transfer import create as create_transfer
from sakk.ledger.projection import wait_projected
from sakk.store import conversion as conversions
from sakk.store import settlement as store
from sakk.store.database import fetch_all
from sakk.store.identity import new_id

# A statement is closed a moment after its cut-off.
DAY = timedelta(days=1, seconds=10)


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world()


def settled_by(
    world: World, *, held: bool = False, by: Initiator = Initiator(), **terms: Any
) -> None:
    with world.database.begin() as connection:
        flow.put_schedule(
            connection,
            replace(SettlementTerms(), **terms),
            identifier=new_id("ssch"),
            account_id=world.account,
            livemode=False,
            held=held,
            now=world.clock(),
            initiator=by,
        )


def paid_to(world: World) -> dict[str, str]:
    """An entry of the merchant's address book, and the network."""
    with world.database.begin() as connection:
        made = beneficiary.create(
            connection,
            identifier=new_id("ben"),
            account_id=world.account,
            livemode=False,
            now=world.clock(),
            details={
                "name": "Merchant's wallet",
                "address": OTHER,
                "networks": [world.chain.network],
            },
        )
    return {"beneficiary": made.id, "network": world.chain.network}


def settlements(world: World) -> list[Settlement]:
    with world.database.begin() as connection:
        table = store.settlements
        return fetch_all(connection, table.select().order_by(table.c.number), Settlement)


def pass_days(world: World, days: int = 1) -> None:
    """So many days go by, and every stage runs, with the statement written."""
    wait_projected(world.database.url)
    world.advance(days * DAY)
    world.run()


def test_a_settlement_is_paid_in_another_coin(world: World, tmp_path: Path) -> None:
    """Converted when it is paid, once, at the account's spread; the statement has the rate."""
    put(world.parts, "desk", SourceKind.csv, str(tmp_path / "desk.csv"), "usdt-usd")
    say(world, tmp_path, "usdt,usd,0.999,1.001")
    fund_treasury(world, token="usdt")
    credit(world, 100)
    terms(world, spread_ppm=5_000, usd_cents_max=1)
    settled_by(world, interval=Interval.manual, destination=paid_to(world), currency="usdt")
    made = close_now(world)
    with world.database.begin() as connection:
        put_peg(connection, currency="usdt", peg="usd", now=world.clock())
        stop(connection, "usdt", now=world.clock())
    world.run()
    # It waits while the coin is stopped.
    assert settlements(world)[0].status == "pending"
    with world.database.begin() as connection:
        clear(connection, "usdt", now=world.clock())
    world.advance(timedelta(minutes=10))
    say(world, tmp_path, "usdt,usd,0.999,1.001")
    world.run()
    world.finalize()
    world.run()
    [paid] = settlements(world)
    assert (paid.status, paid.amount) == ("paid", 100 * WHOLE_TOKEN)
    assert paid.exchange is not None
    assert (paid.exchange["currency"], paid.exchange["amount"]) == ("usdt", 99_400_599)
    assert units_at(world, OTHER, token="usdt") == 99_400_599
    assert (world.balance(), world.balance("usdt")) == (0, 0)
    with world.database.begin() as connection:
        written = statement.csv_of(connection, paid).decode()
    last = f"converted at {paid.exchange['price']},99.400599,,usdt,{paid.exchange['conversion']}"
    assert last in written
    assert made.id == paid.id
    world.check()


def test_what_can_not_be_paid_is_not_converted(world: World) -> None:
    credit(world, 100)
    place = {**paid_to(world), "network": "eip155:1"}
    settled_by(world, interval=Interval.manual, destination=place, currency="usdt")
    close_now(world)
    world.run()
    [row] = settlements(world)
    assert (row.status, row.failure_code) == ("failed", "parameter_invalid")
    assert row.exchange is None
    assert (world.balance(), world.balance("usdt")) == (100 * WHOLE_TOKEN, 0)
    world.check()


def test_what_was_converted_and_is_not_paid_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its destination was good when it was looked at, and is not a moment later."""
    credit(world, 100)
    place = {**paid_to(world), "network": "eip155:1"}
    settled_by(world, interval=Interval.manual, destination=place, currency="usdt")
    monkeypatch.setattr(payout_flow, "check", lambda *_, **__: None)
    close_now(world)
    world.run()
    [row] = settlements(world)
    assert (row.status, row.failure_code) == ("failed", "parameter_invalid")
    assert row.exchange is not None
    assert (row.exchange["currency"], row.exchange["amount"]) == ("usdt", world.balance("usdt"))
    assert (world.balance(), row.exchange["amount"] > 0) == (0, True)
    # A day's limit of the account is its own: nothing of it is used up.
    with world.database.begin() as connection:
        day = world.clock() - timedelta(days=1)
        assert (
            conversions.usd_cents_since(connection, world.account, livemode=False, since=day) == 0
        )
    world.check()


def close_now(world: World) -> Settlement:
    wait_projected(world.database.url)
    return flow.create(
        world.parts,
        identifier=new_id("set"),
        account_id=world.account,
        livemode=False,
        currency="usdc",
    )


def test_days_are_settled_to_a_wallet_with_fees_and_reserves(world: World) -> None:
    charged_by(world, *RULES)
    fund_treasury(world)
    credit(world, 100)
    settled_by(
        world,
        delay_days=1,
        reserve_ppm=100_000,
        reserve_days=5,
        reserve_fixed={"usdc": 3 * WHOLE_TOKEN},
        destination=paid_to(world),
    )
    pass_days(world)
    [first] = settlements(world)
    fee = WHOLE_TOKEN + WHOLE_TOKEN // 10
    assert (first.number, first.first_line, first.lines, first.fees) == (1, 1, 2, fee)
    assert (first.received, first.closing) == (100 * WHOLE_TOKEN, 100 * WHOLE_TOKEN - fee)
    # A tenth for five days and three as long as it stands; the payout of a settlement is free.
    assert (first.reserved, first.reserved_fixed) == (10 * WHOLE_TOKEN, 3 * WHOLE_TOKEN)
    assert first.payable == 87 * WHOLE_TOKEN - fee
    assert first.status == "pending"
    reserve = chart.merchant(world.account, "reserved", "test/usdc")
    assert world.ledger(reserve) == 13 * WHOLE_TOKEN
    pass_days(world)
    world.finalize()
    world.run()
    [first, *_] = settlements(world)
    assert (first.status, first.amount) == ("paid", 87 * WHOLE_TOKEN - fee)
    assert units_at(world, OTHER) == first.amount
    world.check()
    # The reserve comes back after its days, and is paid by the next settlement.
    pass_days(world, 5)
    assert world.ledger(reserve) == 3 * WHOLE_TOKEN
    pass_days(world)
    pass_days(world)
    world.finalize()
    world.run()
    made = settlements(world)
    assert sum(each.amount for each in made if each.status == "paid") == 97 * WHOLE_TOKEN - fee
    assert units_at(world, OTHER) == 97 * WHOLE_TOKEN - fee
    assert [each.number for each in made] == list(range(1, len(made) + 1))
    told = [name for name in world.event_types() if name.startswith("settlement.")]
    assert told.count("settlement.created") == len(made)
    assert told.count("settlement.paid") == 2
    world.check()


def test_who_writes_where_it_is_paid_to_does_not_approve_it(world: World) -> None:
    desk = Desk(world.database, world.account, now=world.clock())
    eve, fay = desk.member("eve", "approver"), desk.member("fay", "approver")
    desk.enact(Rule(name="out", action=Action.approve, approvals=1, role="approver"))
    fund_treasury(world)
    credit(world, 100)
    by_eve, by_fay = (Initiator(each.actor.key, each.actor.person) for each in (eve, fay))
    place = paid_to(world)
    settled_by(world, destination=place, by=by_eve)
    # Who holds it for a while has written none of it.
    settled_by(world, destination=place, by=by_fay)
    pass_days(world)
    [payout] = world.payouts()
    assert (payout.status, payout.destination) == ("screened", OTHER)
    with pytest.raises(SamePerson, match="terms of this settlement"):
        desk.approve(payout, eve)
    assert desk.approve(payout, fay).status == "approved"
    world.check()


def test_any_slicing_of_a_history_comes_to_the_same(world: World) -> None:
    credit(world, 1_000)
    chance = random.Random(7)
    twin = world.merchant("Twin")
    with pytest.raises(ResourceMissing):
        close_now(world)
    settled_by(world, interval=Interval.manual)
    for _ in range(12):
        for _ in range(chance.randrange(4)):
            amount = chance.randrange(1, 20 * WHOLE_TOKEN)
            create_transfer(
                world.parts,
                TransferRequest(amount=amount, currency="usdc", destination=twin),
                identifier=new_id("tr"),
                account_id=world.account,
                livemode=False,
            )
        try:
            close_now(world)
        except UnexpectedState:
            # The close before is not booked yet, or nothing moved since.
            world.run_only("settlement.book")
    world.run_only("settlement.book")
    made = settlements(world)
    assert len(made) > 3
    lines = world.statement()
    shown = []
    with world.database.begin() as connection:
        for each in made:
            shown += list(store.all_lines(connection, each))
    settled = [line for _, line in shown]
    assert [number for number, _ in shown] == list(range(1, len(shown) + 1))
    assert [line.id for line in settled] == [line.id for line in lines][: len(settled)]
    # Each leads from the one before to the balance that its last line says.
    balance = 0
    for each in made:
        assert each.opening == balance
        balance += each.credits - each.debits
        assert each.closing == balance
    assert balance == settled[-1].balance_after
    assert all(each.status == "kept" for each in made)
    with world.database.begin() as connection:
        text = statement.csv_of(connection, made[0]).decode()
        whole = statement.json_of(connection, made[0])
    assert len(text.splitlines()) == made[0].lines + 3
    assert sum(each["amount"] for each in whole["data"]) == made[0].credits - made[0].debits
    world.check()


def test_what_is_owed_is_taken_back_and_what_is_held_waits(world: World) -> None:
    fund_treasury(world)
    intent = world.intent(2_500)
    world.pay(intent)
    world.finalize()
    twin = world.merchant("Twin")
    create_transfer(
        world.parts,
        TransferRequest(amount=25 * WHOLE_TOKEN, currency="usdc", destination=twin),
        identifier=new_id("tr"),
        account_id=world.account,
        livemode=False,
    )
    world.chain.reorg(5)
    world.mine(1)
    world.run()
    assert world.receivable() == 25 * WHOLE_TOKEN
    credit(world, 100)
    place = paid_to(world)
    settled_by(world, held=True, destination=place)
    pass_days(world)
    [first] = settlements(world)
    assert (first.recovered, first.payable) == (25 * WHOLE_TOKEN, 75 * WHOLE_TOKEN)
    assert (first.status, world.receivable()) == ("held", 0)
    # The merchant spends meanwhile: what is left is paid, when it is let go.
    create_transfer(
        world.parts,
        TransferRequest(amount=15 * WHOLE_TOKEN, currency="usdc", destination=twin),
        identifier=new_id("tr"),
        account_id=world.account,
        livemode=False,
    )
    settled_by(world, destination=place)
    world.run()
    world.finalize()
    world.run()
    [first] = settlements(world)
    assert (first.status, first.amount) == ("paid", 60 * WHOLE_TOKEN)
    assert units_at(world, OTHER) == 60 * WHOLE_TOKEN
    world.check()


def test_what_can_not_be_paid_is_told_and_carried(world: World) -> None:
    credit(world, 100)
    place = paid_to(world)
    settled_by(world, destination={**place, "network": "eip155:1"})
    pass_days(world)
    [first] = settlements(world)
    assert (first.status, first.failure_code) == ("failed", "parameter_invalid")
    assert "settlement.failed" in world.event_types()
    fund_treasury(world)
    settled_by(
        world, interval=Interval.threshold, threshold={"usdc": 100 * WHOLE_TOKEN}, destination=place
    )
    pass_days(world)
    world.finalize()
    world.run()
    [_, second] = settlements(world)
    # Nothing moved since, and yet there is something to pay.
    assert (second.lines, second.amount, second.status) == (0, 100 * WHOLE_TOKEN, "paid")
    world.check()


def test_nobody_waits_for_another_whose_settlement_breaks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fund_treasury(world)
    credit(world, 50)
    settled_by(world, destination=paid_to(world), reserve_ppm=200_000, reserve_days=2)
    twin = world.merchant("Twin")
    credit(world, 50, account=twin)
    settled_by(replace(world, account=twin), destination=paid_to(replace(world, account=twin)))
    whole = payout_flow.create

    def breaks(*given: Any, **named: Any) -> Any:
        if named["account_id"] == world.account:
            raise KeyError("unforeseen")
        return whole(*given, **named)

    monkeypatch.setattr(payout_flow, "create", breaks)
    with capture_logs() as said:
        pass_days(world)
        world.finalize()
        world.run()
    assert "settlement.pay_failed" in {each["event"] for each in said}
    by_account = {each.account_id: each.status for each in settlements(world)}
    assert by_account == {world.account: "pending", twin: "paid"}
    monkeypatch.undo()
    world.advance(timedelta(minutes=10))
    world.run()
    world.finalize()
    world.run()
    [row] = [each for each in settlements(world) if each.account_id == world.account]
    assert (row.status, row.reserved) == ("paid", 10 * WHOLE_TOKEN)
    # Somebody took a part of the reserve: what is there comes back, the rest when it is there.
    reserve = chart.merchant(world.account, "reserved", "test/usdc")
    elsewhere = chart.fee_revenue("test/usdc")

    def move(debit: chart.LedgerAccount, credit: chart.LedgerAccount) -> None:
        posting = Posting(debit, credit, 4 * WHOLE_TOKEN, chart.TransferCode.reserve_released)
        [done] = world.books.post([PostingSet(row.id, debit.path, 0, [posting])])
        assert done.booked

    move(reserve, elsewhere)
    world.advance(timedelta(days=3))
    world.run_only("settlement.release")
    [row] = [each for each in settlements(world) if each.id == row.id]
    assert (row.returned, row.released) == (6 * WHOLE_TOKEN, False)
    move(elsewhere, reserve)
    assert world.run_only("settlement.release") == [0]
    world.advance(timedelta(hours=2))
    world.run_only("settlement.release")
    [row] = [each for each in settlements(world) if each.id == row.id]
    assert (row.returned, row.released) == (10 * WHOLE_TOKEN, True)
    assert world.ledger(reserve) == 0
    world.check()


def test_what_is_held_while_it_is_about_to_be_paid_is_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fund_treasury(world)
    credit(world, 50)
    place = paid_to(world)
    settled_by(world, destination=place)

    def holds(*given: Any, **named: Any) -> Any:
        """A worker has it already when somebody holds it, and has to try again."""
        settled_by(world, held=True, destination=place)
        raise Unavailable("not now")

    monkeypatch.setattr(payout_flow, "create", holds)
    pass_days(world)
    monkeypatch.undo()
    world.advance(timedelta(minutes=10))
    world.run()
    assert ([row.status for row in settlements(world)], world.payouts()) == (["held"], [])
    settled_by(world, destination=place)
    world.run()
    world.finalize()
    world.run()
    assert [row.status for row in settlements(world)] == ["paid"]
    assert units_at(world, OTHER) == 50 * WHOLE_TOKEN
    world.check()


def test_a_settlement_whose_payout_a_reorganisation_took_is_not_paid(world: World) -> None:
    fund_treasury(world)
    credit(world, 50)
    settled_by(world, destination=paid_to(world))
    pass_days(world)
    world.finalize()
    world.run()
    [row] = settlements(world)
    assert row.status == "paid"
    world.chain.reorg(CONFIRMATIONS + 1)
    world.chain.issuer.call_contract(world.contract("usdc"), "pause()")
    world.mine()
    world.run()
    let_pass(world, 6)
    world.finalize()
    [row, *_] = settlements(world)
    assert (row.status, row.failure_code, row.paid_at) == ("failed", "payout_failed", None)
    told = world.event_types(about=row.id)
    assert told[-2:] == ["settlement.paid", "settlement.failed"]
    world.check()
