"""The log: durable, chained, torn only at its end, and never written blindly."""

import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from sakk.core.errors import Misconfigured, Unavailable
from sakk.signing.log import DestinationEntry, Entry, FrozenEntry, SignerLog, read_log

ENTRIES: list[Entry] = [
    FrozenEntry("one"),
    DestinationEntry("eip155:1", "0x" + "ab" * 20),
    FrozenEntry('with "quotes", ,"hash":" and\nnewlines'),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


def replayed(path: Path) -> list[Entry]:
    log = SignerLog(path)
    try:
        return [each.entry for each in log.replay()]
    finally:
        log.close()


def write(path: Path) -> bytes:
    log = SignerLog(path)
    for at, entry in enumerate(ENTRIES):
        place = log.append(entry, at=at)
        assert log.read(place).entry == entry
    log.close()
    return path.read_bytes()


def test_what_was_written_is_replayed_and_continued(path: Path) -> None:
    write(path)
    log = SignerLog(path)
    found = list(log.replay())
    assert [(each.at, each.entry) for each in found] == list(enumerate(ENTRIES))
    assert [log.read(each.place).entry for each in found] == ENTRIES
    assert list(read_log(path)) == found
    head = log.head
    log.append(FrozenEntry("four"), at=9)
    assert log.sequence == 4
    assert log.head != head
    log.close()
    assert replayed(path) == [*ENTRIES, FrozenEntry("four")]


def test_a_line_cut_at_any_byte_costs_that_line_only(path: Path) -> None:
    whole = write(path)
    second = whole.rindex(b"\n", 0, -1) + 1
    for end in range(second, len(whole)):
        path.write_bytes(whole[:end])
        assert replayed(path) == ENTRIES[:2]
        assert path.read_bytes() == whole[:second]


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [lines[0].replace(b"one", b"two"), *lines[1:]],
        lambda lines: [lines[0], lines[2]],
        lambda lines: [lines[1], lines[0], lines[2]],
        lambda lines: lines[1:],
        lambda lines: [lines[0], lines[0], *lines[1:]],
        lambda lines: [lines[0], b"\n", *lines[1:]],
        lambda lines: [lines[0], b'{"torn":\n', *lines[1:]],
        lambda lines: [*lines[:2], lines[2].replace(b'"hash":"', b'"hash":"f')],
        lambda lines: [*lines, b"{}\n"],
        lambda lines: [*lines, b"\x00" * 512 * 1024],
    ],
)
def test_anything_else_that_does_not_fit_stops_the_signer(
    path: Path, change: Callable[[list[bytes]], list[bytes]]
) -> None:
    lines = write(path).splitlines(keepends=True)
    path.write_bytes(b"".join(change(lines)))
    with pytest.raises(Misconfigured, match="is broken after line"):
        replayed(path)


def test_a_second_opener_is_refused(path: Path) -> None:
    log = SignerLog(path)
    with pytest.raises(Misconfigured, match="in use by another signer"):
        SignerLog(path)
    log.close()
    log.close()
    SignerLog(path).close()


def test_a_full_disk_stops_writing_and_loses_nothing(path: Path) -> None:
    write(path)
    log = SignerLog(path)
    list(log.replay())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        # A limit on the file's size fails a write in its middle, as a full disk does.
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, limits[1]))
        with pytest.raises(Unavailable, match="wrote 20 of"):
            log.append(FrozenEntry("lost"), at=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with pytest.raises(Unavailable, match="restart the signer"):
        log.append(FrozenEntry("after"), at=1)
    log.close()
    assert replayed(path) == ENTRIES


def test_a_closed_log_is_not_written(path: Path) -> None:
    log = SignerLog(path)
    log.close()
    with pytest.raises(Unavailable):
        log.append(FrozenEntry("late"), at=1)


def test_a_line_has_a_longest_length(path: Path) -> None:
    log = SignerLog(path)
    with pytest.raises(ValueError, match="at most"):
        log.append(FrozenEntry("x" * 512 * 1024), at=1)
    log.close()
    assert replayed(path) == []
