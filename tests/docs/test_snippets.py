"""The snippets of the documents are run, in order, against a real sandbox in another process.

A fence says what is done with its block: ``bash run`` and ``python run`` are run, ``… file=NAME``
is written, ``bash sandbox`` is how the sandbox was started. Shell variables and functions, and the
names of Python, live on from block to block of a page; each page has a folder of its own.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sakk.runtime.process import Command, spawn
from tests.docs.forking import put_in_place, serving

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(
    r"^```(bash|python|javascript|json) (run|sandbox|file=(\S+))\n(.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
BLOCK_SECONDS_MAX = 150
ANSWER_LENGTH_MAX = 2_000
# Read from the folder of the page, written after each block, so that a page reads like a session.
SHELL_HEAD = "set -euo pipefail\nif [ -f .session ]; then source ./.session; fi\n"
SHELL_TAIL = "\n{ export -p; declare -f; } > .session\n"
# Runs the blocks that it reads, one JSON string a line, in one set of names.
DRIVER = """
import json, os, sys
names = {"__name__": "__main__"}
for line in sys.stdin:
    block = json.loads(line)
    os.environ.update(block["environment"])
    exec(compile(block["code"], block["place"], "exec"), names)
    print(flush=True)
    print("done", file=sys.stderr, flush=True)
"""


@dataclass(frozen=True, slots=True)
class Snippet:
    """One block. ``action``: run, sandbox, or the name of the file that it is."""

    place: str
    language: str
    action: str
    code: str


def snippets(page: Path) -> list[Snippet]:
    """The marked blocks of a page, in order."""
    text = page.read_text("utf-8")
    return [
        Snippet(
            place=f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, found.start()) + 1}",
            language=found[1],
            action=found[3] or found[2],
            code=found[4],
        )
        for found in FENCE.finditer(text)
    ]


FIRST = ROOT / "docs/start/first-payment.md"
# The first page counts what is there, so it comes before all that move money too.
PAGES = [
    FIRST,
    *(
        page
        for page in sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
        if page != FIRST and any(each.action == "run" for each in snippets(page))
    ),
]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[dict[str, Any]]:
    """The sandbox, started by the command that the first page tells."""
    [start] = [each for each in snippets(FIRST) if each.action == "sandbox"]
    words = start.code.partition("|")[0].split()
    process = spawn(
        Command(
            argv=[sys.executable, "-m", "sakk.cli", *words[1:]],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    )
    try:
        assert process.popen.stdout is not None
        yield json.loads(next(line for line in process.popen.stdout if line.startswith(b"{")))
    finally:
        process.end()


@pytest.fixture(scope="module")
def program() -> Iterator[Path]:
    """The ``sakk`` of the pages."""
    with tempfile.TemporaryDirectory(prefix="sakk-docs-") as folder, serving(Path(folder)) as found:
        yield found


def test_there_are_pages_to_run() -> None:
    assert FIRST in PAGES
    assert sum(len(snippets(page)) for page in PAGES) > 20


def test_every_marked_fence_is_understood() -> None:
    marked = re.compile(r"^```\w+ +\S.*$", re.MULTILINE)
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        fences = marked.findall(page.read_text("utf-8"))
        assert len(fences) == len(snippets(page)), f"{page}: {fences}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_does_what_it_says(
    page: Path, sandbox: dict[str, Any], program: Path, tmp_path: Path
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("the pages use curl, which this machine does not have")
    session = Session(tmp_path, sandbox, program)
    try:
        if page != FIRST:
            # Every other page begins where the first one has set its variables.
            session.run(next(each for each in snippets(FIRST) if each.action == "run"))
        for snippet in snippets(page):
            session.run(snippet)
    finally:
        session.close()


class Session:
    """A reader's terminal in an empty folder."""

    def __init__(self, folder: Path, sandbox: dict[str, Any], program: Path) -> None:
        self._folder = folder
        (folder / "sandbox.json").write_text(json.dumps(sandbox))
        # The pages call the environment's programs by their place in the project.
        put_in_place(folder / ".venv", program)
        # So are the packages of Node.js.
        (folder / "node_modules").symlink_to(ROOT / "node_modules")
        kept = {"PATH", "HOME", "LANG", "TMPDIR"}
        self._environment = {name: value for name, value in os.environ.items() if name in kept}
        self._environment["OPERATOR_KEY"] = sandbox["operator_key"]
        self._environment["ACCOUNT"] = sandbox["account"]
        self._python: subprocess.Popen[str] | None = None
        # Each block of the terminal is a session, to which all that it starts belongs.
        self._shells: set[int] = set()

    def run(self, snippet: Snippet) -> None:
        """Do what a block says; AssertionError with its output if it fails."""
        match snippet.action, snippet.language:
            case "sandbox", _:
                pass
            case "run", "bash":
                self._shell(snippet)
            case "run", "python":
                self._interpret(snippet)
            case name, _:
                (self._folder / name).write_text(snippet.code)

    def close(self) -> None:
        """What a page leaves running, as it does where it fails, ends with it."""
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, ProcessLookupError):
                if os.getsid(int(process.name)) in self._shells:
                    os.kill(int(process.name), signal.SIGKILL)
        if self._python is not None:
            self._python.kill()
            self._python.communicate()

    def _shell(self, snippet: Snippet) -> None:
        with subprocess.Popen(
            ["bash", "-c", SHELL_HEAD + snippet.code + SHELL_TAIL],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as shell:
            self._shells.add(shell.pid)
            try:
                stdout, stderr = shell.communicate(timeout=BLOCK_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                shell.kill()
                raise
        said = f"{snippet.place}\n{stdout}{stderr}"
        assert shell.returncode == 0, f"{said}\n{self._last_answer()}"

    def _last_answer(self) -> str:
        """What the newest document in the folder says: mostly why a block failed."""
        written = sorted(self._folder.glob("*.json"), key=lambda each: each.stat().st_mtime_ns)
        return f"{written[-1].name}: {written[-1].read_text()[:ANSWER_LENGTH_MAX]}"

    def _interpret(self, snippet: Snippet) -> None:
        if self._python is None:
            self._python = subprocess.Popen(
                [sys.executable, "-c", DRIVER],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        assert self._python.stdin is not None
        assert self._python.stderr is not None
        order = {"code": snippet.code, "place": snippet.place, "environment": self._variables()}
        self._python.stdin.write(json.dumps(order) + "\n")
        self._python.stdin.flush()
        said: list[str] = []
        for line in self._python.stderr:
            if line == "done\n":
                return
            said.append(line)
        raise AssertionError(f"{snippet.place}\n{''.join(said)}")

    def _variables(self) -> dict[str, str]:
        """What the shell has exported so far."""
        shown = subprocess.run(
            ["bash", "-c", SHELL_HEAD + "env -0"],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return dict(each.split("=", 1) for each in shown.split("\0") if "=" in each)
