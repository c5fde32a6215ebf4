"""Numbers of several processes, added up in one answer."""

import os
import subprocess
import sys
from pathlib import Path

from sakk.runtime.metrics import prepare_folder

COUNT = """
from prometheus_client import Counter
from sakk.runtime.metrics import announce_role
announce_role("worker")
Counter("sakk_payins", "Pay-ins.").inc(2)
"""
READ = """
import sys
from sakk.runtime.metrics import exposition
sys.stdout.buffer.write(exposition())
"""


def _run(code: str, env: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_any_process_shows_the_sum_of_all(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "counter_1.db").write_bytes(b"of an earlier run")
    env = prepare_folder(tmp_path / "run")
    for restarts in ("0", "4"):
        _run(COUNT, env | {"SAKK_RESTARTS": restarts})
    shown = _run(READ, env).splitlines()
    assert "sakk_payins_total 4.0" in shown
    assert 'sakk_role_restarts{role="worker"} 4.0' in shown


def test_a_lone_process_shows_its_own() -> None:
    assert "python_info" in _run(READ, {})
