"""Payouts by what people know of them: narrow questions, each by an index of its own."""

from typing import Final

from sqlalchemy import ColumnElement, Connection, or_, select

from sakk.core.search import Search, SearchKind, as_units, like
from sakk.store.beneficiary import beneficiaries
from sakk.store.database import among
from sakk.store.network import currencies, networks
from sakk.store.payment_search import Found
from sakk.store.payout import payouts
from sakk.store.transaction import attempts

FOUND_MAX: Final = 500


def bound(account_id: str | None, *, livemode: bool) -> list[ColumnElement[bool]]:
    """What an index has before an id: an account in a mode. All accounts' rows are in one."""
    if account_id is None:
        return []
    return [payouts.c.account_id == account_id, payouts.c.livemode == livemode]


def find(
    connection: Connection, search: Search | None, *, account_id: str | None, livemode: bool
) -> Found:
    """The payouts that somebody looks for: ids that bound the list, or what else must hold."""
    if search is None:
        return Found()
    c = payouts.c
    match search.kind:
        case SearchKind.id:
            return _by_id(connection, search)
        case SearchKind.hash:
            return Found(_by_hash(connection, search.value))
        case SearchKind.address:
            own = [] if account_id is None else [c.account_id == account_id]
            return Found(_newest(connection, c.destination == search.value, *own))
        case SearchKind.amount:
            return _by_amount(connection, search.value)
        case SearchKind.email | SearchKind.pair | SearchKind.words:
            return _by_words(connection, search, account_id, livemode=livemode)


def found_bound(found: Found) -> list[ColumnElement[bool]]:
    """By which a list begins that was searched."""
    return [] if found.ids is None else [among(payouts.c.id, found.ids)]


def _by_id(connection: Connection, search: Search) -> Found:
    match search.name:
        case "pob":
            lines = select(payouts.c.id).where(payouts.c.batch == search.value)
            first = lines.order_by(payouts.c.line).limit(FOUND_MAX)
            return Found(list(connection.execute(first).scalars()))
        case "ben":
            return Found(_by_beneficiary(connection, search.value))
        case "tx":
            return Found(_newest(connection, payouts.c.transaction == search.value))
        case _:
            return Found([search.value])


def _by_hash(connection: Connection, value: str) -> list[str]:
    """Those that a transaction carries, whichever of its attempts was mined."""
    names = connection.execute(select(networks.c.network)).scalars().all()
    tried = select(attempts.c.transaction).where(
        among(attempts.c.network, names), attempts.c.hash == value
    )
    carriers = connection.execute(tried.limit(FOUND_MAX)).scalars().all()
    return _newest(connection, among(payouts.c.transaction, carriers)) if carriers else []


def _by_beneficiary(connection: Connection, identifier: str) -> list[str]:
    """Those to the address of an entry, which are its own: an address stands in a book once."""
    c = beneficiaries.c
    entry = connection.execute(
        select(c.account_id, c.address).where(c.id == identifier)
    ).one_or_none()
    if entry is None:
        return []
    return _newest(
        connection,
        payouts.c.account_id == entry.account_id,
        payouts.c.destination == entry.address,
        payouts.c.beneficiary == identifier,
    )


def _by_amount(connection: Connection, value: str) -> Found:
    fits = []
    for currency, decimals in connection.execute(
        select(currencies.c.currency, currencies.c.decimals)
    ):
        units = as_units(value, decimals)
        if units is not None:
            fits.append((payouts.c.currency == currency) & (payouts.c.amount == units))
    return Found(filters=(or_(*fits),)) if fits else Found([])


def _by_words(
    connection: Connection, search: Search, account_id: str | None, *, livemode: bool
) -> Found:
    text = f"{search.name}={search.value}" if search.kind is SearchKind.pair else search.value
    if account_id is not None:
        named = _newest(
            connection,
            payouts.c.account_id == account_id,
            payouts.c.livemode == livemode,
            payouts.c.reference == text,
        )
        if named:
            return Found(named)
    pattern = like(text)
    described = payouts.c.description.ilike(pattern)
    return Found(filters=(or_(described, payouts.c.reference.ilike(pattern)),))


def _newest(connection: Connection, *conditions: ColumnElement[bool]) -> list[str]:
    """The newest that fit, by the time that the index has behind what is looked for."""
    statement = select(payouts.c.id).where(*conditions).order_by(payouts.c.created.desc())
    return list(connection.execute(statement.limit(FOUND_MAX)).scalars())
