"""Answers as they go to the browser: bytes, headers and cookies."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from markupsafe import Markup

from sakk.console.visit import Data, Download
from sakk.pages.page import headers, render

COOKIE_SECONDS: Final = 12 * 3600
SECURITY: Final = (
    ("x-frame-options", "DENY"),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), microphone=(), geolocation=()"),
)
HSTS: Final = ("strict-transport-security", "max-age=31536000")


@dataclass(slots=True)
class Response:
    """One answer; a header may stand several times."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    # A file too large for memory, and its length if it is known: it is read while it is sent.
    pieces: Iterator[bytes] | None = None
    size: int | None = None


def html(template: str, values: Mapping[str, Any], *, language: str, status: int) -> Response:
    """A page, with what its forms carry."""
    fields = form_head(str(values["csrf"]), str(values["once"]))
    shown = {**values, "form_head": lambda: fields}
    body = render(template, language=language, **shown)
    return Response(status, [*headers(language).items()], body)


def form_head(csrf: str, once: str) -> Markup:
    """The fields that stand in every form of the console."""
    return Markup(
        '<input type="hidden" name="_csrf" value="{}"><input type="hidden" name="_once" value="{}">'
    ).format(csrf, once)


def redirect(path: str, *, is_htmx: bool = False) -> Response:
    """Go there, and ask with GET. ``path`` is on this server: anything else is its root."""
    where = path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/console"
    if is_htmx:
        return Response(204, [("hx-redirect", where), ("cache-control", "no-store")])
    return Response(303, [("location", where), ("cache-control", "no-store")])


def download(answer: Download) -> Response:
    """A file that is saved, never shown."""
    name = quote(answer.name, safe="")
    headers = [
        ("content-type", answer.media_type),
        ("content-disposition", f"attachment; filename*=UTF-8''{name}"),
        ("cache-control", "no-store"),
        ("content-security-policy", "default-src 'none'; sandbox"),
    ]
    if isinstance(answer.content, bytes):
        return Response(200, headers, answer.content)
    return Response(200, headers, pieces=answer.content, size=answer.size)


def json_answer(answer: Data) -> Response:
    """For a script of ours."""
    return Response(
        answer.status,
        [("content-type", "application/json"), ("cache-control", "no-store")],
        json.dumps(answer.document).encode(),
    )


def cookie(name: str, value: str, *, is_secure: bool) -> tuple[str, str]:
    """A cookie that no script reads and no other site's page sends."""
    kept = f"{name}={value}; Path=/; Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Strict"
    return "set-cookie", f"{kept}; Secure" if is_secure else kept
