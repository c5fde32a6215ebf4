"""Payment intents by what people know of them: narrow questions, each by an index of its own.

An answer is the ids of the newest that fit, at most ``FOUND_MAX``, or conditions of a list.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Connection, Text, cast, literal_column, or_, select
from sqlalchemy.dialects.postgresql import JSONB

from sakk.core.search import Search, SearchKind, as_units, like
from sakk.store.address import addresses
from sakk.store.customer import customers
from sakk.store.database import among
from sakk.store.network import currencies
from sakk.store.payin import payins
from sakk.store.payment import payment_intents

FOUND_MAX: Final = 500
CUSTOMERS_MAX: Final = 50


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose payments: of one account, or of all for the operator (None), in one mode."""

    account_id: str | None
    livemode: bool

    def bound(self) -> list[ColumnElement[bool]]:
        """What an index has before an id: an account in a mode. All accounts' rows are in one."""
        if self.account_id is None:
            return []
        c = payment_intents.c
        return [c.account_id == self.account_id, c.livemode == self.livemode]

    def filters(self) -> list[ColumnElement[bool]]:
        """What must hold besides."""
        return [payment_intents.c.livemode == self.livemode] if self.account_id is None else []


@dataclass(frozen=True, slots=True)
class Found:
    """What a search comes to: ``ids`` that bound the list, or None, and what else must hold."""

    ids: list[str] | None = None
    filters: tuple[ColumnElement[bool], ...] = ()

    def bound(self) -> list[ColumnElement[bool]]:
        """By which the list begins, besides its scope."""
        return [] if self.ids is None else [among(payment_intents.c.id, self.ids)]


def find(connection: Connection, search: Search | None, scope: Scope) -> Found:
    """The payment intents that somebody looks for."""
    if search is None:
        return Found()
    c = payment_intents.c
    match search.kind:
        case SearchKind.id:
            return _by_id(connection, search, scope)
        case SearchKind.hash:
            return Found(_intents_of(connection, payins.c.tx_hash == search.value))
        case SearchKind.address:
            ours = select(addresses.c.payment_intent).where(addresses.c.address == search.value)
            given = [each for each in connection.execute(ours).scalars() if each is not None]
            return Found([*given, *_intents_of(connection, payins.c.sender == search.value)])
        case SearchKind.amount:
            return _by_amount(connection, search.value, scope)
        case SearchKind.email:
            named = select(customers.c.id).where(customers.c.email == search.value)
            if scope.account_id is not None:
                named = named.where(customers.c.account_id == scope.account_id)
            ids = connection.execute(named.limit(CUSTOMERS_MAX)).scalars().all()
            return Found(_of_customers(connection, ids))
        case SearchKind.pair:
            return _by_pair(connection, search.name, search.value, scope)
        case SearchKind.words:
            pattern = like(search.value)
            described = c.description.ilike(pattern)
            return Found(filters=(or_(described, cast(c.metadata, Text).ilike(pattern)),))


def _by_id(connection: Connection, search: Search, scope: Scope) -> Found:
    match search.name:
        case "pin":
            return Found(_intents_of(connection, payins.c.id == search.value))
        case "cus":
            return Found(_of_customers(connection, [search.value]))
        case _:
            return Found([search.value])


def _intents_of(connection: Connection, condition: ColumnElement[bool]) -> list[str]:
    """The payment intents of pay-ins; who may see them is asked where they are listed."""
    found = connection.execute(
        select(payins.c.payment_intent).where(condition).limit(FOUND_MAX)
    ).scalars()
    return sorted({each for each in found if each is not None})


def _of_customers(connection: Connection, ids: Iterable[str]) -> list[str]:
    c = payment_intents.c
    return [
        each
        for customer in ids
        for each in connection.execute(
            select(c.id).where(c.customer == customer).order_by(c.id.desc()).limit(FOUND_MAX)
        ).scalars()
    ][:FOUND_MAX]


def _by_amount(connection: Connection, value: str, scope: Scope) -> Found:
    """By an amount in any currency: as many questions as there are scales."""
    scales = connection.execute(select(currencies.c.decimals).distinct()).scalars()
    units = sorted({each for scale in scales if (each := as_units(value, scale)) is not None})
    amount = payment_intents.c.amount
    if scope.account_id is None:
        return Found(filters=(amount.in_(units),))
    return Found([each for one in units for each in _ids(connection, scope, amount == one)])


def _by_pair(connection: Connection, name: str, value: str, scope: Scope) -> Found:
    holds = payment_intents.c.metadata.op("@>", is_comparison=True)
    wanted = holds(cast({name: value}, JSONB))
    # As the index says it: a bound value would not be known to be that.
    has_any = payment_intents.c.metadata != literal_column("'{}'::jsonb")
    ids = _ids(connection, scope, wanted, has_any, *scope.filters(), ordered=False)
    # Where most have it, an index that has no order is no way to the newest.
    return Found(ids) if len(ids) < FOUND_MAX else Found(filters=(wanted,))


def _ids(
    connection: Connection,
    scope: Scope,
    *conditions: ColumnElement[bool],
    ordered: bool = True,
) -> list[str]:
    statement = select(payment_intents.c.id).where(*scope.bound(), *conditions).limit(FOUND_MAX)
    if ordered:
        statement = statement.order_by(payment_intents.c.id.desc())
    return list(connection.execute(statement).scalars())
