"""Files that no list of names should be: refused with file and line, and nothing of them is kept"""

import re
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from sakk.core import xml
from sakk.core.errors import ParameterInvalid
from sakk.screening import entries, ofac, ofac_advanced, source
from sakk.screening.importers import import_list
from sakk.store import entity as store
from sakk.store import label as label_store
from sakk.store.database import Database

from .conftest import ListFile

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
ENTRY = "<sdnEntry><uid>1</uid><lastName>A</lastName></sdnEntry>"
BOMB = (
    DECLARATION
    + '<!DOCTYPE sdnList [\n<!ENTITY a "aaaaaaaaaa">\n'
    + "".join(
        f'<!ENTITY {after} "{("&" + before + ";") * 10}">\n'
        for before, after in zip("abcdef", "bcdefg", strict=True)
    )
    + "]>\n<sdnList>&g;</sdnList>"
)
EXTERNAL = (
    DECLARATION
    + '<!DOCTYPE sdnList [<!ENTITY x SYSTEM "file:///etc/passwd">]>\n'
    + "<sdnList><sdnEntry><uid>1</uid><lastName>&x;</lastName></sdnEntry></sdnList>"
)
PARAMETER = DECLARATION + '<!DOCTYPE sdnList SYSTEM "http://127.0.0.1:9/evil.dtd">\n<sdnList/>'


def listed(*records: str) -> str:
    return DECLARATION + "<sdnList>\n" + "\n".join(records) + "\n</sdnList>"


def entry(uid: str = "1", name: str = "A", more: str = "") -> str:
    return f"<sdnEntry><uid>{uid}</uid><lastName>{name}</lastName>{more}</sdnEntry>"


CASES: list[tuple[str, str | bytes, str]] = [
    ("bomb.xml", BOMB, "bomb.xml:2: a document type (<!DOCTYPE …>) is refused"),
    ("external.xml", EXTERNAL, "external.xml:2: a document type"),
    ("parameter.xml", PARAMETER, "parameter.xml:2: a document type"),
    ("late.xml", listed(entry()) + "<!DOCTYPE x>", "late.xml:4: not XML"),
    ("entity.xml", listed(entry(name="&nbsp;")), "entity.xml:3: not XML: undefined entity"),
    ("cut.xml", listed(entry(), entry("2"))[:-20], "cut.xml:4: not XML"),
    ("cut.xml", DECLARATION + "<sdnList>\n" + ENTRY + "\n", "cut.xml:4: not XML: no element found"),
    ("two.xml", listed(entry()) + "\n<sdnList/>", "two.xml:5: not XML: junk after document"),
    ("tag.xml", listed("<sdnEntry><uid>1</sdnEntry>"), "tag.xml:3: not XML: mismatched tag"),
    ("root.xml", DECLARATION + "<sdnListe/>", "cannot tell the format; an XML list begins with"),
    ("inner.xml", DECLARATION + "<x><sdnList/></x>", "cannot tell the format"),
    ("deep.xml", listed("<sdnEntry>" + "<a>" * 40), "deep.xml:3: nested deeper than 32"),
    ("twice.xml", listed(entry(), entry()), "twice.xml:4: entry '1' stands twice, first in line 3"),
    ("same.xml", listed(entry() + entry()), "same.xml:3: entry '1' stands twice, first in line 3"),
    ("unnamed.xml", listed(entry(name=" ")), "unnamed.xml:3: entry '1' has no name of 1 to 500"),
    ("long.xml", listed(entry(name="A" * 501)), "long.xml:3: entry '1' has no name of 1 to 500"),
    ("ref.xml", listed(entry(uid="")), "ref.xml:3: the entry has no reference"),
    (
        "aliases.xml",
        listed(entry(more=f"<akaList><aka><lastName>{'A' * 501}</lastName></aka></akaList>")),
        "aliases.xml:3: a name is longer than 500",
    ),
    (
        "many.xml",
        listed(
            entry(
                more="<akaList>"
                + "".join(f"<aka><lastName>A {n}</lastName></aka>" for n in range(600))
                + "</akaList>"
            )
        ),
        "many.xml:3: an entry has more than 500 names",
    ),
    (
        "programs.xml",
        listed(entry(more="<programList>" + "<program>P</program>" * 600 + "</programList>")),
        "programs.xml:3: an entry says more than 500 of one kind",
    ),
    (
        "attributes.xml",
        listed("<sdnEntry " + " ".join(f'a{n}="1"' for n in range(80)) + "/>"),
        "attributes.xml:3: an element has more than 64 attributes",
    ),
    ("latin.xml", listed(entry(name="é")).encode("latin-1"), "latin.xml:3: is not UTF-8"),
    ("wide.xml", listed(entry()).encode("utf-16"), "wide.xml:1: is UTF-16; save it as UTF-8"),
    ("half.xml", listed(entry(name="é")).encode()[:-40] + b"\xc3", "half.xml:3: is not UTF-8"),
    ("nul.xml", listed(entry(name="\0")), "nul.xml:3: contains a NUL byte"),
    ("empty.xml", listed(), "empty.xml: has no label in it"),
    ("sdn.csv", "1,A,-0- ,X\n", "sdn.csv: cannot tell the format"),
    ("sdn.csv", "1,A,-0- ,X" + ",-0- " * 8 + "\n2,B\n", "sdn.csv:2: has 2 columns where 12"),
    (
        "sdn.csv",
        "1,A,-0- ,X" + ",-0- " * 8 + "\nx,B,-0- ,X" + ",-0- " * 8 + "\n",
        "sdn.csv:2: has no entry number: 'x'",
    ),
    (
        "sdn.csv",
        ("1,A,-0- ,X" + ",-0- " * 8 + "\n") * 2,
        "sdn.csv:2: entry '1' stands twice, first in line 1",
    ),
    ("sdn.csv", "1,A,-0- ,X" + ",-0- " * 8 + '\n2,"B', "sdn.csv:2: not CSV"),
    ("own.csv", "name,kind\nA,horse\n", "own.csv:2: unknown kind 'horse'; known are person"),
    ("own.csv", "name,birth\nA,soon\n", "own.csv:2: 'birth' is not a date or year: 'soon'"),
    ("own.csv", "name,country\nA,Ruritania\n", "own.csv:2: 'country' is none: 'Ruritania'"),
    ("own.csv", "name,kind\n,person\n", "own.csv:2: the row has no name"),
    ("own.csv", "name,id,ref\nA,1,2\n", "own.csv:1: two columns of the header mean the same"),
    ("own.csv", "name,ref\nA,1\nB,1\n", "own.csv:3: entry '1' stands twice, first in line 2"),
    ("own.csv", "name,valid_to\nA,never\n", "own.csv:2: 'valid_to' is not a date"),
    ("own.json", '[{"name": true}]', "own.json:1: 'name' must be text"),
    ("own.json", '[{"name": "A", "aliases": [{}]}]', "own.json:1: 'aliases' must be text"),
]


