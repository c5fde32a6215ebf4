"""What pages say, in the languages that they speak.

A message is its English text; what it is elsewhere stands in gettext catalogues, a file a noun
(``locales/ar/payment.po``), which are read once and merged. Placeholders stand in braces. What is
filled in is isolated (UAX #9), so that a name in another script, or one that was written to turn
the sentence round, keeps its direction to itself.

A language is chosen by ``?lang=``, then by what the person set, then by ``Accept-Language``
(RFC 9110 section 12.5.4): the quality first, then the order in which they are named.
"""

import gettext
import io
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from sakk.core.errors import SakkError
from sakk.core.sheet import OVERRIDES as OVERRIDES
from sakk.core.sheet import tame as tame

LANGUAGES: Final = ("en", "zh-Hans", "zh-Hant", "ar")
NAMES: Final = {"en": "English", "zh-Hans": "简体中文", "zh-Hant": "繁體中文", "ar": "العربية"}
DEFAULT: Final = "en"
COOKIE: Final = "sakk_language"
RIGHT_TO_LEFT: Final = frozenset({"ar"})
LANGUAGES_MAX: Final = 20
LOCALES: Final = Path(__file__).with_name("locales")
# First strong isolate, and its end (UAX #9).
ISOLATE, END = "\u2068", "\u2069"
# What parts a message from its context in catalogues of gettext.
CONTEXT_END: Final = "\x04"
_TRADITIONAL: Final = ("zh-hant", "zh-tw", "zh-hk", "zh-mo")


class Words:
    """Messages in one language. Unknown ones are told in English, so no page fails for words."""

    def __init__(self, language: str) -> None:
        self.language = language
        self.direction = "rtl" if language in RIGHT_TO_LEFT else "ltr"
        self._catalogue = _catalogue(language)

    def gettext(self, message: str, /, **values: object) -> str:
        """The message with what is filled in isolated: text, not HTML."""
        return fill(self.message(message), values)

    def pgettext(self, context: str, message: str, /, **values: object) -> str:
        """The same, of a word that means two things: ``context`` says which."""
        return fill(self._catalogue.pgettext(context, message), values)

    def ngettext(self, one: str, many: str, number: int, /, **values: object) -> str:
        """The form for a number, which is filled in as ``{number}``."""
        text = self._catalogue.ngettext(one, many, number)
        return fill(text, {"number": number, **values})

    def error(self, error: SakkError) -> str:
        """What an error says, with what is filled in isolated; in English as the API says it."""
        if self.language == DEFAULT or not error.template:
            return tame(error.message)
        told = self._catalogue.gettext(error.template)
        return fill(told, error.values) if error.values else tame(told)

    def message(self, message: str) -> str:
        """The bare message, for whoever fills it in another way."""
        return self._catalogue.gettext(message).rpartition(CONTEXT_END)[2]

    def plural(self, one: str, many: str, number: int) -> str:
        """The bare form for a number."""
        return self._catalogue.ngettext(one, many, number)

    def context(self, context: str, message: str) -> str:
        """The bare message of a context."""
        return self._catalogue.pgettext(context, message)


def mark(message: str) -> str:
    """Say that a text is a message, where it is not yet said in which language."""
    return message


def mark_in(context: str, message: str) -> str:
    """The same of a word that means two things: ``context`` says which (as `gettext` keeps it)."""
    return f"{context}{CONTEXT_END}{message}"


def fill(text: str, values: dict[str, object]) -> str:
    """Fill placeholders, each value isolated."""
    return text.format(**{name: isolated(value) for name, value in values.items()})


def isolated(value: object) -> str:
    """A value that keeps its direction to itself, whatever marks stand in it."""
    return f"{ISOLATE}{tame(str(value))}{END}"


@cache
def words(language: str) -> Words:
    """The messages of one of ``LANGUAGES``."""
    assert language in LANGUAGES
    return Words(language)


def choose(
    *, asked: str | None = None, stored: str | None = None, accept: str | None = None
) -> str:
    """The language of an answer: what the address asks, what was set, what the browser prefers."""
    for each in (asked, stored):
        if each in LANGUAGES:
            return str(each)
    return choose_language(accept)


def choose_language(accept: str | None) -> str:
    """The best language of ours for an ``Accept-Language`` header; English without one."""
    wanted: list[tuple[float, int, str]] = []
    for place, part in enumerate((accept or "").split(",")[:LANGUAGES_MAX]):
        tag, _, parameters = part.strip().partition(";")
        found = _ours(tag.strip().lower())
        quality = _quality(parameters)
        if found is not None and quality > 0:
            wanted.append((-quality, place, found))
    return min(wanted)[2] if wanted else DEFAULT


def catalogue_paths(language: str) -> list[Path]:
    """The files of a language, a noun each; English needs none."""
    return sorted(LOCALES.joinpath(language).glob("*.po"))


def read_catalogue(path: Path) -> Catalog:
    """One file as it stands; babel.messages.pofile.PoFileError when it is none."""
    with path.open("rb") as file:
        return read_po(file, locale=path.parent.name.replace("-", "_"), abort_invalid=True)


def merged(language: str, catalogues: Iterable[Catalog]) -> Catalog:
    """One catalogue of many."""
    whole = Catalog(locale=language.replace("-", "_"))
    for each in catalogues:
        for message in each:
            if message.id:
                whole.add(message.id, message.string, flags=message.flags, context=message.context)
    return whole


@cache
def _catalogue(language: str) -> gettext.NullTranslations:
    paths = catalogue_paths(language)
    if not paths:
        return gettext.NullTranslations()
    binary = io.BytesIO()
    write_mo(binary, merged(language, map(read_catalogue, paths)))
    binary.seek(0)
    return gettext.GNUTranslations(binary)


def _ours(tag: str) -> str | None:
    if tag.startswith(_TRADITIONAL):
        return "zh-Hant"
    match tag.partition("-")[0]:
        case "zh":
            return "zh-Hans"
        case "en" | "ar" as same:
            return same
        case _:
            return None


def _quality(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
