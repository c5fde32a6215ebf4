"""Which errors a screen of the console may meet, by reading the sources (for ``make messages``).

From what is defined in the console we follow every name that a function's body uses, over modules
of ours: functions, classes and constants that hold them. A method that is called on something is
looked for in the classes that its module knows. What is raised on that way is told to a person, and
so needs a translation; its text is a constant with named placeholders (`sakk.core.errors`).
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from sakk.core import errors

SOURCES: Final = Path(__file__).resolve().parents[1]
ROOT: Final = "sakk"
FLOORS: Final = ("core", "store", "flow", "ledger", "screening", "signing", "pages", "console")
FROM: Final = "sakk.console."
# What parts hold without the module that uses them naming the class.
HELD: Final = ("sakk.flow.book", "sakk.flow.context")
# All but what is the operator's own to mend, which is told in English as in the log.
KINDS: Final = frozenset(
    name
    for name, each in vars(errors).items()
    if isinstance(each, type)
    and issubclass(each, errors.SakkError)
    and each is not errors.Misconfigured
)
# A definition: its module and its name there, ``Class.method`` of a method.
Place = tuple[str, str]
Function = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class Raised:
    """Where an error is made, and what it says; None where that is no constant."""

    path: Path
    line: int
    text: str | None


@dataclass(slots=True)
class Sources:
    """Every definition of ours, what each module imports, and where methods are."""

    paths: dict[str, Path] = field(default_factory=dict)
    definitions: dict[Place, ast.AST] = field(default_factory=dict)
    imports: dict[str, dict[str, str]] = field(default_factory=dict)
    methods: dict[str, list[Place]] = field(default_factory=dict)

    def add(self, module: str, path: Path) -> None:
        """Read one file."""
        tree = ast.parse(path.read_text("utf-8"))
        self.paths[module] = path
        self.imports[module] = {
            name.asname or name.name: f"{node.module}.{name.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(ROOT)
            for name in node.names
        }
        for node in tree.body:
            for name in _names(node):
                self.definitions[module, name] = node
            if isinstance(node, ast.ClassDef):
                for each in node.body:
                    if isinstance(each, Function):
                        place = (module, f"{node.name}.{each.name}")
                        self.definitions[place] = each
                        self.methods.setdefault(each.name, []).append(place)

    def find(self, module: str, name: str) -> Place | str | None:
        """What a name means in a module: a definition, a module of ours, or nothing of ours."""
        if (module, name) in self.definitions:
            return module, name
        full = self.imports[module].get(name, "")
        if full in self.paths:
            return full
        where, _, own = full.rpartition(".")
        return (where, own) if (where, own) in self.definitions else None

    def methods_of(self, module: str, name: str) -> Iterator[Place]:
        """Methods of a name, of the classes that a module knows."""
        for where, own in self.methods.get(name, ()):
            found = f"{where}.{own.partition('.')[0]}"
            if where in (module, *HELD) or found in self.imports[module].values():
                yield where, own


class _Used(ast.NodeVisitor):
    """The definitions that a body uses; annotations call nothing."""

    def __init__(self, sources: Sources, module: str) -> None:
        self.sources, self.module = sources, module
        self.found: set[Place] = set()

    def visit_arg(self, node: ast.arg) -> None:
        """A parameter uses nothing."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Its value alone."""
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Its decorators, defaults and body."""
        for each in (*node.decorator_list, node.args, *node.body):
            self.visit(each)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """What it is made by: its other methods are found where they are called."""
        for each in (*node.bases, *node.decorator_list, *node.body):
            if isinstance(each, Function):
                if each.name.startswith("__"):
                    self.found.add((self.module, f"{node.name}.{each.name}"))
            else:
                self.visit(each)

    def visit_Name(self, node: ast.Name) -> None:
        """A definition of this module, or one that it imports."""
        found = self.sources.find(self.module, node.id)
        if isinstance(found, tuple):
            self.found.add(found)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """A definition of a module, or a method."""
        known = (
            self.sources.find(self.module, node.value.id)
            if isinstance(node.value, ast.Name)
            else None
        )
        if isinstance(known, str):
            if (known, node.attr) in self.sources.definitions:
                self.found.add((known, node.attr))
            return
        self.found.update(self.sources.methods_of(self.module, node.attr))
        self.visit(node.value)


@cache
def raised() -> list[Raised]:
    """What screens may meet, in the order of the files."""
    sources = Sources()
    for floor in FLOORS:
        for path in sorted((SOURCES / floor).rglob("*.py")):
            inner = ".".join(path.relative_to(SOURCES).with_suffix("").parts)
            sources.add(f"{ROOT}.{inner.removesuffix('.__init__')}", path)
    found = {
        (made.path, made.line): made
        for module, name in _reached(sources)
        for made in _made(sources.definitions[module, name], sources.paths[module])
    }
    return [found[place] for place in sorted(found)]


def _reached(sources: Sources) -> set[Place]:
    """All that is used, however far, by what the console defines."""
    waiting = [place for place in sources.definitions if place[0].startswith(FROM)]
    reached: set[Place] = set()
    while waiting:
        place = waiting.pop()
        if place not in reached:
            reached.add(place)
            used = _Used(sources, place[0])
            used.visit(sources.definitions[place])
            waiting.extend(used.found - reached)
    return reached


def _made(node: ast.AST, path: Path) -> Iterator[Raised]:
    """The errors that a function makes."""
    if not isinstance(node, Function):
        return
    for each in ast.walk(node):
        match each:
            case ast.Call(func=ast.Name(id=kind), args=[ast.Constant(value=str(text)), *_]):
                if kind in KINDS and text:
                    yield Raised(path, each.lineno, text)
            case ast.Call(func=ast.Name(id=kind), args=[text, *_]):
                if kind in KINDS and not _is_said(text):
                    yield Raised(path, each.lineno, None)


def _is_said(text: ast.expr) -> bool:
    """Is it said in the person's language already: by what ``gettext`` gave, or by a variable?"""
    return isinstance(text, ast.Call | ast.Name | ast.BoolOp)


def _names(node: ast.stmt) -> Iterator[str]:
    """What a statement of a module defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        for each in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if isinstance(each, ast.Name):
                yield each.id
