"""Pages for people: rendered here, without inline script or style, asking nobody else for anything.

Templates are named by the door in whose folder they are: ``checkout/session.html`` is
``checkout/templates/session.html``, and what doors share is ``pages/…``. Each language has its own
environment, in which ``_`` and its sisters speak it, in macros too.
"""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, PrefixLoader, StrictUndefined
from markupsafe import Markup, escape

from sakk.core.evm import checksum_address
from sakk.pages import amount as amounts
from sakk.pages import language as languages
from sakk.pages import static_files
from sakk.pages.moment import moment
from sakk.pages.qr import qr

HTML: Final = "text/html; charset=utf-8"
DOORS: Final = ("pages", "api", "checkout", "console")
ADDRESS_GROUP: Final = 4
_ROOT: Final = Path(__file__).parent.parent


def render(template: str, *, language: str, **values: object) -> bytes:
    """A page in a language; jinja2.UndefinedError when a value is missing."""
    return environment(language).get_template(template).render(values).encode()


def headers(
    language: str, *, ancestors: Sequence[str] = (), more: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What goes with a page: it may load and send to its own origin alone, and stays unlisted.

    ``ancestors`` are the origins that may show it in a frame: none unless said. The referrer stays
    at home, where it says that a form came from a page of ours; ``more`` overrides single headers.
    """
    # Browsers that know this directive pass over ``x-frame-options`` (CSP 3, section 6.4.2.2).
    allowed = " ".join(ancestors) or "'none'"
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; "
        f"frame-ancestors {allowed}"
    )
    return {
        "content-type": HTML,
        "content-security-policy": policy,
        "content-language": language,
        "cache-control": "no-store",
        "referrer-policy": "same-origin",
        "vary": "accept, accept-language, cookie",
        "x-robots-tag": "noindex, nofollow",
        "x-content-type-options": "nosniff",
        **(more or {}),
    }


def grouped(text: str) -> list[str]:
    """An address in groups of four, which eyes can compare."""
    return [text[at : at + ADDRESS_GROUP] for at in range(0, len(text), ADDRESS_GROUP)]


@cache
def environment(language: str) -> Environment:
    """Templates that speak a language. Only ours are loaded, and all they print is escaped."""
    made = Environment(
        loader=PrefixLoader({door: FileSystemLoader(_ROOT / door / "templates") for door in DOORS}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do"],
        finalize=_unturned,
    )
    speech = languages.words(language)

    def say(message: str, /, **values: object) -> Markup:
        return _filled(speech.message(message), values)

    def say_number(one: str, many: str, number: int, /, **values: object) -> Markup:
        shown = {"number": amounts.count(number), **values}
        return _filled(speech.plural(one, many, number), shown)

    def say_context(context: str, message: str, /, **values: object) -> Markup:
        return _filled(speech.context(context, message), values)

    made.globals.update(
        _=say,
        gettext=say,
        ngettext=say_number,
        pgettext=say_context,
        language=language,
        direction=speech.direction,
        languages=languages.NAMES,
        static=static_files.address,
        amount=partial(amounts.amount, language=language),
        units=partial(amounts.units, language=language),
        count=amounts.count,
        number=amounts.number,
        digits=amounts.digits,
        plain=amounts.plain,
        moment=moment,
        qr=qr,
        grouped=grouped,
        checksum=checksum_address,
    )
    made.filters["coded"] = coded
    made.filters["tame"] = lambda value: languages.tame(str(value))
    return made


def coded(text: str) -> Markup:
    """A sentence whose commands, between backticks, stand from left to right in every language."""
    code = Markup('<bdi class="code" dir="ltr">{}</bdi>')
    parts = text.split("`")
    return Markup("").join(
        code.format(part) if place % 2 else escape(part) for place, part in enumerate(parts)
    )


def _unturned(value: object) -> object:
    """What a page shows, without the marks by which a text turns what stands after it.

    Isolates stay: they end where they begin.
    """
    return value.translate(languages.OVERRIDES) if isinstance(value, str) else value


def _filled(text: str, values: Mapping[str, object]) -> Markup:
    """A message of ours as HTML. What is filled in is escaped, unless it is HTML of ours."""
    # Messages are text: what looks like markup in a translation is shown, not obeyed.
    whole = escape(text)
    return whole.format(**{name: _isolated(value) for name, value in values.items()})


def _isolated(value: object) -> Markup:
    shown = value if isinstance(value, Markup) else escape(languages.tame(str(value)))
    return Markup(f"{languages.ISOLATE}{shown}{languages.END}")  # noqa: S704 - escaped above
