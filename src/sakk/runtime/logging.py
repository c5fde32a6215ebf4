"""Logs: structlog and the standard library's loggers as one stream on stderr, without secrets.

JSON lines, unless stderr is a terminal. Secrets are taken out three ways: by the name of the
field, by their look (API keys, webhook secrets, passwords in addresses, extended private keys),
and by value for those that a process registered when it read them. A transaction hash looks like
a private key, so a bare 32-byte hex string is only hidden by name or by value.
"""

import logging
import re
import sys
import threading
from collections.abc import Mapping
from typing import Any, Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

HIDDEN = "[hidden]"
SECRET_VALUE_CHARACTERS_MIN = 8  # shorter ones would blot out ordinary text
DEPTH_MAX = 8

_NAMES = re.compile(
    r"(?i)(pass(word|phrase|wd)|secret|private_?key|mnemonic|seed|xprv|authorization|cookie"
    r"|api_?key|signing_?key|credential)(?!.*_(id|file|path)$)"
)
_PATTERNS = (
    (re.compile(r"\b((?:sk|rk)_(?:test|live)_)[A-Za-z0-9_\-]+"), rf"\1{HIDDEN}"),
    (re.compile(r"\b(whsec_)[A-Za-z0-9+/=_\-]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(\w+://[^\s:/@]*:)[^\s@/]+(@)"), rf"\1{HIDDEN}\2"),
    (re.compile(r"\b([xyzt]prv)[1-9A-HJ-NP-Za-km-z]{80,}"), rf"\1{HIDDEN}"),
    (
        re.compile(
            r"(?i)((?:private[ _]?key|pass(?:word|phrase)|mnemonic)[\"']?\s?[=:]\s?[\"']?)"
            r"[^\s,;)\]}\"']+"
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(?i)\b(bearer )\S+"), rf"\1{HIDDEN}"),
)
_values: set[str] = set()
_lock = threading.Lock()


def register_secret(value: str) -> None:
    """Hide this value wherever it appears in this process's logs from now on."""
    if len(value) >= SECRET_VALUE_CHARACTERS_MIN:
        with _lock:
            _values.add(value)


def redact(text: str) -> str:
    """The text without secrets that are known by their look or their value."""
    for value in tuple(_values):
        text = text.replace(value, HIDDEN)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def configure_logging(
    *,
    level: str = "info",
    form: Literal["auto", "json", "console"] = "auto",
    role: str | None = None,
) -> None:
    """Send all logs of this process to stderr, each line with its ``role``."""
    is_console = form == "console" or (form == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _named(role),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _without_secrets,
    ]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer() if is_console else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("httpx2", "httpcore2", "aiohttp.access", "alembic", "asyncio"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _named(role: str | None) -> Processor:
    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        if role is not None:
            event.setdefault("role", role)
        return event

    return add


def _without_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    # Names that begin with an underscore are structlog's own notes to its formatter.
    return {
        key: value if key.startswith("_") else _clean(key, value, DEPTH_MAX)
        for key, value in event.items()
    }


def _clean(name: str, value: Any, depth: int) -> Any:
    if value is not None and name != "event" and _NAMES.search(name):
        return HIDDEN
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping) and depth:
        return {str(key): _clean(str(key), item, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset) and depth:
        return [_clean("", item, depth - 1) for item in value]
    return redact(value if isinstance(value, str) else str(value))
