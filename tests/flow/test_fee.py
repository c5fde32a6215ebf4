"""What accounts are charged by schedules: on pay-ins, payouts and refunds, and what goes back."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy import event as hooks
from tests.flow.conftest import MakeWorld
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import fund_treasury, payout_now, units_at
from tests.flow.refunding import OTHER, PAYER, paid, refund, refund_now
from tests.flow.test_quote import paid as pay
from tests.flow.test_quote import price, quoted, revenue

from sakk.core.fee import Fee, FeeKind, FeeRule, OnRefund, Tier, month_of
from sakk.core.payin import PayIn
from sakk.flow import account as accounts
from sakk.flow import fee as flow
from sakk.flow import fee_return
from sakk.store import fee as store
from sakk.store.database import fetch_all
from sakk.store.fee import fees
from sakk.store.identity import new_id
from sakk.store.payin import payins

CENT = WHOLE_TOKEN // 100
MILLIONTH = FeeRule(kind=FeeKind.payin, currency="usdc", percent_ppm=1, on_refund=OnRefund.returned)
# 1 % and 10 cents of a pay-in, given back with refunds; 50 cents a payout, 20 a refund.
RULES = [
    FeeRule(
        kind=FeeKind.payin,
        currency="usdc",
        percent_ppm=10_000,
        fixed=10 * CENT,
        on_refund=OnRefund.returned,
    ),
    FeeRule(kind=FeeKind.payout, currency="usdc", fixed=50 * CENT),
    FeeRule(kind=FeeKind.refund, currency="usdc", fixed=20 * CENT),
]


def charged_by(world: World, *rules: FeeRule) -> str:
    """The merchant is charged by these rules from now on."""
    identifier = new_id("fsch")
    with world.database.begin() as connection:
        flow.create_schedule(
            connection,
            identifier=identifier,
            name="Standard",
            written=rules,
            effective_at=None,
            metadata={},
            by=None,
            now=world.clock(),
        )
        accounts.update(
            connection,
            world.account,
            {"fee_schedule": identifier},
            livemode=False,
            by_operator=True,
            now=world.clock(),
        )
    return identifier


def booked(world: World) -> list[tuple[str, str, int]]:
    """Every fee that was booked: on what, why, how much."""
    with world.database.begin() as connection:
        rows = fetch_all(connection, fees.select().order_by(fees.c.id), Fee)
    return [(row.kind, row.reason, row.amount) for row in rows]


def volume(world: World, kind: FeeKind) -> int:
    """What counts towards the tiers of this month."""
    with world.database.begin() as connection:
        return store.read_volume(
            connection,
            account_id=world.account,
            livemode=False,
            kind=kind.value,
            currency="usdc",
            month=month_of(world.clock()),
        )


@contextmanager
def counted(world: World) -> Iterator[list[str]]:
    """The statements that run meanwhile."""
    seen: list[str] = []

    def note(*given: Any) -> None:
        seen.append(given[2])

    hooks.listen(world.database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        hooks.remove(world.database.engine, "before_cursor_execute", note)


def test_a_payment_a_payout_and_a_refund_are_charged(make_world: MakeWorld) -> None:
    world = make_world()
    schedule = charged_by(world, *RULES)
    intent = paid(world, 10_000)
    on_payin = 1 * WHOLE_TOKEN + 10 * CENT
    [credit, fee] = world.statement()
    assert (credit.amount, fee.amount) == (100 * WHOLE_TOKEN, -on_payin)
    assert credit.source == fee.source == world.payin(intent).id
    assert world.payin(intent).fee == on_payin == revenue(world)
    world.check()
    row = world.payout(20 * WHOLE_TOKEN, address=OTHER)
    assert row.service_fee == 50 * CENT
    left = 100 * WHOLE_TOKEN - on_payin - 20 * WHOLE_TOKEN - 50 * CENT
    assert world.balance() == left
    world.run()
    world.finalize()
    assert payout_now(world, row).status == "posted"
    assert units_at(world, OTHER) == 20 * WHOLE_TOKEN
    # A half goes back, and with it a half of what the payment was charged.
    half = refund(world, intent, 5_000, address=PAYER)
    assert (half.service_fee, half.fee_returned) == (20 * CENT, on_payin // 2)
    world.run()
    world.finalize()
    assert refund_now(world, half).status == "succeeded"
    assert units_at(world, PAYER) == 50 * WHOLE_TOKEN
    assert booked(world) == [
        ("payin", "charged", on_payin),
        ("payout", "charged", 50 * CENT),
        ("refund", "charged", 20 * CENT),
        ("payin", "returned", -on_payin // 2),
    ]
    assert revenue(world) == sum(amount for _, _, amount in booked(world))
    world.check()
    keeps_what_was_quoted(world, schedule)


def keeps_what_was_quoted(world: World, schedule: str) -> None:
    """Of just the amount that was asked about; any other is priced as it is now."""
    price(world, 3_000)
    world.run_only("quote.measure")
    assert quoted(world).service_fee is None
    made = quoted(world, amount=10 * WHOLE_TOKEN)
    assert (made.amount, made.service_fee) == (10 * WHOLE_TOKEN, 50 * CENT)
    with world.database.begin() as connection:
        flow.add_version(
            connection,
            schedule,
            [FeeRule(kind=FeeKind.payout, fixed=70 * CENT, currency="usdc"), MILLIONTH],
            effective_at=None,
            livemode=False,
            by=None,
            now=world.clock(),
        )
    row = pay(world, 10 * WHOLE_TOKEN, quote=made.id)
    assert (row.service_fee, row.fee_terms) == (50 * CENT, made.fee_terms)
    assert pay(world, 9 * WHOLE_TOKEN, quote=made.id).service_fee == 70 * CENT
    # What gives nothing of a fee back is written down too.
    intent = world.intent(2_500)
    world.pay(intent)
    world.finalize()
    refund(world, intent, 1, address=PAYER)
    world.run()
    world.finalize()
    assert ("payin", "charged", 25) in booked(world)
    assert booked(world)[-1] == ("payin", "returned", 0)
    world.check()


def test_a_reversal_gives_the_fee_back_and_tiers_count_the_month(make_world: MakeWorld) -> None:
    world = make_world()
    tiered = FeeRule(
        kind=FeeKind.payin,
        currency="usdc",
        percent_ppm=20_000,
        tiers=(Tier(30 * WHOLE_TOKEN, 10_000),),
    )
    schedule = charged_by(world, tiered)
    intents = [world.intent(2_500), world.intent(2_500)]
    for intent in intents:
        world.pay(intent)
        world.finalize()
    # 25 at 2 %; then 5 at 2 % and 20 at 1 %.
    assert [amount for _, _, amount in booked(world)] == [50 * CENT, 30 * CENT]
    world.chain.reorg(5)
    world.mine(1)
    world.run()
    assert world.payin(intents[1], status="reversed").fee == 30 * CENT
    assert booked(world)[2:] == [("payin", "reversed", -30 * CENT)]
    # The merchant has what it kept of the one that stands, and owes nothing.
    assert (world.balance(), world.receivable()) == (24 * WHOLE_TOKEN + 50 * CENT, 0)
    assert revenue(world) == 50 * CENT
    # And what was taken back is no volume that makes the next one cheaper.
    assert volume(world, FeeKind.payin) == 25 * WHOLE_TOKEN
    world.check()
    with world.database.begin() as connection:
        flow.add_version(
            connection,
            schedule,
            [FeeRule(fixed=CENT, currency="usdc")],
            effective_at=None,
            livemode=False,
            by=None,
            now=world.clock(),
        )
    world.pay(world.intent(2_500))
    world.finalize()
    assert booked(world)[-1] == ("payin", "charged", CENT)
    world.check()


def test_what_refunds_gave_back_of_a_fee_is_not_given_twice(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world()
    fund_treasury(world)
    charged_by(world, RULES[0])
    # What the merchant has besides.
    world.pay(world.intent(2_500))
    world.finalize()
    had, kept = world.balance(), revenue(world)
    intent = world.intent(5_000)
    # In two parts, of 30 and 40 cents; the chain takes the second after a half was refunded.
    for whole in (20, 30):
        world.pay(intent, units=whole * WHOLE_TOKEN)
        world.finalize()
    assert revenue(world) == kept + 70 * CENT
    refund(world, intent, 2_500, address=PAYER)
    world.run()
    world.finalize()
    world.run()
    assert revenue(world) == kept + 35 * CENT
    second = world.payins(intent)[1]
    sent = [each.tx_hash for each in world.payouts() if each.tx_hash]
    world.chain.reorg(world.chain.height() - second.block_number + 1, again=sent)
    world.mine(8)
    world.watch()
    with monkeypatch.context() as away:
        away.setattr(fee_return, "weigh_undone", overtaken)
        with pytest.raises(RuntimeError, match="a lease was lost"):
            world.run_only("payin.reverse")
    assert [row.fee_given_back for row in world.payins(intent)] == [None, None]
    world.run()
    # More than the part that stands is refunded: of fees just its 30 cents are back, all in all.
    assert [amount for _, reason, amount in booked(world) if reason == "reversed"] == [-35 * CENT]
    assert revenue(world) == kept
    # The refund was undone and made again: what it gave back of fees is owed and had.
    stands = world.balance() - world.receivable()
    assert stands == had + 20 * WHOLE_TOKEN - 25 * WHOLE_TOKEN
    world.check()


def test_a_refunded_payment_that_is_mined_again_costs_nothing(make_world: MakeWorld) -> None:
    world = make_world()
    fund_treasury(world)
    charged_by(world, RULES[0])
    world.pay(world.intent(10_000))
    world.finalize()
    had, kept = world.balance(), revenue(world)
    intent = world.intent(5_000)
    payment = world.pay(intent)
    world.finalize()
    refund(world, intent, 2_500, address=PAYER)
    world.run()
    world.finalize()
    assert revenue(world) == kept + 30 * CENT
    # The other half is on its way when the chain takes the payment back.
    other = refund(world, intent, 2_500, address=PAYER)
    assert other.fee_returned == 30 * CENT
    world.run()
    raw = world.chain.rpc.call("eth_getRawTransactionByHash", payment)
    block = world.payin(intent).block_number
    sent = [each.tx_hash for each in world.payouts() if each.tx_hash]
    world.chain.reorg(world.chain.height() - block + 1, again=sent)
    world.mine(8)
    world.watch()
    world.run_only("payin.reverse")
    assert world.payins(intent)[0].fee_given_back == 30 * CENT
    assert refund_now(world, other).fee_returned == 0
    world.run()
    assert refund_now(world, other).status == "succeeded"
    assert (revenue(world), world.balance() - world.receivable()) == (kept, had - 50 * WHOLE_TOKEN)
    world.check()
    # And mined again it is charged, and has all of that at once, for all of it was refunded.
    world.chain.rpc.call("eth_sendRawTransaction", raw)
    world.finalize()
    again = world.payins(intent)[-1]
    assert (again.status, again.fee, again.fee_returned) == ("posted", 60 * CENT, 60 * CENT)
    assert (revenue(world), world.balance() - world.receivable()) == (kept, had)
    assert revenue(world) == sum(amount for _, _, amount in booked(world))
    world.check()


def overtaken(connection: Connection, rows: Sequence[PayIn]) -> list[PayIn]:
    """What a worker weighs that was away for longer than its lease."""
    connection.execute(payins.update().values(lease_token="elsewhere"))
    return [replace(row, fee_given_back=1) for row in rows]


def test_an_account_without_a_schedule_costs_no_statement_more(make_world: MakeWorld) -> None:
    world = make_world()
    seen = []
    for _ in range(2):
        world.pay(world.intent(2_500))
        world.mine(6)
        world.watch()
        with counted(world) as statements:
            world.run_only("payin.match", "payin.finality", "payin.screen", "payin.post")
        seen.append(statements)
    assert not [each for each in seen[1] if "fee_v" in each or "fees" in each]
    charged_by(world, RULES[0])
    world.pay(world.intent(2_500))
    world.mine(6)
    world.watch()
    with counted(world) as statements:
        world.run_only("payin.match", "payin.finality", "payin.screen", "payin.post")
    assert booked(world)
    assert len(statements) > len(seen[1])
