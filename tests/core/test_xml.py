from collections.abc import Iterator

import pytest

from sakk.core.xml import (
    ATTRIBUTES_MAX,
    DEPTH_MAX,
    NODES_MAX,
    RECORD_CHARACTERS_MAX,
    TOKEN_BYTES_MAX,
    Node,
    read_records,
)


class Refused(Exception):
    pass


def refuse(problem: str, line: int) -> Exception:
    return Refused(f"{line}: {problem}")


def read(*chunks: bytes, encoding: str | None = None) -> list[Node]:
    found = read_records(
        chunks,
        root="list",
        names=frozenset({"entry", "name"}),
        refuse=refuse,
        marks=frozenset({"part"}),
        encoding=encoding,
    )
    return list(found)


@pytest.mark.parametrize("name", ["none-such", "gb18030", "punycode"])
def test_no_encoding_but_those_that_are_read(name: str) -> None:
    with pytest.raises(Refused):
        read(f'<?xml version="1.0" encoding="{name}"?><list/>'.encode())


def test_records_come_whole_and_marks_where_they_begin() -> None:
    text = b"""<x:list xmlns:x="urn:a"><part><x:entry x:id="7"><name> A
     b</name><name/><part/></x:entry></part><other>c</other><name>d</name></x:list>"""
    # However it is cut into pieces.
    for size in (len(text), 1, 7):
        part, entry, name = read(*(text[at : at + size] for at in range(0, len(text), size)))
        assert (part.name, part.children) == ("part", [])
        assert (entry.name, entry.attributes, entry.line) == ("entry", {"id": "7"}, 1)
        assert entry.words("name") == ["A b"]
        assert (entry.word("name"), entry.word("none")) == ("A b", "")
        assert [each.name for each in entry.all("part")] == ["part"]
        assert name.text == "d"


@pytest.mark.parametrize(
    ("declared", "encoding"), [("iso-8859-1", "latin-1"), ("utf-16", "utf-16"), ("UTF-8", "utf-8")]
)
def test_it_is_read_as_it_declares(declared: str, encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{declared}"?><list><name>Müller</name></list>'
    assert read(text.encode(encoding))[0].text == "Müller"


def test_what_it_declares_is_not_believed_where_it_is_known() -> None:
    text = '<?xml version="1.0" encoding="iso-8859-1"?><list><name>Müller</name></list>'
    assert read(text.encode(), encoding="utf-8")[0].text == "Müller"


BOMB = b"""<?xml version="1.0"?><!DOCTYPE list [<!ENTITY a "aaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><list><name>&b;</name></list>"""
FILE = b"""<!DOCTYPE list [<!ENTITY x SYSTEM "file:///etc/passwd">]><list><name>&x;</name></list>"""


def endless() -> Iterator[bytes]:
    """Never ends, unless somebody stops reading."""
    yield b"<list><!--"
    while True:
        yield b"x" * 65_536


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (BOMB, "a document type"),
        (FILE, "a document type"),
        (b"<list>&undefined;</list>", "not XML"),
        (b"<list><name>", "not XML"),
        (b"", "not XML"),
        (b"no", "not XML"),
        (b"<other/>", "the root is <other>"),
        (b"<list>" + b"<a>" * DEPTH_MAX, "nested deeper"),
        (b"<list><entry>" + b"<a/>" * NODES_MAX, "elements or"),
        (b"<list><entry>" + b"a" * (RECORD_CHARACTERS_MAX + 1), "characters"),
        (
            b"<list><entry " + b" ".join(b"a%d=''" % n for n in range(ATTRIBUTES_MAX + 1)) + b"/>",
            "attributes",
        ),
    ],
)
def test_what_is_refused(text: bytes, problem: str) -> None:
    with pytest.raises(Refused, match=problem):
        read(text)


def test_a_tag_that_never_ends() -> None:
    with pytest.raises(Refused, match=f"longer than {TOKEN_BYTES_MAX}"):
        list(read_records(endless(), root="list", names=frozenset({"entry"}), refuse=refuse))
