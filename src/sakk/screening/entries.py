"""Entries of a list of names as rows to store: cleaned, bounded, each reference once."""

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from sakk.core.entity import (
    ALIASES_MAX,
    NAME_LENGTH_MAX,
    TEXT_LENGTH_MAX,
    VALUES_MAX,
    Alias,
    EntityContent,
    Identifier,
)
from sakk.core.errors import ParameterInvalid
from sakk.screening.formats import NameStatement, Statement
from sakk.screening.source import Source
from sakk.store.entity import EntityRow

ENTRIES_MAX: Final = 1_000_000
# Addresses that stand among names wait in memory until the names are staged.
COINS_MAX: Final = 200_000
REF_LENGTH_MAX: Final = NAME_LENGTH_MAX


class EntryReader:
    """Turns the statements of a list of names into rows, and counts them."""

    def __init__(self, source: Source) -> None:
        self.rows_read = 0
        self._source = source
        self._lines: dict[str, int] = {}

    def rows(
        self, statements: Iterable[Statement | NameStatement], addresses: list[Statement]
    ) -> Iterator[EntityRow]:
        """Yield each entry as a row; addresses go to ``addresses``.

        Refused, with the line: an entry without reference or name, one whose reference stood
        already, and more of anything than a list can have.
        """
        for statement in statements:
            if isinstance(statement, Statement):
                if len(addresses) >= COINS_MAX:
                    raise self._refusal(statement.line, f"more than {COINS_MAX} addresses")
                addresses.append(statement)
                continue
            self.rows_read += 1
            if self.rows_read > ENTRIES_MAX:
                raise self._refusal(statement.line, f"more than {ENTRIES_MAX} entries")
            yield self._row(statement)

    def _row(self, statement: NameStatement) -> EntityRow:
        ref, name = clean_text(statement.ref), clean_text(statement.name)
        if not ref or len(ref) > REF_LENGTH_MAX:
            raise self._refusal(statement.line, "the entry has no reference, or too long a one")
        if not name or len(name) > NAME_LENGTH_MAX:
            raise self._refusal(
                statement.line, f"entry {ref[:40]!r} has no name of 1 to {NAME_LENGTH_MAX}"
            )
        if ref in self._lines:
            raise self._refusal(
                statement.line,
                f"entry {ref[:40]!r} stands twice, first in line {self._lines[ref]}",
            )
        self._lines[ref] = statement.line
        return EntityRow(
            ref=ref,
            kind=statement.kind,
            name=name,
            content=self._content(statement.line, statement.content, name),
            valid_from=statement.valid_from,
            valid_to=statement.valid_to,
        )

    def _content(self, line: int, content: EntityContent, name: str) -> EntityContent:
        aliases: dict[str, Alias] = {}
        for alias in content.aliases:
            text = clean_text(alias.name)
            if len(text) > NAME_LENGTH_MAX:
                raise self._refusal(line, f"a name is longer than {NAME_LENGTH_MAX} characters")
            if text and text != name:
                aliases.setdefault(text, replace(alias, name=text))
        if len(aliases) > ALIASES_MAX:
            raise self._refusal(line, f"an entry has more than {ALIASES_MAX} names")
        return EntityContent(
            aliases=tuple(aliases.values()),
            births=self._texts(line, content.births),
            birth_places=self._texts(line, content.birth_places),
            countries=self._texts(line, content.countries),
            programs=self._texts(line, content.programs),
            identifiers=tuple(
                Identifier(clean_text(each.kind)[:100], clean_text(each.value)[:200], each.country)
                for each in content.identifiers[:VALUES_MAX]
            ),
            addresses=self._texts(line, content.addresses),
            titles=self._texts(line, content.titles),
            remarks=clean_text(content.remarks or "")[:TEXT_LENGTH_MAX] or None,
        )

    def _texts(self, line: int, values: tuple[str, ...]) -> tuple[str, ...]:
        if len(values) > VALUES_MAX:
            raise self._refusal(line, f"an entry says more than {VALUES_MAX} of one kind")
        return tuple(text[:TEXT_LENGTH_MAX] for value in values if (text := clean_text(value)))

    def _refusal(self, line: int, problem: str) -> ParameterInvalid:
        return self._source.refusal(problem, line=line)


def clean_text(text: str) -> str:
    """Text fit to store, show and compare: no control or format characters, single spaces.

    Marks of direction and joiners are format characters: they change what is shown, not the name.
    """
    kept = (
        " " if unicodedata.category(character) in ("Cc", "Cs", "Co", "Cn") else character
        for character in text
        if unicodedata.category(character) != "Cf"
    )
    return " ".join("".join(kept).split())
