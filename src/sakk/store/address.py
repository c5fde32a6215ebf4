"""The address book: every address ever issued or held, watched for ever.

Deposit addresses are derived watch-only from the wallet's extended public key, one index each. The
index comes from a sequence, so that two processes never share one; a gap costs nothing.
"""

import os
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from weakref import WeakKeyDictionary

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    Index,
    Sequence,
    Table,
    Text,
    cast,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from sakk.core.clone import clone_of
from sakk.core.errors import Misconfigured
from sakk.core.hd import Seed, deposit_address, xpub_at
from sakk.core.sender import TreasuryRole
from sakk.store.database import among, as_json, fetch_all, fetch_one, insert_given, run
from sakk.store.identity import new_id
from sakk.store.schema import Timestamp, Units, metadata

FAMILY_EVM = "eip155"
RESERVED_INDICES = 64
# More indices than are given out between the making of a seed and its being known to all.
SEED_GAP = 10_000
TREASURY = "treasury"
VAULT = "vault"
OPERATORS = (TREASURY, VAULT)
PAYMENT, CUSTOMER, RECEIVING = "payment", "customer", "receiving"
# What payers send coins to, which are collected from there.
DEPOSITS = (PAYMENT, CUSTOMER, RECEIVING)
# A rotation's roles are not the policy file's to change, until it was called off.
_SENDING = (TreasuryRole.pay, TreasuryRole.gas, TreasuryRole.capture)
_BY_POLICY = (*_SENDING, TreasuryRole.unused)
# A vault's key is elsewhere, so it has no index here.
NO_KEY = -1

wallets = Table(
    "wallets",
    metadata,
    Column("family", Text, primary_key=True),
    Column("xpub", Text, nullable=False),
    Column("created", Timestamp, nullable=False),
)

# The seeds that came after the wallet's first, each with the index from which on it is used.
seeds = Table(
    "wallet_seeds",
    metadata,
    Column("family", Text, primary_key=True),
    Column("first_index", BigInteger, primary_key=True, autoincrement=False),
    Column("xpub", Text, nullable=False),
    Column("created", Timestamp, nullable=False),
)

address_index = Sequence("address_index", start=0, minvalue=0, metadata=metadata)

