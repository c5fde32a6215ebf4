"""The committed artefacts are what their sources and packages give."""

import shutil
import subprocess
from pathlib import Path

import pytest

CONTRACTS = Path(__file__).resolve().parents[2] / "contracts"
RAILS = CONTRACTS.parent / "src" / "sakk" / "rails"


@pytest.mark.skipif(
    not (CONTRACTS / "node_modules").is_dir() or shutil.which("node") is None,
    reason="contracts/node_modules is not installed: run `npm ci` in contracts",
)
def test_artifacts_reproduce() -> None:
    check = subprocess.run(
        ["node", "build.mjs", "--check"],
        cwd=CONTRACTS,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert check.returncode == 0, check.stderr
    committed = {
        group: len(list((RAILS / group / "artifacts").glob("*.json")))
        for group in ("evm", "sandbox")
    }
    assert check.stdout.splitlines() == [
        f"{group}: {number} artefacts reproduce" for group, number in committed.items()
    ]
