"""The settings of ``sakk paywall``, from a file in TOML or from the command line.

An error names the line and the setting, and what it must be.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

from sakk.paywall.errors import PaywallError
from sakk.paywall.exact import Exact
from sakk.paywall.facilitator import Facilitator
from sakk.paywall.payment import Offer
from sakk.paywall.price import Metered, parse_price
from sakk.paywall.route import Pricing, Route, Routes
from sakk.paywall.sakk import SCHEMES, Sakk
from sakk.paywall.upstream import CONNECT_SECONDS, SILENCE_SECONDS, base_of
from sakk.paywall.used import Used

FREE: Final = "free"
WORKERS_MAX: Final = 64
_PLACE = re.compile(r"^\$(?:\.(\w+))?(?:\[(\d+)\])?(?:\.(\w+))?")


class RouteTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``[[routes]]``: a pattern with a ``price`` ("free" for none), or a price by the unit."""

    pattern: str
    price: str | list[str] | None = None
    price_per_unit: str | list[str] | None = None
    units_max: int | None = None
    unit: str = "unit"
    host: str | None = None
    description: str | None = None
    mime_type: str | None = None
    currencies: list[str] | None = None
    upstream: str | None = None

    def pricing(self) -> Pricing | None:
        """The price as a route has it; PaywallError where the table has none, or two."""
        if (self.price is None) == (self.price_per_unit is None):
            raise PaywallError("price: give price, or price_per_unit with units_max.")
        if self.price is not None:
            if self.units_max is not None:
                raise PaywallError("units_max: is for price_per_unit.")
            if self.price == FREE:
                return None
            parse_price(self.price)
            return self.price
        if self.units_max is None:
            raise PaywallError("units_max: is needed with price_per_unit.")
        assert self.price_per_unit is not None
        parse_price(self.price_per_unit)
        return Metered(self.price_per_unit, self.units_max, self.unit)


class ExactTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``[[exact]]``: coins on chain by any facilitator, without a Sakk."""

    facilitator: str
    network: str
    asset: str
    pay_to: str
    currency: str
    decimals: int
    name: str | None = None
    version: str | None = None
    permit2: bool = False
    headers: dict[str, str] = {}


class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """All settings. ``listen`` is ``host:port``; ``sakk`` the address of a Sakk, whose key stands

    in ``api_key_file`` or in the environment variable ``SAKK_API_KEY``.
    """

    upstream: str
    routes: list[RouteTable]
    listen: str = "127.0.0.1:8403"
    workers: int = 1
    sakk: str | None = None
    sakk_public_url: str | None = None
    charges_url: str | None = None
    api_key_file: str | None = None
    exact: list[ExactTable] = []
    schemes: list[str] = msgspec.field(default_factory=lambda: list(SCHEMES))
    networks: list[str] | None = None
    currencies: list[str] | None = None
    settle: Literal["before", "after"] = "before"
    session_step: int | None = None
    deposit_min: int | None = None
    used_file: str | None = None
    public_url: str | None = None
    keep_host: bool = False
    connect_seconds: float = CONNECT_SECONDS
    silence_seconds: float = SILENCE_SECONDS
    health_path: str = "/-/healthz"
    metrics_listen: str | None = None

    def compiled(self) -> list[Route]:
        """The routes; PaywallError names the one that is wrong, and its setting."""
        routes = []
        for index, table in enumerate(self.routes):
            try:
                route = Route(
                    table.pattern,
                    table.pricing(),
                    host=table.host,
                    description=table.description,
                    mime_type=table.mime_type,
                    currencies=table.currencies,
                )
                if table.upstream is not None:
                    base_of(table.upstream)
                Routes([route])
            except PaywallError as error:
                setting = str(error).partition(":")[0]
                setting = "pattern" if setting.startswith("routes[") else setting
                if setting == "price" and table.price is None and table.price_per_unit is not None:
                    setting = "price_per_unit"
                raise Misplaced(f"{error}", "routes", index, setting) from error
            routes.append(route)
        return routes

    def check(self) -> None:
        """Hold it together; Misplaced names the setting that is wrong."""
        self.compiled()
        for name, address in (("listen", self.listen), ("metrics_listen", self.metrics_listen)):
            if address is not None:
                try:
                    split_address(address)
                except PaywallError as error:
                    raise Misplaced(f"{name}: {error}", name) from error
        try:
            base_of(self.upstream)
        except PaywallError as error:
            raise Misplaced(str(error), "upstream") from error
        if not 0 < self.workers <= WORKERS_MAX:
            raise Misplaced(f"workers: must be 1 to {WORKERS_MAX}.", "workers")
        if not self.health_path.startswith("/"):
            raise Misplaced("health_path: must begin with a slash.", "health_path")
        if self.sakk is None and not self.exact:
            raise Misplaced(
                "sakk: give the address of a Sakk, or an [[exact]] table with a facilitator.",
                "sakk",
            )
        for index, table in enumerate(self.exact):
            try:
                _exact(table, None, self.settle)
            except PaywallError as error:
                setting = str(error).partition(":")[0].partition(",")[0]
                raise Misplaced(str(error), "exact", index, setting) from error
        if self.sakk is not None:
            try:
                Sakk(self.sakk, "sk_check", schemes=self.schemes)
            except PaywallError as error:
                setting = "schemes" if str(error).startswith("schemes") else "sakk"
                raise Misplaced(str(error).replace("url:", "sakk:"), setting) from error


class Misplaced(PaywallError):
    """A setting is wrong: which table, the how-manieth of it, and which key."""

    def __init__(self, message: str, table: str, index: int | None = None, key: str = "") -> None:
        super().__init__(message)
        self.table = table
        self.index = index
        self.key = key


@dataclass(frozen=True, slots=True)
class Shop:
    """The source of a proxy's offers: those of a Sakk, and those of other facilitators."""

    config: Config
    api_key: str | None
    used_file: str | None = field(default=None)

    async def offers(self) -> list[Offer]:
        """All of them; PaywallError."""
        config, offers = self.config, list[Offer]()
        if config.sakk is not None:
            if self.api_key is None:
                raise PaywallError(
                    "api_key_file: name a file with the key of the account that is paid, or set"
                    " SAKK_API_KEY."
                )
            sakk = Sakk(
                config.sakk,
                self.api_key,
                networks=config.networks,
                currencies=config.currencies,
                schemes=config.schemes,
                settle=config.settle,
                used_file=self.used_file,
                step=config.session_step,
                deposit_min=config.deposit_min,
                charges_url=config.charges_url,
                public_url=config.sakk_public_url,
            )
            offers.extend(await sakk.offers())
        used = Used(self.used_file) if config.exact else None
        offers.extend(_exact(table, used, config.settle) for table in config.exact)
        return offers


