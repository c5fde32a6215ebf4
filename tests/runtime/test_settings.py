"""Settings: every error names its variable, no secret is shown, and the reference is complete."""

from pathlib import Path

import pytest

from sakk.core.breach import Guard
from sakk.core.errors import Misconfigured
from sakk.core.peer import client_address
from sakk.runtime.edge import checkout_settings, console_settings
from sakk.runtime.settings import (
    INTERNAL_NAMES,
    Settings,
    load_settings,
    reference,
    unknown_variables,
)
from sakk.runtime.wiring import api_settings


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in reference():
        monkeypatch.delenv(setting.variable, raising=False)


def test_defaults_need_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    settings = load_settings()
    assert settings.database_url is None
    assert (settings.host, settings.port) == ("127.0.0.1", 8402)
    assert settings.data_dir == tmp_path / ".local/share/sakk"
    assert settings.keystore.is_relative_to(settings.data_dir)


def test_options_of_a_command_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAKK_PORT", "9000")
    monkeypatch.setenv("SAKK_API_WORKERS", "3")
    settings = load_settings(port=9001)
    assert (settings.port, settings.api_workers) == (9001, 3)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SAKK_PORT", "99999"),
        ("SAKK_PORT", "http"),
        ("SAKK_API_WORKERS", "0"),
        ("SAKK_LOG_LEVEL", "loud"),
        ("SAKK_LOG_FORMAT", "xml"),
        ("SAKK_PUBLIC_URL", "pay.example"),
        ("SAKK_LEDGER_ADDRESS", "ledger:1"),
        ("SAKK_SIGNER_ADDRESS", "tcp://signer:1"),
        ("SAKK_SIGNER_USER", "../root"),
        ("SAKK_WEBHOOK_TIMEOUT_SECONDS", "0"),
        ("SAKK_WEBHOOK_ALLOW_LOOPBACK", "true"),
        ("DATABASE_URL", "mysql://sakk:canary@host/sakk"),
    ],
)
def test_an_error_names_the_variable_and_not_its_value(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(Misconfigured) as caught:
        load_settings()
    assert variable in caught.value.message
    assert "canary" not in caught.value.message
    assert caught.value.__suppress_context__


def test_loopback_webhooks_are_for_the_sandbox() -> None:
    assert load_settings(sandbox=True, webhook_allow_loopback=True).webhook_allow_loopback


def test_the_database_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://sakk:canary@host/sakk")
    settings = load_settings()
    assert settings.database_url is not None
    assert "canary" in settings.database_url.get_secret_value()
    assert "canary" not in f"{settings!r} {settings} {settings.model_dump()}"


def test_the_reference_describes_every_setting() -> None:
    lines = reference()
    assert len(lines) == len(Settings.model_fields)
    assert all(line.description.endswith(".") for line in lines)
    assert {"DATABASE_URL", "SAKK_DATA_DIR", "SAKK_PORT"} <= {line.variable for line in lines}


def test_a_misspelt_variable_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*INTERNAL_NAMES, "SAKK_PORT", "SAKK_PROT"):
        monkeypatch.setenv(name, "1")
    assert unknown_variables() == ["SAKK_PROT"]


@pytest.mark.parametrize(
    ("given", "sandbox", "guard"),
    [
        (None, False, Guard.treasury),
        (None, True, Guard.off),
        ("all", True, Guard.all),
        ("off", False, Guard.off),
    ],
)
def test_what_freezes_by_itself(given: str | None, sandbox: bool, guard: Guard) -> None:
    assert load_settings(freeze_on_breach=given, sandbox=sandbox).guard is guard


def test_every_door_believes_the_same_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAKK_TRUSTED_PROXIES", "10.0.0.0/8, ::1")
    settings = load_settings()
    doors = (api_settings(settings), console_settings(settings), checkout_settings(settings, None))
    for door in doors:
        seen = [
            client_address(peer, "203.0.113.9, 198.51.100.7", door.trusted_proxies)
            for peer in ("10.1.2.3", "::1", "192.0.2.1")
        ]
        assert seen == ["198.51.100.7", "198.51.100.7", "192.0.2.1"]
    monkeypatch.setenv("SAKK_TRUSTED_PROXIES", "10.0.0.1/8")
    with pytest.raises(Misconfigured, match="no IP address or network"):
        load_settings()
