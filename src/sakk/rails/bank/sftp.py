"""A bank's SFTP server: files are put into one folder there and taken from another.

The server is who it is by its host key alone, which is pinned; we are who we are by a key that
follows from the vault. What is put there stands under a name that no bank reads until it is whole,
and is renamed. What the bank leaves is taken when two looks have seen it the same, and each name
once as long as it says the same: it stays where it is, and is for the bank to clear away.
"""

import asyncio
import posixpath
import stat
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final, TypeVar
from urllib.parse import unquote, urlsplit

import asyncssh

from sakk.core.bank_file import safe_name
from sakk.rails.bank.rail import (
    FILES_MAX,
    LISTED_MAX,
    UNFINISHED,
    BankUnreachable,
    FileTooLarge,
    Taken,
)
from sakk.rails.bank.sighting import Sightings

CHUNK_BYTES: Final = 1 << 15
CONNECT_SECONDS_MAX: Final = 20.0
CALL_SECONDS_MAX: Final = 300.0
# Between two looks that must have seen a file the same.
QUIET_SECONDS: Final = 2.0

T = TypeVar("T")
# A file as a server lists it: when it was written, its name, and its version.
_Seen = tuple[int, str, str]
_Page = list[_Seen]


class SftpBank:
    """One account's place at its bank. ``address``: ``sftp://user@host:port/folder``, in which
    files go to ``out`` and come from ``in``. ``host_key``: the server's, as OpenSSH writes it.
    """

    def __init__(
        self,
        address: str,
        *,
        host_key: str,
        private_key: bytes,
        taken: Taken,
        sightings: Sightings,
        quiet_seconds: float = QUIET_SECONDS,
    ) -> None:
        parts = urlsplit(address)
        self._host, self._port = parts.hostname or "", parts.port or 22
        self._user = unquote(parts.username or "")
        root = unquote(parts.path).rstrip("/")
        self._out, self._in = f"{root}/out", f"{root}/in"
        self._host_key, self._private_key = host_key, private_key
        self._taken, self._sightings = taken, sightings
        self._quiet_seconds = quiet_seconds
        self._runner: asyncio.Runner | None = None
        self._stack = AsyncExitStack()
        self._client: asyncssh.SFTPClient | None = None

    def put(self, name: str, content: bytes) -> None:
        self._run(self._put(name, content))

    def list(self) -> list[str]:
        # The oldest of what was not taken, however much of what was lies there still.
        found = self._run(self._list())
        return self._sightings.settled(found, quiet_seconds=self._quiet_seconds)

    def take(self, name: str, *, bytes_max: int) -> bytes:
        return self._run(self._take(name, bytes_max))

    def done(self, name: str) -> None:
        self._taken.remember(name, self._sightings.version(name))

    def close(self) -> None:
        """End the connection, if there is one."""
        if self._runner is None:
            return
        runner, self._runner, self._client = self._runner, None, None
        stack, self._stack = self._stack, AsyncExitStack()
        try:
            runner.run(_closed(stack))
        except (OSError, asyncssh.Error):
            # It is gone either way.
            pass
        finally:
            runner.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it over the connection; whatever goes wrong there ends it, and is tried again."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        try:
            return self._runner.run(asyncio.wait_for(work, CALL_SECONDS_MAX))
        # A key that is none is a ValueError.
        except (OSError, EOFError, TimeoutError, ValueError, asyncssh.Error) as error:
            self.close()
            raise BankUnreachable(_words(error)) from error

    async def _connected(self) -> asyncssh.SFTPClient:
        if self._client is None:
            key = asyncssh.import_public_key(self._host_key)
            connection = await self._stack.enter_async_context(
                asyncssh.connect(
                    self._host,
                    self._port,
                    username=self._user,
                    client_keys=[asyncssh.import_private_key(self._private_key)],
                    # This key and no other, whatever names and authorities a machine knows.
                    known_hosts=([key], [], []),
                    server_host_key_algs=_algorithms(key),
                    preferred_auth="publickey",
                    config=None,
                    agent_path=None,
                    connect_timeout=CONNECT_SECONDS_MAX,
                    login_timeout=CONNECT_SECONDS_MAX,
                )
            )
            self._client = await self._stack.enter_async_context(connection.start_sftp_client())
        return self._client

    async def _put(self, name: str, content: bytes) -> None:
        client = await self._connected()
        target, beside = f"{self._out}/{name}", f"{self._out}/.{name}.part"
        if await client.exists(target):
            if await client.getsize(target) == len(content):
                # It was renamed before a crash.
                return
            raise asyncssh.SFTPFailure(f"another file of the name {name} is there")
        async with client.open(beside, "wb") as file:
            for place in range(0, len(content), CHUNK_BYTES):
                await file.write(content[place : place + CHUNK_BYTES])
        if await client.getsize(beside) != len(content):
            raise asyncssh.SFTPFailure(f"{name} did not arrive whole")
        await client.rename(beside, target)

    async def _list(self) -> dict[str, str]:
        client = await self._connected()
        oldest: _Page = []
        page: _Page = []
        listed = 0
        async for entry in client.scandir(self._in):
            listed += 1
            if listed > LISTED_MAX:
                raise asyncssh.SFTPFailure(f"more than {LISTED_MAX} files lie in {self._in}")
            name, attributes = str(entry.filename), entry.attrs
            hidden = name.startswith(".") or name.lower().endswith(UNFINISHED)
            # As the server lists it: a link is not followed.
            if hidden or name != posixpath.basename(name) or not _is_file(attributes):
                continue
            if attributes.size:
                page.append((attributes.mtime or 0, name, _version(attributes)))
            if len(page) == FILES_MAX:
                oldest, page = self._fresh(oldest, page), []
        oldest = self._fresh(oldest, page)
        return {name: version for _, name, version in oldest}

    def _fresh(self, oldest: _Page, page: _Page) -> _Page:
        """Of these the oldest that were not taken, as many as are taken at once."""
        files = [(name, version) for _, name, version in page]
        waiting = set(self._taken.fresh(files))
        return sorted([*oldest, *(each for each in page if each[1] in waiting)])[:FILES_MAX]

    async def _take(self, name: str, bytes_max: int) -> bytes:
        client = await self._connected()
        path = f"{self._in}/{name}"
        attributes = await client.lstat(path)
        if not _is_file(attributes):
            raise FileTooLarge(f"{safe_name(name)} is no regular file")
        if (attributes.size or 0) > bytes_max:
            raise FileTooLarge(f"{safe_name(name)} has more than {bytes_max} bytes")
        content = bytearray()
        async with client.open(path, "rb") as file:
            while len(content) <= bytes_max:
                # Bytes: it was opened so.
                chunk: Any = await file.read(CHUNK_BYTES)
                if not chunk:
                    break
                content += chunk
        if len(content) > bytes_max:
            raise FileTooLarge(f"{safe_name(name)} has more than {bytes_max} bytes")
        if _version(await client.lstat(path)) != self._sightings.version(name):
            raise asyncssh.SFTPFailure(f"{safe_name(name)} changed while it was read")
        return bytes(content)


async def _closed(stack: AsyncExitStack) -> None:
    await stack.aclose()
    # What was aborted is let go of in the loop's next turns.
    for _ in range(3):
        await asyncio.sleep(0)


def _algorithms(key: asyncssh.SSHKey) -> list[str]:
    """The signatures that prove a host has this key; those by SHA-1 are none."""
    return [each.decode() for each in key.sig_algorithms if each != b"ssh-rsa"]


def _is_file(attributes: asyncssh.SFTPAttrs) -> bool:
    if attributes.permissions is not None:
        return stat.S_ISREG(attributes.permissions)
    return bool(attributes.type == asyncssh.FILEXFER_TYPE_REGULAR)


def _version(attributes: asyncssh.SFTPAttrs) -> str:
    return f"{attributes.size}:{attributes.mtime}"


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "the bank's server does not answer in time"
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return "the bank's server has another host key than the one that is pinned"
    if isinstance(error, asyncssh.PermissionDenied):
        return "the bank's server does not take our key"
    return f"the bank's server: {type(error).__name__}: {error}"[:300]
