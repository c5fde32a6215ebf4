"""Names of accounts, and money that is sent to them, or waits for somebody."""

from datetime import timedelta
from typing import Any

import pytest
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import UNIT, credit
from tests.flow.test_transfer import move

from sakk.core import chart
from sakk.core import transfer as transfer_rules
from sakk.core.alias import Alias, AliasKind, Recipient
from sakk.core.errors import (
    ParameterInvalid,
    PermissionDenied,
    ResourceMissing,
    SakkError,
    UnexpectedState,
)
from sakk.core.freeze import Freeze
from sakk.core.transfer import CLAIM_LIFE
from sakk.flow import alias as flow
from sakk.flow.transfer import DECLINED, cancel
from sakk.store import alias as store
from sakk.store import freeze
from sakk.store import policy as policies
from sakk.store.identity import new_id


def named(world: World, kind: str, value: str, *, account: str | None = None) -> Alias:
    with world.database.begin() as connection:
        return flow.create(
            connection,
            identifier=new_id("als"),
            account_id=account or world.account,
            livemode=False,
            kind=AliasKind(kind),
            value=value,
            metadata={},
            now=world.clock(),
        )


def prove(world: World, alias: Alias, code: str | None = None) -> Alias:
    with world.database.begin() as connection:
        now = world.clock()
        if code is None:
            _, code = flow.issue_code(connection, alias.id, livemode=False, now=now)
        return flow.verify(
            connection, alias.id, code, account_id=alias.account_id, livemode=False, now=now
        )


def shown_name(world: World, to: Recipient) -> str | None:
    with world.database.begin() as connection:
        return flow.known_name(connection, to, payer=world.account, livemode=False, param="to")


def unclaimed(world: World) -> int:
    return world.books.balances([chart.unclaimed(world.account, UNIT)])[0]


def test_a_name_is_one_accounts_until_the_operator_says_otherwise(world: World) -> None:
    other = world.merchant()
    first = named(world, "handle", "@Ann")
    assert (first.status, first.value) == ("active", "ann")
    assert named(world, "handle", "ann").id == first.id
    with pytest.raises(ParameterInvalid):
        named(world, "handle", "ann", account=other)
    with world.database.begin() as connection:
        given_up = flow.release(
            connection, first.id, account_id=world.account, livemode=False, now=world.clock()
        )
    assert given_up.status == "released"
    with pytest.raises(ResourceMissing):
        move(world, "@ann")
    with pytest.raises(ParameterInvalid):
        named(world, "handle", "ann", account=other)
    assert named(world, "handle", "ann").status == "active"
    with world.database.begin() as connection, pytest.raises(UnexpectedState):
        flow.free(connection, first.id, livemode=False, now=world.clock())
    with world.database.begin() as connection:
        now = world.clock()
        flow.release(connection, first.id, account_id=world.account, livemode=False, now=now)
        assert flow.free(connection, first.id, livemode=False, now=now).status == "freed"
    assert named(world, "handle", "ann", account=other).account_id == other


def test_a_name_that_is_taken_back_while_it_is_freed_is_whoevers_came_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, looked = world.merchant(), store.find_own
    first = named(world, "handle", "ann")
    with world.database.begin() as connection:
        now = world.clock()
        flow.release(connection, first.id, account_id=world.account, livemode=False, now=now)

    def look_and_lose_it(*args: Any, **options: Any) -> Alias | None:
        found = looked(*args, **options)
        monkeypatch.setattr(store, "find_own", looked)
        with world.database.begin() as connection:
            flow.free(connection, first.id, livemode=False, now=world.clock())
        assert named(world, "handle", "ann", account=other).account_id == other
        return found

    monkeypatch.setattr(store, "find_own", look_and_lose_it)
    with pytest.raises(ParameterInvalid, match="belongs to another"):
        named(world, "handle", "ann")


def test_an_address_is_proved_by_whoever_reads_its_mail(world: World) -> None:
    """Anybody may ask for it, and learns nothing of the other; the first proof has it."""
    other = world.merchant()
    mine, theirs = (
        named(world, "email", "ann@example.com", account=who) for who in (world.account, other)
    )
    assert (mine.status, theirs.status) == ("pending", "pending")
    with pytest.raises(ParameterInvalid) as wrong:
        prove(world, mine, "guess")
    with world.database.begin() as connection:
        _, old = flow.issue_code(connection, mine.id, livemode=False, now=world.clock())
    world.advance(timedelta(hours=25))
    with pytest.raises(ParameterInvalid) as late:
        prove(world, mine, old)
    assert str(wrong.value) == str(late.value)
    assert prove(world, mine).status == "active"
    with pytest.raises(ParameterInvalid, match="belongs to another"):
        prove(world, theirs)


