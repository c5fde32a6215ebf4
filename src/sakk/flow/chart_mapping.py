"""The chart's mapping: a new version is in force from its next report on."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from sakk.core import chart_mapping as rules
from sakk.core.chart_mapping import ChartMapping, MappingRule
from sakk.core.errors import ResourceMissing
from sakk.store import chart_mapping as store

ACTIVE = "active"


def put(
    connection: Connection, written: Sequence[MappingRule], *, by: str | None, now: datetime
) -> ChartMapping:
    """Write the next version. ParameterInvalid for rules that no chart can be made of."""
    rules.check(written)
    store.lock(connection)
    newest = store.find_newest(connection)
    mapping = ChartMapping(
        version=1 if newest is None else newest.version + 1,
        rules=rules.document_of(written),
        created=now,
        created_by=by,
    )
    store.insert(connection, mapping)
    return mapping


def find(connection: Connection, version: str) -> ChartMapping | None:
    """A version by its number, or the ``active`` one; None: the one that is built in.

    ResourceMissing.
    """
    if version == ACTIVE:
        return store.find_newest(connection)
    if version == "0":
        return None
    is_number = version.isascii() and version.isdigit() and len(version) < 10
    found = store.find(connection, int(version)) if is_number else None
    if found is None:
        raise ResourceMissing(
            "There is no version {version} of the chart's mapping.",
            param="id",
            version=repr(version),
        )
    return found
