"""Failpoints kill for real, at the passing they name, and once."""

import os
import signal
import subprocess
import sys
from pathlib import Path

CODE = """
from sakk.store.failpoint import failpoint
for number in range(3):
    print(number, flush=True)
    failpoint("step.before")
"""


def _run(**env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", CODE],
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_nothing_happens_unless_asked() -> None:
    assert _run().returncode == 0
    assert _run(SAKK_FAILPOINTS="other=kill").returncode == 0


def test_the_environment_names_the_passing_that_dies() -> None:
    first = _run(SAKK_FAILPOINTS="step.before=kill")
    assert (first.returncode, first.stdout) == (-signal.SIGKILL, "0\n")
    third = _run(SAKK_FAILPOINTS="other=kill,step.before=kill:3")
    assert (third.returncode, third.stdout) == (-signal.SIGKILL, "0\n1\n2\n")


def test_a_file_kills_once(tmp_path: Path) -> None:
    (tmp_path / "step.before").write_text("kill:2\n")
    killed = _run(SAKK_FAILPOINT_DIR=str(tmp_path))
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, "0\n1\n")
    assert [path.name for path in tmp_path.iterdir()] == ["step.before.fired"]
    assert _run(SAKK_FAILPOINT_DIR=str(tmp_path)).returncode == 0


def test_a_misspelt_action_is_an_error() -> None:
    wrong = _run(SAKK_FAILPOINTS="step.before=raise")
    assert wrong.returncode == 1
    assert "SAKK_FAILPOINTS" in wrong.stderr
