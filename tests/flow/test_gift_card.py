"""Gift cards: what is on them is owed to the unit, whoever redeems, gives back or replaces."""

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import UNIT, credit
from tests.flow.test_transfer import move

from sakk.core import chart
from sakk.core.errors import (
    BalanceInsufficient,
    ParameterInvalid,
    PermissionDenied,
    RateLimited,
    SakkError,
    UnexpectedState,
)
from sakk.core.freeze import Freeze
from sakk.core.gift_card import (
    WRONG_MAX,
    GiftCard,
    GiftCardMovement,
    MovementKind,
    Redeemable,
    write_code,
)
from sakk.flow import gift_card as flow
from sakk.store import freeze
from sakk.store import gift_card as store
from sakk.store import policy as policies
from sakk.store.database import fetch_all
from sakk.store.identity import new_id
from sakk.store.vault import KEY_BYTES, Vault


@pytest.fixture(autouse=True)
def vault(world: World) -> None:
    """By which codes are made."""
    world.parts = replace(world.parts, vault=Vault(bytes(KEY_BYTES)))


def of(world: World, account: str | None = None, movement: str | None = None) -> flow.Of:
    return flow.Of(account or world.account, False, movement or new_id("gcm"))


def issued(
    world: World,
    whole: int = 10,
    *,
    redeemable: Redeemable = Redeemable.holder,
    active: bool = True,
) -> tuple[GiftCard, str]:
    wanted = flow.Issue(whole * WHOLE_TOKEN, "usdc", redeemable, active=active)
    return flow.issue(world.parts, wanted, identifier=new_id("gc"), of=of(world))


def redeem(
    world: World, code: str, account: str, amount: int | None = None, key: str | None = None
) -> GiftCardMovement:
    return flow.redeem(world.parts, code, amount, of=of(world, account, key))


def prove(world: World) -> int:
    """Every card's row is what its ledger account has; what all are worth together."""
    with world.database.begin() as connection:
        cards = fetch_all(connection, select(store.gift_cards), GiftCard)
        stated = store.outstanding(
            connection, account_id=world.account, livemode=False, now=world.clock()
        )
    held = world.books.balances([chart.gift_card(each.id, UNIT) for each in cards])
    assert held == [each.balance for each in cards]
    assert sum(each.outstanding for each in stated) == sum(held)
    world.check()
    return sum(held)


def test_many_at_once_take_what_is_there_and_no_more(world: World) -> None:
    credit(world, 50)
    ann = world.merchant("Ann")
    card, code = issued(world)
    assert (card.status, card.balance, prove(world)) == ("active", 10_000_000, 10_000_000)

    def attempt(_: int) -> int:
        try:
            return redeem(world, code.upper(), ann, 3 * WHOLE_TOKEN).amount
        except SakkError:
            return 0

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(attempt, range(6))) == 9 * WHOLE_TOKEN
    key = new_id("gcm")
    for _ in range(2):
        assert redeem(world, code, ann, key=key).amount == WHOLE_TOKEN
    with pytest.raises(UnexpectedState, match="Nothing is left"):
        redeem(world, code, ann)
    assert (world.balance(account=ann), prove(world)) == (10 * WHOLE_TOKEN, 0)
    with pytest.raises(BalanceInsufficient):
        issued(world, 1_000)
    assert prove(world) == 0


