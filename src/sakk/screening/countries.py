"""Lists of countries, such as FATF's call for action and its increased monitoring.

CSV with the columns ``iso2``, ``name`` and ``list``; lines that begin with ``#`` are remarks. An
import is a difference under the version of all lists: what the file no longer says is closed.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sakk.core.country import is_country
from sakk.core.label import LabelList, ListKind
from sakk.screening.source import Source
from sakk.store import country as store
from sakk.store import label as label_store
from sakk.store.database import Database
from sakk.store.identity import new_id
from sakk.store.label import Change

FORMAT = "countries"
ROWS_MAX = 1_000
COLUMNS = ("iso2", "list")
_LISTING = re.compile(r"[a-z0-9_]{1,40}")


@dataclass(frozen=True, slots=True)
class CountryReport:
    """What an import changed: the list as it stands, and how many listings."""

    list: LabelList
    lists_version: int
    opened: int
    closed: int
    unchanged: int


def import_countries(database: Database, path: Path, *, name: str, now: datetime) -> CountryReport:
    """Import a file as the list ``name``. ParameterInvalid with file and line; nothing changes."""
    with Source(path) as source:
        wanted = set(_read(source))
        digest = source.sha256()
    with database.begin() as connection:
        label_store.lock_lists(connection)
        before = label_store.find_list(connection, name)
        if before is not None and before.kind != ListKind.countries:
            raise source.refusal(f"the list {name!r} is one of addresses; choose another name")
        list_id = new_id("lst") if before is None else before.id
        standing = store.open_listings(connection, list_id)
        opened, closed = wanted - standing, standing - wanted
        version = label_store.lists_version(connection)
        if opened or closed:
            version += 1
            store.change_listings(
                connection, list_id, opened=opened, closed=closed, version=version, now=now
            )
            label_store.raise_version(connection, version)
        current = LabelList(
            id=list_id,
            name=name,
            source=path.name,
            kind=ListKind.countries,
            format=FORMAT,
            version=version if before is None or opened or closed else before.version,
            row_count=len(wanted),
            sha256=digest,
            imported_at=now,
            retired_at=None,
        )
        change = Change(
            version=version,
            opened=len(opened),
            closed=len(closed),
            unchanged=len(wanted & standing),
            duplicates=0,
        )
        label_store.put_list(connection, current, change)
    return CountryReport(current, version, len(opened), len(closed), len(wanted & standing))


def _read(source: Source) -> Iterator[tuple[str, str]]:
    def kept() -> Iterator[str]:
        for line in source.lines():
            if not line.startswith("#") and line.strip():
                yield line

    rows = csv.DictReader(kept())
    missing = [each for each in COLUMNS if each not in (rows.fieldnames or ())]
    if missing:
        raise source.refusal(f"has no column {missing[0]!r}; expected iso2, name and list", line=1)
    count = 0
    for row in rows:
        count += 1
        if count > ROWS_MAX:
            raise source.refusal(f"has more than {ROWS_MAX} rows", line=source.line)
        country, listing = (row["iso2"] or "").strip(), (row["list"] or "").strip()
        if not is_country(country):
            raise source.refusal(
                f"{country!r} is no country's code of two capital letters", line=source.line
            )
        if _LISTING.fullmatch(listing) is None:
            raise source.refusal(
                f"{listing!r} is no name of a list: use small letters, digits and _",
                line=source.line,
            )
        yield country, listing
    if not count:
        raise source.refusal("says of no country that it is on a list")
