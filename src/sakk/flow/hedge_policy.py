"""Hedge policies: less goes by itself when one person says so, more when two do."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from sakk.core import hedge_policy as rules
from sakk.core.errors import (
    ApprovalStale,
    PermissionDenied,
    ResourceMissing,
)
from sakk.core.hedge_policy import HedgePolicy, HedgeProposal
from sakk.core.person import Actor
from sakk.core.role import Role
from sakk.flow.context import Parts
from sakk.flow.officer import Officer, find_officer
from sakk.flow.stage import wake
from sakk.flow.word import Word, weighing
from sakk.store import hedge_policy as store
from sakk.store import network

ROLES: Final = (Role.owner, Role.admin, Role.finance, Role.approver)


@dataclass(frozen=True, slots=True)
class HedgeWish:
    """What a currency's policy is to be; see `HedgePolicy`."""

    currency: str
    against: str
    threshold_usd_cents: int
    auto_usd_cents: int
    note: str | None = None


def propose(
    parts: Parts, wish: HedgeWish, *, actor: Actor, livemode: bool
) -> tuple[HedgePolicy | None, HedgeProposal | None]:
    """Say how a currency's position is closed: the policy that stands then, and what waits.

    What lets less go by itself is in force at once. The same again changes nothing. Raises
    ParameterInvalid and PermissionDenied.
    """
    note = wish.note.strip()[: rules.NOTE_LENGTH_MAX] if wish.note else None
    now = parts.clock()
    with parts.database.begin() as connection:
        by = _officer(connection, actor, livemode=livemode)
        store.lock_change(connection)
        made = HedgeProposal(
            wish.currency,
            livemode,
            wish.against,
            wish.threshold_usd_cents,
            wish.auto_usd_cents,
            note,
            by.name,
            now,
        )
        policy = _checked(connection, made.policy(now))
        before = store.find(connection, policy.currency, livemode=livemode)
        if not rules.takes_two(before, policy):
            store.put(connection, policy)
            wake(connection, "order.hedge")
            return policy, store.find_proposal(connection, policy.currency, livemode=livemode)
        waits = store.find_proposal(connection, policy.currency, livemode=livemode)
        if waits is None or waits.policy(now) != policy or waits.proposed_by != by.name:
            store.put_proposal(connection, made)
            waits = made
        return before, waits


def confirm(parts: Parts, currency: str, word: Word, *, livemode: bool) -> HedgePolicy:
    """Another person confirms what was proposed; it is in force from now on.

    Raises ResourceMissing, SamePerson, ApprovalStale, PermissionDenied, StepUpRequired,
    StepUpFailed, RateLimited.
    """
    with weighing(parts, word, livemode=livemode) as (connection, now):
        by = _officer(connection, word.actor, livemode=livemode)
        store.lock_change(connection)
        waits = _waiting(connection, currency, livemode=livemode)
        before = store.find(connection, currency, livemode=livemode)
        by.second(word.digest).check(
            proposed_by=waits.proposed_by,
            shown=rules.digest_of(waits, before),
            stale=ApprovalStale(
                "This is not what you were shown: look at the policy again.", param="digest"
            ),
        )
        policy = _checked(connection, waits.policy(now))
        by.prove(parts, connection, word, now=now)
        store.put(connection, policy)
        store.drop_proposal(connection, currency, livemode=livemode)
        wake(connection, "order.hedge")
    return policy


def decline(parts: Parts, currency: str, *, actor: Actor, livemode: bool) -> None:
    """Refuse what was proposed, or take it back. ResourceMissing, PermissionDenied."""
    with parts.database.begin() as connection:
        _officer(connection, actor, livemode=livemode)
        store.lock_change(connection)
        _waiting(connection, currency, livemode=livemode)
        store.drop_proposal(connection, currency, livemode=livemode)


def _officer(connection: Connection, actor: Actor, *, livemode: bool) -> Officer:
    found = find_officer(connection, actor, livemode=livemode)
    if not found.has(ROLES):
        raise PermissionDenied("Only a person with the role finance or approver says so.")
    return found


def _waiting(connection: Connection, currency: str, *, livemode: bool) -> HedgeProposal:
    found = store.find_proposal(connection, currency, livemode=livemode)
    if found is None:
        raise ResourceMissing(
            "Nothing is proposed for {currency}.", param="id", currency=repr(currency)
        )
    return found


def _checked(connection: Connection, policy: HedgePolicy) -> HedgePolicy:
    decimals = {each.currency: each.decimals for each in network.list_currencies(connection)}
    return rules.check_policy(policy, decimals, store.list_all(connection))
