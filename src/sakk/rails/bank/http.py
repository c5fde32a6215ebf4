"""A bank's files over HTTP, in the shape that most banks' own interfaces have (no EBICS).

``POST {address}/files`` takes a file of orders, whose name is its ``Idempotency-Key``: whatever is
not answered is posted again, and is one file there. ``GET {address}/files?after=CURSOR`` lists what
the bank left, the oldest first: ``{"data": [{"id", "name", "size", "sha256"}], "has_more"}``, the
cursor being the id of the last that is done; ``GET {address}/files/{id}`` is its bytes. We are who
we are by a bearer token, or by a client certificate.
"""

import asyncio
import hashlib
import ssl
import tempfile
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from sakk.core.bank_file import safe_name
from sakk.core.errors import ParameterInvalid
from sakk.core.webhook import USER_AGENT, check_url
from sakk.rails.bank.rail import FILES_MAX, LISTED_MAX, BankUnreachable, FileTooLarge, Taken

CALL_SECONDS_MAX: Final = 120.0
PAGE: Final = 100
ANSWER_BYTES_MAX: Final = 1 << 20
ID_LENGTH_MAX: Final = 200

T = TypeVar("T")


class Listed(msgspec.Struct):
    """A file that the bank left."""

    id: str
    name: str = ""
    size: int = 0
    sha256: str | None = None


class Listing(msgspec.Struct):
    """A page of them."""

    data: list[Listed]
    has_more: bool = False


@dataclass(slots=True)
class Cursor:
    """Up to where all is done, as far as this process knows, and what was listed after it."""

    after: str | None = None
    listed: dict[str, Listed] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class HttpBank:
    """One account's interface at its bank.

    ``secret``: a token, or a client's certificate and key as PEM. ``authority``: the bank's own
    certificate authority as PEM, where it is none of the public ones. ``connector`` judges every
    address that is connected to.
    """

    address: str
    secret: str
    taken: Taken
    cursor: Cursor
    connector: Callable[[], aiohttp.TCPConnector]
    authority: str | None = None
    allow_loopback: bool = False

    def put(self, name: str, content: bytes) -> None:
        self._run(self._put(name, content))

    def list(self) -> list[str]:
        with self.cursor.lock:
            return [*self._run(self._list())]

    def take(self, name: str, *, bytes_max: int) -> bytes:
        return self._run(self._take(name, bytes_max))

    def done(self, name: str) -> None:
        self.taken.remember(name, self._version(name))

    def close(self) -> None:
        """Nothing stays open between calls."""

    def _version(self, name: str) -> str:
        return self.cursor.listed.get(name, Listed(name)).sha256 or ""

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return asyncio.run(work)
        except ParameterInvalid as refused:
            raise BankUnreachable(f"its address {refused.values['reason']}") from None
        except TimeoutError:
            raise BankUnreachable("the bank does not answer in time") from None
        # A secret that no header can hold is a ValueError.
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise BankUnreachable(
                f"the bank can not be reached ({type(error).__name__})"
            ) from error

    def _session(self) -> aiohttp.ClientSession:
        check_url(self.address, allow_loopback=self.allow_loopback)
        headers = {"User-Agent": USER_AGENT}
        if not _is_certificate(self.secret):
            headers["Authorization"] = f"Bearer {self.secret}"
        return aiohttp.ClientSession(
            connector=self.connector(),
            timeout=aiohttp.ClientTimeout(total=CALL_SECONDS_MAX),
            cookie_jar=aiohttp.DummyCookieJar(),
            # What is compressed can be made to swell: nothing is asked for so.
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding",),
            headers=headers,
        )

    def _place(self, *parts: str) -> str:
        return "/".join(
            (self.address.rstrip("/"), "files", *(quote(each, safe="") for each in parts))
        )

    async def _put(self, name: str, content: bytes) -> None:
        async with (
            self._session() as session,
            session.post(
                self._place(),
                data=content,
                headers={
                    "Content-Type": "application/xml",
                    "Idempotency-Key": name,
                    "Content-Disposition": f'attachment; filename="{name}"',
                },
                allow_redirects=False,
                ssl=self._tls(),
            ) as response,
        ):
            if response.status not in (200, 201, 202, 204):
                raise BankUnreachable(f"the bank answered {response.status} to {name}")

    async def _list(self) -> Sequence[str]:
        """What is not yet taken, after all that is; the cursor goes over what is done."""
        cursor = self.cursor
        after, has_more = cursor.after, True
        waiting: dict[str, Listed] = {}
        seen = 0
        async with self._session() as session:
            while has_more and len(waiting) < FILES_MAX and seen < LISTED_MAX:
                page = await self._page(session, after)
                if not page.data:
                    break
                seen += len(page.data)
                named = [(each.id, each.sha256 or "") for each in page.data]
                fresh = set(self.taken.fresh(named))
                for each in page.data:
                    if each.id in fresh:
                        waiting[each.id] = each
                    elif not waiting:
                        cursor.after = each.id
                has_more, after = page.has_more, page.data[-1].id
        cursor.listed = dict(list(waiting.items())[:FILES_MAX])
        return [*cursor.listed]

    async def _page(self, session: aiohttp.ClientSession, after: str | None) -> Listing:
        query = {"limit": str(PAGE), **({} if after is None else {"after": after})}
        async with session.get(
            self._place(), params=query, allow_redirects=False, ssl=self._tls()
        ) as response:
            if response.status != 200:
                raise BankUnreachable(f"the bank answered {response.status} to its list of files")
            body = await _read(response, ANSWER_BYTES_MAX)
        try:
            page = msgspec.json.decode(body or b"", type=Listing)
        except msgspec.MsgspecError as error:
            raise BankUnreachable(f"the bank's list can not be read: {error}"[:300]) from error
        if not all(_is_kept(each.id) and _is_kept(each.sha256 or "-") for each in page.data):
            raise BankUnreachable("the bank's list names a file by no id or hash that can be kept")
        return page

    async def _take(self, name: str, bytes_max: int) -> bytes:
        listed = self.cursor.listed.get(name, Listed(name))
        if listed.size > bytes_max:
            raise FileTooLarge(f"{safe_name(name)} has more than {bytes_max} bytes")
        async with (
            self._session() as session,
            session.get(self._place(name), allow_redirects=False, ssl=self._tls()) as response,
        ):
            if response.status != 200:
                raise BankUnreachable(f"the bank answered {response.status} to {safe_name(name)}")
            content = await _read(response, bytes_max)
        if content is None:
            raise FileTooLarge(f"{safe_name(name)} has more than {bytes_max} bytes")
        if listed.sha256 and hashlib.sha256(content).hexdigest() != listed.sha256.lower():
            raise BankUnreachable(f"{safe_name(name)} is not what the bank's list says")
        return content

    def _tls(self) -> ssl.SSLContext | bool:
        if not self.address.startswith("https:"):
            return True
        context = ssl.create_default_context(cadata=self.authority)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if _is_certificate(self.secret):
            # The library takes them from a file alone: one of ours, gone as soon as it is read.
            with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
                file.write(self.secret)
                file.flush()
                context.load_cert_chain(file.name)
        return context


def _is_kept(text: str) -> bool:
    return 0 < len(text) <= ID_LENGTH_MAX and text.isprintable()


def _is_certificate(secret: str) -> bool:
    return secret.lstrip().startswith("-----BEGIN ")


async def _read(response: aiohttp.ClientResponse, bytes_max: int) -> bytes | None:
    """A body; None as soon as it has more than so many bytes."""
    content = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        content += chunk
        if len(content) > bytes_max:
            response.close()
            return None
    return bytes(content)
