"""Pay-ins by their time: late, seen late, to finished intents, to a customer. On a real node."""

from datetime import timedelta

import pytest
from tests.flow.harness import World

from sakk.core.errors import UnexpectedState
from sakk.core.network import BLOCK_DELAY_MAX

HOUR = timedelta(hours=1)
USD_25 = 25_000_000
ARRIVED = ["payin.seen", "payin.confirmed", "payin.posted"]


def expire(world: World) -> None:
    """Let the hour of every open intent pass, on the chain too."""
    world.advance(HOUR + timedelta(seconds=30))
    world.mine()
    world.run()


def test_unpaid_intent_expires(world: World) -> None:
    intent = world.intent(2500)
    world.run()
    assert world.facts(intent)[0] == "requires_action"
    expire(world)
    assert world.facts(intent) == ("expired", 0, None, None)
    assert world.event_types() == ["payment_intent.created", "payment_intent.expired"]
    world.check()


@pytest.mark.parametrize(
    ("policy", "facts", "position", "events", "reason"),
    [
        (
            "accept",
            ("succeeded", 2500, "exact", "late"),
            {"custody": USD_25, "balance": USD_25},
            [
                "payin.seen",
                "payment_intent.processing",
                "payin.confirmed",
                "payin.posted",
                "payment_intent.succeeded",
            ],
            "late",
        ),
        (
            "credit",
            ("expired", 0, None, None),
            {"custody": USD_25, "balance": USD_25},
            ARRIVED,
            "late",
        ),
        (
            "refund_due",
            ("expired", 0, None, None),
            {"custody": USD_25, "suspense": USD_25},
            ARRIVED,
            "late_refund_due",
        ),
        (
            "suspense",
            ("expired", 0, None, None),
            {"custody": USD_25, "suspense": USD_25},
            ARRIVED,
            "late",
        ),
    ],
)
def test_late_by_policy(
    world: World,
    policy: str,
    facts: tuple[str, int, str | None, str | None],
    position: dict[str, int],
    events: list[str],
    reason: str,
) -> None:
    world.set_policy(late=policy)
    intent = world.intent(2500)
    expire(world)
    world.pay(intent)
    world.finalize()
    assert world.facts(intent) == facts
    assert world.position() == position
    assert world.amounts() == ([USD_25] if "balance" in position else [])
    expected = ["payment_intent.created", "payment_intent.expired", *events]
    assert world.event_types() == expected
    row = world.payin(intent)
    assert (row.status, row.reason) == ("posted", reason)
    operator = world.event_types(about=row.id, operator=True)
    assert ("payin.suspense" in operator) == ("suspense" in position)
    world.check()


def test_late_before_the_expiry_was_noticed(world: World) -> None:
    """The watcher and the expiry are two stages: whichever comes first, the end is the same."""
    intent = world.intent(2500)
    world.advance(HOUR + timedelta(seconds=30))
    world.pay(intent)
    world.mine(3)
    world.run_except("payment.expire")
    world.run()
    assert world.facts(intent) == ("succeeded", 2500, "exact", "late")
    assert world.position() == {"custody": USD_25, "balance": USD_25}
    assert "payment_intent.expired" not in world.event_types()
    world.check()


def test_paid_in_time_and_seen_after_the_expiry(world: World) -> None:
    intent = world.intent(2500)
    world.pay(intent)
    world.mine()
    # The watcher is away for an hour and more; the expiry waits for it, but not for ever.
    world.advance(HOUR + timedelta(seconds=30))
    world.run_except(f"watch.{world.chain.network}")
    assert world.facts(intent)[0] == "requires_action"
    world.advance(timedelta(minutes=11))
    world.run_except(f"watch.{world.chain.network}")
    assert world.facts(intent)[0] == "expired"
    world.finalize()
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    assert world.position() == {"custody": USD_25, "balance": USD_25}
    assert world.event_types() == [
        "payment_intent.created",
        "payment_intent.expired",
        "payin.seen",
        "payment_intent.processing",
        "payin.confirmed",
        "payin.posted",
        "payment_intent.succeeded",
    ]
    world.check()


def test_expiry_waits_for_the_watcher(world: World) -> None:
    intent = world.intent(2500)
    world.pay(intent)
    world.mine()
    world.advance(HOUR + timedelta(seconds=30))
    world.run_only("payment.expire")
    world.finalize()
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    assert "payment_intent.expired" not in world.event_types()
    world.check()