def test_what_was_redeemed_goes_back_once_and_a_lost_card_is_replaced(world: World) -> None:
    credit(world, 50)
    shop = world.account
    card, code = issued(world, redeemable=Redeemable.issuer, active=False)
    mine: dict[str, Any] = {"account_id": shop, "livemode": False, "now": world.clock()}
    with pytest.raises(UnexpectedState, match="inactive"):
        redeem(world, code, shop)
    with world.database.begin() as connection:
        flow.activate(connection, card.id, **mine)
    with pytest.raises(UnexpectedState, match="at its issuer"):
        redeem(world, code, world.merchant("Eve"))
    taken = redeem(world, code, shop, 6 * WHOLE_TOKEN)
    flow.refund(world.parts, taken.id, 2 * WHOLE_TOKEN, of=of(world))
    with pytest.raises(ParameterInvalid):
        flow.refund(world.parts, taken.id, 4 * WHOLE_TOKEN + 1, of=of(world))
    with pytest.raises(UnexpectedState, match="Freeze the card first"):
        flow.substitute(world.parts, card.id, new_id=new_id("gc"), of=of(world))
    with world.database.begin() as connection:
        flow.stop(connection, card.id, **mine)
    with pytest.raises(UnexpectedState, match="frozen"):
        redeem(world, code, shop)
    made, fresh = flow.substitute(world.parts, card.id, new_id=new_id("gc"), of=of(world))
    assert (made.balance, made.status, made.replaces) == (6 * WHOLE_TOKEN, "active", card.id)
    with pytest.raises(UnexpectedState, match="replaced"):
        redeem(world, code, shop)
    with pytest.raises(UnexpectedState, match="replaced"):
        flow.refund(world.parts, taken.id, None, of=of(world))
    assert redeem(world, fresh, shop).amount == 6 * WHOLE_TOKEN
    assert prove(world) == 0


def test_every_attempt_shows_the_code_that_counts(world: World) -> None:
    """Whichever of two answers is lost, what the other showed is redeemed."""
    credit(world, 50)
    ann, wanted = world.merchant("Ann"), flow.Issue(WHOLE_TOKEN, "usdc", Redeemable.holder)
    card, key, another, move = new_id("gc"), of(world), new_id("gc"), of(world)
    (_, first), (_, again) = (
        flow.issue(world.parts, wanted, identifier=card, of=key) for _ in range(2)
    )
    assert first == again
    taken = flow.redeem(
        world.parts, first, 400_000, of=of(world, ann), description="rent", metadata={"own": "1"}
    )
    assert (taken.amount, taken.description) == (400_000, "rent")
    for who, noted in ((world.account, {}), (ann, {"own": "1"})):
        [told] = world.events(account=who, about=taken.id)
        assert told.object["metadata"] == noted
    with world.database.begin() as connection:
        flow.stop(connection, card, account_id=world.account, livemode=False, now=world.clock())
    (_, second), (_, last) = (
        flow.substitute(world.parts, card, new_id=another, of=move) for _ in range(2)
    )
    assert second == last != first
    assert redeem(world, second, ann).amount == 600_000
    assert prove(world) == 0


def test_who_guesses_waits_and_no_card_is_locked(world: World) -> None:
    credit(world, 50)
    eve, ann = world.merchant("Eve"), world.merchant("Ann")
    _, code = issued(world)
    for _ in range(WRONG_MAX):
        with pytest.raises(ParameterInvalid):
            redeem(world, write_code(random.getrandbits(130)), eve)
    with pytest.raises(RateLimited):
        redeem(world, code, eve)
    assert redeem(world, code, ann, WHOLE_TOKEN).status == "posted"
    world.advance(timedelta(minutes=11))
    assert redeem(world, code, eve).amount == 9 * WHOLE_TOKEN
    assert prove(world) == 0


def limited(world: World, *rules: dict[str, Any]) -> None:
    """Rules for transfers, before those in force."""
    with world.database.begin() as connection:
        active = policies.find_active(connection, livemode=False)
        assert active is not None
        connection.execute(
            policies.policies.update()
            .where(policies.policies.c.id == active.id)
            .values(rules=[*rules, *active.rules])
        )


def a_day(name: str, per: str, above: str) -> dict[str, Any]:
    period = {"seconds": 86_400, "per": per, "above": above, "unit": "whole"}
    return {"name": name, "action": "block", "purposes": ["transfer"], "period": period}


