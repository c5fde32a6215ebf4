"""Screening in the flow: the issuer's deny-list, what can not be judged, and what rules count."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import BENEFICIARY, credit, judge, let_pass, payout_now, rich, units_at
from tests.screening.conftest import enact

from sakk.core.errors import Unavailable, UnexpectedState
from sakk.core.label import Category
from sakk.core.rule import (
    Direct,
    Dust,
    FirstPayout,
    Issuer,
    Limit,
    PassThrough,
    Rule,
    Structuring,
    Velocity,
)
from sakk.core.screening import Direction, Screening, Verdict
from sakk.flow import issuer
from sakk.flow.screen import UNJUDGED, UNJUDGED_MAX
from sakk.rails.evm.deny_list import denied
from sakk.rails.evm.rpc import RpcUnavailable
from sakk.screening.engine import Engine
from sakk.store.payout import SCREENED_MAX
from sakk.store.screening import latest_screening

R = Verdict.review
USD_25 = 25_000_000


def found(world: World, subject: str) -> Screening:
    with world.database.begin() as connection:
        screening = latest_screening(connection, subject)
    assert screening is not None
    return screening


def rules(world: World, subject: str) -> list[str]:
    return [reason.rule for reason in found(world, subject).reasons]


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Is the node away that says whom the issuer denies? Empty it and it is back."""
    gone = [True]

    def ask(*given: Any) -> Any:
        if gone:
            raise RpcUnavailable("the node is away")
        return denied(*given)

    monkeypatch.setattr(issuer, "denied", ask)
    return gone


def test_a_payout_to_whom_the_issuer_denies_waits_for_a_person(world: World) -> None:
    rich(world, 100)
    world.chain.issuer.call_contract(world.contract("usdc"), "blacklist(address)", BENEFICIARY)
    world.mine()
    fine = "0x" + "71" * 20
    stopped, goes = (world.payout(WHOLE_TOKEN, address=each) for each in (BENEFICIARY, fine))
    world.run()
    world.finalize()
    assert payout_now(world, goes).status == "posted"
    assert (payout_now(world, stopped).status, payout_now(world, stopped).under_review) == (
        "requested",
        True,
    )
    screening = found(world, stopped.id)
    (reason,) = screening.reasons
    assert (reason.kind, reason.rule, reason.address) == (
        "issuer",
        "denied_by_issuer",
        BENEFICIARY,
    )
    assert screening.inputs is not None
    block = screening.inputs["issuer"]["block"]
    assert (reason.version, f"at block {block}" in (reason.detail or "")) == (block, True)
    inputs = dict(found(world, goes.id).inputs or {})
    assert inputs.pop("exposure")["total_amount"] == "0"  # it never sent anything
    assert inputs == {
        "transfer": {"currency": "usdc", "decimals": 6, "amount": "1000000"},
        "issuer": {"block": block, "denied": False},
        "asked": ["exposure", "issuer"],
    }
    for each in (screening, found(world, goes.id)):
        replayed = Engine(world.database).replay(each)
        assert replayed == (each.verdict, each.reasons)
    world.check()


def test_while_the_node_is_away_payouts_wait_and_then_go(world: World, away: list[bool]) -> None:
    rich(world, 100)
    row = world.payout(WHOLE_TOKEN, address=BENEFICIARY)
    for _ in range(3):
        let_pass(world, 6)
    assert (payout_now(world, row).status, payout_now(world, row).screening) == ("requested", None)
    assert units_at(world, BENEFICIARY) == 0
    away.clear()
    let_pass(world, 6)
    world.finalize()
    assert payout_now(world, row).status == "posted"
    world.check()


def test_a_payin_whose_issuer_can_not_be_asked_stands_in_quarantine_until_it_can(
    world: World, away: list[bool]
) -> None:
    enact(world.database, Issuer(name="issuer", verdict=R, direction=Direction.incoming))
    intent = world.intent(2500)
    world.pay(intent)
    world.mine(3)
    with pytest.raises(Unavailable):
        world.run()
    assert world.payin(intent).status == "confirmed"
    world.advance(UNJUDGED_MAX)
    with pytest.raises(Unavailable):
        world.run()
    with pytest.raises(Unavailable):
        # The coins are booked to quarantine; the verdict is still asked for.
        world.run_except("payin.screen")
    row = world.payin(intent)
    assert (row.status, row.reason, row.screening, row.quarantined) == (
        "held",
        UNJUDGED,
        None,
        True,
    )
    assert world.position() == {"custody": USD_25, "quarantine": USD_25}
    assert world.event_types(about=row.id)[-1] == "payin.under_review"
    told = world.events(about=row.id)[-1].object
    assert (told["status"], told["reason"]) == ("under_review", None)
    with pytest.raises(UnexpectedState, match="could not be judged yet"):
        world.release(row)
    away.clear()
    world.run()
    assert world.payin(intent).status == "released"
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    assert world.position() == {"custody": USD_25, "balance": USD_25}
    world.check()


def test_what_is_unjudged_and_found_wanting_stays_held(world: World) -> None:
    intent = world.intent(2500)
    world.pay(intent)
    world.mine(3)
    rename(world, "rules_in_force", "rules_away")
    world.watch()
    world.run_except(*SCREENING)
    world.advance(UNJUDGED_MAX)
    with pytest.raises(Unavailable, match="nothing is passed"):
        world.run_only("payin.screen")
    world.run_except(*SCREENING)
    assert world.payin(intent).reason == UNJUDGED
    rename(world, "rules_away", "rules_in_force")
    world.import_list(world.chain.payer.address)
    world.run()
    row = world.payin(intent)
    assert (row.status, row.reason) == ("held", "screening_block")
    assert rules(world, row.id) == ["direct_sanctions"]
    assert world.position() == {"custody": USD_25, "quarantine": USD_25}
    world.check()


