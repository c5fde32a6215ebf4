"""Gift cards: issued and paid for, redeemed in parts or whole, given back to, frozen, replaced.

Every movement is a row before it is a transfer, written under its card's lock. A code follows from
the vault's key and the card's id, so that every attempt to issue a card shows the same.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from sakk.core import closed_loop_event as event
from sakk.core import gift_card as rules
from sakk.core import money
from sakk.core.errors import (
    BalanceInsufficient,
    ParameterInvalid,
    PermissionDenied,
    RateLimited,
    ResourceMissing,
    UnexpectedState,
)
from sakk.core.event import NewEvent
from sakk.core.gift_card import (
    GiftCard,
    GiftCardMovement,
    GiftCardStatus,
    MovementKind,
    Redeemable,
)
from sakk.core.person import Actor
from sakk.flow import credit_fee
from sakk.flow import payment_credit as credits
from sakk.flow.book import PostingSet
from sakk.flow.context import Parts
from sakk.flow.money_request import decimals_of
from sakk.flow.payment import GIFT_CARD_STAGE
from sakk.flow.stage import Stage
from sakk.flow.transfer import DECLINED, check_may_pay, judge
from sakk.store import event as events
from sakk.store import gift_card as store
from sakk.store.database import fetch
from sakk.store.failpoint import failpoint

LEFT_BEHIND_MAX = 100
WRONG_CODE = "There is no gift card with this code."


@dataclass(frozen=True, slots=True)
class Issue:
    """What a card is to be worth, and its terms. ``active`` False: it is handed out later."""

    amount: int
    currency: str
    redeemable: Redeemable = Redeemable.issuer
    country: str | None = None
    expires_at: datetime | None = None
    active: bool = True
    metadata: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Of:
    """Whose act it is: the account, its mode, and the id of the movement that it makes."""

    account_id: str
    livemode: bool
    movement_id: str
    request_id: str | None = None
    actor: Actor | None = None


def issue(parts: Parts, wanted: Issue, *, identifier: str, of: Of) -> tuple[GiftCard, str]:
    """Make a card and pay what it is worth; its code, which nobody else will see again.

    Repeat under the same identifiers. Raises BalanceInsufficient, PermissionDenied.
    """
    now = parts.clock()
    code = code_of(parts, identifier)
    with parts.database.begin() as connection:
        card = store.find(
            connection, identifier, account_id=of.account_id, livemode=of.livemode, lock=True
        )
        if card is None:
            card = new_card(connection, wanted, identifier, of, code, now=now)
            check_may_pay(connection, of.account_id, livemode=of.livemode)
            movement = new_movement(card, MovementKind.issue, card.amount, of, now=now)
            judge(parts, connection, rules.facts_of(card, movement), livemode=of.livemode)
            store.insert(connection, card)
            store.insert_movement(connection, movement)
        movement = _known(connection, of)
    carry_out(parts, movement, active=wanted.active)
    with parts.database.begin() as connection:
        made = store.find(connection, identifier, account_id=None, livemode=of.livemode)
    assert made is not None
    return made, code


def activate(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool, now: datetime
) -> GiftCard:
    """From now on the card may be redeemed."""
    return _turn(
        connection,
        identifier,
        GiftCardStatus.inactive,
        GiftCardStatus.active,
        account_id=account_id,
        livemode=livemode,
        now=now,
    )


def stop(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool, now: datetime
) -> GiftCard:
    """A card that is lost: nothing is redeemed of it until it is let go, or replaced.

    What payments reserve of it they have no more, those aside whose rest is on its way.
    """
    if store.find(connection, identifier, account_id=account_id, livemode=livemode) is not None:
        credits.give_back_all(connection, identifier)
    return _turn(
        connection,
        identifier,
        GiftCardStatus.active,
        GiftCardStatus.frozen,
        account_id=account_id,
        livemode=livemode,
        now=now,
    )


def let_go(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool, now: datetime
) -> GiftCard:
    """The card was found."""
    return _turn(
        connection,
        identifier,
        GiftCardStatus.frozen,
        GiftCardStatus.active,
        account_id=account_id,
        livemode=livemode,
        now=now,
    )


def look_up(parts: Parts, code: str, *guessers: str, livemode: bool) -> GiftCard:
    """The card of a code. Who tries many that are none waits; no card is ever locked by it.

    ``guessers``: the account, or at a checkout the payment and where the payer comes from; each of
    them waits.
    """
    digest = rules.hash_code(code)
    now = parts.clock()
    with parts.database.begin() as connection:
        if not all(store.may_try(connection, each, now=now) for each in guessers):
            raise RateLimited(
                "Too many codes that are none. Try again later.",
                retry_after_seconds=rules.WRONG_WINDOW_SECONDS,
            )
        found = store.find_code(connection, digest, livemode=livemode)
        is_there = found is not None and found.status != GiftCardStatus.rejected
        if not is_there:
            for each in sorted(guessers):
                store.count_wrong(connection, each, now=now)
    if found is None or not is_there:
        raise ParameterInvalid(WRONG_CODE, param="code")
    return found


def redeem(
    parts: Parts,
    code: str,
    amount: int | None,
    *,
    of: Of,
    description: str | None = None,
    metadata: dict[str, str] | None = None,
) -> GiftCardMovement:
    """Take what is left of a card, or a part, onto the account's balance; repeat under its id."""
    with parts.database.begin() as connection:
        movement = store.find_movement(
            connection, of.movement_id, account_id=of.account_id, livemode=of.livemode
        )
    if movement is None:
        found = look_up(parts, code, of.account_id, livemode=of.livemode)
        now = parts.clock()
        with parts.database.begin() as connection:
            card, left = lock_to_redeem(connection, found, of.account_id, now=now)
            units = rules.amount_to_redeem(card, amount, left=left)
            movement = drafted(parts, connection, card, units, of, now=now)
            store.insert_movement(
                connection, replace(movement, description=description, metadata=metadata or {})
            )
            movement = _known(connection, of)
    return carry_out(parts, movement)


