"""A visit: one request of somebody who is signed in, and what a screen may answer."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sakk.console.waiting import said
from sakk.core.errors import UnexpectedState
from sakk.core.idempotency import object_id
from sakk.core.membership import roles_in
from sakk.core.person import Actor, Person
from sakk.core.role import Access, may
from sakk.core.sign_in import is_stepped_up
from sakk.core.site import Site, site_of
from sakk.flow.context import Parts
from sakk.flow.sign_in import SignedIn
from sakk.flow.step_up import StepUp
from sakk.pages.language import Words, words
from sakk.store.database import Database


@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    """``public_url``: where this server is reached, without a slash at the end.

    ``sandbox``: one-time links sign in, and only test money is here. ``trusted_proxies``: networks
    whose ``X-Forwarded-For`` is believed. ``scopes``: all that an API key may be given.
    """

    public_url: str
    sandbox: bool = False
    trusted_proxies: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()

    @property
    def site(self) -> Site | None:
        """Where passkeys belong to; None where there can be none."""
        return site_of(self.public_url)

    @property
    def is_secure(self) -> bool:
        """Is it reached by TLS?"""
        return self.public_url.startswith("https://")


@dataclass(frozen=True, slots=True)
class Visit:
    """One request, as a screen sees it.

    ``account_id``: whose rows are looked at; None: everybody's, for the operator's people alone.
    ``csrf``: what forms carry. ``seed``: of the form that was sent, the same however often it is.
    """

    signed_in: SignedIn
    account_id: str | None
    parts: Parts
    settings: ConsoleSettings
    now: datetime
    language: str
    csrf: str = field(repr=False)
    seed: int
    path: str
    query_string: str
    request_id: str
    address: str | None
    is_htmx: bool = False

    @property
    def person(self) -> Person:
        return self.signed_in.person

    @property
    def livemode(self) -> bool:
        return self.person.livemode

    @property
    def database(self) -> Database:
        return self.parts.database

    @property
    def actor(self) -> Actor:
        """Who acts: the person, by this sign-in."""
        return Actor(self.signed_in.sign_in.id, self.person.id)

    @property
    def is_operator(self) -> bool:
        """Is it one of the operator's people, whichever account they look at?"""
        return bool(self.person.roles)

    @property
    def roles(self) -> list[str]:
        """Those that count for what is looked at."""
        own = roles_in(self.signed_in.memberships, self.account_id)
        return sorted({*self.person.roles, *own})

    def may(self, resource: str, access: Access = "read") -> bool:
        """May they do this, where they look?"""
        if may(self.person.roles, resource, access):
            return True
        own = roles_in(self.signed_in.memberships, self.account_id)
        return may(own, resource, access, everywhere=False)

    def account(self) -> str:
        """The account that something is done in; UnexpectedState where none was chosen."""
        if self.account_id is None:
            raise UnexpectedState(
                words(self.language).gettext("Choose an account first, at the top of the page.")
            )
        return self.account_id

    @property
    def stepped_up(self) -> bool:
        """Did the person prove to be there a moment ago?"""
        return is_stepped_up(self.signed_in.sign_in, self.now)

    @property
    def step_up(self) -> StepUp:
        """That proof, for commands, which look for themselves whether it is fresh."""
        return StepUp(sign_in=self.signed_in.sign_in.id)

    @property
    def time_zone(self) -> str:
        return self.person.time_zone or "UTC"

    @property
    def words(self) -> Words:
        """Messages in the person's language."""
        return words(self.language)

    def kept(self, text: str) -> str | None:
        """Why something waits, as its row keeps it, in the person's language; see `said`."""
        return said(self.words, text)

    @property
    def path_query(self) -> str:
        """Where they are, with what they filter by."""
        return f"{self.path}?{self.query_string}" if self.query_string else self.path

    def object_id(self, prefix: str, index: int = 0) -> str:
        """The id of the ``index``-th object of a kind that this form creates.

        The same however often the form is sent: a double click makes one object.
        """
        return object_id(self.seed, prefix, index)


@dataclass(frozen=True, slots=True)
class Page:
    """A template and what it shows. ``fragment``: what htmx is given instead."""

    template: str
    values: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    fragment: str | None = None


@dataclass(frozen=True, slots=True)
class Redirect:
    """Go on elsewhere; ``flash`` is told there, once, in the person's language.

    ``tone``: good, bad, warn or plain.
    """

    path: str
    flash: str | None = None
    tone: str = "good"


@dataclass(frozen=True, slots=True)
class Download:
    """A file to be saved under a name."""

    name: str
    content: bytes | Iterator[bytes]
    media_type: str = "application/octet-stream"
    # Of what is read while it is sent.
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Data:
    """JSON, for a script of ours."""

    document: Mapping[str, Any]
    status: int = 200


@dataclass(frozen=True, slots=True)
class Rejected:
    """A form that is shown again: what was sent, a text for each field that is wrong, and why."""

    values: Mapping[str, Any]
    faults: Mapping[str, str]
    message: str | None


Answer = Page | Redirect | Download | Data
