"""The operator's own word on an address: known to be good, for a reason, until a day.

An override is a label like any other, on a list of its own, so it is bitemporal, versioned and in
force at the next decision. It takes reviews away, never a block.
"""

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from sakk.core.errors import ParameterInvalid
from sakk.core.label import (
    CONFIDENCE_MAX,
    Category,
    LabelList,
    ListKind,
    family_of_network,
    normalise_address,
)
from sakk.store import label as label_store
from sakk.store.database import Database
from sakk.store.identity import new_id
from sakk.store.label import Change, LabelRow

OVERRIDES = "operator overrides"
REASON_LENGTH_MAX = 500


def allow_address(
    database: Database,
    *,
    network: str,
    address: str,
    reason: str,
    expires_at: datetime | None,
    now: datetime,
) -> LabelList:
    """Let reviews on an address pass until ``expires_at``; a block stays a block.

    Raises `ParameterInvalid` without a reason or for an address that is none of its network's.
    """
    if not reason.strip() or len(reason) > REASON_LENGTH_MAX or not reason.isprintable():
        raise ParameterInvalid(
            f"An override needs a reason of 1 to {REASON_LENGTH_MAX} printable characters.",
            param="reason",
        )
    if expires_at is not None and expires_at <= now:
        raise ParameterInvalid("An override cannot have expired already.", param="expires_at")
    row = _row(network, address, reason=reason.strip(), expires_at=expires_at)
    with database.begin() as connection:
        label_store.lock_lists(connection)
        standing = _standing(connection, now=now)
        version = label_store.put_label(connection, standing.id, row, now=now)
        return _record(connection, standing, version=version, opened=1, closed=0, now=now)


def disallow_address(database: Database, *, network: str, address: str, now: datetime) -> bool:
    """Take an override back; False if there is none."""
    row = _row(network, address, reason="", expires_at=None)
    with database.begin() as connection:
        label_store.lock_lists(connection)
        standing = label_store.find_list(connection, OVERRIDES)
        if standing is None or not label_store.close_label(connection, standing.id, row, now=now):
            return False
        version = label_store.lists_version(connection)
        _record(connection, standing, version=version, opened=0, closed=1, now=now)
    return True


def _row(network: str, address: str, *, reason: str, expires_at: datetime | None) -> LabelRow:
    family = family_of_network(network)
    try:
        spelling = normalise_address(family, address)
    except ValueError as error:
        raise ParameterInvalid(f"{error}.", param="address") from error
    return LabelRow(
        family=family,
        address=spelling,
        category=Category.known_good,
        confidence=CONFIDENCE_MAX,
        entity=reason or None,
        valid_to=expires_at,
    )


def _standing(connection: Connection, *, now: datetime) -> LabelList:
    found = label_store.find_list(connection, OVERRIDES)
    if found is not None:
        return found
    return LabelList(
        id=new_id("lst"),
        name=OVERRIDES,
        source=None,
        kind=ListKind.operator,
        format="manual",
        version=0,
        row_count=0,
        sha256="",
        imported_at=now,
        retired_at=None,
    )


def _record(
    connection: Connection,
    standing: LabelList,
    *,
    version: int,
    opened: int,
    closed: int,
    now: datetime,
) -> LabelList:
    count = label_store.count_open(connection, standing.id)
    current = replace(standing, version=version, row_count=count, imported_at=now)
    change = Change(
        version=version, opened=opened, closed=closed, unchanged=count - opened, duplicates=0
    )
    label_store.put_list(connection, current, change)
    return current