def lock_to_redeem(
    connection: Connection, found: GiftCard, by: str, *, now: datetime
) -> tuple[GiftCard, int]:
    """Lock a card that was looked up for an account to redeem; with what is left of it."""
    card = _locked(connection, found.id, account_id=None, livemode=found.livemode)
    if card.code_hash != found.code_hash:
        raise ParameterInvalid(WRONG_CODE, param="code")
    rules.check_redeemable(card, by, now=now)
    _check_pays(connection, card)
    left = card.balance - store.on_its_way(connection, card.id)
    if left <= 0:
        raise UnexpectedState("Nothing is left on this card.")
    return card, left


def drafted(
    parts: Parts, connection: Connection, card: GiftCard, units: int, of: Of, *, now: datetime
) -> GiftCardMovement:
    """A redemption that the policy lets pass, not written yet; PermissionDenied."""
    movement = new_movement(card, MovementKind.redeem, units, of, now=now)
    if movement.destination is not None:
        facts = rules.facts_of(card, movement)
        judge(parts, connection, facts, livemode=of.livemode, counted_before=units)
    return movement


def refund(parts: Parts, redemption: str, amount: int | None, *, of: Of) -> GiftCardMovement:
    """Give a redemption back to its card, or a part; in all no more than was redeemed."""
    now = parts.clock()
    with parts.database.begin() as connection:
        movement = store.find_movement(
            connection, of.movement_id, account_id=of.account_id, livemode=of.livemode
        )
        if movement is None:
            taken = store.find_movement(
                connection, redemption, account_id=of.account_id, livemode=of.livemode
            )
            if taken is None:
                raise ResourceMissing(
                    "No such redemption: {identifier}", param="id", identifier=repr(redemption)
                )
            if taken.kind != MovementKind.redeem or taken.status != "posted":
                raise UnexpectedState("Only what was redeemed is given back.")
            # A payment before the card that pays it.
            intent = credits.lock(connection, taken.id)
            card = _locked(connection, taken.card, account_id=None, livemode=of.livemode)
            if card.status == GiftCardStatus.replaced:
                raise UnexpectedState("The card was replaced: pay its holder another way.")
            check_may_pay(connection, of.account_id, livemode=of.livemode)
            before = store.given_back(connection, taken.id)
            left = taken.amount - before
            units = left if amount is None else amount
            if not 0 < units <= left:
                raise ParameterInvalid(
                    "Of this redemption {amount} {currency} can be given back.",
                    param="amount",
                    amount=money.format_decimal(left, taken.decimals),
                    currency=taken.currency,
                )
            movement = replace(
                new_movement(card, MovementKind.refund, units, of, now=now, other=taken.id),
                fee_returned=credit_fee.returned(connection, taken, before=before, giving=units),
            )
            judge(parts, connection, rules.facts_of(card, movement), livemode=of.livemode)
            store.insert_movement(connection, movement)
            if intent is not None:
                credits.take_back(connection, intent, taken, movement, before=before, now=now)
            movement = _known(connection, of)
    return carry_out(parts, movement)


