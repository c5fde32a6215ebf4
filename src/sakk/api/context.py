"""Who asks, in which mode, and what a handler may use to answer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.api.catalogue import CatalogueCache
from sakk.api.dependencies import ApiSettings, Dependencies
from sakk.core.account import AccountKind
from sakk.core.api_key import ApiKey
from sakk.core.application_fee import Application, applied
from sakk.core.connected_account import ConnectedAccount
from sakk.core.idempotency import object_id
from sakk.core.person import Actor
from sakk.flow.context import Parts
from sakk.flow.payment import Catalogue
from sakk.store.database import Database

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Caller:
    """The key that was shown, and the account that it acts for.

    ``roles``: those of the person whose key it is; None for a key that is nobody's in particular.
    """

    key: ApiKey
    account_id: str
    key_account_kind: str
    roles: Sequence[str] | None = None
    # By which a platform acts for the account.
    connected: ConnectedAccount | None = None

    @property
    def is_operator(self) -> bool:
        """Does the key belong to the operator's account, whichever account it acts for?"""
        return self.key_account_kind == AccountKind.operator


@dataclass(frozen=True, slots=True)
class Context:
    """One request, as a handler sees it. ``scopes`` are all that a restricted key may have."""

    dependencies: Dependencies
    caller: Caller
    now: datetime
    request_id: str
    seed: int
    scopes: Sequence[str]
    catalogues: CatalogueCache
    resumed: bool = False
    transaction: Connection | None = None

    @property
    def account_id(self) -> str:
        """The tenant: the key's account, or the one named by ``Stripe-Account``."""
        return self.caller.account_id

    @property
    def livemode(self) -> bool:
        return self.caller.key.livemode

    @property
    def actor(self) -> Actor:
        """Who acts: the key, and the person whose key it is."""
        return Actor(self.caller.key.id, self.caller.key.person)

    @property
    def is_operator(self) -> bool:
        return self.caller.is_operator

    def application(self, amount: int | None, *, of: int, param: str) -> Application | None:
        """For which platform something of an amount is done, and what that takes of it;
        ParameterInvalid for a fee that the account did not agree to."""
        return applied(self.caller.connected, amount, of=of, param=param)

    @property
    def visible_account_id(self) -> str | None:
        """Whose rows the caller sees in what the operator oversees: None is everybody's.

        The operator sees all accounts' payins, payouts and events with its own key alone, and one
        account's when it names one.
        """
        if self.is_operator and self.account_id == self.caller.key.account_id:
            return None
        return self.account_id

    @property
    def catalogue(self) -> Catalogue:
        """Currencies, networks and assets, at most a second old."""
        return self.catalogues.read(self.connection)

    @property
    def connection(self) -> Connection:
        """The transaction that also holds the idempotency key's row; not there in two steps."""
        if self.transaction is None:
            raise RuntimeError("a command in two steps opens its own transactions")
        return self.transaction

    @property
    def database(self) -> Database:
        return self.dependencies.database

    @property
    def parts(self) -> Parts:
        return self.dependencies.parts

    @property
    def settings(self) -> ApiSettings:
        return self.dependencies.settings

    def object_id(self, prefix: str, index: int = 0) -> str:
        """The id of the ``index``-th object of a kind that this request creates.

        The same for every attempt under one idempotency key, whatever crashed in between.
        """
        return object_id(self.seed, prefix, index)


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of a list, as a handler returns it; the door adds the envelope."""

    data: list[Document]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Download:
    """A file as its bytes. ``disposition`` says that it is to be saved, under which name."""

    content: bytes
    disposition: str


@dataclass(frozen=True, slots=True)
class Streamed:
    """A file too large for memory: its bytes as they are read, and how many, if that is known."""

    pieces: Iterator[bytes]
    size: int | None
    disposition: str


@dataclass(frozen=True, slots=True)
class ShownOnce:
    """An answer with a secret: ``document`` goes out now, ``stored`` is what a replay shows."""

    document: Document
    stored: Document
