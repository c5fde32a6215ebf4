"""What a change of rules would have done: from recorded facts, and from rows as they stood."""

from dataclasses import replace

import pytest
from sqlalchemy import func, select, text
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import BENEFICIARY, credit

from sakk.core.label import Category
from sakk.core.rule import (
    BUILT_IN,
    BUILT_IN_NAME,
    Direct,
    FirstPayout,
    Issuer,
    Limit,
    Rule,
    Unknown,
    Velocity,
)
from sakk.core.screening import Direction, Verdict
from sakk.flow.back_test import BackTest, back_test, public
from sakk.store import screening as screenings

R = Verdict.review
EXCHANGE = Direct(name="exchange", verdict=R, categories=(Category.exchange,))


@pytest.fixture
def past(world: World) -> World:
    """Pay-ins that were clear, and three payouts to an exchange, the last two of them small."""
    world.import_list(BENEFICIARY, kind="labels", category="exchange")
    credit(world, 100)
    for whole in (30, 1, 2):
        world.payout(whole * WHOLE_TOKEN, address=BENEFICIARY)
        world.run_only("payout.hold", "payout.screen")
    return world


def compare(world: World, *rules: Rule, last: int = 100) -> BackTest:
    with world.database.begin() as connection:
        return back_test(connection, rules, livemode=False, last=last)


def count(world: World) -> int:
    with world.database.begin() as connection:
        table = screenings.screenings
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def test_the_rules_in_force_change_nothing(past: World) -> None:
    before = count(past)
    found = compare(past, *BUILT_IN[BUILT_IN_NAME])
    assert (found.compared, found.changed, found.untested) == (before, 0, 0)
    assert not found.missing
    assert found.was == found.would_be == {"clear": before}
    assert count(past) == before


def test_what_another_rule_would_have_stopped(past: World) -> None:
    large = Direct(
        name="large to an exchange",
        verdict=R,
        categories=(Category.exchange,),
        amount=Limit(whole="10"),
    )
    found = compare(past, large, EXCHANGE)
    assert found.rules_would_be == {"exchange": 3, "large to an exchange": 1}
    assert (found.would_be["review"], found.changed) == (3, 3)
    shown = public(found, livemode=False)
    assert shown["rules"] == [
        {"rule": "exchange", "was": 0, "would_be": 3},
        {"rule": "large to an exchange", "was": 0, "would_be": 1},
    ]
    assert {each["was"] for each in shown["differences"]} == {"clear"}
    assert {"verdict": "review", "was": 0, "would_be": 3} in shown["verdicts"]


def test_what_was_not_recorded_is_counted_as_it_stood(past: World) -> None:
    often = Velocity(
        name="often",
        verdict=R,
        direction=Direction.outgoing,
        seconds=3_600,
        per="counterparty",
        count_min=2,
    )
    found = compare(past, often, FirstPayout(name="first", verdict=R))
    # The second and the third payout, not the first: nothing went out before it.
    assert found.rules_would_be == {"often": 2, "first": 3}
    assert not found.missing


def test_what_can_not_be_known_any_more_is_said_to_be_missing(past: World) -> None:
    found = compare(
        past,
        Unknown(name="unknown", verdict=R, share_min_ppm=1),
        Issuer(name="issuer", verdict=R),
    )
    incoming = found.compared - 3
    # The house's own rules asked for exposure of all, and for the issuer of payouts alone.
    assert found.missing == {"issuer": incoming}
    with past.database.begin() as connection:
        connection.execute(text("UPDATE screenings SET inputs = NULL WHERE direction = 'incoming'"))
    found = compare(past, EXCHANGE)
    assert (found.compared, found.untested) == (3, incoming)


def test_a_transfer_counts_once_and_only_the_last_ones(past: World) -> None:
    assert compare(past, EXCHANGE, last=2).compared == 2
    with past.database.begin() as connection:
        found = screenings.newest_screenings(connection, livemode=False, limit=1)
        again = replace(found[0], id="scr_" + "z" * 26)
        screenings.insert_screenings(connection, [again])
    assert compare(past, EXCHANGE).rules_would_be == {"exchange": 3}
