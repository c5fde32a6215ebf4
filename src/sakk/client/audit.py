"""Check an export of the audit log: is it whole, and is it the log whose heads were anchored?

This file needs Python alone and nothing of ours: copy it, read it, run it anywhere, offline::

    python -I -S audit.py export.jsonl [--anchors FILE_OR_FOLDER] [--head HASH]

``export.jsonl`` is what ``sakk audit export`` wrote. Anchors are the heads that the operator's
system wrote down elsewhere as time went on: a log that was replaced as a whole proves itself, and
only they prove that it was replaced. The bytes that are hashed are described in
docs/operating/audit.md.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LINE_BYTES_MAX = 1 << 26
ANCHOR_FILES_MAX = 10_000
BREAKS_SHOWN_MAX = 100
GENESIS = "0" * 64
FIELDS = (
    "cluster",
    "count",
    "entries",
    "first",
    "full",
    "number",
    "previous",
    "sealed_at",
    "snapshot",
)


class AuditExportError(ValueError):
    """The file can not be read as an export, or an anchor's file not as one of anchors."""


@dataclass
class Report:
    """What was found: ``head`` is the last block's number and hash, ``breaks`` what is wrong.

    ``withheld`` entries are there as their hash alone: the export is of one subject.
    """

    blocks: int = 0
    entries: int = 0
    withheld: int = 0
    first: int = 1
    head: tuple[int, str] = (0, GENESIS)
    sealed_at: str = ""
    anchors: int = 0
    breaks: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        if len(self.breaks) < BREAKS_SHOWN_MAX:
            self.breaks.append(text)


@dataclass
class _Place:
    """Where the walk stands: what the next block has to follow."""

    number: int
    entry: int
    hash: str
    # The last block that was not full: its number, its cluster, and which transactions had ended.
    proof: tuple[int, str, int, frozenset[int]] | None = None


def verify(lines: Iterable[str], *, anchors: Iterable[Mapping[str, Any]] = ()) -> Report:
    """Check an export, line by line; nothing of it is kept but the blocks' hashes.

    Raises AuditExportError for what is no export.
    """
    read = iter(lines)
    head = _document(next(read, ""))
    if head.get("object") != "audit_export" or head.get("version") != 1:
        raise AuditExportError("the file does not begin as an export of an audit log")
    report = Report(first=_number(head, "from"))
    place: _Place | None = None
    hashes: dict[int, str] = {}
    block: Mapping[str, Any] | None = None
    held: list[Mapping[str, Any]] = []
    for line in read:
        document = _document(line)
        if "block" not in document:
            held.append(document)
            continue
        if block is not None:
            place = _check_block(report, place, block, held, hashes)
        block, held = document["block"], []
    if block is None:
        raise AuditExportError("the export holds no block")
    _check_block(report, place, block, held, hashes)
    said = head.get("head")
    if not isinstance(said, Mapping) or (said.get("number"), said.get("hash")) != report.head:
        report.say(f"the export ends with block {report.head[0]}, not with the head that it names")
    for anchor in anchors:
        _check_anchor(report, anchor, hashes)
    return report


def _check_block(
    report: Report,
    before: _Place | None,
    block: Mapping[str, Any],
    held: Sequence[Mapping[str, Any]],
    hashes: dict[int, str],
) -> _Place:
    number, first, count = (_number(block, name) for name in ("number", "first", "count"))
    place = before or _Place(report.first - 1, first - 1, _text(block, "previous"))
    where = f"block {number}"
    if before is None and number == 1 and (first, place.hash) != (1, GENESIS):
        report.say(f"{where}: the log does not begin here")
    if number != place.number + 1:
        report.say(f"{where}: block {place.number + 1} is missing before it")
    elif first != place.entry + 1:
        report.say(f"{where}: begins with entry {first}, not with {place.entry + 1}")
    elif _text(block, "previous") != place.hash:
        report.say(f"{where}: does not follow the block before it: one of the two was replaced")
    header = json.dumps({name: block.get(name) for name in FIELDS}, **_CANONICAL).encode()
    found = hashlib.sha256(b"sakk.audit.block.1" + header).hexdigest()
    if found != _text(block, "hash"):
        report.say(f"{where}: its header was altered")
    if len(held) != count:
        report.say(f"{where}: {count} entries were sealed, {len(held)} are there")
    inner = hashlib.sha256(b"sakk.audit.entries.1")
    for offset, each in enumerate(held):
        inner.update(_check_entry(report, first + offset, each, place, block))
    if inner.hexdigest() != block.get("entries"):
        report.say(f"{where}: its entries are not those that were sealed")
    report.blocks += 1
    report.head, report.sealed_at = (number, _text(block, "hash")), _text(block, "sealed_at")
    hashes[number] = _text(block, "hash")
    proof = place.proof
    if block.get("full") is False:
        proof = (number, _text(block, "cluster"), *_snapshot(_text(block, "snapshot")))
    return _Place(number, first + count - 1, hashes[number], proof)


