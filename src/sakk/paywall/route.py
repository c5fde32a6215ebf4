"""Which requests cost something: methods and path patterns, and how one is found for a request.

A pattern is ``"GET /weather/{city}"``: ``{name}`` is one segment, ``{name:path}`` or ``*`` at the
end is all the rest; without a method it is for all. The first pattern that fits decides.

What an application would serve under another spelling of a path must cost the same, so a path is
looked up as it would be read by the most lenient of them: dot segments resolved (RFC 3986, section
5.2.4), slashes that follow each other as one, a segment's parameters after ``;`` left out, and with
or without a slash at its end. Others read it literally, take an escaped slash for a part of its
segment, or small letters for large ones: where any of them would find a price, it costs that, and
where they would find several, it is not served (`AmbiguousPath`). A method costs the same in small
letters, which some read as large ones, and HEAD costs what GET costs. A preflight of CORS (Fetch,
section 3.2.2) is never charged: it can not pay.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, unquote_to_bytes

from sakk.paywall.errors import PaywallError
from sakk.paywall.price import Metered, Price

ROUTES_MAX: Final = 10_000
# Of paths that a pattern matched, so that it need not be asked again.
_REMEMBERED_MAX: Final = 4_096
_METHOD = re.compile(r"[A-Z]{1,20}|\*")
_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(:path)?\}")
_LENIENT = re.compile(r"//|/\.\.?(?:/|$)|[\\;]|./$", re.DOTALL)
# What is no separator to an application that looks for those before it takes escapes off.
_ESCAPED = re.compile(rb"%(2f|5c|3b)", re.IGNORECASE)


class AmbiguousPath(Exception):
    """Applications differ in what a path is, and what it costs differs too."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as a price function sees it. Header names are in lower case."""

    method: str
    path: str
    parameters: Mapping[str, str]
    query: bytes
    headers: Sequence[tuple[bytes, bytes]]

    def header(self, name: str) -> str | None:
        """The first header of a name."""
        wanted = name.lower().encode()
        for each, value in self.headers:
            if each == wanted:
                return value.decode("latin-1")
        return None


Pricing = str | Iterable[str] | Price | Metered
PriceFunction = Callable[[Asked], "Pricing | Awaitable[Pricing | None] | None"]


@dataclass(frozen=True, slots=True)
class Route:
    """A pattern and its price. ``price`` None: this is free, whatever the patterns after it say.

    ``host`` limits it to one host; ``description`` and ``mime_type`` are told to who is to pay;
    ``currencies``, where given, are the only ones that are offered.
    """

    pattern: str
    price: Pricing | PriceFunction | None
    host: str | None = None
    description: str | None = None
    mime_type: str | None = None
    currencies: Sequence[str] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A compiled route; ``index`` is its place."""

    index: int
    route: Route
    methods: frozenset[str]
    expression: re.Pattern[str]
    is_plain: bool
    path: str
    loosely: re.Pattern[str]

    def fits(self, path: str) -> bool:
        """Does a path as it was read fit?"""
        return path == self.path if self.is_plain else bool(self.expression.fullmatch(path))

    def fits_loosely(self, path: str) -> bool:
        """The same, where small letters are large ones."""
        if self.is_plain:
            return path.lower() == self.path.lower()
        return bool(self.loosely.fullmatch(path))


@dataclass(slots=True)
class Routes:
    """All routes of a paywall, compiled."""

    given: Sequence[Route]
    compiled: list[Found] = field(init=False)
    by_host: bool = field(init=False)
    _plain: dict[tuple[str, str, str], Found | None] = field(init=False)

    def __post_init__(self) -> None:
        if len(self.given) > ROUTES_MAX:
            raise PaywallError(f"routes: more than {ROUTES_MAX}.")
        self.compiled = [_compile(index, route) for index, route in enumerate(self.given)]
        self.by_host = any(route.host is not None for route in self.given)
        self._plain = {}

    def find(
        self, method: str, path: str, host: str | None = None, raw: bytes | None = None
    ) -> Found | None:
        """The first route that fits, or None; AmbiguousPath.

        ``host`` is asked for when ``by_host`` is set; ``raw`` is the path with its escapes.
        """
        literal = path if raw is None or b"%" not in raw else _literal(path, raw)
        if self.by_host:
            return self._search(method, path, literal, host)
        key = (method, path, literal)
        try:
            return self._plain[key]
        except KeyError:
            pass
        found = self._search(method, path, literal, None)
        # Attackers choose paths: what is remembered has a limit, and begins anew when it is full.
        if len(self._plain) >= _REMEMBERED_MAX:
            self._plain.clear()
        self._plain[key] = found
        return found

    def parameters(self, found: Found, path: str, raw: bytes | None = None) -> dict[str, str]:
        """What the pattern's names stand for in a path."""
        readings = _readings(path, path if raw is None else _literal(path, raw))
        for expression in (found.expression, found.loosely):
            for reading in readings:
                matched = expression.fullmatch(reading)
                if matched is not None:
                    return {name: _plainly(value) for name, value in matched.groupdict().items()}
        return {}

    def _search(self, method: str, path: str, literal: str, host: str | None) -> Found | None:
        method = method.upper()
        method = "GET" if method == "HEAD" else method
        first: Found | None = None
        priced: dict[int, Found] = {}
        for place, reading in enumerate(_readings(path, literal)):
            exact, loose = self._fitting(method, reading, host)
            first = exact if place == 0 else first
            for each in (exact, loose):
                if each is not None and each.route.price is not None:
                    priced[each.index] = each
        if len(priced) > 1:
            raise AmbiguousPath(path)
        return next(iter(priced.values()), first)

    def _fitting(
        self, method: str, path: str, host: str | None
    ) -> tuple[Found | None, Found | None]:
        """The first route that fits a path as it was read, and what would cost before it does if
        small letters were large ones."""
        loose: Found | None = None
        for each in self.compiled:
            if each.methods and method not in each.methods:
                continue
            if each.route.host is not None and not _is_host(each.route.host, host):
                continue
            if each.fits(path):
                # Who named just this means just this.
                is_named = each.is_plain and each.route.price is not None
                return each, None if is_named else loose
            if loose is None and each.route.price is not None and each.fits_loosely(path):
                loose = each
        return None, loose