def substitute(parts: Parts, identifier: str, *, new_id: str, of: Of) -> tuple[GiftCard, str]:
    """Another card, with another code, for one that is frozen: all that is left goes onto it."""
    now = parts.clock()
    code = code_of(parts, new_id)
    with parts.database.begin() as connection:
        card = _locked(connection, identifier, account_id=of.account_id, livemode=of.livemode)
        made = store.find(connection, new_id, account_id=of.account_id, livemode=of.livemode)
        if made is None:
            if card.status != GiftCardStatus.frozen:
                raise UnexpectedState("Freeze the card first, so that nothing is redeemed of it.")
            if store.is_moving(connection, card.id):
                raise UnexpectedState("Something of the card is on its way. Try again in a moment.")
            if not card.balance:
                raise UnexpectedState("Nothing is left on this card.")
            check_may_pay(connection, of.account_id, livemode=of.livemode)
            made = replace(
                card,
                id=new_id,
                amount=card.balance,
                balance=0,
                status=GiftCardStatus.requested.value,
                code_hash=rules.hash_code(code),
                hint=rules.hint_of(code),
                replaces=card.id,
                created=now,
            )
            store.insert(connection, made)
            store.change(connection, card.id, {"status": GiftCardStatus.replaced.value})
            movement = new_movement(
                card, MovementKind.replacement, card.balance, of, now=now, other=made.id
            )
            store.insert_movement(connection, movement)
            _tell(
                connection,
                replace(card, status=GiftCardStatus.replaced.value),
                event.GIFT_CARD_REPLACED,
                now=now,
            )
        movement = _known(connection, of)
    carry_out(parts, movement)
    with parts.database.begin() as connection:
        after = store.find(connection, new_id, account_id=None, livemode=of.livemode)
    assert after is not None
    return after, code


def left_behind_stage(parts: Parts) -> Stage:
    """The stage that finishes movements whose request did not live to see the ledger's answer."""

    def run() -> int:
        with parts.database.begin() as connection:
            rows = fetch(connection, store.left_behind, now=parts.clock(), limit=LEFT_BEHIND_MAX)
        for row in rows:
            # Nobody was shown the code: the card stays inactive until its issuer looks at it.
            _post(parts, row, active=False)
        return len(rows)

    return Stage(GIFT_CARD_STAGE, run, idle_seconds=5.0, due=(store.left_behind,))


def new_card(
    connection: Connection,
    wanted: Issue,
    identifier: str,
    of: Of,
    code: str,
    *,
    now: datetime,
) -> GiftCard:
    """A card as it is asked for, not paid for yet; ParameterInvalid for an expiry too soon."""
    rules.check_expiry(wanted.expires_at, wanted.country, now=now)
    return GiftCard(
        id=identifier,
        account_id=of.account_id,
        livemode=of.livemode,
        amount=wanted.amount,
        balance=0,
        currency=wanted.currency,
        decimals=decimals_of(connection, wanted.currency),
        status=GiftCardStatus.requested.value,
        redeemable=wanted.redeemable.value,
        country=wanted.country,
        expires_at=wanted.expires_at,
        code_hash=rules.hash_code(code),
        hint=rules.hint_of(code),
        replaces=None,
        metadata=wanted.metadata or {},
        created=now,
    )


def code_of(parts: Parts, identifier: str) -> str:
    """The code of a card: only this installation's vault can make it again."""
    key = parts.secrets_vault().derive(f"gift card {identifier}")
    return rules.write_code(int.from_bytes(key, "big"))


def new_movement(
    card: GiftCard,
    kind: MovementKind,
    amount: int,
    of: Of,
    *,
    now: datetime,
    other: str | None = None,
) -> GiftCardMovement:
    # Money of a card comes from its issuer, and goes back there.
    pays = kind in (MovementKind.redeem, MovementKind.refund) and of.account_id != card.account_id
    paid = of.account_id if kind is MovementKind.redeem else card.account_id
    return GiftCardMovement(
        id=of.movement_id,
        card=card.id,
        account_id=of.account_id,
        livemode=card.livemode,
        kind=kind.value,
        amount=amount,
        currency=card.currency,
        decimals=card.decimals,
        other=other,
        status="requested",
        failure_code=None,
        description=None,
        metadata={},
        created=now,
        destination=paid if pays else None,
        initiator=None if of.actor is None else of.actor.key,
        initiator_person=None if of.actor is None else of.actor.person,
    )


def _check_pays(connection: Connection, card: GiftCard) -> None:
    """The card's issuer may pay, as for a transfer; why not is nobody else's business."""
    try:
        check_may_pay(connection, card.account_id, livemode=card.livemode)
    except PermissionDenied:
        raise PermissionDenied(DECLINED) from None


def _known(connection: Connection, of: Of) -> GiftCardMovement:
    """The movement as it was written first, whichever request did so."""
    found = store.find_movement(
        connection, of.movement_id, account_id=of.account_id, livemode=of.livemode
    )
    assert found is not None
    return found


