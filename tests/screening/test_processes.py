"""Another process, with an engine of its own, decides by a list from the import's commit on."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from sakk.screening.importers import import_list
from sakk.store.database import Database
from sakk.store.identity import now

from .conftest import SUSPECT, ListFile

PROGRAM = """
import sys
from sakk.core.screening import Direction, ScreeningRequest
from sakk.screening.engine import Engine
from sakk.store.database import open_database

database = open_database(sys.argv[1])
engine = Engine(database)
for line in sys.stdin:
    request = ScreeningRequest(
        subject="pin_1", account_id=None, livemode=False, network="eip155:1", asset="eip155:1/x:1",
        direction=Direction.incoming, sender=line.strip(), receiver=line.strip(), token_units=1,
    )
    (screening,) = engine.screen([request])
    print(screening.verdict, screening.lists_version, flush=True)
database.close()
"""

Ask = Callable[[str], str]


@pytest.fixture
def ask(database_url: str) -> Iterator[Ask]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, database_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def question(address: str) -> str:
            stdin.write(address + "\n")
            stdin.flush()
            return stdout.readline().strip()

        yield question
        stdin.close()
        assert process.wait(30) == 0


def test_an_import_changes_the_next_decision_of_another_process(
    database: Database, ask: Ask, list_file: ListFile
) -> None:
    assert ask(SUSPECT) == "clear 0"
    for round_number in range(5):
        listed = list_file(f"address,category\n{SUSPECT},sanctions\n")
        import_list(database, listed, now=now())
        assert ask(SUSPECT) == f"block {2 * round_number + 1}"
        delisted = list_file(f"address,category\n0x{'9f' * 20},sanctions\n")
        import_list(database, delisted, now=now())
        assert ask(SUSPECT) == f"clear {2 * round_number + 2}"
