"""The map names what there is, and all of it that matters."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "sakk"
MAP = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
NAMED = re.compile(r"`((?:[a-z_]+/)+(?:[a-z_]+\.py)?)`(?: `([a-z_]+)`)?")


def test_what_the_map_names_exists() -> None:
    missing = [
        name
        for name, _ in NAMED.findall(MAP)
        if not (SOURCE / name).exists() and not (ROOT / name).exists()
    ]
    assert missing == []


def test_the_functions_that_it_names_stand_in_their_files() -> None:
    missing = [
        f"{name} {function}"
        for name, function in NAMED.findall(MAP)
        if function and name.endswith(".py") and function not in _functions(SOURCE / name)
    ]
    assert missing == []


def test_no_stage_and_no_folder_is_left_out() -> None:
    stages = {
        path.relative_to(SOURCE).as_posix()
        for path in (SOURCE / "flow").glob("*.py")
        if any(name.endswith("_stage") for name in _functions(path))
    }
    assert [name for name in sorted(stages) if f"`{name}`" not in MAP] == []
    folders = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert [name for name in sorted(folders) if f"`{name}/`" not in MAP] == []


def test_decisions_are_numbered_and_name_code_that_exists() -> None:
    decisions = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert [path.name[:4] for path in decisions] == [
        f"{number:04d}" for number in range(1, len(decisions) + 1)
    ]
    index = (ROOT / "docs" / "decisions" / "README.md").read_text("utf-8")
    assert [path.name for path in decisions if path.name not in index] == []
    missing = [
        f"{path.name}: {name}"
        for path in decisions
        for name, _ in NAMED.findall(path.read_text("utf-8").partition("**In the code.**")[2])
        if not (SOURCE / name).exists() and not (ROOT / name).exists()
    ]
    assert missing == []


def _functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