def canonical(path: str) -> str:
    """The path that the most lenient application would read."""
    if _LENIENT.search(path) is None:
        return path
    return _read(path, resolves=True, strips=True)


def _readings(path: str, literal: str) -> list[str]:
    """Every path that some application would read; the most lenient one's first."""
    if path == literal and _LENIENT.search(path) is None:
        return [path]
    return list(
        dict.fromkeys(
            _read(spelling, resolves=resolves, strips=strips)
            for spelling in (path, literal)
            for resolves in (True, False)
            for strips in (True, False)
        )
    )


def _read(path: str, *, resolves: bool, strips: bool) -> str:
    """``resolves``: dot segments, and backslashes as slashes; ``strips``: parameters."""
    segments: list[str] = []
    for given in (path.replace("\\", "/") if resolves else path).split("/"):
        segment = given.partition(";")[0] if strips else given
        if resolves and segment == "..":
            segments[-1:] = []
        elif segment and not (resolves and segment == "."):
            segments.append(segment)
    return "/" + "/".join(segments)


def _literal(path: str, raw: bytes) -> str:
    """The path where an escaped separator stays escaped."""
    if _ESCAPED.search(raw) is None:
        return path
    return unquote_to_bytes(_ESCAPED.sub(rb"%25\1", raw)).decode("utf-8", "replace")


def _plainly(value: str) -> str:
    """A parameter of such a path, as an application has it in the end."""
    return unquote(value) if _ESCAPED.search(value.encode()) else value


def is_preflight(method: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Does a browser ask whether it may ask?"""
    return method == "OPTIONS" and any(
        name == b"access-control-request-method" for name, _ in headers
    )


def _is_host(wanted: str, host: str | None) -> bool:
    if host is None:
        return False
    name = host.lower().removesuffix(".")
    return wanted.lower() in (name, name.rpartition(":")[0].removesuffix("."))


def _compile(index: int, route: Route) -> Found:
    where = f"routes[{index}]: {route.pattern!r}"
    method, _, rest = route.pattern.strip().rpartition(" ")
    methods = [each.strip() for each in (method or "*").split("|")]
    if any(_METHOD.fullmatch(each) is None for each in methods):
        raise PaywallError(
            f"{where} begins with {method!r}, which is no method. Write 'GET /path'."
        )
    if not rest.startswith("/"):
        raise PaywallError(f"{where} has no path. Write 'GET /path' or '/path'.")
    if "HEAD" in methods:
        raise PaywallError(f"{where}: HEAD costs what GET costs. Name GET.")
    expression, is_plain = _expression(rest, where)
    every = "*" in methods
    return Found(
        loosely=re.compile(expression.pattern, expression.flags | re.IGNORECASE),
        index=index,
        route=route,
        methods=frozenset() if every else frozenset(methods),
        expression=expression,
        is_plain=is_plain,
        path=canonical(rest),
    )


def _expression(path: str, where: str) -> tuple[re.Pattern[str], bool]:
    path = path if path == "/" else path.rstrip("/") or "/"
    names: set[str] = set()
    made, position = "", 0
    star = path.endswith("*")
    body = path[:-1] if star else path
    for each in _PARAMETER.finditer(body):
        name = each[1]
        if name in names:
            raise PaywallError(f"{where} names {name!r} twice.")
        names.add(name)
        made += re.escape(body[position : each.start()])
        made += f"(?P<{name}>.*)" if each[2] else f"(?P<{name}>[^/]+)"
        position = each.end()
    rest = body[position:]
    if any(mark in rest + re.sub(_PARAMETER, "", body) for mark in "{}*"):
        raise PaywallError(f"{where} has a brace or star that is no parameter.")
    made += re.escape(rest)
    if star:
        # "/files/*" is for "/files" too, which many applications serve alike.
        made = made.removesuffix("/") + "(?:/.*)?" if made.endswith("/") else made + ".*"
    return re.compile(made, re.DOTALL), not names and not star


def describe(pricing: Any) -> str:
    """A price in words, for people."""
    if isinstance(pricing, Metered):
        return f"{describe(pricing.per_unit)} for each {pricing.unit}"
    if isinstance(pricing, str):
        return pricing
    if isinstance(pricing, Price):
        return " or ".join(f"{amount} {name}" for name, amount in pricing.amounts.items())
    return " or ".join(str(each) for each in pricing)