def _check_entry(
    report: Report, seq: int, entry: Mapping[str, Any], place: _Place, block: Mapping[str, Any]
) -> bytes:
    """The entry's hash; what its bytes say has to fit where it stands."""
    if "hash" in entry:
        report.withheld += 1
        try:
            return bytes.fromhex(_text(entry, "hash"))
        except ValueError:
            raise AuditExportError(f"entry {seq}: its hash is none") from None
    report.entries += 1
    body = _text(entry, "entry")
    try:
        said = _document(body)
        xid = _number(said, "xid")
    except AuditExportError:
        report.say(f"entry {seq}: was altered: it is no entry")
        return hashlib.sha256(b"sakk.audit.entry.1" + body.encode()).digest()
    if said.get("seq") != seq:
        report.say(f"entry {seq}: was sealed as entry {said.get('seq')}")
    if place.proof is not None:
        number, cluster, xmax, running = place.proof
        if cluster == block.get("cluster") and xid < xmax and xid not in running:
            report.say(
                f"entry {seq}: its transaction had ended when block {number} was sealed, and it is"
                " not in it: it was held back, or brought in later"
            )
    return hashlib.sha256(b"sakk.audit.entry.1" + body.encode()).digest()


def _check_anchor(report: Report, anchor: Mapping[str, Any], hashes: Mapping[int, str]) -> None:
    number, said = _number(anchor, "number"), _text(anchor, "hash")
    report.anchors += 1
    if number > report.head[0]:
        report.say(f"anchor of block {number}: the log ends before it: blocks were taken away")
    elif number in hashes and hashes[number] != said:
        report.say(f"anchor of block {number}: the log has another block there: it was replaced")


def read_anchors(path: Path) -> Iterator[Mapping[str, Any]]:
    """The heads in a file, or in every ``*.jsonl`` of a folder. AuditExportError for another."""
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise AuditExportError(f"there is no anchor in {path}")
    for each in files[:ANCHOR_FILES_MAX]:
        with each.open(encoding="ascii", errors="replace") as file:
            for line in _lines(file):
                # A full disk may have torn a line: the head was then written again.
                if not line.rstrip().endswith("}"):
                    continue
                document = _document(line)
                if document.get("object") != "audit_head":
                    raise AuditExportError(f"{each} holds something that is no head of a log")
                yield document


def _lines(file: Any) -> Iterator[str]:
    while line := file.readline(LINE_BYTES_MAX):
        if line.strip():
            yield line


_CANONICAL: dict[str, Any] = {
    "sort_keys": True,
    "separators": (",", ":"),
    "ensure_ascii": True,
    "allow_nan": False,
}


def _snapshot(text: str) -> tuple[int, frozenset[int]]:
    """PostgreSQL's ``xmin:xmax:running,…``."""
    try:
        _, xmax, running = text.split(":")
        return int(xmax), frozenset(int(each) for each in running.split(",") if each)
    except ValueError:
        raise AuditExportError(f"no snapshot: {text[:80]!r}") from None


def _document(line: str) -> Mapping[str, Any]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise AuditExportError(f"a line is no JSON: {error}") from None
    if not isinstance(document, Mapping):
        raise AuditExportError("a line is no JSON object")
    return document


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str):
        raise AuditExportError(f"{name} must be text")
    return value


def _number(document: Mapping[str, Any], name: str) -> int:
    value = document.get(name)
    if type(value) is not int or value < 0:
        raise AuditExportError(f"{name} must be a whole number")
    return value


def check(path: Path, *, anchors: Path | None = None, head: str | None = None) -> Report:
    """Check an export in a file; ``head``: the hash that is known from elsewhere."""
    try:
        known = () if anchors is None else tuple(read_anchors(anchors))
        with path.open(encoding="ascii", errors="replace") as file:
            report = verify(_lines(file), anchors=known)
    except OSError as error:
        raise AuditExportError(f"{error.filename} cannot be read: {error.strerror}") from error
    if head is not None and report.head[1] != head:
        report.say(f"the log ends with {report.head[1]}, not with {head}")
    return report


def summary(report: Report) -> str:
    """One line for people."""
    number, digest = report.head
    since = "" if report.first == 1 else f" from block {report.first} on"
    withheld = f", {report.withheld} withheld" if report.withheld else ""
    return (
        f"{report.blocks} blocks{since}, {report.entries} entries{withheld}, {report.anchors}"
        f" anchors; head {number} {digest}, sealed {report.sealed_at}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: 0 and what is proved, or 1 and what is wrong."""
    parser = argparse.ArgumentParser(description="Check an export of an audit log.")
    parser.add_argument("export", type=Path, help="what `sakk audit export` wrote")
    parser.add_argument("--anchors", type=Path, help="a file of heads, or a folder of such files")
    parser.add_argument("--head", help="the hash of the last block, as known from elsewhere")
    given = parser.parse_args(arguments)
    try:
        report = check(given.export, anchors=given.anchors, head=given.head)
    except AuditExportError as error:
        sys.stdout.write(f"NO: {error}\n")
        return 1
    for each in report.breaks:
        sys.stdout.write(f"NO: {each}\n")
    sys.stdout.write(f"{'NO' if report.breaks else 'YES'}: {summary(report)}\n")
    return 1 if report.breaks else 0


if __name__ == "__main__":
    sys.exit(main())
