"""Importing a list: files become its labels and entries in one transaction, or nothing changes.

A second import of the same name is a difference: what the file no longer says is closed, what it
newly says is opened, and the rest is left alone. Once it has committed, every process decides by
it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from itertools import chain
from pathlib import Path

from sqlalchemy import Connection, text

from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.label import (
    KNOWN_TOKENS,
    Category,
    LabelList,
    ListKind,
    category_of,
    is_reserved,
    locate_address,
    worst,
)
from sakk.screening.entries import EntryReader
from sakk.screening.formats import (
    KINDS,
    LENIENT,
    ListFormat,
    NameStatement,
    Notes,
    Parser,
    Statement,
    detect_format,
    parse_csv,
    parse_forta,
    parse_json,
    parse_ofac,
)
from sakk.screening.mapping import ColumnMapping, mapped_parser
from sakk.screening.names_file import parse_names_csv, parse_names_json
from sakk.screening.ofac import ofac_csv_parser, parse_sdn_xml
from sakk.screening.ofac_advanced import parse_sdn_advanced
from sakk.screening.override import OVERRIDES
from sakk.screening.sanctions_xml import parse_eu, parse_un
from sakk.screening.source import Source
from sakk.screening.tagpack import parse_tagpack
from sakk.store import country as country_store
from sakk.store import entity as entity_store
from sakk.store import label as label_store
from sakk.store.database import Database
from sakk.store.entity import EntityChange
from sakk.store.identity import new_id
from sakk.store.label import Change, LabelRow
from sakk.store.network import list_assets

ROWS_MAX = 5_000_000
NAME_LENGTH_MAX = 100
TEXT_LENGTH_MAX = 1_000
EXAMPLES_MAX = 20
# A sanctions list that loses more than half of at least this many rows is a cut-off download.
SHRINK_ROWS_MIN = 100
IMPORT_TIMEOUT_SECONDS = 600

_PARSERS: dict[ListFormat, Parser] = {
    ListFormat.ofac: parse_ofac,
    ListFormat.tagpack: parse_tagpack,
    ListFormat.forta: parse_forta,
    ListFormat.csv: parse_csv,
    ListFormat.json: parse_json,
    ListFormat.ofac_csv: ofac_csv_parser(()),
    ListFormat.ofac_xml: parse_sdn_xml,
    ListFormat.ofac_advanced: parse_sdn_advanced,
    ListFormat.un: parse_un,
    ListFormat.eu: parse_eu,
    ListFormat.names_csv: parse_names_csv,
    ListFormat.names_json: parse_names_json,
}
COMPANIONS_MAX = 8


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row that did not become a label, and why: ``reserved``, ``token``, ``malformed``."""

    line: int
    address: str
    reason: str


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did. ``lists_version`` is the version at which it is in force."""

    list: LabelList
    lists_version: int
    rows: int
    opened: int
    closed: int
    unchanged: int
    duplicates: int
    entities: EntityChange
    skipped: dict[str, int]
    examples: tuple[Skipped, ...]
    unknown_categories: dict[str, int]
    ignored_columns: tuple[str, ...]


@dataclass(slots=True)
class _Tally:
    """What is counted while the rows stream by."""

    rows: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    examples: list[Skipped] = field(default_factory=list)
    unknown: Counter[str] = field(default_factory=Counter)

    def skip(self, statement: Statement, reason: str) -> None:
        self.skipped[reason] += 1
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(Skipped(statement.line, statement.address[:128], reason))


def import_list(
    database: Database,
    path: str | Path,
    *,
    companions: Sequence[str | Path] = (),
    name: str | None = None,
    format: str | None = None,
    kind: str | None = None,
    category: str | None = None,
    allow_shrink: bool = False,
    mapping: ColumnMapping | None = None,
    now: datetime,
) -> ImportReport:
    """Import a file as the list ``name`` (default: the file's name without its ending).

    ``companions`` are the other files of one list (OFAC's `alt.csv`, `add.csv` …). ``mapping``
    describes a format of somebody else's (`load_mapping`). ``category`` overrides what the file
    says of every address. Raises `ParameterInvalid` with file and line; then nothing has changed.
    """
    with ExitStack() as opened:
        source = opened.enter_context(Source(Path(path)))
        beside = [opened.enter_context(Source(Path(each))) for each in companions]
        chosen, parse = _chosen(source, format, mapping, beside)
        list_kind = KINDS[chosen] if kind is None else _kind(kind)
        list_name = _name(source.path.stem if name is None else name)
        forced = None if category is None else _category(category)
        tally, notes = _Tally(), Notes()
        reader = _Reader(source, chosen, list_kind, forced, tally)
        entries = EntryReader(source)
        with database.begin() as connection:
            _allow_time(connection)
            reader.tokens = _token_contracts(connection)
            _stage(connection, reader, entries, parse(source, notes))
            digest = _digest(source, beside)
            _check_yield(source, tally, entries)
            label_store.lock_lists(connection)
            before = label_store.find_list(connection, list_name)
            list_id = new_id("lst") if before is None else before.id
            change, entities = _apply(connection, list_id, now=now)
            _check_shrink(source, list_kind, change, "sanctioned addresses", allow=allow_shrink)
            _check_shrink(source, list_kind, entities, "sanctioned names", allow=allow_shrink)
            current = LabelList(
                id=list_id,
                name=list_name,
                source=str(source.path.name),
                kind=list_kind,
                format=chosen,
                version=_list_version(before, change, entities),
                row_count=change.opened + change.unchanged,
                sha256=digest,
                imported_at=now,
                retired_at=None,
                entity_count=entities.opened + entities.unchanged,
            )
            label_store.put_list(connection, current, _both(change, entities))
    return ImportReport(
        list=current,
        lists_version=change.version,
        rows=tally.rows + entries.rows_read,
        opened=change.opened,
        closed=change.closed,
        unchanged=change.unchanged,
        duplicates=change.duplicates,
        entities=entities,
        skipped=dict(tally.skipped),
        examples=tuple(tally.examples),
        unknown_categories=dict(tally.unknown.most_common(EXAMPLES_MAX)),
        ignored_columns=notes.ignored_columns,
    )


def _chosen(
    source: Source, format: str | None, mapping: ColumnMapping | None, beside: Sequence[Source]
) -> tuple[ListFormat, Parser]:
    """The format of a file, and what reads it."""
    if mapping is not None and format is not None:
        raise ParameterInvalid("The mapping says the format: leave --format out.", param="format")
    if mapping is not None:
        chosen, parse = ListFormat.mapped, mapped_parser(mapping)
    else:
        chosen = detect_format(source) if format is None else _format(format)
        parse = _PARSERS[chosen]
    if not beside:
        return chosen, parse
    if chosen is not ListFormat.ofac_csv or len(beside) > COMPANIONS_MAX:
        raise ParameterInvalid(
            "Only OFAC's CSV is one list of several files, at most {companions_max} beside the"
            " first: import the others as lists of their own.",
            param="file",
            companions_max=COMPANIONS_MAX,
        )
    return chosen, ofac_csv_parser(beside)


def _stage(
    connection: Connection,
    reader: "_Reader",
    entries: EntryReader,
    statements: Iterator[Statement | NameStatement],
) -> None:
    """Stage what a file says: one kind of row streams at a time.

    A list of addresses has no names. In a list of names the addresses are few, and wait.
    """
    first = next(statements, None)
    every = chain(() if first is None else (first,), statements)
    if isinstance(first, NameStatement):
        addresses: list[Statement] = []
        entity_store.stage_entities(connection, entries.rows(every, addresses))
        label_store.stage_rows(connection, reader.rows(addresses))
    else:
        label_store.stage_rows(connection, reader.rows(every))
        entity_store.stage_entities(connection, ())


def _apply(connection: Connection, list_id: str, *, now: datetime) -> tuple[Change, EntityChange]:
    """Make the list say what was staged, labels and entries at one version."""
    change = label_store.apply_staged(connection, list_id, now=now)
    is_new = bool(change.opened or change.closed)
    version = change.version if is_new else change.version + 1
    entities = entity_store.apply_entities(connection, list_id, version=version, now=now)
    if not is_new and (entities.opened or entities.closed):
        label_store.raise_version(connection, version)
        change = replace(change, version=version)
    return change, entities


def _digest(source: Source, beside: Sequence[Source]) -> str:
    """The digest of the file; of a list of several, that of their digests in the order given."""
    if not beside:
        return source.sha256()
    return sha256("".join(each.sha256() for each in (source, *beside)).encode()).hexdigest()


def _both(change: Change, entities: EntityChange) -> Change:
    """What an import did to rows of either kind, for the record of imports."""
    return replace(
        change,
        opened=change.opened + entities.opened,
        closed=change.closed + entities.closed,
        unchanged=change.unchanged + entities.unchanged,
    )


def lists(connection: Connection) -> list[LabelList]:
    """Every list with its kind, version, size and date; `LabelList.age_seconds` tells its age."""
    return label_store.list_lists(connection)


def retire_list(database: Database, name: str, *, now: datetime) -> LabelList:
    """Close every label and entry of a list; its history stays. Raises `ResourceMissing`."""
    with database.begin() as connection:
        _allow_time(connection)
        label_store.lock_lists(connection)
        before = label_store.find_list(connection, name)
        if before is None:
            raise ResourceMissing(
                "no list is called {name}; see `sakk lists`", param="name", name=repr(name)
            )
        label_store.stage_rows(connection, ())
        entity_store.stage_entities(connection, ())
        change, entities = _apply(connection, before.id, now=now)
        closed = country_store.open_listings(connection, before.id)
        if closed:
            version = label_store.lists_version(connection) + 1
            country_store.change_listings(
                connection, before.id, opened=(), closed=closed, version=version, now=now
            )
            label_store.raise_version(connection, version)
            change = replace(change, version=version, closed=len(closed))
        retired = replace(
            before,
            version=_list_version(before, change, entities),
            row_count=0,
            imported_at=now,
            retired_at=now,
            entity_count=0,
        )
        label_store.put_list(connection, retired, _both(change, entities))
    return retired


class _Reader:
    """Turns a file's statements into labels in our words, and counts what it leaves out."""

    def __init__(
        self,
        source: Source,
        format: ListFormat,
        kind: ListKind,
        category: Category | None,
        tally: _Tally,
    ) -> None:
        self.tokens: frozenset[str] = KNOWN_TOKENS
        self._source = source
        self._lenient = format in LENIENT
        self._kind = kind
        self._category = category
        self._tally = tally

    def rows(self, statements: Iterable[Statement | NameStatement]) -> Iterator[LabelRow]:
        for statement in statements:
            assert isinstance(statement, Statement), "a list of addresses has no names"
            self._tally.rows += 1
            if self._tally.rows > ROWS_MAX:
                raise self._refusal(statement, f"more than {ROWS_MAX} rows")
            row = self._row(statement)
            if row is not None:
                yield row

    def _row(self, statement: Statement) -> LabelRow | None:
        try:
            family, address = locate_address(statement.ticker, statement.address)
        except ValueError as error:
            if not self._lenient:
                raise self._refusal(statement, f"{error}") from error
            self._tally.skip(statement, "malformed")
            return None
        if is_reserved(family, address):
            self._tally.skip(statement, "reserved")
            return None
        if address in self.tokens:
            self._tally.skip(statement, "token")
            return None
        return LabelRow(
            family=family,
            address=address,
            category=self._category or self._read_category(statement),
            confidence=statement.confidence,
            entity=_clean(statement.entity),
            actor=_clean(statement.actor),
            source=_clean(statement.source),
            valid_from=statement.valid_from,
            valid_to=statement.valid_to,
        )

    def _read_category(self, statement: Statement) -> Category:
        found = []
        for word in statement.words:
            category = category_of(word)
            if category is not None:
                found.append(category)
            elif self._lenient:
                self._tally.unknown[word[:80]] += 1
            else:
                # A mistyped category that became "other" would let the address pass.
                known = ", ".join(Category)
                raise self._refusal(statement, f"unknown category {word[:80]!r}; known are {known}")
        if not found and not self._lenient:
            raise self._refusal(statement, "the row has no category")
        category = worst(found) if found else Category.other
        if category is Category.known_good and self._kind is not ListKind.operator:
            raise self._refusal(
                statement, "only the operator's own list (--kind operator) can say 'known_good'"
            )
        return category

    def _refusal(self, statement: Statement, problem: str) -> ParameterInvalid:
        return self._source.refusal(problem, line=statement.line)


def _clean(text: str | None) -> str | None:
    """Text fit to store and show: printable and bounded."""
    if not text:
        return None
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable.strip()[:TEXT_LENGTH_MAX] or None


def _token_contracts(connection: Connection) -> frozenset[str]:
    """Contracts that hold every payment in a token: a label on one would hold them all."""
    listed = {asset.contract for asset in list_assets(connection) if asset.contract}
    return KNOWN_TOKENS | {contract.lower() for contract in listed}


def _check_yield(source: Source, tally: _Tally, entries: EntryReader) -> None:
    """Refuse a file that gave nothing: as a difference it would close the whole list."""
    if 2 * tally.skipped["malformed"] > tally.rows:
        first = next(one for one in tally.examples if one.reason == "malformed")
        raise source.refusal(
            "more than half of the rows have no readable address; is the format right?",
            line=first.line,
        )
    if tally.rows - sum(tally.skipped.values()) <= 0 and not entries.rows_read:
        raise source.refusal("has no label in it; to close a list, retire it")


def _check_shrink(
    source: Source, kind: ListKind, change: Change | EntityChange, rows: str, *, allow: bool
) -> None:
    """Refuse a sanctions list that lost most of its rows, unless the operator says it is so."""
    before = change.closed + change.unchanged
    lost = before - change.opened - change.unchanged
    is_cut = before >= SHRINK_ROWS_MIN and 2 * lost > before
    if kind is ListKind.sanctions and is_cut and not allow:
        raise source.refusal(
            f"would leave {before - lost} of {before} {rows};"
            " if that is true, import it with --allow-shrink"
        )


def _list_version(before: LabelList | None, change: Change, entities: EntityChange) -> int:
    changed = change.opened or change.closed or entities.opened or entities.closed
    if before is None or changed:
        return change.version
    return before.version


def _allow_time(connection: Connection) -> None:
    """A million rows may take longer than a request may."""
    connection.execute(text(f"SET LOCAL statement_timeout = '{IMPORT_TIMEOUT_SECONDS}s'"))
    connection.execute(text(f"SET LOCAL lock_timeout = '{IMPORT_TIMEOUT_SECONDS}s'"))


def _name(given: str) -> str:
    name = given.strip()
    if not name or len(name) > NAME_LENGTH_MAX or not name.isprintable():
        raise ParameterInvalid(
            "A list's name has 1 to {length_max} printable characters.",
            param="name",
            length_max=NAME_LENGTH_MAX,
        )
    if name == OVERRIDES:
        raise ParameterInvalid(
            "The name {name} is taken; choose another.", param="name", name=repr(OVERRIDES)
        )
    return name


def _format(text: str) -> ListFormat:
    try:
        found = ListFormat(text)
        _PARSERS[found]
    except (ValueError, KeyError):
        known = ", ".join(_PARSERS)
        raise ParameterInvalid(
            "Unknown format {text}; known are {known}. Another one is described by a mapping.",
            param="format",
            text=repr(text),
            known=known,
        ) from None
    return found


def _kind(text: str) -> ListKind:
    try:
        return ListKind(text)
    except ValueError:
        known = ", ".join(ListKind)
        raise ParameterInvalid(
            "Unknown kind {text}; known are {known}.", param="kind", text=repr(text), known=known
        ) from None


def _category(text: str) -> Category:
    category = category_of(text)
    if category is None:
        known = ", ".join(Category)
        raise ParameterInvalid(
            "Unknown category {text}; known are {known}.",
            param="category",
            text=repr(text),
            known=known,
        )
    return category
