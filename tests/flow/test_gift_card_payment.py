"""Payments without a chain: a gift card pays a part or all, an account here pays from its balance.

After every one the intent, the card, the ledger and the merchant's balance say the same.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.flow.harness import CONFIRMATIONS, WHOLE_TOKEN, World
from tests.flow.money import credit
from tests.flow.test_fee import RULES, booked, charged_by, volume
from tests.flow.test_gift_card import issued, of, prove
from tests.flow.test_quote import revenue
from tests.flow.test_transfer import move

from sakk.core.checkout_session import Line
from sakk.core.claim import token_hash
from sakk.core.errors import BalanceInsufficient, ParameterInvalid, SakkError, UnexpectedState
from sakk.core.fee import FeeKind, FeeRule
from sakk.core.gift_card import GiftCardMovement
from sakk.core.payment import PaymentIntent
from sakk.core.payment_credit import CreditKind, CreditStatus
from sakk.core.transfer import BookTransfer
from sakk.flow import account_payment, checkout_session
from sakk.flow import gift_card as cards
from sakk.flow import gift_card_payment as flow
from sakk.flow import payment_credit as credits
from sakk.flow.payment import PaymentRequest, read_catalogue
from sakk.store import payment as payments
from sakk.store.identity import new_id
from sakk.store.payment import payment_intents
from sakk.store.vault import KEY_BYTES, Vault


@pytest.fixture(autouse=True)
def vault(world: World) -> None:
    world.parts = replace(world.parts, vault=Vault(bytes(KEY_BYTES)))


def apply(
    world: World, intent: PaymentIntent, code: str, key: str | None = None
) -> GiftCardMovement:
    return flow.apply(
        world.parts,
        intent.id,
        code,
        guessers=(intent.id,),
        of=of(world, intent.account_id, key),
    )


def rest(world: World, intent: PaymentIntent, whole: int) -> None:
    """The payer sends what the card left, and it becomes final."""
    world.pay(intent, units=whole * WHOLE_TOKEN)
    world.finalize()


def stand(world: World, intent: PaymentIntent) -> tuple[str, int, int, int]:
    now = world.refresh(intent)
    return (now.status, now.amount_received, now.amount_credited, now.amount_held)


def test_a_card_pays_all_or_a_part_and_both_parts_count_together(world: World) -> None:
    credit(world, 50)
    shop = world.merchant("Shop")
    _, code = issued(world, 15)
    small = world.intent(1_000, account=shop)
    key = new_id("gcm")
    for _ in range(2):
        assert apply(world, small, code, key).status == "posted"
    assert stand(world, small) == ("succeeded", 1_000, 1_000, 0)
    assert world.balance(account=shop) == 10 * WHOLE_TOKEN
    large = world.intent(2_500, account=shop)
    held = apply(world, large, code)
    assert (held.status, held.amount, held.payment_intent) == ("held", 5 * WHOLE_TOKEN, large.id)
    assert stand(world, large) == ("requires_action", 0, 0, 500)
    assert prove(world) == 5 * WHOLE_TOKEN
    with pytest.raises(UnexpectedState, match="Nothing is left"):
        apply(world, large, code)
    rest(world, large, 20)
    assert stand(world, large) == ("succeeded", 2_500, 500, 0)
    assert world.refresh(large).amount_status == "exact"
    assert (world.balance(account=shop), prove(world)) == (35 * WHOLE_TOKEN, 0)
    assert world.event_types(account=shop, about=large.id)[-1] == "payment_intent.succeeded"
    cards.refund(world.parts, held.id, None, of=of(world, shop))
    assert (world.balance(account=shop), prove(world)) == (30 * WHOLE_TOKEN, 5 * WHOLE_TOKEN)


def test_what_goes_back_to_a_card_pays_an_open_payment_no_more(world: World) -> None:
    credit(world, 50)
    shop = world.merchant("Shop")
    _, code = issued(world, 5)
    intent = world.intent(2_500, account=shop)
    held = apply(world, intent, code)
    world.pay(intent, units=20 * WHOLE_TOKEN)
    world.mine(CONFIRMATIONS + 1)
    world.watch()
    world.run_only("payin.match", "payin.finality", "payin.screen", "payin.post")
    # The card's part was set going when the rest was there; then the chain took the rest back.
    world.chain.reorg(CONFIRMATIONS + 2)
    world.mine(1)
    world.run()
    assert stand(world, intent) == ("requires_action", 500, 500, 0)
    # A third of the card, and then all of it: the payer is asked for as much again.
    third = 5 * WHOLE_TOKEN // 3
    cards.refund(world.parts, held.id, third, of=of(world, shop))
    assert stand(world, intent) == ("requires_action", 334, 334, 0)
    with world.database.begin() as connection:
        now = world.refresh(intent)
        assert [each.value for each in flow.applied(connection, now)] == [334]
        assert credits.due_of(connection, now) == 2_166
    cards.refund(world.parts, held.id, None, of=of(world, shop))
    assert stand(world, intent) == ("requires_action", 0, 0, 0)
    with world.database.begin() as connection:
        assert flow.applied(connection, world.refresh(intent)) == []
    rest(world, intent, 25)
    assert stand(world, intent) == ("succeeded", 2_500, 0, 0)
    assert (world.balance(account=shop), prove(world)) == (25 * WHOLE_TOKEN, 5 * WHOLE_TOKEN)


@pytest.mark.parametrize("how", ["taken off", "canceled", "expired"])
def test_what_is_held_goes_back_when_nothing_comes_of_it(world: World, how: str) -> None:
    credit(world, 50)
    _, code = issued(world, 5)
    intent = world.intent(2_500)
    held = apply(world, intent, code)

    def take_off() -> None:
        with world.database.begin() as connection:
            flow.take_off(connection, intent.id, held.id)
        with world.database.begin() as connection, pytest.raises(UnexpectedState):
            flow.take_off(connection, intent.id, held.id)

    def expire() -> None:
        world.advance(timedelta(hours=2))
        world.run()

    ways: dict[str, Callable[[], object]] = {
        "taken off": take_off,
        "canceled": lambda: world.cancel(intent),
        "expired": expire,
    }
    ways[how]()
    assert stand(world, intent)[1:] == (0, 0, 0)
    assert cards.redeem(world.parts, code, None, of=of(world)).amount == 5 * WHOLE_TOKEN
    assert prove(world) == 0


def test_what_is_held_goes_back_beside_as_much_that_is_on_its_way_to_another_card(
    world: World,
) -> None:
    credit(world, 50)
    _, code = issued(world, 5)
    intent = world.intent(2_500)
    apply(world, intent, code)
    with world.database.begin() as connection:
        connection.execute(payment_intents.update().values(amount_credited=500))
        now = payments.lock_many(connection, [intent.id])[intent.id]
        gone = (new_id("gcm"), CreditKind.gift_card, CreditStatus.requested, -500)
        credits.put(connection, now, *gone, now=world.clock())
    assert stand(world, intent) == ("requires_action", 500, 500, 0)
    world.advance(timedelta(hours=2))
    world.run_only("payment.expire")
    assert stand(world, intent) == ("expired", 500, 500, -500)
    assert cards.redeem(world.parts, code, None, of=of(world)).amount == 5 * WHOLE_TOKEN


def test_many_checkouts_at_once_hold_what_a_card_has_and_no_more(world: World) -> None:
    credit(world, 50)
    _, code = issued(world, 25)
    intents = [world.intent(1_000) for _ in range(5)]

    def attempt(intent: PaymentIntent) -> int:
        try:
            return apply(world, intent, code).amount
        except SakkError:
            return 0

    with ThreadPoolExecutor(5) as pool:
        taken = sorted(pool.map(attempt, intents))
    assert taken == [0, 0, 5 * WHOLE_TOKEN, 10 * WHOLE_TOKEN, 10 * WHOLE_TOKEN]
    paid = [stand(world, each)[0] for each in intents]
    assert (paid.count("succeeded"), prove(world)) == (2, 5 * WHOLE_TOKEN)


def test_more_than_is_due_is_told_apart_with_what_a_card_holds(world: World) -> None:
    credit(world, 50)
    world.set_policy(over="refund_due")
    _, code = issued(world, 5)
    intent = world.intent(2_500)
    apply(world, intent, code)
    rest(world, intent, 25)
    assert stand(world, intent) == ("succeeded", 3_000, 500, 0)
    [paid] = world.payins(intent)
    assert (paid.credit_units, paid.suspense_units) == (20 * WHOLE_TOKEN, 5 * WHOLE_TOKEN)
    assert (world.balance(), prove(world)) == (70 * WHOLE_TOKEN, 0)


def test_a_card_that_was_counted_stays_and_a_frozen_one_pays_no_more(world: World) -> None:
    credit(world, 50)
    world.set_policy(over="refund_due")
    card, code = issued(world, 5)
    intent = world.intent(2_500)
    apply(world, intent, code)
    mine: dict[str, Any] = {"account_id": world.account, "livemode": False, "now": world.clock()}
    with world.database.begin() as connection:
        cards.stop(connection, card.id, **mine)
    assert stand(world, intent) == ("requires_action", 0, 0, 0)
    with world.database.begin() as connection:
        cards.let_go(connection, card.id, **mine)
    held = apply(world, intent, code)
    world.pay(intent, units=25 * WHOLE_TOKEN)
    world.mine(1)
    world.run()
    # Of what is on its way five are too much, as long as the card pays.
    assert stand(world, intent) == ("processing", 0, 0, 500)
    with world.database.begin() as connection:
        assert not flow.applied(connection, world.refresh(intent))[0].is_held
        with pytest.raises(UnexpectedState):
            flow.take_off(connection, intent.id, held.id)
        cards.stop(connection, card.id, **mine)
    world.finalize()
    assert stand(world, intent) == ("succeeded", 3_000, 500, 0)
    assert (world.balance(), prove(world)) == (70 * WHOLE_TOKEN, 0)


def session(world: World, amount: int = 1_000) -> tuple[str, PaymentIntent]:
    vault = world.parts.secrets_vault()
    with world.database.begin() as connection:
        made, intent = checkout_session.create(
            connection,
            read_catalogue(connection, now=world.clock()),
            vault,
            checkout_session.SessionRequest(
                payment=PaymentRequest(amount=amount, currency="usd"),
                lines=[Line("Tea", amount, 1)],
            ),
            identifier=new_id("cs"),
            intent_id=new_id("pi"),
            account_id=world.account,
            livemode=False,
            now=world.clock(),
        )
    return token_hash(checkout_session.token_of(vault, made.id)), intent


def test_an_account_here_pays_a_page_once_from_its_balance(world: World) -> None:
    ann, bob = world.merchant("Ann"), world.merchant("Bob")
    credit(world, 30, account=ann)

    def pay(who: str, page: str, currency: str | None = None) -> BookTransfer:
        return account_payment.pay(
            world.parts,
            page,
            currency,
            transfer_id=new_id("tr"),
            account_id=who,
            livemode=False,
        )

    page, intent = session(world)
    with pytest.raises(BalanceInsufficient):
        pay(bob, page, "usdc")
    assert stand(world, intent) == ("requires_action", 0, 0, 0)
    with pytest.raises(UnexpectedState, match="itself"):
        pay(world.account, page)
    with pytest.raises(ParameterInvalid, match="does not pay this"):
        pay(ann, page, "eth")

    def attempt(_: int) -> str:
        try:
            return pay(ann, page, "usdc").status
        except UnexpectedState:
            return "ended"

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(attempt, range(4))) == ["ended", "ended", "ended", "posted"]
    assert stand(world, intent) == ("succeeded", 1_000, 1_000, 0)
    assert world.balance() == 10 * WHOLE_TOKEN
    assert move(world, ann).status == "posted"
    page, intent = session(world, 2_000)
    world.pay(intent, units=5 * WHOLE_TOKEN)
    world.finalize()
    assert pay(ann, page, "usdc").amount == 15 * WHOLE_TOKEN
    assert stand(world, intent) == ("succeeded", 2_000, 1_500, 0)
    world.check()


def test_a_card_is_not_taken_for_a_transfer_that_is_not_covered(world: World) -> None:
    ann, bob = world.merchant("Ann"), world.merchant("Bob")
    credit(world, 50)
    credit(world, 30, account=ann)
    _, code = issued(world, 5)
    # 1 % and 10 cents of each part, whatever it is paid by; refunds give it back.
    charged_by(world, RULES[0], FeeRule(kind=FeeKind.payout))
    page, intent = session(world)
    held = apply(world, intent, code)

    def pay(who: str) -> BookTransfer:
        return account_payment.pay(
            world.parts, page, "usdc", transfer_id=new_id("tr"), account_id=who, livemode=False
        )

    with pytest.raises(BalanceInsufficient):
        pay(bob)
    world.run_only("gift_card.post")
    assert stand(world, intent) == ("requires_action", 0, 0, 500)
    assert prove(world) == 5 * WHOLE_TOKEN
    # What did not come about counts towards no volume, and costs nothing.
    assert (volume(world, FeeKind.payin), booked(world)) == (0, [])
    had = world.balance()
    by_account = pay(ann)
    assert by_account.amount == 5 * WHOLE_TOKEN
    world.run_only("gift_card.post")
    assert stand(world, intent) == ("succeeded", 1_000, 1_000, 0)
    assert prove(world) == 0
    part = 15 * WHOLE_TOKEN // 100
    assert booked(world) == [("payin", "charged", part), ("payin", "charged", part)]
    assert volume(world, FeeKind.payin) == 10 * WHOLE_TOKEN
    assert (revenue(world), world.balance() - had) == (2 * part, 10 * WHOLE_TOKEN - 2 * part)
    # In any steps, a card's whole part gives its whole fee back.
    third = WHOLE_TOKEN // 3
    for units in (third, None):
        cards.refund(world.parts, held.id, units, of=of(world, world.account))
    first = part * third // (5 * WHOLE_TOKEN)
    assert [amount for _, _, amount in booked(world)[2:]] == [-first, first - part]
    assert (revenue(world), world.balance() - had) == (part, 5 * WHOLE_TOKEN - part)
    world.check()


def test_what_a_crash_left_is_finished_by_the_stage(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    credit(world, 50)
    _, code = issued(world, 10)
    intent = world.intent(1_000)
    with monkeypatch.context() as broken:
        broken.setattr(world.parts.books, "post", _gone)
        with pytest.raises(ConnectionError):
            apply(world, intent, code)
    assert stand(world, intent) == ("processing", 0, 0, 1_000)
    world.advance(timedelta(minutes=1))
    world.run_only("gift_card.post")
    assert stand(world, intent) == ("succeeded", 1_000, 1_000, 0)
    assert prove(world) == 0


def _gone(*_: object) -> None:
    raise ConnectionError
