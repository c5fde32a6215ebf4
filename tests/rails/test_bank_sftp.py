"""A bank's SFTP server: a real one, on loopback, that knows one key."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from sakk.rails.bank.rail import BankUnreachable, FileTooLarge
from sakk.rails.bank.sftp import SftpBank
from sakk.rails.bank.sighting import Sightings
from tests.rails.bank_place import Memory
from tests.rails.sftp_server import Server

OUR_KEY = asyncssh.generate_private_key("ssh-ed25519")


def at(server: Server, taken: Memory, **changes: Any) -> SftpBank:
    given: dict[str, Any] = {
        "host_key": server.trust,
        "private_key": OUR_KEY.export_private_key(),
        "taken": taken,
        "sightings": Sightings(),
        "quiet_seconds": 0.0,
        **changes,
    }
    return SftpBank(server.address, **given)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    for name in ("out", "in"):
        (tmp_path / "house" / name).mkdir(parents=True)
    made = Server(tmp_path)
    made.authorized.append(OUR_KEY.export_public_key().decode())
    yield made
    made.close()


def test_what_is_put_out_appears_whole_and_once(server: Server, tmp_path: Path) -> None:
    content = os.urandom(100_000)
    bank = at(server, Memory())
    bank.put("BF1.xml", content)
    # After a crash the same again, over another connection.
    bank.close()
    bank.put("BF1.xml", content)
    bank.close()
    out = tmp_path / "house" / "out"
    assert [path.name for path in out.iterdir()] == ["BF1.xml"]
    assert (out / "BF1.xml").read_bytes() == content
    assert server.renames == [("/house/out/.BF1.xml.part", "/house/out/BF1.xml", len(content))]
    with pytest.raises(BankUnreachable, match="another file"):
        bank.put("BF1.xml", b"other")
    assert (out / "BF1.xml").read_bytes() == content


def test_what_is_left_is_taken_once_and_when_it_is_whole(server: Server, tmp_path: Path) -> None:
    place, taken = tmp_path / "house" / "in", Memory()
    for name, text in {"a.xml": "one", "b.xml.part": "x", ".c.xml": "x", "empty.xml": ""}.items():
        (place / name).write_text(text)
    (place / "link.xml").symlink_to(place / "a.xml")
    (place / "folder.xml").mkdir()
    bank = at(server, taken)
    assert bank.list() == ["a.xml"]
    with pytest.raises(FileTooLarge):
        bank.take("a.xml", bytes_max=2)
    assert bank.take("a.xml", bytes_max=3) == b"one"
    bank.done("a.xml")
    assert (bank.list(), (place / "a.xml").read_text()) == ([], "one")
    # The same name with other content is another file.
    (place / "a.xml").write_text("longer")
    assert bank.list() == ["a.xml"]
    (place / "a.xml").write_text("longer still")
    with pytest.raises(BankUnreachable, match="changed while it was read"):
        bank.take("a.xml", bytes_max=100)
    with pytest.raises(FileTooLarge, match="no regular file"):
        bank.take("link.xml", bytes_max=100)
    bank.close()
    # A file that still grows was not seen the same for long enough.
    patient = at(server, taken, quiet_seconds=3_600.0)
    assert patient.list() == []
    patient.close()


def test_the_oldest_that_were_not_taken_are_listed_however_many_lie_there(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sakk.rails.bank.sftp.FILES_MAX", 3)
    place, taken = tmp_path / "house" / "in", Memory()
    for number in range(10):
        path = place / f"f{number}.xml"
        path.write_text(str(number))
        os.utime(path, (1_000_000 - number, 1_000_000 - number))
    bank = at(server, taken)
    # The last were written first.
    for expected in (("f9", "f8", "f7"), ("f6", "f5", "f4"), ("f3", "f2", "f1"), ("f0",)):
        names = [f"{each}.xml" for each in expected]
        assert bank.list() == names
        for name in names:
            bank.done(name)
    assert bank.list() == []
    monkeypatch.setattr("sakk.rails.bank.sftp.LISTED_MAX", 9)
    with pytest.raises(BankUnreachable, match="more than 9 files"):
        bank.list()
    bank.close()


def test_the_server_and_we_are_known_by_keys_alone(server: Server, tmp_path: Path) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519")
    stranger = at(server, Memory(), host_key=other.export_public_key().decode())
    with pytest.raises(BankUnreachable, match="another host key"):
        stranger.put("BF1.xml", b"orders")
    with pytest.raises(BankUnreachable, match="does not take our key"):
        at(server, Memory(), private_key=other.export_private_key()).list()
    unread = at(server, Memory(), host_key="ssh-ed25519 " + "A" * 68)
    with pytest.raises(BankUnreachable, match="KeyImportError"):
        unread.put("BF1.xml", b"orders")
    assert list((tmp_path / "house" / "out").iterdir()) == []