def _locked(
    connection: Connection, identifier: str, *, account_id: str | None, livemode: bool
) -> GiftCard:
    found = store.find(connection, identifier, account_id=account_id, livemode=livemode, lock=True)
    if found is None:
        raise ResourceMissing(
            "No such gift card: {identifier}", param="id", identifier=repr(identifier)
        )
    return found


def _turn(
    connection: Connection,
    identifier: str,
    before: GiftCardStatus,
    after: GiftCardStatus,
    *,
    account_id: str,
    livemode: bool,
    now: datetime,
) -> GiftCard:
    card = _locked(connection, identifier, account_id=account_id, livemode=livemode)
    if card.status == after:
        return card
    if card.status != before:
        raise UnexpectedState(
            "This card is {status}, not {before}.", status=card.status, before=before.value
        )
    turned = replace(card, status=after.value)
    store.change(connection, card.id, {"status": after.value})
    name = event.GIFT_CARD_FROZEN if after is GiftCardStatus.frozen else event.GIFT_CARD_ACTIVATED
    _tell(connection, turned, name, now=now)
    return turned


def carry_out(parts: Parts, movement: GiftCardMovement, *, active: bool = True) -> GiftCardMovement:
    """Move what was written down; a movement that has ended is answered as it stands."""
    if movement.status == "requested":
        failpoint("gift_card.post.before")
        movement = _post(parts, movement, active=active)
    if movement.status == "rejected":
        needed = money.format_decimal(movement.amount, movement.decimals)
        raise BalanceInsufficient(
            "The available balance does not cover {amount} {currency}.",
            param="amount",
            amount=needed,
            currency=movement.currency,
        )
    return movement


def _post(parts: Parts, movement: GiftCardMovement, *, active: bool) -> GiftCardMovement:
    [outcome] = parts.books.post([PostingSet(movement.id, "move", 0, rules.postings(movement))])
    failpoint("gift_card.post.after")
    done = replace(
        movement,
        status="posted" if outcome.booked else "rejected",
        failure_code=None if outcome.booked else BalanceInsufficient.code,
    )
    now = parts.clock()
    with parts.database.begin() as connection:
        # A payment before the card that pays it, as who applies the card does.
        intent = credits.lock(connection, movement.id)
        card = _locked(connection, movement.card, account_id=None, livemode=movement.livemode)
        # Only who takes the row out of `requested` changes the card and tells of it.
        if store.finish(connection, done):
            _settle(connection, card, done, active=active, now=now)
            credit_fee.book_card(connection, done, now=now)
            if intent is not None:
                credits.settle(connection, intent, done.id, booked=outcome.booked, now=now)
    return done


def _settle(
    connection: Connection,
    card: GiftCard,
    movement: GiftCardMovement,
    *,
    active: bool,
    now: datetime,
) -> None:
    """What a movement that has ended does to its card, and to the one that replaces it."""
    if movement.status == "rejected":
        if movement.kind == MovementKind.issue:
            store.change(connection, card.id, {"status": GiftCardStatus.rejected.value})
        return
    after = replace(card, balance=card.balance + rules.change_of(movement))
    store.change(connection, card.id, {"balance": after.balance})
    if movement.kind == MovementKind.issue:
        _begin(connection, after, active=active, now=now)
    if movement.kind == MovementKind.replacement:
        assert movement.other is not None
        made = _locked(connection, movement.other, account_id=None, livemode=card.livemode)
        made = replace(made, balance=movement.amount)
        store.change(connection, made.id, {"balance": made.balance})
        _begin(connection, made, active=active, now=now)
    told = dict.fromkeys((movement.account_id, card.account_id))
    events.append(
        connection,
        [
            NewEvent(
                account_id=who,
                livemode=movement.livemode,
                type=event.GIFT_CARD_MOVEMENT_POSTED,
                object_id=movement.id,
                object=rules.public_movement(movement, for_issuer=who != movement.account_id),
            )
            for who in told
        ],
        now=now,
    )


def _begin(connection: Connection, card: GiftCard, *, active: bool, now: datetime) -> None:
    status = GiftCardStatus.active if active else GiftCardStatus.inactive
    begun = replace(card, status=status.value)
    store.change(connection, card.id, {"status": status.value})
    _tell(connection, begun, event.GIFT_CARD_CREATED, now=now)


def _tell(connection: Connection, card: GiftCard, name: str, *, now: datetime) -> None:
    told = NewEvent(
        account_id=card.account_id,
        livemode=card.livemode,
        type=name,
        object_id=card.id,
        object=rules.public(card),
    )
    events.append(connection, [told], now=now)
