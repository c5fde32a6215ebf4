"""What the checkout's pages are given, and what they give back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sakk.flow.context import Parts
from sakk.pages import language as languages
from sakk.pages.form import Values
from sakk.pages.page import headers, render

# Sends an asset's atomic units to an address: (network, contract, address, units).
TestPayer = Callable[[str, str, str, int], None]
COOKIE_SECONDS: Final = 365 * 86_400


@dataclass(frozen=True, slots=True)
class CheckoutSettings:
    """``public_url``: by which payers reach this server. ``test_payer``: in the sandbox alone."""

    public_url: str
    trusted_proxies: tuple[str, ...] = ()
    test_payer: TestPayer | None = None

    @property
    def is_secure(self) -> bool:
        """Is it reached by TLS?"""
        return self.public_url.startswith("https://")


@dataclass(frozen=True, slots=True)
class Visit:
    """One request. ``token`` is what the path holds; ``cookies`` are the browser's."""

    parts: Parts
    settings: CheckoutSettings
    method: str
    path: str
    token: str
    query: Values
    form: Values
    cookies: Mapping[str, str]
    accept_language: str | None
    is_ours: bool
    address: str
    now: datetime

    def language(self, preset: str | None = None) -> str:
        """What is asked in the address, then what was set, then what the page has, or prefers."""
        return languages.choose(
            asked=self.one("lang"),
            stored=self.cookies.get(languages.COOKIE) or preset,
            accept=self.accept_language,
        )

    def one(self, name: str) -> str | None:
        """A parameter of the address."""
        value = self.query.get(name)
        return value if isinstance(value, str) else None

    def field(self, name: str) -> str:
        """A field of the form; empty when it is not there."""
        value = self.form.get(name)
        return value if isinstance(value, str) else ""


@dataclass(slots=True)
class Response:
    """One answer."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cookies: list[str] = field(default_factory=list)


def page(
    visit: Visit,
    template: str,
    *,
    language: str,
    status: int = 200,
    ancestors: tuple[str, ...] = (),
    **values: object,
) -> Response:
    """A page, which keeps the language that was asked for."""
    body = render(f"checkout/{template}", language=language, path=visit.path, **values)
    response = Response(status, headers(language, ancestors=ancestors), body)
    if visit.one("lang") == language:
        response.cookies.append(
            cookie(languages.COOKIE, language, visit.settings, path="/", seconds=COOKIE_SECONDS)
        )
    return response


def message(visit: Visit, text: str, *, status: int, more: str = "") -> Response:
    """A page that says one thing."""
    language = visit.language()
    say = languages.words(language).gettext
    return page(
        visit,
        "message.html",
        language=language,
        status=status,
        text=say(text),
        more=say(more) if more else "",
    )


def redirect(path: str) -> Response:
    """Go there, on this server, and ask with GET."""
    return Response(303, {"location": path, "cache-control": "no-store"})


def cookie(name: str, value: str, settings: CheckoutSettings, *, path: str, seconds: int) -> str:
    """A cookie that no script reads, and no other site's page sends."""
    kept = f"{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Strict"
    return f"{kept}; Secure" if settings.is_secure else kept
