"""A gift card pays at a checkout: all of it, or a part, and the rest is paid another way.

What the card pays is reserved on it, and given back when it is taken off again, or when the payment
is called off or runs out. It moves when all else is in the ledger, and the payment succeeds by
both. What was paid by a card goes back onto it, as every redemption does.
"""

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from sakk.core import payment_credit as rules
from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.gift_card import GiftCardMovement
from sakk.core.payment import PaymentIntent, PaymentStatus
from sakk.core.payment_credit import CreditKind, CreditStatus
from sakk.flow import payment_credit as credits
from sakk.flow.context import Parts
from sakk.flow.gift_card import Of, carry_out, drafted, lock_to_redeem, look_up
from sakk.store import gift_card as cards
from sakk.store import payment as payments
from sakk.store import payment_credit as store


@dataclass(frozen=True, slots=True)
class Applied:
    """What a card pays of a payment: ``value`` in the intent's unit; ``hint`` of the card's code.

    ``is_held``: it may be taken off again.
    """

    movement: str
    hint: str
    value: int
    is_held: bool


def apply(
    parts: Parts, payment_intent: str, code: str, *, guessers: tuple[str, ...], of: Of
) -> GiftCardMovement:
    """Let a card pay what is due of a payment, as far as it goes; repeat under ``of``'s id.

    ``of`` is the merchant's. RateLimited for who guessed too often; UnexpectedState and
    ParameterInvalid say why this card pays nothing here.
    """
    with parts.database.begin() as connection:
        movement = cards.find_movement(
            connection, of.movement_id, account_id=of.account_id, livemode=of.livemode
        )
    if movement is None:
        found = look_up(parts, code, *guessers, livemode=of.livemode)
        now = parts.clock()
        with parts.database.begin() as connection:
            intent = credits.lock_payable(connection, payment_intent, now=now)
            card, left = lock_to_redeem(connection, found, of.account_id, now=now)
            if _count_held(connection, intent.id) >= rules.HELD_MAX:
                raise UnexpectedState("No more gift cards pay for this.")
            due = credits.due_of(connection, intent)
            try:
                rate = rules.coin_rate(intent, card.currency, coin_decimals=card.decimals)
            except ParameterInvalid:
                raise UnexpectedState(
                    "This card is in a currency that does not pay here."
                ) from None
            units = min(left, rules.units_for(due, rate))
            value = rules.value_of(units, rate, due=due)
            if not value:
                raise UnexpectedState("What is left on this card is too little.")
            movement = replace(
                drafted(parts, connection, card, units, of, now=now),
                status=CreditStatus.held.value,
                payment_intent=intent.id,
            )
            cards.insert_movement(connection, movement)
            credits.put(
                connection,
                intent,
                movement.id,
                CreditKind.gift_card,
                CreditStatus.held,
                value,
                now=now,
            )
            movement = cards.find_movement(
                connection, of.movement_id, account_id=of.account_id, livemode=of.livemode
            )
            assert movement is not None
    # Where it was all that was due it is moved at once.
    return carry_out(parts, movement)


def take_off(connection: Connection, payment_intent: str, movement: str) -> None:
    """The card pays no more, and has it again; UnexpectedState when it has paid already, and while
    the rest is being confirmed."""
    intent = payments.lock_many(connection, [payment_intent]).get(payment_intent)
    known = intent is not None and store.find_intent(connection, movement) == intent.id
    if intent is None or not known or not credits.give_back(connection, intent, movement):
        raise UnexpectedState(
            "This card is not held for the payment, or what else was sent is being confirmed."
        )


def applied(connection: Connection, intent: PaymentIntent) -> list[Applied]:
    """The cards that pay for something, as whoever has its page may see them."""
    is_open = intent.status == PaymentStatus.requires_action
    shown = []
    gone = store.gone_back(connection, intent.id)
    for credit in store.of_intent(connection, intent.id):
        if credit.kind != CreditKind.gift_card or credit.status == CreditStatus.returned:
            continue
        value = credit.value - gone.get(credit.id, 0)
        if value <= 0:
            continue
        shown.append(
            Applied(
                movement=credit.id,
                hint=cards.hint_of_movement(connection, credit.id),
                value=value,
                is_held=is_open and credit.status == CreditStatus.held,
            )
        )
    return shown


def _count_held(connection: Connection, payment_intent: str) -> int:
    found = store.of_intent(connection, payment_intent)
    return sum(each.status == CreditStatus.held for each in found)
