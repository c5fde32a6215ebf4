"""Breakage: two persons say where and after how long, and a stage gives issuers what is left.

Nothing is revenue of the operator's by it: a card's rest goes back to the balance that paid for it.
"""

from typing import Final

from sqlalchemy import Connection

from sakk.core import gift_card as cards
from sakk.core import gift_card_breakage as rules
from sakk.core.errors import ApprovalStale, PermissionDenied, ResourceMissing
from sakk.core.gift_card import MovementKind
from sakk.core.gift_card_breakage import Breakage, BreakageState
from sakk.core.person import Actor
from sakk.core.role import Role
from sakk.flow.context import Parts
from sakk.flow.gift_card import Of, new_movement
from sakk.flow.officer import Officer, find_officer
from sakk.flow.payment import GIFT_CARD_STAGE
from sakk.flow.stage import Stage, wake
from sakk.flow.word import Word, weighing
from sakk.store import gift_card as card_store
from sakk.store import gift_card_breakage as store
from sakk.store.database import fetch
from sakk.store.identity import new_id

DUE_MAX: Final = 100
ROLES: Final = (Role.owner, Role.admin, Role.finance)


def propose(
    parts: Parts, country: str, days: int, note: str | None, *, actor: Actor, livemode: bool
) -> Breakage:
    """Propose what is done with what nobody redeems; another person confirms it.

    Raises ParameterInvalid where the law does not allow it, and PermissionDenied.
    """
    rules.check(country, days)
    with parts.database.begin() as connection:
        by = _officer(connection, actor, livemode=livemode)
        made = Breakage(
            id=new_id(rules.PREFIX),
            livemode=livemode,
            country=country,
            days=days,
            note=note.strip()[: rules.NOTE_LENGTH_MAX] if note else None,
            state=BreakageState.proposed.value,
            proposed_by=by.name,
            created=parts.clock(),
            decided_by=None,
            decided_at=None,
        )
        store.insert(connection, made)
    return made


def confirm(parts: Parts, identifier: str, word: Word, *, livemode: bool) -> Breakage:
    """Another person confirms a proposal, which takes the place of what was in force.

    Raises ResourceMissing, SamePerson, ApprovalStale, PermissionDenied, StepUpRequired,
    StepUpFailed, RateLimited.
    """
    with weighing(parts, word, livemode=livemode) as (connection, now):
        by = _officer(connection, word.actor, livemode=livemode)
        waits = _locked(connection, identifier, livemode=livemode)
        if waits is None or waits.state != BreakageState.proposed:
            raise ResourceMissing("Nothing with this id waits for a second person.", param="id")
        by.second(word.digest).check(
            proposed_by=waits.proposed_by,
            shown=rules.digest_of(waits),
            stale=ApprovalStale(
                "This is not what you were shown: look at it again.", param="digest"
            ),
        )
        rules.check(waits.country, waits.days)
        by.prove(parts, connection, word, now=now)
        store.end_active(connection, waits.country, livemode=livemode)
        store.decide(connection, waits.id, BreakageState.active, by=by.name, now=now)
        after = store.find(connection, waits.id, livemode=livemode)
    assert after is not None
    return after


def end(parts: Parts, identifier: str, *, actor: Actor, livemode: bool) -> None:
    """Refuse or take back what was proposed, or stop what is in force: one person's word."""
    with parts.database.begin() as connection:
        by = _officer(connection, actor, livemode=livemode)
        found = _locked(connection, identifier, livemode=livemode)
        if found is None or found.state == BreakageState.ended:
            raise ResourceMissing("There is no such policy, or it has ended.", param="id")
        if found.state == BreakageState.active:
            store.end_active(connection, found.country, livemode=livemode)
        else:
            store.decide(connection, found.id, BreakageState.ended, by=by.name, now=parts.clock())


def stop(parts: Parts, country: str, *, actor: Actor, livemode: bool) -> None:
    """From now on nothing is given back in a country: one person's word is enough for that."""
    with parts.database.begin() as connection:
        _officer(connection, actor, livemode=livemode)
        store.lock_country(connection, country)
        if not store.end_active(connection, country, livemode=livemode):
            raise ResourceMissing("Nothing is in force there.", param="country")


def lapse_stage(parts: Parts) -> Stage:
    """The stage that gives issuers what is left on cards by the policies in force."""

    def run() -> int:
        now = parts.clock()
        with parts.database.begin() as connection:
            due = fetch(connection, store.lapsed, now=now, limit=DUE_MAX)
            for card in due:
                of = Of(card.account_id, card.livemode, new_id(cards.MOVEMENT_PREFIX))
                movement = new_movement(card, MovementKind.lapse, card.balance, of, now=now)
                card_store.insert_movement(connection, movement)
            if due:
                wake(connection, GIFT_CARD_STAGE)
        return len(due)

    return Stage("gift_card.lapse", run, idle_seconds=60.0, due=(store.lapsed,))


def _locked(connection: Connection, identifier: str, *, livemode: bool) -> Breakage | None:
    """One policy as it stands once its country and then its row are locked: all that change one
    lock them in this order, so that no two wait for each other."""
    told = store.find(connection, identifier, livemode=livemode)
    if told is None:
        return None
    store.lock_country(connection, told.country)
    return store.find(connection, identifier, livemode=livemode, lock=True)


def _officer(connection: Connection, actor: Actor, *, livemode: bool) -> Officer:
    found = find_officer(connection, actor, livemode=livemode)
    if not found.has(ROLES):
        raise PermissionDenied("Only a person with the role finance or admin says so.")
    return found
