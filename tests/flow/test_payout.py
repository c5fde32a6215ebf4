"""Payouts on a real chain, from the request to the ledger."""

from tests.flow.harness import World
from tests.flow.money import (
    BENEFICIARY,
    hold_total,
    payout_now,
    rich,
    transaction_of,
    units_at,
    wei_at,
)
from tests.flow.wiring import WHOLE_TOKEN

from sakk.core import chart


def test_from_request_to_ledger(world: World) -> None:
    rich(world, 100, liquidity=1_000)
    wei_before = wei_at(world, world.treasury)

    row = world.payout(30 * WHOLE_TOKEN, address=BENEFICIARY)
    assert (row.status, row.hold) == ("requested", "held")
    assert (world.balance(), hold_total(world)) == (70 * WHOLE_TOKEN, 30 * WHOLE_TOKEN)
    world.reconcile()

    world.run()
    sent = payout_now(world, row)
    assert (sent.status, sent.tx_hash is not None) == ("broadcast", True)
    world.reconcile()
    world.finalize()

    done = payout_now(world, row)
    assert (done.status, done.hold) == ("posted", "posted")
    assert world.balance() == 70 * WHOLE_TOKEN
    assert hold_total(world) == 0
    assert world.ledger(chart.payout_in_flight("test/usdc")) == 0
    assert units_at(world, BENEFICIARY) == 30 * WHOLE_TOKEN
    assert units_at(world, world.treasury) == world.custody("usdc", "hot") == 970 * WHOLE_TOKEN
    gas = wei_before - wei_at(world, world.treasury)
    assert gas == transaction_of(world, row).gas_cost
    assert world.ledger(chart.fee_network("test/eth")) == -gas
    assert world.custody(world.native, "hot") == wei_at(world, world.treasury)
    assert world.event_types(about=row.id) == [
        "payout.created",
        "payout.approved",
        "payout.signed",
        "payout.broadcast",
        "payout.confirmed",
        "payout.posted",
    ]
    assert world.event_types(about=row.id, operator=True)[:3] == [
        "payout.created",
        "payout.screened",
        "payout.approved",
    ]
    world.check()
