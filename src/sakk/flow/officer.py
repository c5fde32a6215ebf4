"""Officers: the person who works on something of the operator's, if their roles let them.

The sandbox alone lets whoever holds the operator's key do what otherwise takes two persons.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from sakk.core.errors import PermissionDenied
from sakk.core.person import Actor, Person
from sakk.core.proposal import SecondPerson
from sakk.core.role import Role
from sakk.flow.context import Parts
from sakk.flow.step_up import acting_person, check
from sakk.flow.word import Word
from sakk.store import case as cases


@dataclass(frozen=True, slots=True)
class Officer:
    """Who acts. ``name``: the person's id. ``person`` None: the operator's key, in the sandbox."""

    name: str
    key: str
    person: Person | None

    def has(self, roles: Collection[Role]) -> bool:
        """One of these roles, or the sandbox's key."""
        return self.person is None or bool(self.person.powers & {each.value for each in roles})

    def second(self, digest: str | None) -> SecondPerson:
        """As who stands for what somebody proposed, and was shown what has this digest."""
        return SecondPerson(self.name, self.person is not None, digest)

    def prove(self, parts: Parts, connection: Connection, word: Word, *, now: datetime) -> None:
        """A person proves to be there, by a code or at the console; StepUpRequired, StepUpFailed.

        The sandbox's key has nothing to prove.
        """
        if self.person is not None:
            check(parts, connection, self.person, word.step_up, message=None, now=now)


def find_officer(connection: Connection, actor: Actor, *, livemode: bool) -> Officer:
    """Who acts: a person, locked; PermissionDenied for a key that is nobody's."""
    if actor.person is None and is_alone(connection, livemode=livemode):
        return Officer(actor.name, actor.key, None)
    person = acting_person(connection, actor, livemode=livemode)
    return Officer(person.id, actor.key, person)


def case_officer(connection: Connection, actor: Actor, *, livemode: bool) -> Officer:
    """Who works on cases, if they may: a person with the role compliance; PermissionDenied."""
    found = find_officer(connection, actor, livemode=livemode)
    if not found.has([Role.compliance]):
        raise PermissionDenied("Only a person with the role compliance works on cases.")
    return found


def is_alone(connection: Connection, *, livemode: bool) -> bool:
    """Is this the sandbox, where one key proposes and confirms?"""
    settings = cases.find_settings(connection, livemode=livemode)
    return settings is not None and settings.one_person
