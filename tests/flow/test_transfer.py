"""Book transfers: the balance moves at once, once, and never below zero."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import credit

from sakk.core.errors import BalanceInsufficient, ParameterInvalid, ResourceMissing
from sakk.core.transfer import BookTransfer
from sakk.flow.transfer import TransferRequest, create
from sakk.store.identity import new_id


def move(
    world: World,
    to: str,
    amount: int = WHOLE_TOKEN,
    *,
    identifier: str | None = None,
    currency: str = "usdc",
    account: str | None = None,
) -> BookTransfer:
    return create(
        world.parts,
        TransferRequest(amount=amount, currency=currency, destination=to),
        identifier=identifier or new_id("tr"),
        account_id=account or world.account,
        livemode=False,
    )


def test_it_moves_at_once(world: World) -> None:
    credit(world, 10)
    other = world.merchant()
    done = move(world, other, 4 * WHOLE_TOKEN)
    assert done.status == "posted"
    assert world.balance() == 6 * WHOLE_TOKEN
    assert world.balance(account=other) == 4 * WHOLE_TOKEN
    assert world.amounts() == [10 * WHOLE_TOKEN, -4 * WHOLE_TOKEN]
    assert world.amounts(account=other) == [4 * WHOLE_TOKEN]
    for account in (world.account, other):
        assert world.event_types(account=account, about=done.id) == ["transfer.created"]
    world.check()


def test_more_than_the_balance_moves_nothing(world: World) -> None:
    credit(world, 10)
    other = world.merchant()
    identifier = new_id("tr")
    for _ in range(2):
        with pytest.raises(BalanceInsufficient) as caught:
            move(world, other, 10 * WHOLE_TOKEN + 1, identifier=identifier)
        assert caught.value.param == "amount"
    assert (world.balance(), world.balance(account=other)) == (10 * WHOLE_TOKEN, 0)
    assert world.event_types(about=identifier) == []
    # Its own answer stands, whatever comes later.
    credit(world, 10)
    with pytest.raises(BalanceInsufficient):
        move(world, other, 10 * WHOLE_TOKEN + 1, identifier=identifier)
    world.check()


def test_one_identifier_moves_once(world: World) -> None:
    credit(world, 10)
    other = world.merchant()
    identifier = new_id("tr")
    with ThreadPoolExecutor(8) as pool:
        for each in pool.map(lambda _: move(world, other, identifier=identifier), range(8)):
            assert each.id == identifier
    assert world.balance(account=other) == WHOLE_TOKEN
    assert world.event_types(about=identifier) == ["transfer.created"]
    world.check()


def test_at_once_they_never_overdraw(world: World) -> None:
    credit(world, 10)
    other = world.merchant()

    def attempt(_: int) -> bool:
        try:
            move(world, other, 3 * WHOLE_TOKEN)
        except BalanceInsufficient:
            return False
        return True

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(attempt, range(10))) == 3
    assert (world.balance(), world.balance(account=other)) == (WHOLE_TOKEN, 9 * WHOLE_TOKEN)
    world.check()


@pytest.mark.parametrize("booked", [False, True], ids=["before the post", "after the post"])
def test_a_crash_is_finished_by_the_stage(world: World, booked: bool) -> None:
    credit(world, 10)
    other = world.merchant()
    done = move(world, other)
    with world.database.begin() as connection:
        connection.execute(text("UPDATE transfers SET status = 'requested'"))
        connection.execute(text(f"DELETE FROM events WHERE object_id = '{done.id}'"))
        if not booked:
            # As if the process had died before it asked the ledger: another row, never posted.
            identifier = new_id("tr")
            connection.execute(text(f"UPDATE transfers SET id = '{identifier}'"))
    world.run_only("transfer.post")
    assert world.event_types(about=done.id) == []
    world.advance(timedelta(seconds=6))
    assert world.run_only("transfer.post") == [1]
    assert world.run_only("transfer.post") == [0]
    with world.database.begin() as connection:
        row = connection.execute(text("SELECT id, status FROM transfers")).one()
    assert row.status == "posted"
    assert world.event_types(about=row.id) == ["transfer.created"]
    assert world.balance(account=other) == (WHOLE_TOKEN if booked else 2 * WHOLE_TOKEN)
    world.ledger_verify()


def test_what_can_not_be_moved(world: World) -> None:
    credit(world, 10)
    with pytest.raises(ParameterInvalid) as to_itself:
        move(world, world.account)
    assert to_itself.value.param == "destination"
    with pytest.raises(ResourceMissing) as nobody:
        move(world, new_id("acct"))
    assert nobody.value.param == "destination"
    with pytest.raises(ParameterInvalid) as nothing:
        move(world, world.merchant(), currency="doubloon")
    assert nothing.value.param == "currency"
    assert world.balance() == 10 * WHOLE_TOKEN
