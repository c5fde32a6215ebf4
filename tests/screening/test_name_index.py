"""The index of names: what it finds, in which process, and how it follows the lists."""

import random
import threading
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from sakk.core.entity import EntityKind
from sakk.core.errors import ParameterInvalid, Unavailable
from sakk.core.name_text import read_name
from sakk.screening import name as names
from sakk.screening.importers import import_list, retire_list
from sakk.screening.name import NameIndex
from sakk.screening.name_index import NameCandidates
from sakk.store.database import Database, open_database
from sakk.store.label import lists_version

from .conftest import ListFile

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIST = """ref,name,kind,aliases,weak_aliases,birth,country,valid_to
1,"PETROV, Ivan Sergeyevich",person,Иван Петров,,1962-05-03,RU,
2,"AL-MITHAL, Muhammad",person,محمد المثال,Abu Mithal,1970,IQ,
3,"LI, Jiachao",person,李家超,,,CN,
4,EXAMPLE TRADING CO. LTD.,organization,华为技术有限公司;OOO Primer,,,,
5,SEA SAMPLE 7,vessel,,,,PA,
6,"ENDED, Example",person,,,,,2025-01-01
"""


@pytest.fixture
def index(database: Database, list_file: ListFile) -> NameIndex:
    import_list(database, list_file(LIST), name="own", kind="sanctions", now=NOW)
    return NameIndex(database)


def refs(index: NameIndex, name: str, **known: object) -> list[str]:
    hits = index.match(name, score_min=700, **known)  # type: ignore[arg-type]
    return [hit.ref for hit in hits]


FOUND = [
    ("Ivan Petrov", "1"),
    ("Petrov Ivan", "1"),
    ("IVAN PETROW", "1"),
    ("Ivna Petrov", "1"),
    ("I. Petrov", "1"),
    ("Иван Петров", "1"),
    ("Mohamed al Mithal", "2"),
    ("محمد المثال", "2"),
    ("Abu Mithal", "2"),
    ("李家超", "3"),
    ("Li Jia Chao", "3"),
    ("JIACHAO LI", "3"),
    ("Example Trading Limited", "4"),
    ("ExampleTrading", "4"),
    ("华为技术", "4"),
    ("ООО «Пример»", "4"),
    ("Sea Sample 7", "5"),
]


def test_a_name_is_found_however_it_is_written(index: NameIndex) -> None:
    assert {asked: refs(index, asked) for asked, _ in FOUND} == {
        asked: [ref] for asked, ref in FOUND
    }


def test_what_speaks_for_a_hit_and_against_it(index: NameIndex) -> None:
    (plain,) = index.match("Ivan Petrov", score_min=700)
    (sure,) = index.match("Ivan Petrov", kind="person", birth="1962-05-03", countries=("RU",))
    assert (plain.name, plain.matched, plain.list_name) == (
        "PETROV, Ivan Sergeyevich",
        "Иван Петров",
        "own",
    )
    assert sure.score > plain.score or sure.score == 1000
    assert [each.what for each in sure.evidence] == ["born 1962-05-03", "country RU"]
    (doubtful,) = index.match("Ivan Petrov", birth="1990", countries=("US",))
    assert doubtful.score == plain.name_score - 190
    assert [pair.query for pair in plain.pairs] == ["ivan", "petrov"]
    (vessel,) = index.match("Sea Sample 7", kind="person", score_min=700)
    assert vessel.score == vessel.name_score - 120


def test_what_is_no_name_any_more_is_no_hit(index: NameIndex) -> None:
    assert refs(index, "Example Ended") == []
    assert index.match("Nobody Atall") == ()
    with pytest.raises(ParameterInvalid):
        index.match("")


def test_an_index_of_nothing_finds_nothing(database: Database) -> None:
    assert NameIndex(database).match("Ivan Petrov") == ()
    assert list(NameCandidates(()).search(read_name("Ivan"))) == []


def test_it_is_loaded_at_the_first_question_and_follows_the_lists(
    database: Database,
    index: NameIndex,
    list_file: ListFile,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert (index.version, len(index)) == (None, 0)
    assert refs(index, "Ivan Petrov") == ["1"]
    # Two processes: what one imports, the other goes by at its next question.
    changed = LIST.replace("PETROV, Ivan Sergeyevich", "SIDOROV, Oleg").replace(
        "Иван Петров", "Олег"
    )
    import_list(database, list_file(changed), name="own", kind="sanctions", now=NOW)
    assert refs(index, "Ivan Petrov") == []
    assert refs(index, "Oleg Sidorov") == ["1"]
    assert index.version == 2
    # Addresses alone change the version and nothing here.
    before = index._candidates
    only = f"address,category\n{'0x' + '5a' * 20},scam\n"
    import_list(database, list_file(only, "addresses.csv"), now=NOW)
    assert refs(index, "Oleg Sidorov") == ["1"]
    assert (index.version, index._candidates) == (3, before)
    # Many changes are loaded anew.
    monkeypatch.setattr(names, "CHANGES_MAX", 0)
    retire_list(database, "own", now=NOW)
    assert refs(index, "Oleg Sidorov") == []
    assert len(index) == 0


def test_with_a_connection_no_import_comes_between(
    database: Database, index: NameIndex, list_file: ListFile
) -> None:
    imported = threading.Event()

    def bring() -> None:
        import_list(database, list_file(LIST + "7,Another One,person,,,,,\n"), name="own", now=NOW)
        imported.set()

    with database.begin() as connection:
        assert index.match("Another One", connection=connection) == ()
        thread = threading.Thread(target=bring)
        thread.start()
        assert not imported.wait(0.3)
        assert lists_version(connection) == 1
    thread.join(30)
    assert imported.is_set()
    assert refs(index, "Another One") == ["7"]


def test_without_the_lists_nothing_is_passed(database: Database, index: NameIndex) -> None:
    with database.begin() as connection:
        connection.exec_driver_sql("DROP TABLE entities")
    with pytest.raises(Unavailable):
        index.match("Ivan Petrov")
    gone = NameIndex(open_database("postgresql://nobody@127.0.0.1:1/none"))
    with pytest.raises(Unavailable):
        gone.match("Ivan Petrov")


def _typed(name: str, dice: random.Random) -> str:
    place = dice.randrange(1, len(name) - 1)
    match dice.randrange(4):
        case 0:
            return name[:place] + name[place + 1] + name[place] + name[place + 2 :]
        case 1:
            return name[:place] + name[place + 1 :]
        case 2:
            return name[:place] + dice.choice("aeiou") + name[place + 1 :]
        case _:
            return name[:place] + dice.choice("aeiou") + name[place:]


def _made_up(dice: random.Random, count: int) -> Sequence[str]:
    """Names of three syllables and two words, as unlike as those of people are."""
    syllables = [a + b + c for a in "bdfgklmnprstvz" for b in "aeiou" for c in "nrsl"]

    def word() -> str:
        return "".join(dice.choice(syllables) for _ in range(dice.choice((2, 3))))

    return [f"{word()} {word()}" for _ in range(count)]


def test_of_names_with_a_slip_in_them_hardly_any_is_lost() -> None:
    dice = random.Random(1)
    listed = _made_up(dice, 3_000)
    candidates = NameCandidates([read_name(name, EntityKind.person) for name in listed])
    asked = [(number, _typed(listed[number], dice)) for number in range(0, 3_000, 10)]
    found = sum(number in candidates.search(read_name(name)) for number, name in asked)
    assert found >= 0.99 * len(asked)
