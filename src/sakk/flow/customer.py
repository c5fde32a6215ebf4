"""Customers: each with deposit addresses of its own for ever."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core import event as events
from sakk.core.customer import Customer, public_customer
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.event import NewEvent
from sakk.core.evm import checksum_address
from sakk.core.hd import Seed
from sakk.core.metadata import merge
from sakk.flow.payment import factories_of
from sakk.store import address as address_store
from sakk.store import customer as store
from sakk.store import event as event_store
from sakk.store import network as network_store
from sakk.store.database import Database

DETAILS = ("name", "email", "description")
RENEWED_PER_COMMIT = 200


def create(
    connection: Connection,
    *,
    customer_id: str,
    account_id: str,
    livemode: bool,
    now: datetime,
    request_id: str | None = None,
    details: Mapping[str, str | None] | None = None,
    metadata: Mapping[str, str | None] | None = None,
) -> dict[str, Any]:
    """Create a customer and issue its address; returns the API's object."""
    given = details or {}
    customer = Customer(
        id=customer_id,
        account_id=account_id,
        livemode=livemode,
        name=given.get("name"),
        email=given.get("email"),
        description=given.get("description"),
        metadata=merge({}, metadata),
        deleted=False,
        created=now,
    )
    store.insert_customer(connection, customer)
    address_store.issue(
        connection,
        seeds=address_store.find_seeds(connection),
        account_id=account_id,
        livemode=livemode,
        now=now,
        customer=customer_id,
        factories=factories_of(
            each
            for each in network_store.list_networks(connection, livemode=livemode)
            if each.enabled
        ),
    )
    [shown] = show(connection, [customer])
    _tell(connection, events.CUSTOMER_CREATED, customer, shown, now, request_id)
    return shown


def update(
    connection: Connection,
    customer_id: str,
    changes: Mapping[str, Any],
    *,
    account_id: str,
    livemode: bool,
    now: datetime,
    request_id: str | None = None,
) -> dict[str, Any]:
    """Change what is named: ``name``, ``email``, ``description``, ``metadata``."""
    customer = store.find_customer(
        connection, customer_id, account_id=account_id, livemode=livemode, for_update=True
    )
    if customer is None or customer.deleted:
        raise missing(customer_id)
    values: dict[str, Any] = {name: changes[name] for name in DETAILS if name in changes}
    if "metadata" in changes:
        values["metadata"] = merge(customer.metadata, changes["metadata"])
    values = {name: value for name, value in values.items() if getattr(customer, name) != value}
    if not values:
        return show(connection, [customer])[0]
    store.update_customer(connection, customer_id, values, account_id=account_id)
    after = store.find_customer(connection, customer_id, account_id=account_id, livemode=livemode)
    assert after is not None
    [shown] = show(connection, [after])
    before = {name: getattr(customer, name) for name in values}
    _tell(connection, events.CUSTOMER_UPDATED, after, shown, now, request_id, before)
    return shown


def delete(
    connection: Connection,
    customer_id: str,
    *,
    account_id: str,
    livemode: bool,
    now: datetime,
    request_id: str | None = None,
) -> dict[str, Any]:
    """Delete a customer: its details go, its address is watched for ever all the same."""
    customer = store.find_customer(
        connection, customer_id, account_id=account_id, livemode=livemode, for_update=True
    )
    if customer is None or customer.deleted:
        raise missing(customer_id)
    [before] = show(connection, [customer])
    forgotten: dict[str, Any] = dict.fromkeys(DETAILS)
    store.update_customer(
        connection,
        customer_id,
        {**forgotten, "metadata": {}, "deleted": True},
        account_id=account_id,
    )
    _tell(connection, events.CUSTOMER_DELETED, customer, before, now, request_id)
    return {"id": customer_id, "object": "customer", "deleted": True}


def renew(
    database: Database, *, below: int, now: datetime, progress: Callable[[int], None] | None = None
) -> int:
    """Give customers whose keys' addresses are all below an index new permanent ones; how many.

    For a seed that is in other hands: the old addresses are watched and credited for ever, but
    nobody is to be told them any more. Clones have no keys, so they stay. Again, or after a crash,
    it goes on with the others. ParameterInvalid above where the newest seed begins.
    """
    with database.begin() as connection:
        seeds = address_store.find_seeds(connection)
    newest = max(seed.first_index for seed in seeds)
    if not 0 < below <= newest:
        raise ParameterInvalid(
            f"New addresses begin at index {newest}, where the newest seed does: `sakk keys seed`.",
            param="below",
        )
    total = 0
    while True:
        with database.begin() as connection:
            found = store.lock_older(connection, below=below, limit=RENEWED_PER_COMMIT)
            for customer in found:
                _renew(connection, customer, seeds, now=now)
        if not found:
            return total
        total += len(found)
        if progress is not None:
            progress(total)


def _renew(
    connection: Connection, customer: Customer, seeds: Sequence[Seed], *, now: datetime
) -> None:
    [before] = show(connection, [customer])
    address_store.issue(
        connection,
        seeds=seeds,
        account_id=customer.account_id,
        livemode=customer.livemode,
        now=now,
        customer=customer.id,
    )
    [shown] = show(connection, [customer])
    places = "crypto_deposit_addresses"
    told = {places: before[places]}
    _tell(connection, events.CUSTOMER_UPDATED, customer, shown, now, None, told)


def show(connection: Connection, customers: Sequence[Customer]) -> list[dict[str, Any]]:
    """The API's objects, each with its address on every enabled network of its mode."""
    living = [customer for customer in customers if not customer.deleted]
    if not living:
        return [public_customer(customer, {}) for customer in customers]
    tokens = _tokens(connection, livemode=living[0].livemode)
    held = address_store.find_customer_addresses(connection, [customer.id for customer in living])
    return [
        public_customer(
            customer,
            {
                network: {
                    "address": checksum_address(held[customer.id].on(network)),
                    "supported_tokens": list_,
                }
                for network, list_ in tokens.items()
            }
            if customer.id in held
            else {},
        )
        for customer in customers
    ]


def missing(customer_id: str) -> ResourceMissing:
    return ResourceMissing(
        "No such customer: {customer_id}", param="id", customer_id=repr(customer_id)
    )


def _tokens(connection: Connection, *, livemode: bool) -> dict[str, list[dict[str, Any]]]:
    """Per enabled network, the tokens that may be paid in, in Stripe's words."""
    assets = network_store.list_assets(connection)
    return {
        network.network: [
            {
                "token_currency": asset.currency,
                "token_contract_address": checksum_address(asset.contract),
                "asset": asset.asset,
                "decimals": asset.decimals,
            }
            for asset in assets
            if asset.network == network.network
            and asset.payin_enabled
            and asset.contract is not None
        ]
        for network in network_store.list_networks(connection, livemode=livemode)
        if network.enabled
    }


def _tell(
    connection: Connection,
    type: str,
    customer: Customer,
    shown: dict[str, Any],
    now: datetime,
    request_id: str | None,
    previous_attributes: dict[str, Any] | None = None,
) -> None:
    event = NewEvent(
        account_id=customer.account_id,
        livemode=customer.livemode,
        type=type,
        object_id=customer.id,
        object=shown,
        previous_attributes=previous_attributes,
        request_id=request_id,
    )
    event_store.append(connection, [event], now=now)