def _exact(table: ExactTable, used: Used | None, settle: Literal["before", "after"]) -> Exact:
    return Exact(
        Facilitator(table.facilitator, headers=table.headers),
        network=table.network,
        asset=table.asset,
        pay_to=table.pay_to,
        currency=table.currency,
        decimals=table.decimals,
        name=table.name,
        version=table.version,
        permit2=table.permit2,
        settle=settle,
        used=used,
    )


def read_config(text: str, given: Mapping[str, Any] | None = None) -> Config:
    """Read a file's text; PaywallError begins with the line. ``given`` goes before the file."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        raise PaywallError(f"line {found[1] if found else '?'}: {error}") from error
    try:
        config = msgspec.convert({**document, **(given or {})}, Config)
        config.check()
    except msgspec.ValidationError as error:
        raise PaywallError(_located(text, str(error))) from error
    except Misplaced as error:
        line = line_of(text, error.table, error.index, error.key)
        raise PaywallError(f"line {line}: {error}") from error
    return config


def split_address(address: str) -> tuple[str, int]:
    """``host:port``; PaywallError."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or not 0 <= int(port) < 1 << 16:
        raise PaywallError(f"must be 'host:port', not {address!r}.")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - said by who runs it


def line_of(text: str, table: str, index: int | None = None, key: str = "") -> int:
    """The line of a setting: of its key where it stands, else of its table, else the first."""
    place, count, best = "", -1, 1
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("["):
            place = stripped.strip("[] \t").partition("]")[0]
            count += place == table
            if place == table and count == index:
                best = number
        elif (index is None and not place and re.match(rf"{re.escape(table)}\s*=", stripped)) or (
            place == table
            and count == index
            and key
            and re.match(rf"{re.escape(key)}\s*=", stripped)
        ):
            return number
    return best


def _located(text: str, message: str) -> str:
    """msgspec's message with its place as a line."""
    said, _, where = message.partition(" - at `")
    unknown = re.search(r"(?:unknown|required) field `(\w+)`", said)
    found = _PLACE.match(where.rstrip("`")) if where else None
    table, index, key = found.groups() if found else (None, None, None)
    if unknown and "unknown" in said:
        key = unknown[1]
    if table is None:
        table, key = key or "", None
    line = line_of(text, table, None if index is None else int(index), key or "")
    name = key or table
    return f"line {line}: {name + ': ' if name and not unknown else ''}{said}."


def to_json(config: Config) -> bytes:
    """For the environment of a worker."""
    return msgspec.json.encode(config)


def from_json(text: str | bytes) -> Config:
    """What `to_json` wrote."""
    config: Any = msgspec.json.decode(text, type=Config)
    assert isinstance(config, Config)
    return config
