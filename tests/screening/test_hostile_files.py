"""Files that no list should be: refused with file and line, and nothing of them is kept."""

import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sakk.core.errors import ParameterInvalid
from sakk.screening import importers, source, tagpack
from sakk.screening.importers import import_list
from sakk.store import label as store
from sakk.store.database import Database

from .conftest import SUSPECT, ListFile

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = f"address,category\n{SUSPECT},scam\n"
GOOD_TAG = f"- address: '{SUSPECT}'\n"
HEADER = "title: x\ncurrency: ETH\nabuse: scam\n"
LAUGHS = "a: &a [x]\n" + "".join(
    f"{after}: &{after} [{', '.join(['*' + before] * 9)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)

CASES: list[tuple[str, str | bytes, str]] = [
    ("list.csv", GOOD + "0x1234,scam\n", "list.csv:3: not an address of eip155"),
    ("list.csv", GOOD + f"{SUSPECT}\n", "list.csv:3: has 1 columns where the header has 2"),
    ("list.csv", GOOD + f"{SUSPECT},scam,x\n", "list.csv:3: has 3 columns"),
    ("list.csv", GOOD + ",scam\n", "list.csv:3: the row has no address"),
    ("list.csv", GOOD + f"{SUSPECT},\n", "list.csv:3: the row has no category"),
    ("list.csv", GOOD + f"{SUSPECT},scma\n", "list.csv:3: unknown category 'scma'"),
    ("list.csv", GOOD + f'"{SUSPECT}\nx,y\n', "list.csv:3: not CSV: unexpected end of data"),
    ("list.csv", GOOD + "\x00\n", "list.csv:3: contains a NUL byte"),
    ("list.csv", GOOD.encode() + "Société,scam\n".encode("latin-1"), "list.csv:3: is not UTF-8"),
    ("list.csv", GOOD.encode("utf-16"), "list.csv:1: is UTF-16; save it as UTF-8"),
    ("list.csv", "address,category\n" + "," * 100_000, "list.csv:2: line is longer than"),
    ("list.csv", "address" + "," * 100_000, "list.csv:1: line is longer than"),
    ("list.csv", "address" + ",x" * 300 + "\n", "list.csv:1: more than 256 columns"),
    ("list.csv", "address,category,type\n", "list.csv:1: two columns of the header mean the same"),
    ("list.csv", "address,category\n", "list.csv: has no label in it"),
    ("list.csv", "", "list.csv: cannot tell the format"),
    ("list.csv", "name,category\nx,scam\n", "list.csv: cannot tell the format"),
    ("list.csv", f"address,category,confidence\n{SUSPECT},scam,101\n", "list.csv:2: 'confidence'"),
    ("list.csv", f"address,category,valid_to\n{SUSPECT},scam,soon\n", "list.csv:2: 'valid_to'"),
    (
        "list.csv",
        f"address,category,valid_from,valid_to\n{SUSPECT},scam,2026-01-02,2026-01-01\n",
        "list.csv:2: 'valid_to' is not after",
    ),
    (
        "list.csv",
        "address,category,network\nTBHTJQAy4DhHhmT3dNceJYNRz4SdLofLre,scam,TRX\n",
        "list.csv:2: not an address of tron",
    ),
    ("sanctioned_addresses_ETH.txt", f"{SUSPECT}\nnot one\n", "_ETH.txt:2: not an address"),
    ("sanctioned_addresses_ETH.txt", "0x" + "0" * 40 + "\n", "has no label in it"),
    ("pack.yaml", HEADER + LAUGHS + "tags:\n" + GOOD_TAG, "pack.yaml:4: YAML anchors and aliases"),
    ("pack.yaml", HEADER + "tags:\n- address: *x\n", "pack.yaml:5: YAML anchors and aliases"),
    ("pack.yaml", HEADER + "x: !!python/object/apply:os.system [id]\n", "pack.yaml:4: explicit"),
    ("pack.yaml", HEADER + "tags:\n" + GOOD_TAG + "- address: !x y\n", "pack.yaml:6: explicit"),
    ("pack.yaml", HEADER + "x: " + "[" * 50_000 + "\n", "pack.yaml:4: nested deeper than 16"),
    ("pack.yaml", HEADER + "x: " + "{a: " * 1_000 + "\n", "pack.yaml:4: nested deeper than 16"),
    ("pack.yaml", HEADER + "tags:\n" + GOOD_TAG + " - : - [\n", "pack.yaml:6: not YAML"),
    ("pack.yaml", HEADER + "tags:\n" + GOOD_TAG + "category: mixer\n", "must stand above 'tags'"),
    ("pack.yaml", HEADER + "tags:\n" + GOOD_TAG + "tags: []\n", "'tags' stands twice"),
    ("pack.yaml", HEADER + "tags:\n" + GOOD_TAG + "---\nx: y\n", "more than one YAML document"),
    ("pack.yaml", HEADER + "tags:\n- label: x\n", "pack.yaml:5: the tag has no address"),
    ("pack.yaml", HEADER + "tags:\n- x\n", "pack.yaml:5: a tag must be a mapping"),
    ("pack.yaml", HEADER + "tags: x\n", "pack.yaml:4: 'tags' must be a list"),
    ("pack.yaml", HEADER + "tags:\n- address: {a: b}\n", "pack.yaml:5: expected a value"),
    ("pack.yaml", HEADER + "tags:\n- address: [a, b]\n", "pack.yaml:5: 'address' must be a single"),
    ("pack.yaml", HEADER + "tags:\n- concepts: [[a]]\n", "pack.yaml:5: expected a list of at most"),
    (
        "pack.yaml",
        HEADER + "tags:\n- address: x\n" + "".join(f"  k{n}: v\n" for n in range(100)),
        "a tag has more than 64 fields",
    ),
    ("pack.yaml", HEADER + "[a]: b\n", "pack.yaml:4: a key must be a word"),
    ("pack.yaml", HEADER + "actors:\n- id: x\n", "an ActorPack is not a list"),
    ("pack.yaml", "- a\n- b\n", "pack.yaml:1: is not a TagPack"),
    ("pack.yaml", "", "pack.yaml:1: is empty"),
    ("pack.yaml", HEADER + "tags:\n" + "- address: 0x12\n" * 3, "more than half of the rows"),
    ("list.json", '[{"address": "0x12", "category": "scam"}]', "list.json:1: not an address"),
    ("list.json", '[\n{"address": "x"},\n{"address": \n]', "list.json:2: neither"),
    ("list.json", '[\n{"address": \n]', "list.json:2: not JSON: the file ends within"),
    ("list.json", '[\n\n{"a": "b",\n"c" "d"}\n]', "list.json:4: not JSON: Expecting ':'"),
    ("list.json", '[\n{"a": "unended}\n]', "list.json:2: not JSON"),
    ("list.json", "[" * 100_000, "list.json:1: line is longer than"),
    ("list.json", "[\n" + ("[" * 60_000 + "\n") * 3, "list.json:3: an object is longer than"),
    ("list.json", "[" * 50_000, "expected '[]', found '[["),
    ("list.json", '[{"a": ' + "[" * 30_000 + "]" * 30_000 + "}]", "more than 64 brackets"),
    ("list.json", '{"a":' * 10_000, "list.json:1: more than 64 brackets"),
    ("list.json", "[1]", "expected '[]', found '[1]'"),
    ("list.jsonl", "1\n", "list.jsonl:1: expected an object"),
    ("list.json", '[{"address": "x"}, 1]', "list.json:1: neither"),
    (
        "list.json",
        f'[{{"address": "{SUSPECT}", "category": "scam"}}] x',
        "expected ']', found ']x'",
    ),
    ("list.json", f'[{{"address": "{SUSPECT}", "category": "scam"}} x', "expected ']', found 'x'"),
    ("list.json", "[]", "list.json: has no label in it"),
    ("list.json", '{"address": ["x"]}', "list.json:1: 'address' must be text"),
    ("list.json", '{"address": true}', "list.json:1: 'address' must be text"),
    ("list.json", '{"address": "x", "wallet": "y"}', "list.json:1: two names mean 'address'"),
    ("list.json", f'{{"address": "{SUSPECT}", "category": "scam"}}\n{{', "list.json:2: not JSON"),
    ("list.json", '{"x": ' + "9" * 5_000 + "}", "list.json:1: not JSON: Exceeds the limit"),
    (
        "list.json",
        "{" + ",".join(f'"k{n}": 1' for n in range(300)) + "}",
        "list.json:1: more than 256 names are unknown",
    ),
    ("list.xml", "<?xml version='1.0'?>", "list.xml: cannot tell the format"),
]


@pytest.mark.parametrize(
    ("name", "content", "message"), CASES, ids=[f"{n}-{m[:40]}" for n, _, m in CASES]
)
def test_a_file_that_is_no_list_is_refused_whole(
    database: Database, list_file: ListFile, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(ParameterInvalid, match=re.escape(message)) as caught:
        import_list(database, list_file(content, name), now=NOW)
    assert caught.value.param == "file"
    assert len(caught.value.message) < 1000
    with database.begin() as connection:
        assert store.lists_version(connection) == 0
        assert store.list_lists(connection) == []
        assert store.count_changes(connection, after=0) == 0


def test_a_file_may_not_grow_without_end(
    database: Database, list_file: ListFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = list_file("address,category\n" + f"{SUSPECT},scam\n" * 10)
    with monkeypatch.context() as patched:
        patched.setattr(importers, "ROWS_MAX", 9)
        with pytest.raises(ParameterInvalid, match="csv:11: more than 9 rows"):
            import_list(database, path, now=NOW)
    with monkeypatch.context() as patched:
        patched.setattr(source, "FILE_BYTES_MAX", 100)
        with pytest.raises(ParameterInvalid, match="csv:3: file is larger than 100 bytes"):
            import_list(database, path, now=NOW)
    pack = list_file(HEADER + "tags:\n" + GOOD_TAG * 10, "pack.yaml")
    monkeypatch.setattr(tagpack, "TAGPACK_BYTES_MAX", 100)
    with pytest.raises(ParameterInvalid, match="file is larger than 100 bytes"):
        import_list(database, pack, now=NOW)


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes are made by mkfifo")
def test_only_regular_files_are_opened(database: Database, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    with pytest.raises(ParameterInvalid, match="is not a regular file"):
        import_list(database, pipe, now=NOW)
    with pytest.raises(ParameterInvalid, match="is not a regular file"):
        import_list(database, tmp_path, now=NOW)
    with pytest.raises(ParameterInvalid, match="cannot be opened: No such file"):
        import_list(database, tmp_path / "none.csv", now=NOW)


def test_a_failed_import_leaves_the_list_as_it_was(database: Database, list_file: ListFile) -> None:
    import_list(database, list_file(GOOD), now=NOW)
    with pytest.raises(ParameterInvalid):
        import_list(database, list_file(GOOD + "0x" + "6b" * 20 + ",scam\nbad\n"), now=NOW)
    with database.begin() as connection:
        assert store.lists_version(connection) == 1
        (current,) = store.list_lists(connection)
        assert (current.row_count, current.version) == (1, 1)


def test_what_is_merely_odd_is_read(database: Database, list_file: ListFile) -> None:
    odd = f'\ufeffAddress ,"CATEGORY"\r\n"{SUSPECT}", Scam \r\n\r\n'
    report = import_list(database, list_file(odd), now=NOW)
    assert (report.rows, report.opened) == (1, 1)
    empty = HEADER + "description:\ntags:\n- address: " + SUSPECT + "\n  actor: ~\n"
    assert import_list(database, list_file(empty, "pack.yml"), now=NOW).opened == 1
