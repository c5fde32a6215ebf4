"""``sakk paywall``: the door in front of a service in any language, as a server of its own.

Each worker is a process with the same settings, which stand in its environment; payments that were
used are in a file that all of them share. TLS is the business of the server in front.
"""

import asyncio
import ctypes
import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sakk.paywall.answer import Receive, Send
from sakk.paywall.config import Config, Shop, from_json, split_address, to_json
from sakk.paywall.door import Paywall, Scope
from sakk.paywall.errors import PaywallAway, PaywallError
from sakk.paywall.upstream import Upstream, answer

SETTINGS: Final = "SAKK_PAYWALL_SETTINGS"
SECRET: Final = "SAKK_PAYWALL_SECRET"  # noqa: S105 - the name of a variable
API_KEY: Final = "SAKK_API_KEY"
METRICS: Final = "PROMETHEUS_MULTIPROC_DIR"
BACKLOG: Final = 2_048
# Of linux/prctl.h.
PR_SET_PDEATHSIG: Final = 1


class Proxy:
    """An ASGI application: its own health, and the door around the upstream."""

    def __init__(self, door: Paywall, health_path: str) -> None:
        self.door = door
        self._health_path = health_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == self._health_path:
            await answer(send, 200, "ok")
            return
        await self.door(scope, receive, send)


def make_application(
    config: Config,
    *,
    api_key: str | None,
    secret: bytes | None = None,
    observe: Callable[..., None] | None = None,
) -> Proxy:
    """The proxy of some settings; PaywallError."""
    upstream = Upstream(
        config.upstream,
        connect_seconds=config.connect_seconds,
        silence_seconds=config.silence_seconds,
        keep_host=config.keep_host,
        addresses={
            index: table.upstream
            for index, table in enumerate(config.routes)
            if table.upstream is not None
        },
    )
    more: dict[str, Any] = {} if observe is None else {"observe": observe}
    door = Paywall(
        upstream,
        routes=config.compiled(),
        offers=Shop(config, api_key, config.used_file),
        public_url=config.public_url,
        secret=secret,
        **more,
    )
    return Proxy(door, config.health_path)


def read_key(config: Config) -> str | None:
    """The key of the account that is paid; PaywallError where its file can not be read."""
    if config.api_key_file is None:
        return os.environ.get(API_KEY)
    try:
        return Path(config.api_key_file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise PaywallError(f"api_key_file: {config.api_key_file!r}: {error}.") from error


def worker() -> Proxy:
    """One worker's application, made in the worker's process."""
    # Not before: the library of the metrics reads its folder's name when it is imported.
    from sakk.paywall.metrics import observe

    _die_with_parent()
    config = from_json(os.environ[SETTINGS])
    return make_application(
        config,
        api_key=read_key(config),
        secret=bytes.fromhex(os.environ[SECRET]),
        observe=observe,
    )


def _die_with_parent() -> None:
    """Ask the kernel to end this worker with the process that started it, however that ends.

    Does nothing where the kernel cannot (prctl is Linux's).
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def serve(config: Config) -> None:
    """Serve until the process is told to stop."""
    from granian import Granian
    from granian.constants import Interfaces

    host, port = split_address(config.listen)
    folder = Path(tempfile.mkdtemp(prefix="sakk-paywall-"))
    try:
        if config.used_file is None:
            # Shared by the workers, and forgotten with them: name a file to keep it.
            config.used_file = str(folder / "used.sqlite")
        asyncio.run(_try_out(config))
        os.environ[SETTINGS] = to_json(config).decode()
        os.environ[SECRET] = secrets.token_hex(32)
        os.environ[METRICS] = str(folder)
        stop = _serve_metrics(config, folder)
        try:
            Granian(
                "sakk.paywall.proxy:worker",
                address=host,
                port=port,
                interface=Interfaces.ASGI,
                workers=config.workers,
                factory=True,
                backlog=BACKLOG,
                respawn_failed_workers=True,
                log_access=False,
            ).serve(target_loader=worker, wrap_loader=False)
        finally:
            stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _try_out(config: Config) -> None:
    """Start once here, where an error is one line and no worker is started again and again.

    PaywallError. Who does not answer now may later: workers say so, and serve what is free.
    """
    proxy = make_application(config, api_key=read_key(config))
    try:
        await proxy.door.start()
    except PaywallAway:
        return
    finally:
        await proxy.door.close()


def _serve_metrics(config: Config, folder: Path) -> Callable[[], None]:
    """All workers' numbers at an address of their own, which clients need not reach."""
    if config.metrics_listen is None:
        return lambda: None
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
    host, port = split_address(config.metrics_listen)
    server, thread = start_http_server(port, host, registry)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
