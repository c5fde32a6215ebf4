"""Batches of payouts: held line by line, never twice, called off together, scheduled for later."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from eth_utils.crypto import keccak
from sqlalchemy import update
from tests.flow.harness import World
from tests.flow.money import BENEFICIARY, credit, hold_total, judge, rich, units_at
from tests.flow.wiring import WHOLE_TOKEN

from sakk.core.beneficiary import Wanted
from sakk.core.errors import (
    InvalidRequest,
    ParameterInvalid,
    PayoutDuplicate,
    ResourceMissing,
    Unavailable,
)
from sakk.core.payout import PayoutRequest
from sakk.core.payout_batch import Line, OnInvalid, PayoutBatch, Total
from sakk.flow import payout as single
from sakk.flow import payout_batch as flow
from sakk.flow.payout_batch import BatchRequest
from sakk.store import payout_batch as store
from sakk.store.identity import new_id
from sakk.store.lease_length import lease_length
from sakk.store.payout import payouts


def address(number: int) -> str:
    """An address that nobody used before."""
    return "0x" + keccak(text=f"batch beneficiary {number}")[-20:].hex()


def to(world: World, address: str) -> Wanted:
    return Wanted(network=world.chain.network, address=address)


def asked(world: World, *units: int, **changes: Any) -> BatchRequest:
    """A line for each amount, to an address of its own."""
    lines = [
        Line(number, PayoutRequest(amount, "usdc", to(world, address(number))))
        for number, amount in enumerate(units, 1)
    ]
    return BatchRequest(**{"lines": lines, **changes})


def made(
    world: World, request: BatchRequest, identifier: str | None = None, account: str | None = None
) -> tuple[PayoutBatch, list[Total]]:
    return flow.create(
        world.parts,
        request,
        identifier=identifier or new_id("pob"),
        account_id=account or world.account,
        livemode=False,
    )


def called_off(world: World, batch: PayoutBatch) -> dict[str, int]:
    _, totals = flow.cancel(world.parts, batch.id, account_id=world.account, livemode=False)
    return counts(totals)


def counts(totals: list[Total]) -> dict[str, int]:
    return {each.status: each.count for each in totals}


def now(world: World, batch: PayoutBatch) -> dict[str, int]:
    return counts(flow.view(world.parts, batch.id, account_id=None, livemode=False)[1])


def test_every_line_goes_its_own_way_and_one_that_is_not_covered_stops_none(world: World) -> None:
    rich(world, 100)
    batch, totals = made(world, asked(world, *[40 * WHOLE_TOKEN, 70 * WHOLE_TOKEN] * 2))
    assert counts(totals) == {"requested": 2, "rejected": 2}
    assert {each.status: each.amount for each in totals} == {
        "requested": 80 * WHOLE_TOKEN,
        "rejected": 140 * WHOLE_TOKEN,
    }
    assert (world.balance(), hold_total(world)) == (20 * WHOLE_TOKEN, 80 * WHOLE_TOKEN)
    world.run()
    world.finalize()
    world.run()
    assert now(world, batch) == {"posted": 2, "rejected": 2}
    rows = sorted(world.payouts(), key=lambda row: row.line or 0)
    assert [row.failure_code for row in rows] == [None, "balance_insufficient"] * 2
    assert [row.id for row in rows] == sorted(row.id for row in rows)
    paid = [units_at(world, address(number)) for number in (1, 2, 3, 4)]
    assert paid == [40 * WHOLE_TOKEN, 0, 40 * WHOLE_TOKEN, 0]
    assert world.balance() == 20 * WHOLE_TOKEN
    told = Counter(world.event_types())
    assert (told["payout_batch.created"], told["payout.created"]) == (1, 4)
    assert (told["payout.rejected"], told["payout.posted"]) == (2, 2)
    world.check()


def test_a_line_that_is_left_out_is_never_paid(world: World) -> None:
    """Which lines those are is part of what was confirmed, also beside what came in between."""
    rich(world, 100)
    request = asked(world, *[10 * WHOLE_TOKEN] * 3, on_invalid=OnInvalid.skip)
    lines = list(request.lines)
    lines[1] = replace(lines[1], request=replace(lines[1].request, currency="eur"))
    lines[2] = replace(lines[2], request=replace(lines[2].request, reference="INV-1"))
    request = replace(request, lines=lines)
    identifier = new_id("pob")

    def shown() -> flow.Checked:
        return flow.preview(
            world.parts, request, identifier=identifier, account_id=world.account, livemode=False
        )

    confirmed = shown()
    assert [each.line for each in confirmed.payouts] == [1, 3]
    between = asked(world, WHOLE_TOKEN)
    first = replace(between.lines[0], request=replace(between.lines[0].request, reference="INV-1"))
    made(world, replace(between, lines=[first]))
    with pytest.raises(ParameterInvalid, match="not what was previewed"):
        made(world, replace(request, previewed=confirmed.digest), identifier)
    confirmed = shown()
    assert [each.line for each in confirmed.payouts] == [1]
    request = replace(request, previewed=confirmed.digest)
    batch, totals = made(world, request, identifier)
    assert (batch.lines, batch.skipped, counts(totals)) == (1, 2, {"requested": 1})
    # Put right meanwhile, but under the same identifier: what was left out stays so.
    lines[1] = replace(lines[1], request=replace(lines[1].request, currency="usdc"))
    again, totals = made(world, replace(request, lines=lines), identifier)
    assert (again, counts(totals)) == (batch, {"requested": 1})
    world.run()
    world.finalize()
    world.run()
    assert now(world, batch) == {"posted": 1}
    paid = [units_at(world, address(number)) for number in (1, 2, 3)]
    assert paid == [11 * WHOLE_TOKEN, 0, 0]
    with world.database.begin() as connection:
        left_out = store.list_skipped(connection, batch.id)
    assert [(each.line, each.faults[0]["param"]) for each in left_out] == [
        (2, "currency"),
        (3, "reference"),
    ]
    world.check()


def test_parallel_batches_never_overdraw(world: World) -> None:
    credit(world, 100)
    amounts = [7 * WHOLE_TOKEN] * 5

    def ask(_: int) -> dict[str, int]:
        return counts(made(world, asked(world, *amounts, allow_duplicates=True))[1])

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert sum(each.get("requested", 0) for each in found) == 14
    assert sum(each.get("rejected", 0) for each in found) == 26
    assert (world.balance(), hold_total(world)) == (2 * WHOLE_TOKEN, 98 * WHOLE_TOKEN)
    world.check()


def test_one_identifier_is_one_batch(world: World) -> None:
    credit(world, 100)
    identifier = new_id("pob")
    request = asked(world, WHOLE_TOKEN, 2 * WHOLE_TOKEN, 3 * WHOLE_TOKEN)

    def ask(_: int) -> str:
        return made(world, request, identifier)[0].id

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {identifier}
    assert ask(0) == identifier
    assert len(world.payouts()) == 3
    assert (world.balance(), hold_total(world)) == (94 * WHOLE_TOKEN, 6 * WHOLE_TOKEN)
    assert Counter(world.event_types())["payout.created"] == 3
    world.check()


@pytest.mark.parametrize("again", [True, False])
def test_what_a_crash_left_between_rows_and_holds_is_finished(
    world: World, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    """By the request when it is repeated, or by the stage; the first hold may stand already."""
    credit(world, 100)
    identifier = new_id("pob")
    request = asked(world, *[WHOLE_TOKEN] * 3)
    monkeypatch.setattr(flow, "HOLDS_MAX", 1)
    posts = iter([None, Unavailable("The ledger is away.")])
    real = world.books.post

    def post(sets: Any) -> Any:
        trouble = next(posts, None)
        if trouble is not None:
            raise trouble
        return real(sets)

    monkeypatch.setattr(type(world.books), "post", lambda _, sets: post(sets))
    with pytest.raises(Unavailable):
        made(world, request, identifier)
    # The ledger knows more than the rows say.
    assert ([row.hold for row in world.payouts()], hold_total(world)) == (["none"] * 3, WHOLE_TOKEN)
    if again:
        assert counts(made(world, request, identifier)[1]) == {"requested": 3}
    else:
        # As long as its lease lasts the request may still be at it.
        world.advance(timedelta(seconds=6))
        assert world.run_only("payout.hold") == [0]
        world.advance(lease_length())
        assert world.run_only("payout.hold") == [3]
    assert [row.hold for row in world.payouts()] == ["held"] * 3
    assert (world.balance(), hold_total(world)) == (97 * WHOLE_TOKEN, 3 * WHOLE_TOKEN)
    world.check()


def test_a_wrong_line_refuses_the_batch_and_all_faults_are_shown(world: World) -> None:
    credit(world, 100)
    request = asked(world, WHOLE_TOKEN, WHOLE_TOKEN, WHOLE_TOKEN)
    first, second, third = request.lines
    lines = [
        first,
        Line(2, replace(second.request, destination=to(world, "0x12"))),
        Line(3, replace(third.request, destination=first.request.destination)),
    ]
    wrong = replace(request, lines=lines)
    with pytest.raises(InvalidRequest, match=r"Line 2: .*2 faults in all") as caught:
        made(world, wrong)
    assert caught.value.param == "lines[1][destination][address]"
    assert world.payouts() == []
    found = flow.preview(
        world.parts, wrong, identifier=new_id("pob"), account_id=world.account, livemode=False
    )
    assert [(each.line, each.kind.code) for each in found.faults] == [
        (2, "parameter_invalid"),
        (3, "payout_duplicate"),
    ]
    assert "line 1" in found.faults[1].message
    assert hold_total(world) == 0


def test_the_same_line_twice_is_allowed_where_it_is_said(world: World) -> None:
    credit(world, 100)
    request = asked(world, WHOLE_TOKEN)
    [line] = request.lines
    twice = replace(request, lines=[line, replace(line, number=2)])
    with pytest.raises(PayoutDuplicate, match="It repeats line 1"):
        made(world, twice)
    allowed = replace(request, lines=[line, replace(line, number=2, allow_duplicate=True)])
    assert counts(made(world, allowed)[1]) == {"requested": 2}
    # That line was allowed to double another line, not the whole batch to be sent again.
    with pytest.raises(PayoutDuplicate, match="asked for exactly this"):
        made(world, allowed)
    assert counts(made(world, replace(twice, allow_duplicates=True))[1]) == {"requested": 2}
    assert hold_total(world) == 4 * WHOLE_TOKEN


def test_a_reference_is_paid_once_over_all_batches(world: World) -> None:
    credit(world, 100)
    request = asked(world, WHOLE_TOKEN)
    [line] = request.lines

    def with_amount(amount: int) -> BatchRequest:
        asked_for = replace(line.request, reference="INV-7", amount=amount)
        return replace(request, lines=[replace(line, request=asked_for)])

    def ask(number: int) -> bool:
        try:
            made(world, with_amount(WHOLE_TOKEN + number))
        except PayoutDuplicate:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(ask, range(6))).count(True) == 1
    # Another account's reference is its own, and what came to nothing may be asked for again.
    other = world.merchant()
    credit(world, 10, account=other)
    made(world, with_amount(WHOLE_TOKEN), account=other)
    [mine] = [row for row in world.payouts() if row.account_id == world.account]
    single.cancel(world.parts, mine.id, account_id=world.account, livemode=False)
    assert ask(9)


def test_a_batch_is_called_off_as_far_as_it_can_be(world: World) -> None:
    rich(world, 100)
    batch, _ = made(world, asked(world, *[10 * WHOLE_TOKEN] * 4))
    world.run_only("payout.screen", "payout.decide")
    first, second, *_ = world.payouts()
    with world.database.begin() as connection:
        # One is on its way, one is just being made into a transaction.
        connection.execute(
            update(payouts).where(payouts.c.id == first.id).values(transaction="tx_1")
        )
        connection.execute(
            update(payouts)
            .where(payouts.c.id == second.id)
            .values(lease_token="l", lease_until=world.clock() + timedelta(minutes=1))
        )
        # And one has no hold as far as its row says.
        connection.execute(
            update(payouts).where(payouts.c.line == 4).values(hold="none", status="requested")
        )
    assert called_off(world, batch) == {"approved": 2, "canceled": 2}
    # Half of it goes on, and would be paid twice.
    with pytest.raises(PayoutDuplicate, match=batch.id):
        made(world, asked(world, *[10 * WHOLE_TOKEN] * 4))
    with world.database.begin() as connection:
        connection.execute(update(payouts).where(payouts.c.id == first.id).values(transaction=None))
    world.run_only("payout.release")
    assert hold_total(world) == 20 * WHOLE_TOKEN
    world.advance(timedelta(minutes=2))
    assert called_off(world, batch) == {"canceled": 4}
    world.run()
    assert (world.balance(), hold_total(world)) == (100 * WHOLE_TOKEN, 0)
    assert {row.hold for row in world.payouts()} == {"voided"}
    told = Counter(world.event_types())
    assert (told["payout.canceled"], told["payout_batch.canceled"]) == (4, 2)
    world.check()


def test_who_is_just_being_screened_is_called_off(world: World) -> None:
    """A stage asks nodes about it: called off at once, given back at once, and not screened."""
    rich(world, 100)
    batch, _ = made(world, asked(world, *[10 * WHOLE_TOKEN] * 2))
    until = world.clock() + timedelta(minutes=1)
    with world.database.begin() as connection:
        connection.execute(update(payouts).values(lease_token="l", lease_until=until))
    first = world.payouts()[0]
    single.cancel(world.parts, first.id, account_id=world.account, livemode=False)
    assert called_off(world, batch) == {"canceled": 2}
    world.run()
    assert (world.balance(), hold_total(world)) == (100 * WHOLE_TOKEN, 0)
    assert {(row.status, row.hold, row.screening) for row in world.payouts()} == {
        ("canceled", "voided", None)
    }
    world.check()


def test_nobody_sees_or_cancels_anothers(world: World) -> None:
    credit(world, 100)
    batch, _ = made(world, asked(world, WHOLE_TOKEN))
    other = world.merchant()
    for act in (flow.cancel, flow.view):
        with pytest.raises(ResourceMissing):
            act(world.parts, batch.id, account_id=other, livemode=False)


def test_what_is_scheduled_is_held_at_once_and_sent_at_its_time(world: World) -> None:
    rich(world, 100)
    at = world.clock() + timedelta(days=3)
    [line] = asked(world, 10 * WHOLE_TOKEN).lines
    later = Line(1, replace(line.request, scheduled_at=at))
    batch, _ = made(
        world, BatchRequest(lines=[later, replace(line, number=2, allow_duplicate=True)])
    )
    assert hold_total(world) == 20 * WHOLE_TOKEN
    world.run()
    world.finalize()
    assert now(world, batch) == {"approved": 1, "posted": 1}
    world.advance(timedelta(days=3))
    world.run()
    world.finalize()
    assert now(world, batch) == {"posted": 2}
    assert units_at(world, address(1)) == 20 * WHOLE_TOKEN
    [row] = [each for each in world.payouts() if each.line == 1]
    assert world.event_types(about=row.id).count("payout.approved") == 1
    assert world.event_types(about=row.id, operator=True).count("payout.screened") == 1
    world.check()


def test_what_is_scheduled_is_screened_again_at_its_time(world: World) -> None:
    rich(world, 100)
    at = world.clock() + timedelta(days=3)
    request = PayoutRequest(WHOLE_TOKEN, "usdc", to(world, BENEFICIARY), scheduled_at=at)
    batch, _ = made(world, BatchRequest(lines=[Line(1, request)]))
    world.run()
    assert now(world, batch) == {"approved": 1}
    world.import_list(BENEFICIARY)
    world.advance(timedelta(days=3))
    world.run()
    [row] = world.payouts()
    assert (row.status, row.under_review, row.transaction) == ("requested", True, None)
    judge(world, row, approve=True)
    world.run()
    world.finalize()
    assert now(world, batch) == {"posted": 1}
    world.check()


def test_what_is_scheduled_is_called_off_like_any_other(world: World) -> None:
    rich(world, 100)
    at = world.clock() + timedelta(days=3)
    [line] = asked(world, WHOLE_TOKEN).lines
    request = BatchRequest(lines=[Line(1, replace(line.request, scheduled_at=at))])
    batch, _ = made(world, request)
    world.run()
    assert called_off(world, batch) == {"canceled": 1}
    world.run()
    assert (world.balance(), hold_total(world)) == (100 * WHOLE_TOKEN, 0)
    # A batch that was called off does not stand in the way of the same one.
    assert counts(made(world, request)[1]) == {"requested": 1}
    world.check()
