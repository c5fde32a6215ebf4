"""A browser without a screen: it keeps cookies, reads pages and sends their forms."""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from html import unescape
from typing import Any
from urllib.parse import urlencode

from starlette.types import Message

from sakk.console.app import Console

HOST = "localhost:8402"
ORIGIN = f"http://{HOST}"
BOUNDARY = "----sakk7MA4YWxkTrZu0gW"
_FIELD = re.compile(r'<input type="hidden" name="(_csrf|_once)" value="([^"]*)">')


@dataclass(frozen=True, slots=True)
class Got:
    """An answer. Header names are in lower case; the last of a name stands."""

    status: int
    headers: dict[str, str]
    set_cookies: tuple[str, ...]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def said(self) -> str:
        """The text without the marks that keep the direction of what is filled in."""
        return self.text.replace("\u2068", "").replace("\u2069", "")

    @property
    def location(self) -> str:
        return self.headers["location"]

    def fields(self) -> dict[str, str]:
        """What the page's forms carry."""
        return {name: unescape(value) for name, value in _FIELD.findall(self.text)}


@dataclass(slots=True)
class Browser:
    """One browser, at one address."""

    console: Console
    address: str = "203.0.113.7"
    user_agent: str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    cookies: dict[str, str] = field(default_factory=dict)
    page: Got | None = None

    def get(self, path: str, **headers: str) -> Got:
        """Open a page; its forms are those that `post` sends."""
        got = self.send("GET", path, headers=headers)
        if got.fields():
            self.page = got
        return got

    def follow(self, got: Got) -> Got:
        """Go where an answer leads."""
        assert got.status == 303, got.text
        return self.get(got.location)

    def post(self, path: str, form: dict[str, Any] | None = None, **headers: str) -> Got:
        """Send a form of the page that is open."""
        assert self.page is not None, "no page with a form is open"
        fields = {**self.page.fields(), **(form or {})}
        got = self.send("POST", path, form=fields, headers={"origin": ORIGIN, **headers})
        if got.fields():
            self.page = got
        return got

    def upload(self, path: str, form: dict[str, str], **files: tuple[str, bytes]) -> Got:
        """Send a form of the page that is open, with files by the names of their fields."""
        assert self.page is not None, "no page with a form is open"
        parts = [
            f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()
            for name, value in {**self.page.fields(), **form}.items()
        ]
        for file, (name, content) in files.items():
            head = (
                f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{file}"; filename="{name}"'
            )
            parts.append(f"{head}\r\n\r\n".encode() + content)
        body = b"\r\n".join([*parts, f"--{BOUNDARY}--\r\n".encode()])
        kind = f"multipart/form-data; boundary={BOUNDARY}"
        got = self.send_bytes("POST", path, body, {"origin": ORIGIN, "content-type": kind})
        if got.fields():
            self.page = got
        return got

    def twice(self, send: Callable[["Browser"], Got]) -> list[Got]:
        """What both of two clicks at once are answered, in two tabs of this browser."""
        tabs = [replace(self, cookies=dict(self.cookies)) for _ in range(2)]
        with ThreadPoolExecutor(2) as clicks:
            return list(clicks.map(send, tabs))

    def send(
        self,
        method: str,
        path: str,
        *,
        form: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Got:
        """Send a request as it is given, with the cookies that there are."""
        body = b"" if form is None else urlencode(form, doseq=True).encode()
        return self.send_bytes(method, path, body, headers or {})

    def send_bytes(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Got:
        sent = {
            "host": HOST,
            "user-agent": self.user_agent,
            "accept-language": "en",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        if body:
            sent.setdefault("content-type", "application/x-www-form-urlencoded")
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        got = asyncio.run(self._ask(method, path, body, sent))
        for each in got.set_cookies:
            name, _, value = each.partition(";")[0].partition("=")
            self.cookies[name] = value
        return got

    async def _ask(self, method: str, path: str, body: bytes, sent: dict[str, str]) -> Got:
        where, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": where,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
            "client": (self.address, 50_000),
        }
        answers: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            answers.append(message)

        await self.console(scope, receive, send)
        start, *rest = answers
        pairs = [(name.decode(), value.decode("latin-1")) for name, value in start["headers"]]
        return Got(
            start["status"],
            dict(pairs),
            tuple(value for name, value in pairs if name == "set-cookie"),
            b"".join(each["body"] for each in rest),
        )