addresses = Table(
    "addresses",
    metadata,
    Column("id", Text, primary_key=True),
    Column("family", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("key_index", BigInteger, nullable=False),
    Column("account_id", Text),
    Column("livemode", Boolean, nullable=False),
    Column("payment_intent", Text),
    Column("customer", Text),
    Column("created", Timestamp, nullable=False),
    # The inserting transaction's number lets the watcher read what is new without a gap: rows
    # become visible in commit order, not in the order of their ids.
    Column("inserted_by", BigInteger, nullable=False, server_default=text("txid_current()")),
    # What a treasury address does (`TreasuryRole`); null for all others, and for one that pays.
    Column("role", Text),
    # Of a clone: the factory that creates it, and for which networks it was given out.
    Column("factory", Text),
    Column("networks", ARRAY(Text)),
    Index("uq_addresses_address", "family", "address", unique=True),
    Index(
        "uq_addresses_key",
        "family",
        "purpose",
        "key_index",
        unique=True,
        postgresql_where=text("purpose = 'treasury'"),
    ),
    Index("ix_addresses_inserted_by", "inserted_by"),
    Index("ix_addresses_customer", "customer"),
)

deposits = Table(
    "deposits",
    metadata,
    Column("address", Text, primary_key=True),
    Column("asset", Text, primary_key=True),
    Column("units", Units, nullable=False),
    Column("retry_at", Timestamp),
    # Since when the collector knows that there is something to collect; null where it does not.
    Column("since", Timestamp),
    Index("ix_deposits_units", "asset", postgresql_where=text("units > 0")),
)


# Whoever makes the sequence jump to a seed's first index does so once, and alone.
_LOCK_INDEX = text("SELECT pg_advisory_xact_lock(hashtext('sakk address index'))")
_JUMP = text(
    "SELECT setval('address_index', :least, false) FROM address_index WHERE last_value < :least"
)
_RESERVE = text("SELECT nextval('address_index') FROM generate_series(1, :count)")
_INSERT_ADDRESS = """
INSERT INTO addresses
    (id, family, address, purpose, key_index, account_id, livemode, payment_intent, customer,
     created, factory, networks)
VALUES (%(id)s, %(family)s, %(address)s, %(purpose)s, %(key_index)s, %(account_id)s, %(livemode)s,
    %(payment_intent)s, %(customer)s, %(created)s,
    %(factory)s, %(networks)s)
"""


@dataclass(frozen=True, slots=True)
class Address:
    """An address of ours. ``purpose``: payment, customer, receiving, treasury or vault.

    ``factory``: of a clone, which has no key, whose it is; ``key_index`` is then that of its salt.
    ``networks``: those for which a clone was given out.
    """

    id: str
    family: str
    address: str
    purpose: str
    key_index: int
    account_id: str | None
    livemode: bool
    payment_intent: str | None
    customer: str | None
    created: datetime
    inserted_by: int
    role: str | None = None
    factory: str | None = None
    networks: list[str] | None = None

    @property
    def treasury_role(self) -> TreasuryRole:
        """What it does as an address of the treasury."""
        return TreasuryRole(self.role or TreasuryRole.pay)


@dataclass(frozen=True, slots=True)
class Issued:
    """The addresses of one index: ``key``'s, None where no network asks for it, and clones'."""

    key: str | None
    clones: Mapping[str, str]

    def on(self, network: str) -> str:
        """Where to pay on a network."""
        found = self.clones.get(network, self.key)
        assert found is not None, "an address was issued for every network that is offered"
        return found


def put_wallet(connection: Connection, xpub: str, *, now: datetime) -> None:
    """Record the extended public key of the signer's deposit branch; it never changes silently."""
    statement = insert(wallets).values(family=FAMILY_EVM, xpub=xpub, created=now)
    connection.execute(statement.on_conflict_do_nothing())
    held = connection.execute(
        select(wallets.c.xpub).where(wallets.c.family == FAMILY_EVM)
    ).scalar_one()
    if held != xpub:
        raise Misconfigured(
            "The signer's extended public key is not the one that addresses were issued from. "
            "Restore the keystore that belongs to this database."
        )


def put_seeds(connection: Connection, later: Mapping[int, str], *, now: datetime) -> list[int]:
    """Record the seeds that come after the first, by their first indices; those that are new.

    Addresses that are issued from now on are the newest seed's. Misconfigured when a seed begins
    at an index that was given out already, or is another one than was recorded.
    """
    known = {seed.first_index: seed.xpub for seed in find_seeds(connection)}
    fresh = sorted(set(later) - set(known))
    for first in sorted(set(later) & set(known)):
        if later[first] != known[first]:
            raise Misconfigured(f"The seed from index {first} on is not the one that was recorded.")
    for first in fresh:
        if first <= _highest_index(connection) or first < max(known):
            raise Misconfigured(
                f"Index {first} was given out before the seed that begins there was made known:"
                " remove its keystore file, and run `sakk keys seed` again."
            )
        row = {"family": FAMILY_EVM, "first_index": first, "xpub": later[first], "created": now}
        connection.execute(insert(seeds).values(row))
    return fresh


def find_seeds(connection: Connection) -> tuple[Seed, ...]:
    """The wallet's seeds, in the order of their first indices; Misconfigured without a wallet."""
    rows = connection.execute(
        select(seeds.c.first_index, seeds.c.xpub)
        .where(seeds.c.family == FAMILY_EVM)
        .order_by(seeds.c.first_index)
    )
    later = [Seed(int(row.first_index), row.xpub) for row in rows]
    return (Seed(0, find_xpub(connection)), *later)


def next_seed_index(connection: Connection) -> int:
    """Where another seed may begin: beyond all that processes have taken or may take meanwhile."""
    return _highest_index(connection) + SEED_GAP


def _highest_index(connection: Connection) -> int:
    found = connection.execute(
        text(
            "SELECT greatest((SELECT last_value FROM address_index),"
            " (SELECT coalesce(max(key_index), 0) FROM addresses WHERE purpose <> 'treasury'))"
        )
    )
    return int(found.scalar_one())


def has_wallet(connection: Connection) -> bool:
    """Was any address ever to be issued here?"""
    return connection.execute(select(wallets.c.xpub)).first() is not None


def find_xpub(connection: Connection) -> str:
    """The extended public key of the wallet's first seed; Misconfigured without a wallet."""
    xpub = connection.execute(
        select(wallets.c.xpub).where(wallets.c.family == FAMILY_EVM)
    ).scalar_one_or_none()
    if xpub is None:
        raise Misconfigured("No wallet yet: start the signer once so that addresses can be issued.")
    return str(xpub)


def issue(
    connection: Connection,
    *,
    seeds: Collection[Seed],
    account_id: str,
    livemode: bool,
    now: datetime,
    payment_intent: str | None = None,
    customer: str | None = None,
    receiving: bool = False,
    factories: Mapping[str, str] | None = None,
    keyed: bool = True,
) -> Issued:
    """Issue a fresh index of the newest seed: the address of its key, one for all EVM networks.

    ``receiving``: it is the account's own, for whoever pays.
    ``factories``, by network: those that get a clone of the same index instead, the same one where
    the factory is. Without ``keyed`` there is no other network, so nobody is told the key's.
    """
    index, xpub = _next_index(connection, least=max(seed.first_index for seed in seeds))
    key_address = deposit_address(xpub, index)
    row = {
        "id": new_id("addr"),
        "family": FAMILY_EVM,
        "address": key_address,
        "purpose": RECEIVING
        if receiving
        else CUSTOMER
        if customer and not payment_intent
        else PAYMENT,
        "key_index": index,
        "account_id": account_id,
        "livemode": livemode,
        "payment_intent": payment_intent,
        "customer": customer,
        "created": now,
        "factory": None,
        "networks": None,
    }
    if keyed:
        run(connection, _INSERT_ADDRESS, row)
    clones: dict[str, str] = {}
    for factory in sorted(set((factories or {}).values())):
        place = clone_of(factory, key_address)
        networks = sorted(name for name, each in (factories or {}).items() if each == factory)
        own = {"id": new_id("addr"), "address": place, "factory": factory, "networks": networks}
        run(connection, _INSERT_ADDRESS, row | own)
        clones |= dict.fromkeys(networks, place)
    return Issued(key=key_address if keyed else None, clones=clones)


def _next_index(connection: Connection, *, least: int) -> tuple[int, str]:
    """An index that nobody else has, ``least`` or more, with the xpub that it is of.

    It is out of a few that this process took at once. The seeds are read after the indices were
    taken: whoever made the sequence reach a seed's first index had seen the seed.
    """
    with _reserving:
        reserved = _reserved.setdefault(connection.engine, deque())
        while reserved and reserved[0][0] < least:
            reserved.popleft()
        if not reserved:
            connection.execute(_LOCK_INDEX)
            connection.execute(_JUMP, {"least": least})
            taken = connection.execute(_RESERVE, {"count": RESERVED_INDICES}).scalars().all()
            known = find_seeds(connection)
            reserved.extend((index, xpub_at(known, index)) for index in taken)
        return reserved.popleft()


_reserving = Lock()
_reserved: WeakKeyDictionary[Engine, deque[tuple[int, str]]] = WeakKeyDictionary()
# A forked child that took from the same reserve would issue the same addresses.
os.register_at_fork(after_in_child=_reserved.clear)


def put_treasury(
    connection: Connection,
    treasury: Mapping[int, str],
    *,
    livemode: bool,
    now: datetime,
    role: TreasuryRole = TreasuryRole.pay,
) -> None:
    """Watch the signer's treasury addresses, by their key indexes, and have them pay or order gas.

    What a rotation says of one stands.
    """
    for index, address in sorted(treasury.items()):
        statement = insert(addresses).values(
            id=new_id("addr"),
            family=FAMILY_EVM,
            address=address,
            purpose="treasury",
            key_index=index,
            livemode=livemode,
            role=role.value,
            created=now,
        )
        connection.execute(statement.on_conflict_do_nothing())
        others = [each.value for each in _BY_POLICY if each is not role]
        connection.execute(
            update(addresses)
            .where(
                addresses.c.address == address,
                func.coalesce(addresses.c.role, TreasuryRole.pay.value).in_(others),
            )
            .values(role=role.value)
        )


def may_send(connection: Connection, address: str) -> bool:
    """Is it no treasury address that is given up? It stays as it is until this transaction ends."""
    role = connection.execute(
        select(addresses.c.role).where(addresses.c.address == address).with_for_update(read=True)
    ).scalar_one_or_none()
    return role is None or role in _SENDING


def set_role(connection: Connection, address: str, role: TreasuryRole) -> None:
    """Say what a treasury address does from now on."""
    wanted = (addresses.c.purpose == TREASURY, addresses.c.address == address)
    connection.execute(update(addresses).where(*wanted).values(role=role.value))


def put_vault(connection: Connection, address: str, *, livemode: bool, now: datetime) -> None:
    """Watch an address of the operator's own whose key is elsewhere."""
    statement = insert(addresses).values(
        id=new_id("addr"),
        family=FAMILY_EVM,
        address=address,
        purpose=VAULT,
        key_index=NO_KEY,
        livemode=livemode,
        created=now,
    )
    connection.execute(statement.on_conflict_do_nothing())


def list_treasury(connection: Connection) -> list[Address]:
    statement = (
        select(addresses).where(addresses.c.purpose == "treasury").order_by(addresses.c.key_index)
    )
    return fetch_all(connection, statement, Address)


def list_payers(connection: Connection) -> list[Address]:
    """The treasury addresses that payments leave from, and deposits go to."""
    return [each for each in list_treasury(connection) if each.treasury_role is TreasuryRole.pay]


def list_gas_payers(connection: Connection) -> list[Address]:
    """Those that order gas and collections: keys for nothing else first, then those that pay."""
    found = list_treasury(connection)
    own = [each for each in found if each.treasury_role is TreasuryRole.gas]
    return own + [each for each in found if each.treasury_role is TreasuryRole.pay]


def list_captors(connection: Connection) -> list[Address]:
    """Those that carry out what payers signed: keys for nothing else, or where there are none
    those that pay."""
    found = list_treasury(connection)
    own = [each for each in found if each.treasury_role is TreasuryRole.capture]
    return own or [each for each in found if each.treasury_role is TreasuryRole.pay]


def operators(connection: Connection) -> frozenset[str]:
    """Addresses of the operator's own side: the treasury's and the vaults."""
    statement = select(addresses.c.address).where(addresses.c.purpose.in_(OPERATORS))
    return frozenset(connection.execute(statement).scalars())


def find_customer_addresses(connection: Connection, customers: list[str]) -> dict[str, Issued]:
    """The permanent addresses of each customer, as they were given out; the newest of each kind."""
    rows = connection.execute(
        select(addresses.c.customer, addresses.c.address, addresses.c.factory, addresses.c.networks)
        .where(addresses.c.customer.in_(customers), addresses.c.purpose == "customer")
        .order_by(addresses.c.id)
    )
    keys: dict[str, str] = {}
    clones: dict[str, dict[str, str]] = {}
    for row in rows:
        if row.factory is None:
            keys[row.customer] = row.address
        else:
            given = dict.fromkeys(row.networks, row.address)
            clones.setdefault(row.customer, {}).update(given)
    return {customer: Issued(key, clones.get(customer, {})) for customer, key in keys.items()}


def find_addresses(connection: Connection, wanted: list[str]) -> dict[str, Address]:
    """Those of the given addresses that are ours."""
    statement = select(addresses).where(
        addresses.c.family == FAMILY_EVM, among(addresses.c.address, wanted)
    )
    return {row.address: row for row in fetch_all(connection, statement, Address)}


def find_address(connection: Connection, address: str) -> Address | None:
    return fetch_one(
        connection,
        select(addresses).where(addresses.c.family == FAMILY_EVM, addresses.c.address == address),
        Address,
    )


def issued_since(connection: Connection, *, horizon: int) -> tuple[list[str], int]:
    """Addresses inserted by transactions from ``horizon`` on, and the next call's horizon.

    The horizon is the oldest transaction that may still commit, so nothing can slip in behind it;
    a few addresses come twice. Start with 0 for all.
    """
    following = connection.execute(
        select(func.txid_snapshot_xmin(func.txid_current_snapshot()))
    ).scalar_one()
    rows = connection.execute(
        select(addresses.c.address).where(
            addresses.c.family == FAMILY_EVM, addresses.c.inserted_by >= cast(horizon, BigInteger)
        )
    )
    return list(rows.scalars()), int(following)


def add_deposits(connection: Connection, rows: list[tuple[str, str, int]]) -> None:
    """Add (address, asset, units) to what stands on deposit addresses; units may be negative."""
    totals: dict[tuple[str, str], int] = {}
    for address, asset, units in rows:
        totals[address, asset] = totals.get((address, asset), 0) + units
    if not totals:
        return
    statement = insert_given(deposits, ("address", "asset", "units"))
    given = [
        {"address": address, "asset": asset, "units": units}
        for (address, asset), units in sorted(totals.items())
    ]
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["address", "asset"],
            set_={"units": deposits.c.units + statement.excluded.units},
        ),
        {"rows": as_json(deposits, given)},
    )
