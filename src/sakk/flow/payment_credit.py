"""What pays a payment intent without a chain, and how the intent follows; under the intent's lock.

What is reserved or on its way stands in the intent's row, so that whoever assesses the intent
counts it, and in a row of its own, by which a crash finds what it is of.
"""

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from sakk.core import payment_credit as rules
from sakk.core.account import PaymentPolicy
from sakk.core.errors import ResourceMissing, UnexpectedState
from sakk.core.gift_card import GiftCardMovement
from sakk.core.payment import PaymentIntent, PaymentStatus, enough, quotes_of, value_of
from sakk.core.payment_credit import CreditKind, CreditStatus, PaymentCredit
from sakk.flow import payment as payment_flow
from sakk.store import account as accounts
from sakk.store import event as events
from sakk.store import payin as payins
from sakk.store import payment as payments
from sakk.store import payment_credit as store


def lock_payable(connection: Connection, identifier: str, *, now: datetime) -> PaymentIntent:
    """Lock a payment that may still be paid; UnexpectedState for one that has ended."""
    intent = payments.lock_many(connection, [identifier]).get(identifier)
    if intent is None:
        raise ResourceMissing("There is no such payment.", param="id")
    rules.check_payable(intent, now=now)
    return intent


def due_of(connection: Connection, intent: PaymentIntent) -> int:
    """What is still to be paid of a locked intent, all that is on its way counted.

    UnexpectedState for none.
    """
    arrived = payins.list_counted(connection, [intent.id]).get(intent.id, [])
    paid = [(each.asset, each.token_amount) for each in arrived]
    quotes = quotes_of(intent, {asset for asset, _ in paid})
    seen = value_of(quotes, paid, amount=intent.amount) if paid else 0
    seen += intent.amount_credited + intent.amount_held - intent.amount_refunded
    policies = accounts.policy(connection, {intent.account_id})
    least = enough(intent.amount, policies.get(intent.account_id, PaymentPolicy()))
    if seen >= least:
        raise UnexpectedState("Nothing is due any more: what was sent is being confirmed.")
    return intent.amount - seen


def put(
    connection: Connection,
    intent: PaymentIntent,
    identifier: str,
    kind: CreditKind,
    status: CreditStatus,
    value: int,
    *,
    now: datetime,
) -> None:
    """Reserve a part of a payment under the id of what will move it."""
    store.insert(
        connection,
        PaymentCredit(
            id=identifier,
            payment_intent=intent.id,
            kind=kind.value,
            value=value,
            status=status.value,
            created=now,
        ),
    )
    _follow(connection, replace(intent, amount_held=intent.amount_held + value), now=now)


def give_back(connection: Connection, intent: PaymentIntent, identifier: str) -> bool:
    """Let one reservation go, of a locked intent; False when it is none any more.

    Nor while all that is due is on its way: what came was split by what is reserved beside it.
    """
    return bool(_let_go(connection, {intent.id: intent}, {identifier: intent.id}))


def give_back_all(connection: Connection, card: str) -> None:
    """Let go what payments reserve of a gift card, those whose rest is on its way aside.

    The payments are locked here, so before the card.
    """
    reserved = store.held_of(connection, card)
    _let_go(connection, payments.lock_many(connection, reserved.values()), reserved)


def _let_go(
    connection: Connection, intents: dict[str, PaymentIntent], reserved: dict[str, str]
) -> dict[str, int]:
    released = store.release_these(
        connection,
        [
            identifier
            for identifier, intent in reserved.items()
            if intents[intent].status == PaymentStatus.requires_action
        ],
    )
    after = [
        replace(intents[each], amount_held=intents[each].amount_held - value)
        for each, value in released.items()
    ]
    payment_flow.write_status(connection, after)
    return released


def take_back(
    connection: Connection,
    intent: PaymentIntent,
    taken: GiftCardMovement,
    refund: GiftCardMovement,
    *,
    before: int,
    now: datetime,
) -> None:
    """What a card had paid goes back to it: a payment that is open is not paid by it any more.

    ``before``: what of it went back before. The intent is locked.
    """
    credit = store.find(connection, taken.id)
    assert credit is not None
    value = rules.goes_back(intent, credit, units=refund.amount, before=before, of=taken.amount)
    if value:
        put(
            connection,
            intent,
            refund.id,
            CreditKind.gift_card,
            CreditStatus.requested,
            -value,
            now=now,
        )


def lock(connection: Connection, identifier: str) -> PaymentIntent | None:
    """Lock the payment that a movement or transfer pays, before anything of its own."""
    intent = store.find_intent(connection, identifier)
    return None if intent is None else payments.lock_many(connection, [intent])[intent]


def settle(
    connection: Connection,
    intent: PaymentIntent,
    identifier: str,
    *,
    booked: bool,
    now: datetime,
) -> None:
    """The ledger has answered: what was on its way pays, or is not there; told once."""
    status = CreditStatus.posted if booked else CreditStatus.returned
    value = store.finish(connection, identifier, status)
    if value:
        after = replace(
            intent,
            amount_held=intent.amount_held - value,
            amount_credited=intent.amount_credited + (value if booked else 0),
        )
        _follow(connection, after, now=now)


def _follow(connection: Connection, intent: PaymentIntent, *, now: datetime) -> None:
    payment_flow.write_status(connection, [intent])
    counted = payins.list_counted(connection, [intent.id])
    told = payment_flow.follow(connection, {intent.id: intent}, counted, now=now)
    events.append(connection, told, now=now)
