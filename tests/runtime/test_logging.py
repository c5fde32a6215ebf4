"""The canary: no secret reaches a log line, whatever way it is logged."""

import json
import os
import subprocess
import sys

import pytest

from sakk.runtime.logging import HIDDEN, redact

CANARY = "CaNaRy7qXw3ZtP9mKd"
XPRV = "xprv9s21ZrQH143K" + "3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5k" * 2
PRIVATE_KEY = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
HASH = "0x" + "5f" * 32

PROGRAM = f"""
import logging, structlog
from sakk.runtime.logging import configure_logging, register_secret
configure_logging(level="debug", form=FORM, role="api")
register_secret({PRIVATE_KEY!r})
log = structlog.get_logger("sakk.test")
key = "sk_live_{CANARY}"
log.info("request", authorization="Bearer {CANARY}", tx_hash={HASH!r}, key_id="ak_1", amount=7)
log.info("nested", body={{"secret": "{CANARY}", "list": [{{"passphrase": "{CANARY}"}}, key]}})
log.info("text", note="used sk_test_{CANARY} and rk_live_{CANARY}, whsec_{CANARY}/+= and {XPRV}")
log.info("connect", url="postgresql://sakk:{CANARY}@/db?host=/tmp")
log.info(f"an event with {{key}} in it")
log.info("a key by value", data={PRIVATE_KEY!r}, mnemonic="{CANARY} {CANARY}")
logging.getLogger("library").warning("library says %s", key)
try:
    raise ValueError(f"bad {{key}}: passphrase={CANARY}")
except ValueError:
    log.exception("failed")
    logging.getLogger("library").exception("failed")
"""


def _logged(form: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("FORM", repr(form))],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"NO_COLOR": "1"},
    )


@pytest.mark.parametrize("form", ["json", "console", "auto"])
def test_no_secret_is_logged_and_nothing_goes_to_stdout(form: str) -> None:
    done = _logged(form)
    assert done.stdout == ""
    assert CANARY not in done.stderr
    assert PRIVATE_KEY not in done.stderr
    assert XPRV not in done.stderr
    assert HASH in done.stderr
    assert done.stderr.count(HIDDEN) >= 12


def test_without_a_terminal_every_line_is_one_json_object() -> None:
    lines = [json.loads(line) for line in _logged("auto").stderr.splitlines()]
    assert len(lines) == 9
    assert {line["role"] for line in lines} == {"api"}
    assert all(line["timestamp"].endswith("Z") and line["level"] for line in lines)
    request = lines[0]
    assert request["event"] == "request"
    assert (request["tx_hash"], request["key_id"], request["amount"]) == (HASH, "ak_1", 7)
    assert "ValueError" in lines[-1]["exception"]


@pytest.mark.parametrize(
    "text", ["risk_test", "task_live_view", "a passphrase is missing", "https://host:8402/v1"]
)
def test_ordinary_text_stays(text: str) -> None:
    assert redact(text) == text
