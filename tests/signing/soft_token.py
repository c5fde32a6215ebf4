"""A SoftHSM token of a test's own: the tests of PKCS#11 are skipped where SoftHSM is missing."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

LABEL = "sakk"
PIN = "123456"
SO_PIN = "654321"
MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)


@dataclass(frozen=True, slots=True)
class SoftToken:
    """A folder with one token in it, and the module that reads it."""

    folder: Path
    module: str

    def take_out(self) -> None:
        """As if the device were gone: its objects and the token itself."""
        self.folder.rename(self.folder.with_suffix(".away"))

    def put_back(self) -> None:
        self.folder.with_suffix(".away").rename(self.folder)


def soft_token(folder: Path, monkeypatch: pytest.MonkeyPatch) -> SoftToken:
    """Make a token; the configuration's path stands in this process's environment."""
    module = next((path for path in MODULES if Path(path).exists()), None)
    if module is None or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM is not installed (Debian: apt install softhsm2)")
    tokens = folder / "tokens"
    tokens.mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(
        f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    monkeypatch.setenv("SOFTHSM2_CONF", str(configuration))
    subprocess.run(
        [
            "softhsm2-util",
            *("--init-token", "--free", "--label", LABEL, "--so-pin", SO_PIN, "--pin", PIN),
        ],
        env={**os.environ},
        check=True,
        capture_output=True,
    )
    return SoftToken(tokens, module)