SCREENING = (
    "payin.screen",
    "payin.rejudge",
    "payout.screen",
    "screening.rescreen",
    "recovery.screen",
)


def rename(world: World, table: str, other: str) -> None:
    with world.database.begin() as connection:
        connection.execute(text(f"ALTER TABLE {table} RENAME TO {other}"))


TENTH_BELOW = Structuring(
    name="just below ten",
    verdict=R,
    below=Limit(whole="10"),
    width_ppm=100_000,
    count_min=3,
    seconds=3_600,
    per="account",
)


@pytest.mark.parametrize(
    ("rule", "amounts", "expected"),
    [
        (FirstPayout(name="new", verdict=R), (1, 1), [["new"], ["new"]]),
        (TENTH_BELOW, (9, 9), [[], []]),
        (TENTH_BELOW, (9, 9, 9), [["just below ten"]] * 3),
        (
            Velocity(name="often", verdict=R, seconds=60, per="counterparty", count_min=2),
            (1, 1),
            [["often"], ["often"]],
        ),
        (
            Velocity(
                name="much",
                verdict=R,
                seconds=60,
                per="account",
                units_min=Limit(units={"usdc": "12000000"}),
            ),
            (6, 5),
            [[], []],
        ),
        # A hundred came in a moment ago, and 95 go out.
        (
            PassThrough(name="through", verdict=R, seconds=600, share_min_ppm=900_000),
            (95,),
            [["through"]],
        ),
        (PassThrough(name="through", verdict=R, seconds=600, share_min_ppm=900_000), (50,), [[]]),
    ],
)
def test_what_rules_count_of_payouts(
    world: World, rule: Rule, amounts: tuple[int, ...], expected: list[list[str]]
) -> None:
    credit(world, 100)
    enact(world.database, rule)
    made = [world.payout(whole * WHOLE_TOKEN, address=BENEFICIARY) for whole in amounts]
    world.run_only("payout.hold", "payout.screen")
    assert [rules(world, each.id) for each in made] == expected


def test_what_rules_count_of_payins(world: World) -> None:
    enact(
        world.database,
        Dust(name="dust", verdict=R, below=Limit(whole="1"), seconds=3_600, count_min=2),
        Direct(name="other", verdict=R, categories=(Category.mixer,)),
    )
    first, second, third = (world.intent(2500) for _ in range(3))
    for intent, units in ((first, 10), (second, USD_25)):
        world.pay(intent, units=units)
        world.finalize()
    assert [world.payin(each).status for each in (first, second)] == ["posted", "posted"]
    world.pay(third, units=10)
    world.finalize()
    row = world.payin(third)
    assert (row.status, rules(world, row.id)) == ("held", ["dust"])
    world.advance(timedelta(hours=2))
    fourth = world.intent(2500)
    world.pay(fourth, units=10)
    world.finalize()
    assert world.payin(fourth).status == "posted"
    world.check()


def test_a_payout_that_was_screened_long_ago_is_screened_again_before_it_goes(
    world: World,
) -> None:
    credit(world, 100)
    row = world.payout(WHOLE_TOKEN, address=BENEFICIARY)
    world.run()
    first = payout_now(world, row)
    assert first.status == "approved"  # the treasury has nothing yet
    world.advance(SCREENED_MAX + timedelta(seconds=1))
    world.pay(world.treasury, "usdc", 1_000 * WHOLE_TOKEN)
    world.mine(10)
    world.watch()
    world.run_only("payout.build")
    assert payout_now(world, row).transaction is None
    world.finalize()
    let_pass(world, 6)
    world.finalize()
    again = payout_now(world, row)
    assert (again.status, again.screening != first.screening) == ("posted", True)
    world.check()


def test_what_a_person_let_go_stays_let_go_until_something_new_is_found(world: World) -> None:
    world.import_list(BENEFICIARY, kind="labels", category="mixer", name="mixers")
    credit(world, 100)
    row = world.payout(WHOLE_TOKEN, address=BENEFICIARY)
    world.run()
    assert payout_now(world, row).under_review
    judge(world, row, approve=True)
    world.run()
    assert payout_now(world, row).status == "approved"
    world.advance(SCREENED_MAX + timedelta(seconds=1))
    let_pass(world, 6)
    again = payout_now(world, row)
    assert (again.status, again.under_review) == ("approved", False)
    assert again.screened_at is not None
    assert again.screened_at > world.clock() - SCREENED_MAX
    world.import_list(BENEFICIARY)
    let_pass(world, 6)
    assert payout_now(world, row).under_review


@pytest.mark.parametrize("how", ["listed", "old"])
def test_what_was_built_is_screened_again_before_it_is_signed(world: World, how: str) -> None:
    rich(world, 100)
    row = world.payout(WHOLE_TOKEN, address=BENEFICIARY)
    world.run_except("transaction.sign")
    built = payout_now(world, row)
    assert (built.status, built.transaction is None) == ("approved", False)
    if how == "listed":
        world.import_list(BENEFICIARY)
        world.run_only("screening.rescreen")
    else:
        world.advance(SCREENED_MAX + timedelta(seconds=1))
    world.run_only("transaction.sign")
    let_pass(world, 6)
    world.finalize()
    now = payout_now(world, row)
    if how == "listed":
        assert (now.status, now.under_review, now.transaction) == ("requested", True, None)
        assert units_at(world, BENEFICIARY) == 0
    else:
        assert (now.status, now.transaction != built.transaction) == ("posted", True)
        assert units_at(world, BENEFICIARY) == WHOLE_TOKEN
    world.check()
