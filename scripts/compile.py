"""Build every Cython module of each folder `compiled` in place, and carry them into wheels.

``python scripts/compile.py`` builds what changed since the last time; the marks stand beside the
generated C, in ``build/compiled``. hatchling calls ``CompiledModules`` when it makes a wheel.
It needs Cython, a C compiler and Python's headers. ``CC`` and ``CFLAGS`` are respected.
"""

import hashlib
import os
import shlex
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = tuple(
    Path(f"src/sakk/{name}/compiled") for name in ("api", "ledger", "paywall", "screening")
)
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
# Portable: no -march=native, for a wheel goes to other machines. Debugging is CFLAGS=-g.
OPTIONS = ["-O3", "-g0", "-fno-strict-aliasing", "-Wno-unused-function"]


class NotBuilt(Exception):
    """A tool is missing or refused; the words say which, and what to do."""


class CompiledModules(BuildHookInterface):  # type: ignore[type-arg]
    """The wheel holds the compiled modules; an editable install finds them where they are."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel" or version == "editable":
            return
        compile_modules(Path(self.root))
        build_data["artifacts"] += [f"{folder}/*{SUFFIX}" for folder in FOLDERS]
        build_data["pure_python"] = False
        build_data["infer_tag"] = True


def compile_modules(root: Path) -> list[str]:
    """Build the modules whose sources changed; their names. NotBuilt where one cannot be."""
    build = root / "build" / "compiled"
    build.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        names = pool.map(
            lambda source: _bring_up_to_date(root, source, build),
            [source for folder in FOLDERS for source in sorted((root / folder).glob("*.pyx"))],
        )
        return [name for name in names if name is not None]


def _bring_up_to_date(root: Path, source: Path, build: Path) -> str | None:
    """Build a module unless it was made from the same sources; its name if it was built."""
    folder = source.parent
    shared = [Path(__file__), *sorted(folder.glob("*.pxd")), *sorted(folder.glob("*.h"))]
    wanted = _hash([*shared, source])
    mark, target = build / f"{source.stem}.made-from", folder / f"{source.stem}{SUFFIX}"
    if target.exists() and mark.exists() and mark.read_text() == wanted:
        return None
    _compile(root, source, build, target)
    mark.write_text(wanted)
    return source.stem


def _compile(root: Path, source: Path, build: Path, target: Path) -> None:
    generated, objects = build / f"{source.stem}.c", build / f"{source.stem}.o"
    _run([sys.executable, "-m", "cython", "-3", "-I", str(root / "src"), "-o", str(generated),
          str(source)], "install the packages of requirements.lock")  # fmt: skip
    include = sysconfig.get_path("include")
    flags = shlex.split(sysconfig.get_config_var("CFLAGS") or "")
    extra = shlex.split(os.environ.get("CFLAGS", ""))
    position_independent = shlex.split(sysconfig.get_config_var("CCSHARED") or "-fPIC")
    remedy = "install a C compiler and Python's headers (Debian: build-essential python3-dev)"
    _run([*_compiler("CC"), *flags, *position_independent, *OPTIONS, *extra, f"-I{include}",
          "-c", str(generated), "-o", str(objects)], remedy)  # fmt: skip
    # Beside the old one, then over it: a process that has the old one mapped keeps it.
    fresh = target.with_suffix(".new")
    _run([*_compiler("LDSHARED"), str(objects), "-o", str(fresh)], remedy)
    fresh.replace(target)


def _compiler(variable: str) -> list[str]:
    """The command that Python itself was built with, with ``CC`` in place of its compiler."""
    words = shlex.split(sysconfig.get_config_var(variable) or "cc")
    chosen = os.environ.get("CC")
    return [*shlex.split(chosen), *words[1:]] if chosen else words


def _run(command: list[str], remedy: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise NotBuilt(f"{command[0]}: {error.strerror}; {remedy}") from error
    if done.returncode:
        tail = "\n".join(done.stderr.splitlines()[-20:])
        raise NotBuilt(f"{' '.join(command[:3])} … ended with {done.returncode}; {remedy}\n{tail}")


def _hash(paths: list[Path]) -> str:
    digest = hashlib.sha256(f"{SUFFIX} {os.environ.get('CFLAGS', '')}".encode())
    for path in paths:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    try:
        for name in compile_modules(ROOT):
            print(f"setup: compiled {name}", file=sys.stderr)
    except NotBuilt as error:
        sys.exit(f"setup: the compiled parts were not built: {error}")
