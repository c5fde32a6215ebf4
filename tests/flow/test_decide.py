"""The stage that judges screened payouts: what goes, what waits, what two at once may not do."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from tests.flow.harness import World
from tests.flow.money import BENEFICIARY, judge, payout_now, rich
from tests.flow.policing import ACME, Desk
from tests.flow.wiring import WHOLE_TOKEN

from sakk.core.policy import Action, Amount, Period, Rule, seed_rules
from sakk.store.database import Database
from sakk.store.identity import new_id


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database, new_id("acct"))


def allow(name: str = "allow", **conditions: Any) -> Rule:
    return Rule(name=name, action=Action.allow, **conditions)


BLOCK = Rule(name="rest", action=Action.block)
DAY = Period(seconds=86_400, per="account", up_to="100", unit="whole")


def test_what_is_small_goes_and_what_is_large_waits(desk: Desk) -> None:
    version = desk.enact(*seed_rules())
    small, large = desk.payout(10_000), desk.payout(10_001)
    assert desk.decide() == 2
    assert desk.decide() == 0
    small, large = desk.read(small), desk.read(large)
    assert (small.status, small.rule, small.policy_version) == (
        "approved",
        "up to 10,000",
        version.id,
    )
    assert (large.status, large.rule) == ("screened", "everything else")
    assert (large.approvals_needed, large.approver_role) == (1, "operator")
    assert desk.told(small) == ["payout.approved"]
    assert desk.told(large) == ["payout.awaiting_approvals"]


def test_what_is_blocked_is_rejected_in_neutral_words(desk: Desk) -> None:
    desk.enact(Rule(name="nothing to Acme", action=Action.block, destinations=(ACME,)), allow())
    row, other = desk.payout(1), desk.payout(1, destination="0x" + "11" * 20)
    desk.decide()
    found = desk.read(row)
    assert (found.status, found.failure_code, found.rule) == (
        "rejected",
        "policy_blocked",
        "nothing to Acme",
    )
    assert found.failure_message is not None
    assert "Acme" not in found.failure_message
    assert desk.told(row) == ["payout.rejected"]
    assert desk.read(other).status == "approved"


@pytest.mark.parametrize(("livemode", "role"), [(False, "operator"), (True, "approver")])
def test_without_a_policy_everything_waits(desk: Desk, livemode: bool, role: str) -> None:
    row = desk.payout(1, livemode=livemode)
    assert desk.decide() == 1
    found = desk.read(row)
    assert (found.status, found.rule, found.policy_version) == ("screened", None, None)
    assert (found.approvals_needed, found.approver_role) == (1, role)
    # It is not judged again and again while nothing has changed.
    assert desk.decide() == 0


def test_each_mode_has_its_own(desk: Desk) -> None:
    desk.enact(allow())
    desk.enact(BLOCK, livemode=True)
    test, live = desk.payout(1), desk.payout(1, livemode=True)
    assert desk.decide() == 2
    assert (desk.read(test).status, desk.read(live).status) == ("approved", "rejected")


def test_what_waits_is_judged_again_by_the_next_version(desk: Desk) -> None:
    desk.enact(Rule(name="two", action=Action.approve, approvals=2, role="approver"))
    row = desk.payout(1)
    desk.decide()
    desk.enact(Rule(name="three", action=Action.approve, approvals=3, role="approver"))
    assert (desk.decide(), desk.decide()) == (1, 0)
    assert (desk.read(row).rule, desk.read(row).approvals_needed) == ("three", 3)
    desk.enact(allow())
    desk.decide()
    assert desk.read(row).status == "approved"
    assert desk.told(row) == ["payout.awaiting_approvals", "payout.approved"]


def test_a_days_limit_is_of_what_was_let_through_in_a_day(desk: Desk) -> None:
    desk.enact(allow(period=DAY), BLOCK)
    desk.payouts([60, 41, 40, 1])
    desk.decide()
    assert desk.statuses() == ["approved", "rejected", "approved", "rejected"]
    # Another account, and another currency, have a day of their own.
    other = desk.payout(100, account_id=new_id("acct"))
    euro = desk.payout(100, currency="eurc")
    desk.decide()
    assert (desk.read(other).status, desk.read(euro).status) == ("approved", "approved")
    desk.advance(86_400)
    desk.payout(100)
    desk.decide()
    assert desk.statuses()[-1] == "approved"


@pytest.mark.parametrize("undone", ["failed", "canceled", "rejected"])
def test_what_did_not_happen_does_not_count(desk: Desk, undone: str) -> None:
    desk.enact(allow(period=DAY), BLOCK)
    row = desk.payout(100)
    desk.decide()
    with desk.database.begin() as connection:
        connection.exec_driver_sql("UPDATE payouts SET status = %s WHERE id = %s", (undone, row.id))
    desk.payout(100)
    desk.decide()
    assert desk.statuses() == [undone, "approved"]


def test_what_waits_for_approvals_is_promised_already(desk: Desk) -> None:
    most = Period(seconds=86_400, per="all", above="100", unit="whole")
    desk.enact(
        Rule(name="a day's most", action=Action.block, period=most),
        Rule(name="look", action=Action.approve, approvals=1, role="approver"),
    )
    desk.payouts([60, 60])
    desk.decide()
    assert desk.statuses() == ["screened", "rejected"]


@pytest.mark.parametrize(
    ("per", "other"),
    [
        ("destination", {"destination": "0x" + "22" * 20}),
        ("initiator", {"initiator": "key_2"}),
        ("account", {"account_id": "acct_2"}),
    ],
)
def test_a_sum_is_of_one(desk: Desk, per: Any, other: dict[str, str]) -> None:
    period = Period(seconds=60, per=per, up_to="100", unit="whole")
    desk.enact(allow(period=period, networks=("eip155:84532",)), BLOCK)
    for changes in ({}, {}, other):
        desk.payout(80, **({"initiator": "key_1"} | changes))
        desk.decide()
    assert desk.statuses() == ["approved", "rejected", "approved"]


def test_two_keys_of_one_person_are_one_initiator(desk: Desk) -> None:
    desk.enact(allow(period=Period(seconds=60, per="initiator", up_to="100", unit="whole")), BLOCK)
    desk.payout(80, initiator="key_1", initiator_person="per_1")
    desk.decide()
    desk.payout(80, initiator="key_2", initiator_person="per_1")
    desk.decide()
    assert desk.statuses() == ["approved", "rejected"]


def test_twenty_workers_never_pass_a_limit_together(desk: Desk) -> None:
    desk.enact(allow(period=DAY), BLOCK)

    def work(_: int) -> None:
        desk.payout(30)
        desk.decide()

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(work, range(20)))
    desk.decide()
    statuses = desk.statuses()
    assert (statuses.count("approved"), statuses.count("rejected")) == (3, 17)


def test_a_batch_takes_as_many_statements_as_one_payout(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.enact(
        *(
            allow(str(number), amount=Amount(up_to="1"), currencies=("usdc",), period=DAY)
            for number in range(3)
        ),
        allow("day", period=Period(seconds=60, per="all", up_to="1000", unit="whole")),
    )
    sent: list[str] = []
    execute = psycopg.Cursor.execute

    def noted(cursor: psycopg.Cursor[Any], statement: Any, *rest: Any, **named: Any) -> Any:
        sent.append(statement)
        return execute(cursor, statement, *rest, **named)

    counts = []
    monkeypatch.setattr(psycopg.Cursor, "execute", noted)
    for amounts in ([1], [1] * 200):
        desk.payouts(amounts)
        sent.clear()
        assert desk.decide() == len(amounts)
        counts.append(len(sent))
    assert counts[0] == counts[1] > 0


def test_the_whole_way_of_one_that_compliance_let_go(world: World) -> None:
    """Compliance first, then the policy: its word alone sends nothing."""
    rich(world, 100)
    desk = Desk(world.database, world.account, now=world.clock())
    desk.enact(Rule(name="look", action=Action.approve, approvals=1, role="approver"))
    world.import_list(BENEFICIARY)
    row = world.payout(30 * WHOLE_TOKEN, address=BENEFICIARY)
    world.run()
    assert payout_now(world, row).under_review
    judge(world, row, approve=True)
    world.run()
    found = payout_now(world, row)
    assert (found.status, found.under_review, found.rule) == ("screened", False, "look")
    assert world.transactions() == []
