"""Money from other institutions: told of before, told of by its merchant, or for a person."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from tests.flow.harness import World
from tests.flow.policing import VAULT, Desk
from tests.flow.test_travel_exchange import sealing
from tests.flow.test_travel_rule import LEI, enact, known, told_types

from sakk.core.case import CaseKind, Opening, Priority
from sakk.core.claim import token_hash
from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.payin import PayIn
from sakk.core.person import Actor
from sakk.core.regime import Requirement
from sakk.core.travel_rule import TravelRule
from sakk.flow import travel_rule
from sakk.flow.case import open_cases
from sakk.flow.case_alone import release_payin
from sakk.store import travel_rule as store
from sakk.store.case import cases
from sakk.store.database import fetch_one
from sakk.store.identity import new_id
from sakk.store.payin import payins

__all__ = ["sealing"]


def begin(world: World, incoming: str, **vasp: Any) -> Desk:
    """A house whose payer is an institution of the directory."""
    desk = Desk(world.database, world.account, now=world.clock())
    enact(desk, "ch", incoming=incoming)
    known(desk, addresses=[world.chain.payer.address], **vasp)
    return desk


def received(world: World) -> PayIn:
    world.pay(world.intent(2_500))
    world.finalize()
    with world.database.begin() as connection:
        row = fetch_one(connection, select(payins).order_by(payins.c.id.desc()).limit(1), PayIn)
    assert row is not None
    return row


def now(world: World, row: PayIn) -> PayIn:
    with world.database.begin() as connection:
        found = fetch_one(connection, select(payins).where(payins.c.id == row.id), PayIn)
    assert found is not None
    return found


def record(world: World, row: PayIn) -> TravelRule:
    with world.database.begin() as connection:
        return travel_rule.find(connection, row.id, account_id=world.account, livemode=False)


def subjects(world: World) -> list[str]:
    with world.database.begin() as connection:
        return list(connection.execute(select(cases.c.subject)).scalars())


def tell(world: World, row: PayIn, told: dict[str, Any]) -> TravelRule:
    with world.database.begin() as connection:
        return travel_rule.supply(
            connection,
            VAULT,
            row.id,
            told,
            account_id=world.account,
            livemode=False,
            now=world.clock(),
        )


def test_a_regime_may_let_it_go(sealing: World) -> None:
    begin(sealing, "accept")
    assert received(sealing).status == "posted"


def test_what_nobody_told_of_is_a_case(sealing: World) -> None:
    begin(sealing, "hold")
    row = received(sealing)
    assert (row.status, row.reason) == ("held", "screening_travel_rule")
    assert subjects(sealing) == [row.id]
    found = record(sealing, row)
    assert (found.status, found.direction) == ("required", "incoming")
    assert found.missing[0]["field"] == "originator.name"
    # A person has it: what its merchant says is kept, and lets nothing go.
    tell(sealing, row, {"originator": {"type": "legal", "name": "Payer Ltd", "lei": LEI}})
    sealing.run()
    assert now(sealing, row).status == "held"
    # Nothing of it reaches the merchant but that it is looked at.
    assert told_types(Desk(sealing.database, sealing.account), found.id) == [
        "travel_rule.completed"
    ]
    sealing.check()


def test_a_blocked_institution_is_held_whatever_the_regime_lets_go(sealing: World) -> None:
    begin(sealing, "accept", status="blocked")
    row = received(sealing)
    assert row.status == "held"
    assert subjects(sealing) == [row.id]


def test_its_merchant_says_who_sent_it(sealing: World) -> None:
    desk = begin(sealing, "request")
    row = received(sealing)
    assert row.status == "held"
    assert subjects(sealing) == []
    # Until then it has no case, and one person's word does not do instead.
    with pytest.raises(UnexpectedState, match="Screening holds this"):
        release_payin(sealing.parts, row.id, actor=Actor("key_1", "person_1"), livemode=False)
    found = record(sealing, row)
    assert told_types(desk, found.id) == ["travel_rule.required"]
    with pytest.raises(ParameterInvalid, match="type, natural or legal"):
        tell(sealing, row, {"originator": {"name": "Payer"}})
    assert tell(sealing, row, {"originator": {"type": "legal", "name": "P"}}).status == "required"
    done = tell(sealing, row, {"originator": {"type": "legal", "name": "P Ltd", "lei": LEI}})
    assert done.status == "complete"
    sealing.run()
    assert now(sealing, row).status == "released"
    assert record(sealing, row).ended_at is not None
    sealing.check()


def test_what_screening_found_meanwhile_is_not_let_go_by_what_its_merchant_says(
    sealing: World,
) -> None:
    begin(sealing, "request")
    row = received(sealing)
    found = Opening(row.id, CaseKind.payin, row.account_id, False, None, "listed", Priority.high)
    with sealing.database.begin() as connection:
        open_cases(connection, [found], now=sealing.clock())
    done = tell(sealing, row, {"originator": {"type": "legal", "name": "P Ltd", "lei": LEI}})
    assert done.status == "complete"
    sealing.run()
    assert now(sealing, row).status == "held"
    sealing.check()


def test_what_is_not_said_in_time_is_a_case(sealing: World) -> None:
    begin(sealing, "request")
    row = received(sealing)
    sealing.advance(timedelta(seconds=86_500))
    sealing.run()
    assert subjects(sealing) == [row.id]
    assert now(sealing, row).status == "held"


def announce(world: World, address: str, **changes: Any) -> TravelRule:
    """What another institution announced, and was agreed to: 25 USDC to an address."""
    announcement = TravelRule(
        id=new_id("trv"),
        account_id=world.account,
        livemode=False,
        direction="incoming",
        subject=None,
        status="complete",
        regime="ch",
        network=world.chain.network,
        address=address,
        currency="usdc",
        amount=25_000_000,
        counterparty="vasp",
        vasp=None,
        requirement=Requirement(True).document(),
        missing=[],
        ownership=None,
        exchange="approved",
        request_identifier="1",
        token_hash=token_hash("1"),
        peer_callback="https://bob.test",
        tx_hash=None,
        payload=None,
        deadline_at=None,
        completed_at=world.clock(),
        ended_at=None,
        decided_by=None,
        reason=None,
        legal_hold=False,
        created=world.clock(),
    )
    announcement = replace(announcement, **changes)
    with world.database.begin() as connection:
        store.insert_many(connection, [announcement])
    return announcement


def test_what_was_announced_is_the_announcements(sealing: World) -> None:
    begin(sealing, "hold")
    intent = sealing.intent(2_500)
    announcement = announce(sealing, intent.address)
    sealing.pay(intent)
    sealing.finalize()
    assert sealing.refresh(intent).status == "succeeded"
    with sealing.database.begin() as connection:
        found = store.find(connection, store.travel_rules.c.id == announcement.id)
    assert found is not None
    assert found.ended_at is not None
    assert found.subject is not None
    # A second transfer of the same amount was told of by nobody.
    sealing.pay(intent)
    sealing.finalize()
    assert len(subjects(sealing)) == 1


def test_what_a_blocked_institution_sends_is_held_whoever_announced_it(sealing: World) -> None:
    begin(sealing, "accept", status="blocked")
    intent = sealing.intent(2_500)
    # Nobody is asked for a LEI: an inquiry without one is of nobody that the directory knows.
    announced = announce(sealing, intent.address)
    sealing.pay(intent)
    sealing.finalize()
    [held] = subjects(sealing)
    assert sealing.refresh(intent).status == "processing"
    with sealing.database.begin() as connection:
        found = store.find(connection, store.travel_rules.c.id == announced.id)
        own = store.find_subject(connection, held)
    assert found is not None
    assert own is not None
    assert (found.subject, own.status) == (None, "required")


def test_a_transaction_that_was_told_carries_no_more_than_was_announced(sealing: World) -> None:
    begin(sealing, "hold")
    intent = sealing.intent(2_500)
    receipt = sealing.pay(intent)
    announce(sealing, intent.address, amount=24_999_999, tx_hash=receipt)
    sealing.finalize()
    assert len(subjects(sealing)) == 1


@pytest.mark.parametrize("word", [travel_rule.complete, travel_rule.refuse])
def test_what_an_officer_says_of_a_requested_one_is_a_case_for_two(
    sealing: World, word: Any
) -> None:
    begin(sealing, "request")
    row = received(sealing)
    with sealing.database.begin() as connection:
        word(
            connection,
            row.id,
            livemode=False,
            by="person_1",
            reason="By mail.",
            now=sealing.clock(),
        )
    assert subjects(sealing) == [row.id]
    sealing.run()
    assert now(sealing, row).status == "held"
