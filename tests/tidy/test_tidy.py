"""Our own lints: what ruff, mypy and import-linter do not look at."""

import ast
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
PRINT_ALLOWED = ("src/sakk/cli/", "src/sakk/bench/", "bench/", "scripts/", "tests/", "docs/")
GENERATED = ("src/sakk/store/migrations/versions/",)
BINARY_ENDINGS = {".png", ".ico", ".woff2", ".gz", ".zip", ".bin", ".pdf"}
# Written so that this file does not find itself.
REGISTRY_ADDRESS = re.compile(
    r"https?://(?!(?:www\.)?(?:pypi\.org/project|npmjs\.com/package))[^\s\"'<>)]*"
    r"(?:pypi|pythonhosted|npmjs|artifactory|/simple/|crates\.io)[^\s\"'<>)]*"
)
INDEX_OPTION = re.compile("--" + r"(?:extra-)?index-url")
MACHINE_PATH = re.compile(r"(?<![\w./~$}-])/(?:work|home|Users)/[\w.-]+/|/" + "root/")


@cache
def _tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def _python() -> list[str]:
    return [name for name in _tracked() if name.endswith(".py") and not name.startswith(GENERATED)]


def _text(name: str) -> str:
    return (ROOT / name).read_text("utf-8", "replace")


def _functions(name: str) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(ast.parse(_text(name))) if isinstance(node, kinds)]


def test_the_lints_have_something_to_look_at() -> None:
    assert len(_python()) > 20


def _cython() -> list[str]:
    return [name for name in _tracked() if name.endswith((".pyx", ".pxd"))]


def test_files_are_short() -> None:
    long = {
        name: lines for name in [*_python(), *_cython()] if (lines := _text(name).count("\n")) > 0
    }
    assert {name: lines for name, lines in long.items() if lines > FILE_LINES_MAX} == {}


def test_functions_fit_a_screen() -> None:
    long = [
        f"{name}:{node.lineno} {node.name}"
        for name in _python()
        for node in _functions(name)
        if (node.end_lineno or node.lineno) - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert long == []


def test_compiled_functions_fit_a_screen() -> None:
    """Cython has no parser here: a function ends where something begins at its depth or above."""
    long = []
    for name in _cython():
        lines = _text(name).splitlines()
        for number, line in enumerate(lines):
            begin = re.match(r"( *)(?:cp?def|def) (?!class|extern|struct|enum).*\(", line)
            if begin is None:
                continue
            depth = len(begin[1])
            end = number + 1
            while end < len(lines) and (
                not lines[end].strip()
                or len(lines[end]) - len(lines[end].lstrip()) > depth
                or lines[end].lstrip().startswith(")")
            ):
                end += 1
            while not lines[end - 1].strip():
                end -= 1
            if end - number > FUNCTION_LINES_MAX:
                long.append(f"{name}:{number + 1}")
    assert long == []


def test_compiled_lines_fit_the_page() -> None:
    wide = [
        f"{name}:{number}"
        for name in _cython()
        for number, line in enumerate(_text(name).splitlines(), 1)
        if len(line) > 100
    ]
    assert wide == []


def test_only_commands_print() -> None:
    printing = [
        f"{name}:{node.lineno}"
        for name in _python()
        if not name.startswith(PRINT_ALLOWED)
        for node in ast.walk(ast.parse(_text(name)))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert printing == []


def test_no_address_of_a_registry_and_no_path_of_a_machine() -> None:
    found = [
        f"{name}:{number}"
        for name in _tracked()
        if Path(name).suffix not in BINARY_ENDINGS and "/data/" not in name
        for number, line in enumerate(_text(name).splitlines(), 1)
        if REGISTRY_ADDRESS.search(line) or INDEX_OPTION.search(line) or MACHINE_PATH.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "https://files.python" + "hosted.org/packages/x.whl",
        "https://registry.npm" + "js.org/left-pad",
        "--" + "index-url elsewhere",
        "cd /wo" + "rk/main/src",
        "/ro" + "ot/.pyenv/bin",
    ],
)
def test_the_patterns_find_what_they_are_for(line: str) -> None:
    patterns = (REGISTRY_ADDRESS, INDEX_OPTION, MACHINE_PATH)
    assert any(pattern.search(line) for pattern in patterns)


def test_every_python_package_is_pinned_with_hashes() -> None:
    entries = re.split(r"\n(?=[a-zA-Z0-9])", _text("requirements.lock"))
    unpinned = [
        entry.splitlines()[0]
        for entry in entries
        if not re.match(r"[\w.\-\[\]]+==\S+", entry) or "--hash=sha256:" not in entry
    ]
    assert unpinned == []


@pytest.mark.parametrize(
    "name", [name for name in _tracked() if Path(name).name == "package-lock.json"]
)
def test_every_node_package_is_pinned_with_a_hash_and_no_address(name: str) -> None:
    packages = json.loads(_text(name))["packages"]
    for path, entry in packages.items():
        if path:
            assert entry.get("integrity", "").startswith("sha512-"), path
            assert "resolved" not in entry, path


def test_refuses_to_start_without_assertions() -> None:
    if not (ROOT / "src/sakk/cli/__init__.py").exists():
        pytest.skip("there is no command yet")
    done = subprocess.run(
        [sys.executable, "-O", "-c", "import sakk.cli"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode != 0
    assert "-O" in done.stderr


def test_whoever_signs_or_sends_asks_whether_it_is_frozen() -> None:
    """A stage that hands something out without that question would go on through a freeze."""
    acts = re.compile(r"signer_client\(\)\.sign\(|\.broadcast\(")
    asks = re.compile(r"freezes\.(stopping|bytes_may_go)\(")
    flows = [name for name in _python() if name.startswith("src/sakk/flow/")]
    acting = [name for name in flows if acts.search(_text(name))]
    assert acting
    assert [name for name in acting if not asks.search(_text(name))] == []


def test_one_migration_follows_on_another() -> None:
    """Two that were written at once, each on top of the same, stop every database from opening."""
    numbers = sorted(
        Path(name).name.partition("_")[0] for name in _tracked() if "/migrations/versions/0" in name
    )
    assert numbers
    assert numbers == [f"{number:04d}" for number in range(1, len(numbers) + 1)]


def test_new_migrations_build_no_index_under_lock() -> None:
    """Of a table that may be large: such an index stands in the migration's ``CONCURRENTLY``."""
    index = re.compile(r"op\.create_index\(\s*\S+,\s*\"(\w+)\"|CREATE (?:UNIQUE )?INDEX (?!CONC)")
    wrong = []
    for name in _tracked():
        if not name.startswith(GENERATED) or Path(name).name[:4] < "0094":
            continue
        made = set(re.findall(r"op\.create_table\(\s*\"(\w+)\"", _text(name)))
        wrong += [(name, each[1]) for each in index.finditer(_text(name)) if each[1] not in made]
    assert wrong == []
