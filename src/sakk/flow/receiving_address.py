"""Receiving addresses: given once to an account and a network, and watched for ever."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core.errors import ParameterInvalid
from sakk.core.receiving_address import ReceivingAddress, public
from sakk.store import address, network
from sakk.store import receiving_address as store


def obtain(
    connection: Connection,
    *,
    identifier: str,
    account_id: str,
    livemode: bool,
    name: str,
    now: datetime,
) -> ReceivingAddress:
    """An account's address on a network; the first request for it issues it.

    An account has one deposit key in each mode for all networks. ParameterInvalid for a network
    that is not there, or not enabled.
    """
    found = network.find_network(connection, name)
    if found is None or not found.enabled or found.livemode is not livemode:
        raise ParameterInvalid(f"There is no network {name!r} in this mode.", param="network")
    store.lock_account(connection, account_id, livemode=livemode)
    before = store.list_of(connection, account_id=account_id, livemode=livemode)
    known = next((each for each in before if each.network == name), None)
    if known is not None:
        return known
    row = ReceivingAddress(
        id=identifier,
        account_id=account_id,
        livemode=livemode,
        network=name,
        address=before[0].address
        if before
        else address.issue(
            connection,
            seeds=address.find_seeds(connection),
            account_id=account_id,
            livemode=livemode,
            now=now,
            receiving=True,
        ).on(name),
        created=now,
    )
    store.insert(connection, row)
    return row


def show(connection: Connection, rows: Sequence[ReceivingAddress]) -> list[dict[str, Any]]:
    """The API's objects, each with the tokens that are credited there."""
    assets = [each for each in network.list_assets(connection) if each.payin_enabled]
    return [public(row, [each for each in assets if each.network == row.network]) for row in rows]
