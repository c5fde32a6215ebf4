"""What an operator may set, and nothing else: each by one environment variable.

Networks, assets and policies are rows in the database, not settings. The reference in the
documents is generated from here.
"""

import os
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AliasChoices, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sakk.core.breach import Guard
from sakk.core.errors import Misconfigured
from sakk.store.lease_length import LEASE_SECONDS_DEFAULT

PREFIX = "SAKK_"
PORT_DEFAULT = 8402
# Read by the processes themselves or set by the supervisor for its children; not for operators.
INTERNAL_NAMES = frozenset(
    {"SAKK_READY_FD", "SAKK_RESTARTS", "SAKK_FAILPOINTS", "SAKK_FAILPOINT_DIR", "SAKK_API_KEY"}
)

Port = Annotated[int, Field(ge=0, le=65_535)]


def _data_dir_default() -> Path:
    root = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(root).expanduser() / "sakk"


class Settings(BaseSettings):
    """All settings of a Sakk process, checked once at its start."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    database_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("DATABASE_URL", "database_url"),
        description="Address of a PostgreSQL server (15 or newer), `postgresql://user:password@"
        "host/database`. Without it Sakk runs its own in the data directory.",
    )
    data_dir: Path = Field(
        default_factory=_data_dir_default,
        description="Folder of everything that is not in the database: the embedded PostgreSQL, "
        "the keystore, the signer's log.",
    )
    socket_dir: Path | None = Field(
        default=None,
        description="Folder of the unix sockets by which the processes speak. A short temporary "
        "one by default; name one when roles are started apart on one machine.",
    )
    postgres_bin: Path | None = Field(
        default=None,
        description="Folder of PostgreSQL's programs for the embedded server. The system's newest "
        "by default, else those that came with Sakk.",
    )
    host: str = Field(default="127.0.0.1", description="Address on which the API listens.")
    port: Port = Field(
        default=PORT_DEFAULT, description="Port of the API, console and checkout; 0 takes any."
    )
    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/]+(/[^\s]*)?$",
        description="Address by which payers and merchants reach this server, for links. "
        "`http://host:port` by default.",
    )
    trusted_proxies: str = Field(
        default="",
        description="IP addresses or networks of the proxies in front, by commas: what they say in "
        "`X-Forwarded-For` is where a request comes from. Without it everybody who comes through a "
        "proxy counts as one.",
    )
    api_workers: int = Field(default=1, ge=1, le=64, description="Worker processes of the API.")
    api_rate_limit_per_second: int = Field(
        default=1_000,
        ge=0,
        description="Requests a second that one API key may make before 429; 0 for no limit. "
        "Postings to the ledger do not count: its own queue holds them back.",
    )
    ledger_address: str | None = Field(
        default=None,
        pattern=r"^(unix:/[^\s]+|tcp://[^\s:]+:\d{1,5})$",
        description="Where the ledger's process answers, `unix:/path` or `tcp://host:port`. "
        "A socket in the socket folder by default.",
    )
    ledger_port: Port | None = Field(
        default=None,
        description="Port on which the ledger's process takes postings over HTTP itself, on the "
        "API's address; 0 takes any. Without it they go through the API alone.",
    )
    signer_address: str | None = Field(
        default=None,
        pattern=r"^unix:/[^\s]+$",
        description="Where the signer answers, `unix:/path`. A socket in the socket folder by "
        "default.",
    )
    signer_user: str | None = Field(
        default=None,
        pattern=r"^[a-z_][a-z0-9_-]*$",
        description="System user of the signer when Sakk is started as root.",
    )
    keystore_passphrase_file: Path | None = Field(
        default=None,
        description="File with the keystore's passphrase, readable by the signer alone.",
    )
    token_pin_file: Path | None = Field(
        default=None,
        description="File with the PIN of the PKCS#11 token that holds treasury keys, readable by "
        "the signer alone.",
    )
    token_pin: SecretStr | None = Field(
        default=None,
        description="The same PIN itself. Every process of this environment sees it: prefer the "
        "file. `sakk serve` at a terminal asks when neither is set.",
    )
    vault_key_file: Path | None = Field(
        default=None,
        description="File with the key that second factors are sealed with in the database; "
        "`vault.key` in the data directory by default, made at the first start. Every machine "
        "whose API checks one-time codes needs a copy.",
    )
    lease_seconds: int = Field(
        default=LEASE_SECONDS_DEFAULT,
        ge=1,
        le=600,
        description="How long a worker may take over one step of one row. What a killed process "
        "was doing is taken up by another when this time is over.",
    )
    webhook_timeout_seconds: int = Field(
        default=15, ge=1, le=25, description="How long a webhook's receiver may take to answer."
    )
    webhook_allow_loopback: bool = Field(
        default=False,
        description="Let webhooks go to this machine. For the sandbox and tests alone.",
    )
    bank_dir: Path | None = Field(
        default=None,
        description="Where banks' files go and come, a folder for each account. Default: `banks` in"
        " the data directory.",
    )
    audit_anchor_dir: Path | None = Field(
        default=None,
        description="Folder in which the heads of the audit log are appended to a file: best on "
        "another machine, or where files are only added to.",
    )
    audit_anchor_seconds: int = Field(
        default=300,
        ge=1,
        le=86_400,
        description="How often the audit log's head is anchored, where it has grown.",
    )
    reconcile_seconds: int = Field(
        default=3_600,
        ge=0,
        le=604_800,
        description="How often the worker reconciles and keeps the run; 0: only when asked.",
    )
    freeze_on_breach: Guard | None = Field(
        default=None,
        description="Which acts in the name of our addresses that are not ours stop all that goes "
        "out at once: those of `treasury` addresses (the default), `all`, or none (`off`, the "
        "default of the sandbox).",
    )
    travel_rule_ca_file: Path | None = Field(
        default=None,
        description="Certificates of authorities, in PEM, by which other institutions are known "
        "when the Travel Rule's data is sent; besides the system's.",
    )
    travel_rule_certificate_file: Path | None = Field(
        default=None,
        description="Certificate, in PEM, that other institutions are shown (mutual TLS).",
    )
    travel_rule_key_file: Path | None = Field(
        default=None, description="The key of that certificate, in PEM."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least important level that is logged."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto",
        description="`json` for one object a line, `console` for people; `auto` is `console` at "
        "a terminal.",
    )
    sandbox: bool = Field(
        default=False, description="Set by `sakk sandbox`: test money only, state thrown away."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        url = self.database_url.get_secret_value() if self.database_url else "postgresql://"
        if not url.startswith(("postgresql://", "postgres://")):
            raise ValueError("DATABASE_URL must begin with postgresql://")
        if self.webhook_allow_loopback and not self.sandbox:
            raise ValueError("SAKK_WEBHOOK_ALLOW_LOOPBACK is for the sandbox alone: unset it")
        for each in self.proxies:
            try:
                ip_network(each)
            except ValueError:
                raise ValueError(
                    f"SAKK_TRUSTED_PROXIES: {each!r} is no IP address or network: write them as"
                    " 10.0.0.0/8,::1"
                ) from None
        return self

    @property
    def proxies(self) -> tuple[str, ...]:
        """The networks of the proxies in front."""
        return tuple(each.strip() for each in self.trusted_proxies.split(",") if each.strip())

    @property
    def banks(self) -> Path:
        """Where banks' files go and come."""
        return self.bank_dir or self.data_dir / "banks"

    @property
    def guard(self) -> Guard:
        """Which breaches freeze."""
        if self.freeze_on_breach is not None:
            return self.freeze_on_breach
        return Guard.off if self.sandbox else Guard.treasury

    @property
    def token(self) -> Path:
        """The file that names a PKCS#11 token, if there is one."""
        return self.data_dir / "signer" / "token.toml"

    def read_token_pin(self) -> str | None:
        """The token's PIN by file or environment; None when neither is set."""
        if self.token_pin_file is not None:
            return self.token_pin_file.read_text().strip()
        return None if self.token_pin is None else self.token_pin.get_secret_value()

    @property
    def keystore(self) -> Path:
        return self.data_dir / "signer" / "keystore.json"

    @property
    def run_dir(self) -> Path:
        """Where the supervisor writes the process ids of its roles."""
        return self.data_dir / "run"


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the reference."""

    variable: str
    default: str
    description: str


def load_settings(**overrides: object) -> Settings:
    """The settings from the environment; ``overrides`` (a command's options) come first.

    Raises Misconfigured, naming the variable and what it may be, never its value.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # checked by pydantic itself
    except ValidationError as error:
        problems = []
        for detail in error.errors(include_url=False, include_input=False):
            name = str(detail["loc"][0]) if detail["loc"] else ""
            message = detail["msg"].removeprefix("Value error, ")
            problems.append(f"{variable_of(name)}: {message}" if name else message)
        first = error.errors()[0]["loc"]
        raise Misconfigured(
            "; ".join(problems), param=variable_of(str(first[0])) if first else None
        ) from None


def variable_of(field_name: str) -> str:
    """The environment variable of a field."""
    return field_name if field_name.isupper() else _variables().get(field_name, field_name)


def reference() -> list[Setting]:
    """Every setting, for the documents and ``sakk doctor``."""
    lines = []
    for name, info in Settings.model_fields.items():
        default = "~/.local/share/sakk" if name == "data_dir" else info.default
        shown = str(default).lower() if isinstance(default, bool) else str(default or "")
        lines.append(Setting(_variables()[name], shown, info.description or ""))
    return lines


def unknown_variables() -> list[str]:
    """Variables that look like ours and are not: most likely misspelt."""
    known = {*_variables().values(), *INTERNAL_NAMES}
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)


def _variables() -> dict[str, str]:
    special = {"database_url": "DATABASE_URL"}
    return {name: special.get(name, f"{PREFIX}{name.upper()}") for name in Settings.model_fields}
