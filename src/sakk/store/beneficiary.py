"""Beneficiaries: an account's address book, and which addresses it knows."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Table,
    Text,
    bindparam,
    false,
    func,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from sakk.core.beneficiary import Beneficiary, Known
from sakk.core.payout import PayoutStatus
from sakk.store.database import drive, fetch, fetch_one, given_among, query
from sakk.store.page import PageRequest, fetch_page
from sakk.store.schema import Document, Timestamp, metadata

beneficiaries = Table(
    "beneficiaries",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("name", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("lookalike", Text, nullable=False),
    Column("networks", ARRAY(Text), nullable=False),
    Column("usable_at", Timestamp, nullable=False),
    Column("ownership", Document),
    Column("travel_rule", Document),
    Column("confirmed_unlike", Text),
    Column("description", Text),
    Column("metadata", Document, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_beneficiaries_account", "account_id", "livemode", "id"),
    Index("ix_beneficiaries_lookalike", "account_id", "livemode", "lookalike"),
    # Two living entries for one address would have two delays, and nobody knows which counts.
    Index(
        "uq_beneficiaries_address",
        "account_id",
        "livemode",
        "address",
        unique=True,
        postgresql_where=text("not deleted"),
    ),
)
_COLUMNS = [column for column in beneficiaries.columns if column.name != "lookalike"]
_PAID = [
    PayoutStatus.signed.value,
    PayoutStatus.broadcast.value,
    PayoutStatus.unknown.value,
    PayoutStatus.confirmed.value,
    PayoutStatus.posted.value,
]


def insert(connection: Connection, entry: Beneficiary, *, lookalike: str) -> None:
    """Record an entry; the caller has looked for a living one of the same address."""
    values = {name: getattr(entry, name) for name in Beneficiary.__slots__}
    connection.execute(beneficiaries.insert(), {**values, "lookalike": lookalike})


def find(
    connection: Connection,
    identifier: str,
    *,
    account_id: str | None,
    livemode: bool,
    lock: bool = False,
) -> Beneficiary | None:
    """One entry of an account, or of any (None), a deleted one too."""
    statement = select(*_COLUMNS).where(
        beneficiaries.c.id == identifier, beneficiaries.c.livemode == livemode
    )
    if account_id is not None:
        statement = statement.where(beneficiaries.c.account_id == account_id)
    return fetch_one(connection, statement.with_for_update() if lock else statement, Beneficiary)


def find_all(
    connection: Connection,
    *,
    identifiers: Collection[str],
    addresses: Collection[str],
    account_id: str,
    livemode: bool,
) -> list[Beneficiary]:
    """The entries with these ids, deleted ones too, and the living ones of these addresses."""
    return fetch(
        connection,
        _named,
        account=account_id,
        livemode=livemode,
        identifiers=list(identifiers),
        addresses=list(addresses),
    )


_named = query(
    select(*_COLUMNS).where(
        beneficiaries.c.account_id == bindparam("account", type_=Text),
        beneficiaries.c.livemode == bindparam("livemode", type_=Boolean),
        or_(
            given_among(beneficiaries.c.id, "identifiers"),
            given_among(beneficiaries.c.address, "addresses") & ~beneficiaries.c.deleted,
        ),
    ),
    Beneficiary,
)


def find_known(
    connection: Connection, keys: Collection[str], *, account_id: str, livemode: bool
) -> dict[str, list[Known]]:
    """What the account knows that could be taken for others, by `lookalike_key`.

    Known is what stands in its book and what it paid.
    """
    if not keys:
        return {}
    wanted: dict[str, Any] = {"account": account_id, "livemode": livemode, "paid": _PAID}
    if len(keys) == 1:
        [wanted["key"]] = keys
        rows = drive(connection, _KNOWN_BY_ONE, wanted)
    else:
        rows = drive(connection, _KNOWN_BY_MANY, wanted | {"keys": list(keys)})
    found: dict[str, list[Known]] = {}
    for key, address, entry in rows:
        how = "was paid before" if entry is None else f"is the beneficiary {entry}"
        found.setdefault(key, []).append(Known(address, how))
    return found


# By one key the plan is made once, of ``= ANY`` PostgreSQL makes it for every call. The digits are
# those of ``LOOKALIKE``, as its index has them.
_KNOWN = (
    "SELECT lookalike, address, id FROM beneficiaries"
    " WHERE account_id = %(account)s AND livemode = %(livemode)s AND NOT deleted"
    " AND lookalike {matches}"
    " UNION ALL SELECT DISTINCT substr(destination, 3, 3) || right(destination, 3), destination,"
    " NULL FROM payouts WHERE account_id = %(account)s AND livemode = %(livemode)s"
    " AND substr(destination, 3, 3) || right(destination, 3) {matches}"
    " AND status = ANY(%(paid)s)"
)
_KNOWN_BY_ONE = _KNOWN.format(matches="= %(key)s")
_KNOWN_BY_MANY = _KNOWN.format(matches="= ANY(%(keys)s)")


def lock_address(connection: Connection, address: str, *, account_id: str, livemode: bool) -> bool:
    """Is there a living entry of this address? Until the end nobody else writes one."""
    # Two requests at once for one address: the second sees what the first wrote.
    connection.execute(
        select(func.pg_advisory_xact_lock(func.hashtextextended(f"{account_id}:{address}", 0)))
    )
    statement = select(true()).where(
        *_of(account_id, livemode),
        beneficiaries.c.address == address,
        beneficiaries.c.deleted == false(),
    )
    return connection.execute(statement).first() is not None


def change(
    connection: Connection, identifier: str, values: Mapping[str, Any], *, account_id: str
) -> None:
    """Write what may change of an entry."""
    connection.execute(
        update(beneficiaries)
        .where(beneficiaries.c.id == identifier, beneficiaries.c.account_id == account_id)
        .values(dict(values))
    )


def list_entries(
    connection: Connection,
    page: PageRequest,
    *,
    account_id: str,
    livemode: bool,
    filters: Sequence[ColumnElement[bool]] = (),
) -> tuple[list[Beneficiary], bool]:
    """The living entries, newest first."""
    return fetch_page(
        connection,
        beneficiaries,
        _entry,
        account_id=account_id,
        livemode=livemode,
        page=page,
        filters=[beneficiaries.c.deleted == false(), *filters],
    )


def _entry(*, lookalike: str, **columns: Any) -> Beneficiary:
    return Beneficiary(**columns)


def _of(account_id: str, livemode: bool) -> tuple[ColumnElement[bool], ...]:
    return (beneficiaries.c.account_id == account_id, beneficiaries.c.livemode == livemode)