def test_a_block_of_the_last_second_is_waited_for(world: World) -> None:
    """Blocks come after the time that stands in them: a head without one yet proves nothing."""
    paid, unpaid = world.intent(2500), world.intent(1000)
    last = int(paid.expires_at.timestamp())
    world.clock.advance(HOUR + timedelta(seconds=1))
    world.run()
    assert world.facts(paid)[0] == world.facts(unpaid)[0] == "requires_action"
    world.pay(paid)
    world.chain.rpc.call("evm_setNextBlockTimestamp", last)
    world.mine()
    world.run()
    assert (world.facts(paid)[0], world.facts(unpaid)[0]) == ("processing", "requires_action")
    # The network falls silent: no block of that second will come any more.
    world.clock.advance(BLOCK_DELAY_MAX)
    world.run()
    assert world.facts(unpaid)[0] == "expired"
    world.finalize()
    assert world.facts(paid) == ("succeeded", 2500, "exact", "on_time")
    world.check()


def test_part_in_time_and_part_late(world: World) -> None:
    intent = world.intent(2500)
    world.pay(intent, units=10_000_000)
    world.finalize()
    expire(world)
    assert world.facts(intent) == ("expired", 1000, "under", "on_time")
    world.pay(intent, units=15_000_000)
    world.finalize()
    assert world.facts(intent) == ("succeeded", 2500, "exact", "late")
    assert world.position() == {"custody": USD_25, "balance": USD_25}
    world.check()


@pytest.mark.parametrize("end", ["succeeded", "canceled"])
@pytest.mark.parametrize(
    ("policy", "credited", "reason"),
    [
        ("credit", True, "finished"),
        ("refund_due", False, "finished_refund_due"),
        ("suspense", False, "finished"),
    ],
)
def test_to_the_address_of_a_finished_intent(
    world: World, end: str, policy: str, credited: bool, reason: str
) -> None:
    world.set_policy(finished=policy)
    intent = world.intent(2500)
    before = 0
    if end == "succeeded":
        world.pay(intent)
        world.finalize()
        before = USD_25
    else:
        world.cancel(intent)
    facts, told = world.facts(intent), world.event_types()
    world.pay(intent, units=7_000_000)
    world.finalize()
    assert world.facts(intent) == facts
    expected = {"custody": before + 7_000_000, "balance": before + 7_000_000 * credited}
    expected["suspense"] = 7_000_000 * (not credited)
    assert world.position() == {name: units for name, units in expected.items() if units}
    assert world.event_types() == [*told, *ARRIVED]
    row = world.payins(intent)[-1]
    assert (row.status, row.role, row.counts, row.reason) == ("posted", "finished", False, reason)
    world.check()


def test_intent_that_is_being_paid_can_not_be_canceled(world: World) -> None:
    intent = world.intent(2500)
    world.pay(intent)
    world.mine()
    world.run()
    with pytest.raises(UnexpectedState, match="processing"):
        world.cancel(intent)
    world.finalize()
    assert world.facts(intent)[0] == "succeeded"
    world.check()


def test_canceled_while_the_payment_waits_for_a_block(world: World) -> None:
    intent = world.intent(2500)
    world.pay(intent)
    world.cancel(intent)
    world.finalize()
    assert world.facts(intent) == ("canceled", 0, None, None)
    assert world.position() == {"custody": USD_25, "balance": USD_25}
    assert world.event_types() == [
        "payment_intent.created",
        "payment_intent.canceled",
        *ARRIVED,
    ]
    world.check()


def test_permanent_address_of_a_customer_paid_twice(world: World) -> None:
    customer = world.customer()
    address = world.customer_address(customer)
    for units in (3_000_000, 4_000_000):
        world.pay(address, units=units)
        world.finalize()
    assert world.position() == {"custody": 7_000_000, "balance": 7_000_000}
    assert world.amounts() == [3_000_000, 4_000_000]
    rows = world.payins()
    assert [(row.status, row.role, row.customer) for row in rows] == [
        ("posted", "customer", customer["id"])
    ] * 2
    assert world.event_types() == ["customer.created", *ARRIVED, *ARRIVED]
    world.check()