def test_a_card_is_no_way_round_what_limits_transfers(world: World) -> None:
    """Issued it counts for its issuer, redeemed for who is paid, given back for who gives."""
    credit(world, 100)
    ann, bob = world.merchant("Ann"), world.merchant("Bob")
    blocked = {"name": "not Bob", "action": "block", "purposes": ["transfer"]}
    limited(
        world,
        {**blocked, "destinations": [bob]},
        a_day("from", "account", "10"),
        a_day("to", "destination", "6"),
    )
    card, code = issued(world, 8)
    with pytest.raises(PermissionDenied, match="declined"):
        issued(world, 3)
    with pytest.raises(PermissionDenied, match="declined"):
        move(world, ann, 3 * WHOLE_TOKEN)
    with pytest.raises(PermissionDenied, match="declined"):
        redeem(world, code, bob)
    # What a payment set aside and gave back paid nobody.
    released = flow.new_movement(
        card, MovementKind.redeem, 5 * WHOLE_TOKEN, of(world, ann), now=world.clock()
    )
    with world.database.begin() as connection:
        store.insert_movement(connection, replace(released, status="released"))
    taken = redeem(world, code, ann, 5 * WHOLE_TOKEN)
    with pytest.raises(PermissionDenied, match="declined"):
        redeem(world, code, ann)
    credit(world, 50, account=ann)
    with pytest.raises(PermissionDenied, match="declined"):
        move(world, world.merchant("Carl"), 11 * WHOLE_TOKEN, account=ann)
    flow.refund(world.parts, taken.id, 5 * WHOLE_TOKEN, of=of(world, ann))
    with pytest.raises(PermissionDenied, match="declined"):
        move(world, world.merchant("Dora"), 6 * WHOLE_TOKEN, account=ann)
    world.advance(timedelta(days=2))
    assert redeem(world, code, ann, WHOLE_TOKEN).status == "posted"
    assert prove(world) == 7 * WHOLE_TOKEN


def test_a_frozen_issuers_cards_stand_still(world: World) -> None:
    credit(world, 20)
    ann = world.merchant("Ann")
    card, code = issued(world)
    mine: dict[str, Any] = {"account_id": world.account, "livemode": False, "now": world.clock()}
    with world.database.begin() as connection:
        flow.stop(connection, card.id, **mine)
        stop = Freeze(
            id=new_id("frz"),
            account_id=world.account,
            reason="drill",
            origin="cli",
            created=world.clock(),
        )
        freeze.insert(connection, stop)
    with pytest.raises(PermissionDenied, match="declined"):
        flow.substitute(world.parts, card.id, new_id=new_id("gc"), of=of(world))
    with world.database.begin() as connection:
        flow.let_go(connection, card.id, **mine)
    with pytest.raises(PermissionDenied, match="declined"):
        redeem(world, code, ann)
    assert prove(world) == 10 * WHOLE_TOKEN


def test_nothing_is_minted_by_any_order(world: World) -> None:
    """Issued, redeemed, given back and replaced at random, by threads and crashes between."""
    credit(world, 100)
    ann = world.merchant("Ann")
    dice = random.Random(7)
    codes = [issued(world, 5) for _ in range(3)]
    taken: list[str] = []
    before = world.balance() + world.balance(account=ann) + prove(world)

    def act(turn: int) -> None:
        card, code = codes[turn % len(codes)]
        try:
            if taken and turn % 3 == 0:
                flow.refund(world.parts, taken[-1], None, of=of(world, ann))
            elif turn % 7 == 5:
                with world.database.begin() as connection:
                    flow.stop(
                        connection,
                        card.id,
                        account_id=world.account,
                        livemode=False,
                        now=world.clock(),
                    )
                made = flow.substitute(world.parts, card.id, new_id=new_id("gc"), of=of(world))
                codes[turn % len(codes)] = made
            else:
                taken.append(redeem(world, code, ann, dice.randint(1, 2 * WHOLE_TOKEN)).id)
        except SakkError:
            pass

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(act, range(30)))
    # As if the last had died before it was told.
    with world.database.begin() as connection:
        moved = store.gift_card_movements
        connection.execute(
            moved.update()
            .where(moved.c.kind == "redeem", moved.c.id == taken[0])
            .values(status="requested", created=world.clock() - timedelta(minutes=1))
        )
        units = connection.execute(
            select(moved.c.amount, moved.c.card).where(moved.c.id == taken[0])
        ).one()
        cards = store.gift_cards
        connection.execute(
            cards.update()
            .where(cards.c.id == units.card)
            .values(balance=cards.c.balance + units.amount)
        )
    assert world.run_only("gift_card.post") == [1]
    assert world.balance() + world.balance(account=ann) + prove(world) == before
