"""Requests for money and split bills: paid in parts, by many at once, declined and reassigned."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import credit
from tests.flow.test_alias import named, prove

from sakk.core import bill as bill_rules
from sakk.core import money_request as rules
from sakk.core.bill import Bill, Share
from sakk.core.errors import BalanceInsufficient, ResourceMissing, SakkError, UnexpectedState
from sakk.core.money_request import MoneyRequest
from sakk.flow import bill as bills
from sakk.flow import money_request as flow
from sakk.store import money_request as store
from sakk.store.identity import new_id


def ask(world: World, payer: str, amount: int | None = 3 * WHOLE_TOKEN) -> MoneyRequest:
    with world.database.begin() as connection:
        return flow.create(
            connection,
            flow.Asked(payer, amount, "usdc", "tea"),
            identifier=new_id("mreq"),
            account_id=world.account,
            livemode=False,
            now=world.clock(),
        )


def pay(
    world: World, request: str, payer: str, amount: int | None = None, key: str | None = None
) -> MoneyRequest:
    return flow.pay(
        world.parts,
        request,
        amount,
        transfer_id=key or new_id("tr"),
        account_id=payer,
        livemode=False,
    )[0]


def split(world: World, amount: int, *shares: Share) -> dict[str, Any]:
    bill = Bill(
        id=new_id("bill"),
        account_id=world.account,
        livemode=False,
        amount=amount,
        own_share=0,
        currency="usdc",
        decimals=0,
        note="dinner",
        metadata={},
        created=world.clock(),
    )
    made = [new_id("mreq") for _ in shares]
    with world.database.begin() as connection:
        return bills.split(
            connection,
            bill,
            shares,
            own_amount=None,
            own_weight=1,
            expires_at=None,
            share_id=made.__getitem__,
        )


def by(world: World, account: str) -> dict[str, Any]:
    return {"account_id": account, "livemode": False, "now": world.clock()}


def is_whole(bill: dict[str, Any]) -> bool:
    asked = sum(each["amount"] - each["amount_released"] for each in bill["shares"])
    return bool(bill["own_share"] + asked == bill["amount"])


def test_many_payments_at_once_pay_what_was_asked_and_no_more(world: World) -> None:
    payer = world.merchant("Ann")
    credit(world, 20, account=payer)
    request = ask(world, payer)
    with pytest.raises(ResourceMissing):
        pay(world, request.id, world.merchant("Eve"))

    def attempt(_: int) -> int:
        try:
            pay(world, request.id, payer, 2 * WHOLE_TOKEN)
        except SakkError:
            return 0
        return 1

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(attempt, range(6))) == 1
    key = new_id("tr")
    for _ in range(2):
        assert pay(world, request.id, payer, key=key).status == "paid"
    assert world.balance() == 3 * WHOLE_TOKEN
    assert sorted(world.event_types(about=request.id)) == [
        "money_request.created",
        "money_request.paid",
        "money_request.partially_paid",
    ]
    with pytest.raises(UnexpectedState):
        pay(world, request.id, payer)
    poor = ask(world, payer, 100 * WHOLE_TOKEN)
    with pytest.raises(BalanceInsufficient):
        pay(world, poor.id, payer)
    assert pay(world, poor.id, payer, WHOLE_TOKEN).amount_paid == WHOLE_TOKEN
    world.check()


def test_who_proves_the_address_is_asked_and_a_request_ends(world: World) -> None:
    ann = world.merchant("Ann")
    prove(world, named(world, "email", "ann@example.com", account=ann))
    asked = ask(world, "ann@example.com", None)
    assert asked.payer is None, "who asks is not told that somebody has the address"
    assert world.event_types(account=ann, about=asked.id) == ["money_request.created"]
    with world.database.begin() as connection:
        assert flow.decline(connection, asked.id, **by(world, ann)).status == "declined"
        with pytest.raises(UnexpectedState):
            flow.cancel(connection, asked.id, **by(world, world.account))
    tried = ask(world, "ann@example.com")
    with pytest.raises(BalanceInsufficient):
        pay(world, tried.id, ann)
    with world.database.begin() as connection:
        found = store.find(connection, tried.id, account_id=world.account, livemode=False)
    assert found is not None
    assert found.payer is None, "who tries in vain is not shown to who asks"
    credit(world, 5, account=ann)
    assert pay(world, tried.id, ann).payer == ann
    late = ask(world, ann)
    world.advance(rules.REMINDER_EVERY)
    with world.database.begin() as connection:
        assert flow.remind(connection, late.id, **by(world, world.account)).reminders == 1
    world.advance(rules.LIFE)
    with pytest.raises(UnexpectedState):
        pay(world, late.id, ann)
    assert world.run_only("money_request.expire") == [1]
    assert sorted(world.event_types(account=ann, about=late.id)) == [
        "money_request.created",
        "money_request.expired",
        "money_request.reminded",
    ]


def test_one_who_leaves_a_bill_changes_nobody_elses_share(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = world.merchant("Ann"), world.merchant("Bob")
    credit(world, 50, account=ann)
    bill = split(world, 10_000_001, Share(ann), Share(bob))
    assert (bill["own_share"], [each["amount"] for each in bill["shares"]]) == (
        3_333_334,
        [3_333_334, 3_333_333],
    )
    first, second = (each["money_request"] for each in bill["shares"])
    pay(world, first, ann, 1_000_000)
    with world.database.begin() as connection:
        flow.decline(connection, second, account_id=bob, livemode=False, now=world.clock())
        found = store.find_bill(connection, bill["id"], account_id=world.account, livemode=False)
        assert found is not None
        [after] = bills.shown(connection, [found])
    assert is_whole(after)
    assert (after["amount_open"], after["shares"][1]["status"]) == (5_666_667, "declined")

    def reassign(share: str, payer: str | None) -> dict[str, Any]:
        with world.database.begin() as connection:
            return bills.reassign(
                connection,
                bill["id"],
                share,
                payer,
                share_id=new_id("mreq"),
                account_id=world.account,
                livemode=False,
                now=world.clock(),
            )

    given = reassign(second, ann)
    assert is_whole(given)
    with pytest.raises(UnexpectedState):
        reassign(second, ann)
    monkeypatch.setattr(bill_rules, "SHARES_EVER_MAX", len(given["shares"]))
    with pytest.raises(UnexpectedState, match="too often"):
        reassign(first, bob)
    taken = reassign(first, None)
    assert is_whole(taken)
    assert taken["own_share"] == 3_333_334 + 2_333_334
    pay(world, taken["shares"][-1]["money_request"], ann)
    assert world.balance() == 1_000_000 + 3_333_333
    world.check()


def test_many_are_asked_at_once_or_none(world: World) -> None:
    ann, bob = world.merchant("Ann"), world.merchant("Bob")
    named(world, "handle", "bob", account=bob)

    def ask_many(*payers: str) -> list[MoneyRequest]:
        with world.database.begin() as connection:
            return flow.ask_many(
                connection,
                flow.Asked("", WHOLE_TOKEN, "usdc", "dues"),
                payers,
                identifiers=[new_id("mreq") for _ in payers],
                account_id=world.account,
                livemode=False,
                now=world.clock(),
            )

    made = ask_many(ann, "@bob", "eve@example.com")
    assert [(each.payer, each.recipient) for each in made] == [
        (ann, None),
        (bob, None),
        (None, "eve@example.com"),
    ]
    for wrong, place in ((("@bob", bob), 1), ((ann, "@nobody"), 1), ((world.account,), 0)):
        with pytest.raises(SakkError) as refused:
            ask_many(*wrong)
        assert refused.value.param == f"payers[{place}]"
    with world.database.begin() as connection:
        assert store.count_open(connection, account_id=world.account, livemode=False) == 3
    credit(world, 5, account=bob)
    assert pay(world, made[1].id, bob).status == "paid"
    world.check()
