"""The directory of institutions: who keeps which addresses, and where they are asked."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core import vasp as rules
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.trp import decode_travel_address
from sakk.core.vasp import Vasp, VaspStatus
from sakk.store import vasp as store


def create(
    connection: Connection,
    details: Mapping[str, Any],
    *,
    identifier: str,
    livemode: bool,
    now: datetime,
) -> Vasp:
    """Put an institution in the directory; ParameterInvalid for a false LEI or travel address."""
    values = _checked(details)
    if values.get("name") is None:
        raise ParameterInvalid("An institution has a name.", param="name")
    vasp = Vasp(
        id=identifier,
        livemode=livemode,
        name=values["name"],
        lei=values.get("lei"),
        country=values.get("country"),
        travel_address=values.get("travel_address"),
        addresses=values.get("addresses", []),
        status=values.get("status") or VaspStatus.active.value,
        created=now,
    )
    store.insert(connection, vasp)
    return vasp


def update(
    connection: Connection, identifier: str, changes: Mapping[str, Any], *, livemode: bool
) -> Vasp:
    """Change what is known of an institution; what is not sent stays."""
    find(connection, identifier, livemode=livemode)
    values = _checked(changes)
    if "name" in values and values["name"] is None:
        raise ParameterInvalid("An institution has a name.", param="name")
    store.change(connection, identifier, values)
    return find(connection, identifier, livemode=livemode)


def find(connection: Connection, identifier: str, *, livemode: bool) -> Vasp:
    """An institution; ResourceMissing."""
    found = store.find(connection, identifier, livemode=livemode)
    if found is None:
        raise ResourceMissing(
            "No such institution: {identifier}.", param="id", identifier=repr(identifier)
        )
    return found


def _checked(details: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(details)
    rules.check_lei(values.get("lei"), param="lei")
    if values.get("travel_address") is not None:
        decode_travel_address(values["travel_address"])
    if values.get("addresses") is not None:
        values["addresses"] = rules.read_addresses(values["addresses"], param="addresses")
    return {
        name: value for name, value in values.items() if name != "addresses" or value is not None
    }