def test_a_file_that_is_no_list_is_refused_whole(database: Database, list_file: ListFile) -> None:
    for name, content, message in CASES:
        with pytest.raises(ParameterInvalid, match=re.escape(message)) as caught:
            import_list(database, list_file(content, name), now=NOW)
        assert caught.value.param == "file", name
        assert len(caught.value.message) < 1000, name
    with database.begin() as connection:
        assert label_store.lists_version(connection) == 0
        assert label_store.list_lists(connection) == []
        assert store.count_entity_changes(connection, after=0) == 0


def test_nothing_may_grow_without_end(
    database: Database, list_file: ListFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    coin = "<idList>" + (
        "<id><idType>Digital Currency Address - XBT</idType>"
        "<idNumber>134r8iHv69xdT6p5qVKTsHrcUEuBVZAYak</idNumber></id>" * 3
    )
    path = list_file(listed(entry("1"), entry("2"), entry("3", more=coin + "</idList>")), "x.xml")
    for where, limit, value, message in (
        (entries, "ENTRIES_MAX", 2, "x.xml:5: more than 2 entries"),
        (entries, "COINS_MAX", 2, "x.xml:5: more than 2 addresses"),
        (xml, "NODES_MAX", 4, "x.xml:5: a record has more than 4 elements"),
        (xml, "RECORD_CHARACTERS_MAX", 40, "x.xml:5: a record has more than"),
        (source, "FILE_BYTES_MAX", 100, "file is larger than 100 bytes"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(where, limit, value)
            with pytest.raises(ParameterInvalid, match=message):
                import_list(database, path, now=NOW)
    monkeypatch.setattr(xml, "TOKEN_BYTES_MAX", 100_000)
    endless = list_file(DECLARATION + "<sdnList><!--" + "x" * 400_000, "endless.xml")
    with pytest.raises(ParameterInvalid, match="a tag or comment is longer than 100000 bytes"):
        import_list(database, endless, now=NOW)
    monkeypatch.setattr(ofac, "COMPANION_BYTES_MAX", 20)
    entries_file = list_file("1,A,-0- ,X" + ",-0- " * 8 + "\n", "sdn.csv")
    beside = list_file('1,1,"aka","B",-0- \n' * 3, "alt.csv")
    with pytest.raises(ParameterInvalid, match=r"alt\.csv:2: file is larger than 20 bytes"):
        import_list(database, entries_file, companions=[beside], now=NOW)
    monkeypatch.setattr(ofac_advanced, "REFERENCES_MAX", 1)
    words = DECLARATION + "<Sanctions><Country ID='1'/>\n<Country ID='2'/></Sanctions>"
    with pytest.raises(ParameterInvalid, match=r"words\.xml:3: refers to more than 1 things"):
        import_list(database, list_file(words, "words.xml"), now=NOW)


def test_a_large_list_is_read_in_little_memory(list_file: ListFile) -> None:
    """Forty megabytes of entries, all on one line, within thirty of memory."""
    record = entry(name="A" * 400, more=f"<remarks>{'x' * 3_500}</remarks>")
    path = list_file("<sdnList>" + record * 10_000 + "</sdnList>", "large.xml")
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from sakk.screening.ofac import parse_sdn_xml\n"
        "from sakk.screening.formats import Notes\n"
        "from sakk.screening.source import Source\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "with Source(Path(sys.argv[1])) as source:\n"
        "    count = sum(1 for _ in parse_sdn_xml(source, Notes()))\n"
        "print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    count, grown = map(int, done.stdout.split())
    assert count == 10_000
    # Kilobytes, as Linux counts them.
    assert grown < 30_000
