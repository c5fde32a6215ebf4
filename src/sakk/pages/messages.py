"""Brings the catalogues of messages in line with the pages (``make messages``).

What is new is added without a translation, what no page says any more goes, and what is there keeps
its place.

A message goes into the file of the noun whose template or module says it, or raises it where a
screen meets it (`sakk.pages.raised`); what several nouns say goes into shared.po. With ``--check``
nothing is written, and what is wrong is told.
"""

import io
import re
import string
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.pofile import write_po

from sakk.pages.language import DEFAULT, LANGUAGES, LOCALES, catalogue_paths, read_catalogue
from sakk.pages.raised import raised

SOURCES = Path(__file__).resolve().parents[1]
DOORS = ("pages", "api", "checkout", "console")
SHARED = "shared"
KEYWORDS: dict[str, tuple[int | tuple[int, str], ...] | None] = {
    "_": None,
    "gettext": None,
    "say": None,
    "mark": None,
    "mark_in": ((1, "c"), 2),
    "ngettext": (1, 2),
    "pgettext": ((1, "c"), 2),
}
WIDTH = 100
HEADER = """msgid ""
msgstr ""
"Language: {language}\\n"
"Content-Type: text/plain; charset=UTF-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: {plurals}\\n"

"""
# A message: its context, its text or its two texts.
Key = tuple[str | None, str | tuple[str, ...]]


def said() -> dict[Key, set[str]]:
    """Every message that a page says, errors that it tells too, and the nouns that say it."""
    found: dict[Key, set[str]] = {}
    for path in sources():
        method = "jinja2.ext:babel_extract" if path.suffix == ".html" else "python"
        with path.open("rb") as file:
            for _, message, _, context in extract(method, file, KEYWORDS):
                found.setdefault((context, message), set()).add(noun_of(path))
    for each in raised():
        if each.text is not None:
            found.setdefault((None, each.text), set()).add(noun_of(each.path))
    return found


def sources() -> Iterator[Path]:
    """The files in which messages are looked for."""
    for door in DOORS:
        yield from sorted((SOURCES / door).glob("templates/**/*.html"))
        yield from sorted((SOURCES / door).glob("*.py"))


def noun_of(path: Path) -> str:
    """Whose catalogue a file's messages belong into: its own name, or what all doors share."""
    if path.is_relative_to(SOURCES / "pages"):
        return SHARED
    return path.stem.removesuffix("_page").removeprefix("_")


def read(language: str) -> dict[str, Catalog]:
    """The catalogues of a language by noun."""
    return {path.stem: read_catalogue(path) for path in catalogue_paths(language)}


def update(language: str, wanted: dict[Key, set[str]]) -> dict[str, Catalog]:
    """The catalogues as they should stand."""
    before = read(language)
    after: dict[str, Catalog] = {}
    placed: set[Key] = set()
    # What is said in shared words is looked for there first, so a copy elsewhere goes.
    for noun in sorted(before, key=lambda each: (each != SHARED, each)):
        for message in before[noun]:
            key = key_of(message)
            if message.id and key in wanted and key not in placed:
                placed.add(key)
                _add(after, language, noun, message)
    for key, nouns in wanted.items():
        if key not in placed:
            noun = next(iter(nouns)) if len(nouns) == 1 else SHARED
            _add(after, language, noun, Message(key[1], context=key[0]))
    return after


def key_of(message: Message) -> Key:
    """What a message is known by."""
    return message.context, message.id if isinstance(message.id, str) else tuple(message.id)


def faults(language: str, wanted: dict[Key, set[str]]) -> Iterator[str]:
    """What is wrong with a language's catalogues, a line each."""
    seen: dict[Key, object] = {}
    for noun, catalogue in read(language).items():
        for message in catalogue:
            if not message.id:
                continue
            key, where = key_of(message), f"{language}/{noun}.po: {_short(message)}"
            strings = _forms(message)
            if key not in wanted:
                yield f"{where}: no page says this any more; make messages"
            if message.fuzzy:
                yield f"{where}: fuzzy"
            if len(strings) != (catalogue.num_plurals if message.pluralizable else 1):
                yield f"{where}: {len(strings)} forms instead of {catalogue.num_plurals}"
            if not all(strings):
                yield f"{where}: not translated"
            elif any(placeholders(each) != placeholders(_last(message)) for each in strings):
                yield f"{where}: other placeholders than in English"
            if seen.setdefault(key, message.string) != message.string:
                yield f"{where}: translated otherwise in another file; make messages"
    for key in wanted:
        if key not in seen:
            yield f"{language}: {key[1]!r} is in no catalogue; make messages"


def placeholders(text: str) -> set[str]:
    """The names in braces, without the number of a plural, which a form may say as a word."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name} - {"number"}


def text_of(language: str, catalogue: Catalog) -> str:
    """A catalogue as its file: no dates and no line numbers, which would only make conflicts."""
    body = io.BytesIO()
    write_po(body, catalogue, width=WIDTH, no_location=True, omit_header=True)
    head = HEADER.format(language=language, plurals=catalogue.plural_forms)
    return re.sub(r"\n{3,}", "\n\n", head + body.getvalue().decode()).rstrip() + "\n"


def main() -> None:
    """Write, or check and exit with 1 when something is wrong."""
    wanted = said()
    others = [language for language in LANGUAGES if language != DEFAULT]
    if "--check" not in sys.argv:
        for language in others:
            after = update(language, wanted)
            for path in catalogue_paths(language):
                if path.stem not in after:
                    path.unlink()
            for noun, catalogue in after.items():
                path = LOCALES / language / f"{noun}.po"
                path.write_text(text_of(language, catalogue), "utf-8")
    wrong = [fault for language in others for fault in faults(language, wanted)]
    sys.stderr.write("".join(f"{each}\n" for each in wrong))
    sys.exit(1 if wrong else 0)


def _add(after: dict[str, Catalog], language: str, noun: str, message: Message) -> None:
    catalogue = after.setdefault(noun, Catalog(locale=language.replace("-", "_")))
    catalogue.add(message.id, message.string, flags=message.flags, context=message.context)


def _forms(message: Message) -> list[str]:
    """The translation in each of its forms; an empty one for none."""
    forms = message.string if isinstance(message.string, list | tuple) else [message.string]
    return [str(each or "") for each in forms]


def _short(message: Message) -> str:
    return repr(_last(message))


def _last(message: Message) -> str:
    return message.id if isinstance(message.id, str) else message.id[-1]


if __name__ == "__main__":
    main()
