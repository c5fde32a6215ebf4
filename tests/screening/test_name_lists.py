"""Lists of names in every format that states publish, and in those that operators describe."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sakk.core.entity import Alias, EntityKind, Identifier, ListedEntity, NameQuality
from sakk.core.errors import ParameterInvalid
from sakk.screening.importers import ImportReport, import_list, retire_list
from sakk.screening.mapping import load_mapping
from sakk.store import entity as store
from sakk.store import label as label_store
from sakk.store.database import Database

from .conftest import ListFile

FIXTURES = Path(__file__).parent / "fixtures" / "names"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
COIN = "134r8iHv69xdT6p5qVKTsHrcUEuBVZAYak"


def bring(database: Database, file: str | Path, *more: str, **options: str) -> ImportReport:
    companions = [FIXTURES / each for each in more]
    return import_list(
        database,
        FIXTURES / file,
        companions=companions,
        now=NOW,
        **options,  # type: ignore[arg-type]
    )


def entries(database: Database, version: int = 1) -> dict[str, ListedEntity]:
    with database.begin() as connection:
        return {row.ref: row for row in store.scan_entities(connection, version=version)}


def test_ofacs_csv_with_its_companions(database: Database) -> None:
    report = bring(database, "sdn.csv", "alt.csv", "add.csv", "sdn_comments.csv", name="OFAC SDN")
    assert (report.entities.opened, report.opened, report.rows) == (3, 2, 5)
    assert (report.list.kind, report.list.format) == ("sanctions", "ofac_csv")
    assert (report.list.row_count, report.list.entity_count) == (2, 3)
    found = entries(database)
    company, person, vessel = (found[ref] for ref in ("101", "102", "103"))
    assert (company.kind, company.name) == ("organization", "EXAMPLE TRADING CO., LTD.")
    assert company.content.aliases == (Alias("OLD EXAMPLE, S.A."),)
    assert company.content.addresses == ("Calle 1, Havana, Cuba",)
    assert company.content.countries == ("CU",)
    assert (person.kind, person.name) == ("person", "SAMPLE, Ivan Petrovich")
    assert person.content.aliases == (
        Alias("SAMPEL, Iwan"),
        Alias("OLD SAM", NameQuality.weak),
    )
    assert person.content.births == ("1970-07-15", "1971")
    assert person.content.birth_places == ("Minsk, Belarus",)
    assert person.content.countries == ("RU", "BY")
    assert person.content.programs == ("SDGT", "CYBER2")
    assert person.content.identifiers == (Identifier("Passport", "123456789", "RU"),)
    assert person.content.titles == ("Director",)
    assert (person.content.remarks or "").endswith("Linked To: SOMEBODY.")
    assert (vessel.kind, vessel.content.countries) == ("vessel", ("PA",))
    assert vessel.content.identifiers == (
        Identifier("Vessel Registration Identification", "IMO 9914591"),
        Identifier("Vessel Call Sign", "ABCD1"),
    )
    with database.begin() as connection:
        (label,) = label_store.labels_of(connection, "bip122", COIN)
    assert (label.category, label.entity) == ("sanctions", "SAMPLE, Ivan Petrovich")


def test_ofacs_xml(database: Database) -> None:
    report = bring(database, "sdn.xml")
    assert (report.entities.opened, report.opened) == (2, 2)
    assert report.skipped == {"malformed": 1}
    person = entries(database)["102"]
    assert (person.kind, person.name) == (EntityKind.person, "SAMPLE, Ivan Petrovich")
    assert person.content.aliases == (
        Alias("SAMPEL, Iwan"),
        Alias("OLD SAM", NameQuality.weak),
    )
    assert person.content.births == ("1970~",)
    assert person.content.countries == ("RU",)
    assert person.content.identifiers == (Identifier("Passport", "123456789", "RU"),)
    assert person.content.remarks == "(Linked To: SOMEBODY)"


def test_ofacs_advanced_xml(database: Database) -> None:
    report = bring(database, "sdn_advanced.xml")
    assert (report.entities.opened, report.opened) == (2, 1)
    found = entries(database)
    person, vessel = found["102"], found["103"]
    assert (person.kind, person.name) == ("person", "SAMPLE, Ivan Petrovich")
    assert person.content.aliases == (
        Alias("САМПЛЕ, Иван Петрович"),
        Alias("OLD SAM", NameQuality.weak),
    )
    assert person.content.births == ("1970-07-15", "1971~", "1972/1974", "1975-03")
    assert person.content.birth_places == ("Gomel", "Minsk, Belarus")
    assert person.content.countries == ("RU",)
    assert person.content.programs == ("SDGT",)
    assert person.content.addresses == ("Minsk, Belarus",)
    assert person.content.titles == ("Director",)
    assert person.content.identifiers == (
        Identifier("SWIFT/BIC", "EXMPRUMM"),
        Identifier("Passport", "123456789", "RU"),
    )
    assert person.valid_from == datetime(2019, 8, 21, tzinfo=UTC)
    assert (vessel.kind, vessel.name, vessel.content.remarks) == (
        "vessel",
        "SEA SAMPLE",
        "Caution",
    )


def test_the_list_of_the_un(database: Database) -> None:
    assert bring(database, "un.xml").entities.opened == 2
    found = entries(database)
    person, front = found["QDi.901"], found["2"]
    assert (person.kind, person.name) == ("person", "MUHAMMAD EXAMPLE")
    assert person.content.aliases == (
        Alias("محمد المثال"),
        Alias("Mohamed Al-Mithal"),
        Alias("Abu Mithal", NameQuality.weak),
    )
    assert person.content.births == ("1964-05-06", "1965~", "1960/1962")
    assert person.content.birth_places == ("Mosul, Iraq",)
    assert (person.content.countries, person.content.programs) == (("IQ",), ("Al-Qaida",))
    assert person.content.addresses == ("Mosul, Iraq",)
    assert person.content.titles == ("Maulavi", "Governor")
    assert person.content.identifiers == (Identifier("Passport", "A1", "IQ"),)
    assert person.content.remarks == "A made-up person."
    assert person.valid_from == datetime(2015, 3, 4, tzinfo=UTC)
    assert (front.kind, front.content.aliases) == ("organization", (Alias("MUF"),))
    assert front.valid_from is None


def test_the_list_of_the_eu(database: Database) -> None:
    assert bring(database, "eu.xml").entities.opened == 2
    found = entries(database)
    person, firm = found["901"], found["902"]
    assert (person.kind, person.name) == ("person", "Ivan SAMPLE")
    assert person.content.aliases == (
        Alias("Иван Сампле"),
        Alias("Old Sam", NameQuality.weak),
    )
    assert person.content.births == ("1970-07-15", "1971~")
    assert person.content.countries == ("RU",)
    assert person.content.programs == ("UKR",)
    assert person.content.titles == ("Dr", "Director")
    assert person.content.addresses == ("Street 1, Minsk, BELARUS",)
    assert person.content.identifiers == (Identifier("National passport", "123456789", "RU"),)
    assert person.valid_from == datetime(2022, 2, 25, tzinfo=UTC)
    assert (firm.kind, firm.name) == ("organization", "Example Enterprise")


def test_own_lists_in_csv_and_json(database: Database) -> None:
    report = bring(database, "own.csv", kind="operator")
    assert (report.list.kind, report.entities.opened) == ("operator", 2)
    person, firm = (entries(database)[ref] for ref in ("x1", "shell firm s.r.o."))
    assert person.content.aliases == (Alias("Novak, Jan"), Alias("J. Novák"))
    assert (person.content.births, person.content.countries) == (("1980-05-03",), ("CZ",))
    assert person.content.remarks == "refused in 2024"
    assert (firm.kind, firm.content.countries) == ("organization", ("CZ",))
    other = bring(database, "own.json", name="other")
    assert (other.entities.opened, other.ignored_columns) == (2, ("colour",))
    person = entries(database, 2)["jan novák"]
    assert person.content.aliases == (Alias("Novak, Jan"), Alias("Honza", NameQuality.weak))
    assert person.content.countries == ("CZ", "SK")


def test_a_list_of_names_that_an_operator_describes(
    database: Database, list_file: ListFile
) -> None:
    mapping = load_mapping(
        list_file(
            'format = "csv"\ndates = "%d.%m.%Y"\n[columns]\nname = "Jméno"\nbirth = "Narozen"\n'
            '[constants]\nkind = "person"\n',
            "names.toml",
        )
    )
    path = list_file("Jméno;Narozen\nJan Novák;3.5.1980\n")
    report = import_list(database, path, mapping=mapping, now=NOW)
    assert (report.list.format, report.entities.opened) == ("mapped", 1)
    (person,) = entries(database).values()
    assert (person.kind, person.content.births) == ("person", ("1980-05-03",))
    with pytest.raises(ParameterInvalid, match="no field 'category'"):
        load_mapping(
            list_file('format = "csv"\n[columns]\nname = "N"\ncategory = "C"\n', "wrong.toml")
        )


def test_a_second_import_is_a_difference_and_history_stays(
    database: Database, list_file: ListFile
) -> None:
    first = "ref,name,birth\n1,Ann Example,1970\n2,Ben Example,\n3,Cem Example,\n"
    second = "ref,name,birth\n1,Ann Example,1971\n2,Ben Example,\n"
    assert import_list(database, list_file(first), name="own", now=NOW).lists_version == 1
    before = entries(database, 1)
    report = import_list(database, list_file(second), name="own", now=LATER)
    assert (report.lists_version, report.list.version) == (2, 2)
    changed = report.entities
    assert (changed.opened, changed.closed, changed.unchanged) == (1, 2, 1)
    assert entries(database, 1).keys() == before.keys() == {"1", "2", "3"}
    after = entries(database, 2)
    assert after.keys() == {"1", "2"}
    assert after["1"].entity_id == before["1"].entity_id
    assert (after["1"].opened_version, after["1"].recorded_from) == (2, LATER)
    with database.begin() as connection:
        delisted = store.versions_of(connection, before["3"].entity_id)
        closed, opened = store.scan_entity_changes(connection, after=1, version=2)
        assert store.count_entity_changes(connection, after=1) == 3
        (old,) = store.entities_at(connection, version=1, entity_ids=[after["1"].entity_id])
    assert [(row.closed_version, row.recorded_to) for row in delisted] == [(2, LATER)]
    assert sorted(closed) == sorted([(before["1"].entity_id, 1), (before["3"].entity_id, 1)])
    assert [row.ref for row in opened] == ["1"]
    assert old.content.births == ("1970",)
    # The same file again changes nothing; a name that comes back is the same entity.
    again = import_list(database, list_file(second), name="own", now=LATER)
    assert (again.lists_version, again.list.version) == (2, 2)
    import_list(database, list_file(first), name="own", now=LATER)
    assert entries(database, 3)["3"].entity_id == before["3"].entity_id


def test_a_retired_list_has_no_entries(database: Database) -> None:
    bring(database, "un.xml")
    retired = retire_list(database, "un", now=LATER)
    assert (retired.version, retired.entity_count) == (2, 0)
    assert entries(database, 2) == {}
    assert len(entries(database, 1)) == 2


def test_a_sanctions_list_that_shrank_is_refused(database: Database, list_file: ListFile) -> None:
    def listed(count: int) -> Path:
        rows = "".join(f"{number},Example Person {number}\n" for number in range(count))
        return list_file("ref,name\n" + rows)

    import_list(database, listed(120), name="own", kind="sanctions", now=NOW)
    with pytest.raises(ParameterInvalid, match="would leave 50 of 120 sanctioned names"):
        import_list(database, listed(50), name="own", kind="sanctions", now=NOW)
    assert len(entries(database, 1)) == 120
    report = import_list(
        database, listed(50), name="own", kind="sanctions", allow_shrink=True, now=NOW
    )
    assert report.entities.closed == 70


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("sdn.csv", "own.csv"), "own.csv:1: has 1 columns: it is none of alt.csv"),
        (("own.csv", "alt.csv"), "Only OFAC's CSV is one list of several files"),
    ],
)
def test_companions_that_are_none(database: Database, files: tuple[str, str], message: str) -> None:
    with pytest.raises(ParameterInvalid, match=message):
        bring(database, *files)


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        ('999,1,"aka","X",-0- \n', "beside.csv:1: speaks of entry 999, which sdn.csv does not"),
        ('101,1,"aka",-0- ,-0- \n', "beside.csv:1: the row has no name"),
        ('101,1,"aka","X",-0- \n101,2\n', "beside.csv:2: has 2 columns where 5 were expected"),
    ],
)
def test_a_companion_that_does_not_fit(
    database: Database, list_file: ListFile, beside: str, message: str
) -> None:
    companion = list_file(beside, "beside.csv")
    with pytest.raises(ParameterInvalid, match=message):
        import_list(database, FIXTURES / "sdn.csv", companions=[companion], now=NOW)
