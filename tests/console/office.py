"""Who there is in the console's tests: an operator with people, and two merchants with theirs."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from sqlalchemy import update

from sakk.api.app import ROUTES
from sakk.api.route import scopes
from sakk.console.app import Console
from sakk.console.visit import ConsoleSettings
from sakk.core.account import AccountKind
from sakk.core.invitation import InvitationKind
from sakk.core.membership import Membership
from sakk.core.person import Person
from sakk.core.sign_in import SignInMethod
from sakk.flow import account as accounts
from sakk.flow import invitation as invitations
from sakk.flow.context import Parts
from sakk.store import address as address_store
from sakk.store import membership as memberships
from sakk.store import person as persons
from sakk.store.identity import new_id, now
from sakk.store.sign_in import sign_ins
from sakk.store.vault import Vault
from tests.api.world import XPUB
from tests.console.browser import ORIGIN, Browser

VAULT = Vault(bytes(range(32)))


@dataclass(slots=True)
class Office:
    """A console and who may use it. The operator's account, Alice's and Bob's are there."""

    parts: Parts
    console: Console
    operator: str
    alice: str
    bob: str
    _number: int = field(default=0)

    def person(self, *roles: str, livemode: bool = False, **accounts: list[str]) -> Person:
        """A person with roles everywhere, or in accounts by their names here (``alice``)."""
        self._number += 1
        made = Person(
            id=new_id("per"),
            livemode=livemode,
            name=f"Person {self._number}",
            email=f"person{self._number}@example.com",
            roles=sorted(roles),
            state="active",
            proposal=None,
            public_key=None,
            totp_secret=None,
            totp_confirmed=False,
            totp_step=-1,
            totp_failures=0,
            totp_locked_until=None,
            proposed_by="test",
            approved_by=None,
            created=now(),
        )
        with self.parts.database.begin() as connection:
            persons.insert(connection, made)
            for name, own in accounts.items():
                memberships.put(
                    connection,
                    Membership(made.id, getattr(self, name), livemode, own, "test", now()),
                )
        return made

    def link(self, person: Person, kind: InvitationKind = InvitationKind.enter) -> str:
        """The token of a one-time link of a person's."""
        with self.parts.database.begin() as connection:
            return invitations.make(
                connection,
                person=person.id,
                livemode=person.livemode,
                kind=kind,
                by="test",
                now=now(),
            )

    def unprove(self) -> None:
        """Everybody who is signed in is so by a password, and proved nothing since."""
        with self.parts.database.begin() as connection:
            connection.execute(
                update(sign_ins).values(method=SignInMethod.password, stepped_up_at=None)
            )

    def prove(self) -> None:
        """Everybody who is signed in proved to be there a moment ago."""
        with self.parts.database.begin() as connection:
            connection.execute(update(sign_ins).values(stepped_up_at=now()))

    def browser(self, person: Person | None = None, *, address: str | None = None) -> Browser:
        """A browser, in which somebody is signed in; each comes from a network of its own."""
        self._number += 1
        made = Browser(self.console, address=address or f"10.0.{self._number}.7")
        if person is not None:
            path = f"/console/enter/{self.link(person)}"
            made.get(path)
            got = made.post(path)
            assert (got.status, got.location) == (303, "/console"), got.text
            made.get("/console/security")
        return made


class Meeting:
    """Holds the first two who come until both are there: what they do next collides."""

    def __init__(self, act: Callable[..., Any]) -> None:
        self._act = act
        self._come = count(1)
        self._both = threading.Barrier(2)

    def __call__(self, *given: Any, **named: Any) -> Any:
        if next(self._come) <= self._both.parties:
            self._both.wait(30)
        return self._act(*given, **named)


def make_office(parts: Parts) -> Office:
    """A console in a sandbox, with an operator and two merchants."""
    ids = [new_id("acct") for _ in range(3)]
    with parts.database.begin() as connection:
        address_store.put_wallet(connection, XPUB, now=now())
        for identifier, name in zip(ids, ("Operator", "Alice", "Bob"), strict=True):
            kind = AccountKind.operator if name == "Operator" else AccountKind.merchant
            accounts.create(
                connection,
                account_id=identifier,
                livemode=False,
                now=now(),
                kind=kind,
                details={"name": name},
            )
    parts = replace(parts, vault=VAULT, public_url=ORIGIN)
    console = Console(
        parts, ConsoleSettings(public_url=ORIGIN, sandbox=True, scopes=tuple(scopes(ROUTES)))
    )
    operator, alice, bob = ids
    return Office(parts, console, operator, alice, bob)