def test_before_anything_is_sent_little_is_told(world: World) -> None:
    credit(world, 10)
    other = world.merchant("Harbour Coffee")
    named(world, "handle", "harbour", account=other)
    prove(world, named(world, "email", "harbour@example.com", account=other))
    handle, known = Recipient("handle", "harbour"), Recipient("email", "harbour@example.com")
    assert shown_name(world, handle) == "H••• C•••"
    assert shown_name(world, known) is None
    assert shown_name(world, Recipient("email", "nobody@example.com")) is None
    done = move(world, "sakk:pay?to=@harbour&amount=1000000&currency=usdc")
    assert (done.destination, done.status) == (other, "posted")
    assert shown_name(world, handle) == shown_name(world, known) == "Harbour Coffee"
    with pytest.raises(ParameterInvalid) as another:
        move(world, "sakk:pay?to=@harbour&amount=5&currency=usdc")
    assert another.value.param == "amount"


def test_calling_off_does_not_let_anybody_ask_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which addresses are known is told by a transfer that does not wait: to few a day."""
    monkeypatch.setattr(transfer_rules, "PENDING_MAX", 2)
    credit(world, 10)
    for name in ("one", "two"):
        tried = move(world, f"{name}@example.com")
        called_off = cancel(
            world.parts, tried.id, account_id=world.account, livemode=False, request_id=None
        )
        assert called_off.status == "returned"
    with pytest.raises(ParameterInvalid) as refused:
        move(world, "three@example.com")
    assert refused.value.param == "destination"
    world.advance(transfer_rules.PENDING_COUNTED)
    assert move(world, "three@example.com").status == "pending"


def test_what_is_sent_to_nobody_waits_and_is_claimed_or_comes_back(world: World) -> None:
    credit(world, 10)
    first = move(world, "ann@example.com", 2 * WHOLE_TOKEN)
    second = move(world, "bob@example.com", 3 * WHOLE_TOKEN)
    third = move(world, "eve@example.com", WHOLE_TOKEN)
    assert [each.status for each in (first, second, third)] == ["pending"] * 3
    assert (world.balance(), unclaimed(world)) == (4 * WHOLE_TOKEN, 6 * WHOLE_TOKEN)
    called_off = {"account_id": world.account, "livemode": False, "request_id": None}
    assert cancel(world.parts, third.id, **called_off).status == "returned"  # type: ignore[arg-type]
    assert cancel(world.parts, third.id, **called_off).status == "returned"  # type: ignore[arg-type]
    ann = world.merchant("Ann")
    prove(world, named(world, "email", "ann@example.com", account=ann))
    world.run_only("transfer.claim")
    assert world.balance(account=ann) == 2 * WHOLE_TOKEN
    world.advance(CLAIM_LIFE)
    world.run_only("transfer.claim")
    assert (world.balance(), unclaimed(world)) == (8 * WHOLE_TOKEN, 0)
    with pytest.raises(UnexpectedState):
        cancel(world.parts, first.id, **called_off)  # type: ignore[arg-type]
    types = [sorted(world.event_types(about=each.id)) for each in (first, second, third)]
    assert types == [
        ["transfer.created", "transfer.pending"],
        ["transfer.pending", "transfer.returned"],
        ["transfer.pending", "transfer.returned"],
    ]
    assert world.event_types(account=ann, about=first.id) == ["transfer.created"]
    world.check()


def test_what_stops_money_that_goes_out_stops_transfers(world: World) -> None:
    """A freeze, a limit of a day by the policy, and nothing that says which of them it was."""
    credit(world, 10)
    other = world.merchant()
    waiting = move(world, "ann@example.com")
    rule = {
        "name": "a day",
        "action": "block",
        "purposes": ["transfer"],
        "period": {"seconds": 86_400, "per": "account", "above": "3", "unit": "whole"},
    }
    with world.database.begin() as connection:
        active = policies.find_active(connection, livemode=False)
        assert active is not None
        connection.execute(
            policies.policies.update()
            .where(policies.policies.c.id == active.id)
            .values(rules=[rule, *active.rules])
        )
    move(world, other, 2 * WHOLE_TOKEN)
    told: list[SakkError] = []
    with pytest.raises(PermissionDenied) as limited:
        move(world, other, 1)
    told.append(limited.value)
    world.advance(timedelta(days=2))
    move(world, other, 1)
    ann = world.merchant("Ann")
    stop = Freeze(
        id=new_id("frz"),
        account_id=world.account,
        reason="drill",
        origin="cli",
        created=world.clock(),
    )
    with world.database.begin() as connection:
        freeze.insert(connection, stop)
    with pytest.raises(PermissionDenied) as frozen:
        move(world, other, 1)
    told.append(frozen.value)
    assert {str(each) for each in told} == {DECLINED}
    prove(world, named(world, "email", "ann@example.com", account=ann))
    world.run_only("transfer.claim")
    assert (world.balance(account=ann), unclaimed(world)) == (0, WHOLE_TOKEN)
    with world.database.begin() as connection:
        freeze.lift(connection, [stop.id], reason="over", now=world.clock())
    world.run_only("transfer.claim")
    assert world.balance(account=ann) == WHOLE_TOKEN
    assert waiting.status == "pending"
    world.check()
