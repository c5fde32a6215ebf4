"""The compiled parts: that they are built here, and that their own pieces do what they say."""

import subprocess
import sys
from pathlib import Path

import pytest

from sakk.ledger.compiled.keyed import KEY_SIZE, IdHash

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("seed", [0, 1, 255])
@pytest.mark.parametrize("identifier", [bytes(16), b"\xff" * 16, bytes(range(16))])
def test_the_keyed_hash_is_the_top_of_a_multiply_add(seed: int, identifier: bytes) -> None:
    key = bytes((seed * (place + 7)) % 256 for place in range(KEY_SIZE))
    offset, low, high = (int.from_bytes(key[at : at + 16], "little") for at in (0, 16, 32))
    first, second = (int.from_bytes(identifier[at : at + 8], "little") for at in (0, 8))
    expected = (offset + low * first + high * second) % 2**128 >> 64
    assert IdHash(key)(identifier) == expected


def test_every_key_is_drawn_anew_and_sizes_are_checked() -> None:
    assert IdHash()(bytes(15) + b"\x01") != IdHash()(bytes(15) + b"\x01")
    with pytest.raises(ValueError, match="48 bytes"):
        IdHash(b"short")
    with pytest.raises(ValueError, match="16 bytes"):
        IdHash()(b"short")


def test_building_again_does_nothing_and_a_failing_compiler_is_named(tmp_path: Path) -> None:
    build = [sys.executable, "scripts/compile.py"]
    again = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=True)
    assert again.stderr == ""
    for name in ("scripts", "src/sakk/ledger/compiled"):
        (tmp_path / name).mkdir(parents=True)
    script = (ROOT / "scripts/compile.py").read_text()
    (tmp_path / "scripts/compile.py").write_text(script)
    (tmp_path / "src/sakk/ledger/compiled/one.pyx").write_text("cdef int one = 1\n")
    failed = subprocess.run(
        build, cwd=tmp_path, capture_output=True, text=True, check=False, env={"CC": "no-such-cc"}
    )
    assert failed.returncode == 1
    assert "no-such-cc: No such file or directory; install a C compiler" in failed.stderr
