"""Lists whose format an operator describes: read in his words, refused with line and remedy."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sakk.core.errors import ParameterInvalid
from sakk.core.label import Label
from sakk.screening.importers import ImportReport, import_list
from sakk.screening.mapping import FILE_BYTES_MAX, load_mapping
from sakk.store import label as store
from sakk.store.database import Database

from .conftest import CLEAN, SUSPECT, ListFile

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MAPPING = """
format = "csv"
skip_lines = 2
dates = "%d.%m.%Y"

[columns]
address = "Wallet-Nr."
category = "Grund"
valid_from = "Seit"

[values.category]
Betrug = "scam"
Mischer = "mixer"

[constants]
network = "eth"
source = "Financial Intelligence Unit"

[where]
Status = ["aktiv", "neu"]
"""
CSV = f"""Meldungen der Zentralstelle
Stand: 1.1.2026
Nr;Wallet-Nr.;Grund;Seit;Status
1;{SUSPECT};Betrug;24.12.2025;aktiv
2;{CLEAN};Mischer;;gelöscht
"""


def of(database: Database, address: str) -> list[Label]:
    with database.begin() as connection:
        return store.labels_of(connection, "eip155", address)


def bring(database: Database, list_file: ListFile, text: str, mapping: str) -> ImportReport:
    described = load_mapping(list_file(mapping, "mapping.toml"))
    path = list_file(text, "list.json" if 'format = "json"' in mapping else "list.csv")
    return import_list(database, path, mapping=described, now=NOW)


def test_a_table_of_somebody_elses(database: Database, list_file: ListFile) -> None:
    report = bring(database, list_file, CSV, MAPPING)
    assert (report.rows, report.opened, report.list.format) == (1, 1, "mapped")
    assert report.ignored_columns == ("Nr",)
    (label,) = of(database, SUSPECT)
    assert (label.category, label.source) == ("scam", "Financial Intelligence Unit")
    assert label.valid_from == datetime(2025, 12, 24, tzinfo=UTC)
    assert of(database, CLEAN) == []


def test_columns_by_number_without_a_header(database: Database, list_file: ListFile) -> None:
    mapping = """
format = "csv"
delimiter = "|"
header = false
[columns]
address = 2
category = 1
[where]
3 = ["yes"]
"""
    rows = f"scam|{SUSPECT}|yes\nmixer|{CLEAN}|no\n"
    assert bring(database, list_file, rows, mapping).opened == 1
    assert [label.category for label in of(database, SUSPECT)] == ["scam"]


def test_objects_within_objects(database: Database, list_file: ListFile) -> None:
    mapping = """
format = "json"
[columns]
address = "wallet.address"
entity = "owner.name"
[constants]
category = "ransomware"
[where]
"wallet.chain" = ["1"]
"""
    text = (
        f'[{{"wallet": {{"address": "{SUSPECT}", "chain": 1}}, "owner": {{"name": "Gang"}}}},\n'
        f' {{"wallet": {{"address": "{CLEAN}", "chain": 2}}, "owner": null}}]'
    )
    assert bring(database, list_file, text, mapping).opened == 1
    (label,) = of(database, SUSPECT)
    assert (label.category, label.entity) == ("ransomware", "Gang")


def test_the_same_file_again_changes_nothing(database: Database, list_file: ListFile) -> None:
    bring(database, list_file, CSV, MAPPING)
    again = bring(database, list_file, CSV, MAPPING)
    assert (again.opened, again.closed, again.unchanged) == (0, 0, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CSV.replace("Betrug", "Raub"), r"list.csv:4: 'Raub' is no value .*\[values.category\]"),
        (CSV.replace("24.12.2025", "2025-12-24"), r"list.csv:4: 'valid_from' is not a date"),
        (CSV.replace("Wallet-Nr.", "Konto"), r"list.csv:3: has no column 'Wallet-Nr.'"),
        (CSV.replace("Nr;Wall", "Grund;Wall"), r"list.csv:3: has more than one column 'Grund'"),
        (CSV.replace(";aktiv", ""), r"list.csv:4: has 4 columns where the first has 5"),
        (CSV.replace(SUSPECT, ""), r"list.csv:4: the row has no address"),
        (CSV.replace(SUSPECT, "0x12"), r"list.csv:4"),
    ],
)
def test_a_file_that_is_not_as_described(
    database: Database, list_file: ListFile, text: str, said: str
) -> None:
    with pytest.raises(ParameterInvalid, match=said):
        bring(database, list_file, text, MAPPING)
    assert of(database, SUSPECT) == []


def test_a_number_beyond_the_last_column(database: Database, list_file: ListFile) -> None:
    mapping = 'format = "csv"\nheader = false\n[columns]\naddress = 3\n'
    with pytest.raises(ParameterInvalid, match="has 1 columns, and the mapping asks for 3"):
        bring(database, list_file, f"{SUSPECT}\n", mapping)


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ("format = 'xml'\n[columns]\naddress = 1\n", "format"),
        ("format = 'csv'\n", "columns"),
        ("format = 'csv'\nsize = 1\n[columns]\naddress = 1\n", "size"),
        ("format = 'csv'\n[columns]\ncategory = 1\n", "where the address stands"),
        ("format = 'csv'\n[columns]\nadress = 1\n", "no field 'adress'; known are address"),
        (
            "format = 'csv'\n[columns]\naddress = 1\n[constants]\naddress = 'x'\n",
            "both a column and a constant",
        ),
        (
            "format = 'csv'\n[columns]\naddress = 1\n[values.category]\na = 'scam'\n",
            "translates a field that is no column",
        ),
        ("format = 'csv'\nskip_lines = -1\n[columns]\naddress = 1\n", "skip_lines is 0 to"),
        ("format = 'csv'\ndelimiter = '||'\n[columns]\naddress = 1\n", "one character"),
        ("format = 'json'\n[columns]\naddress = 1\n", "are for CSV"),
        ("format = 'csv'\nheader = false\n[columns]\naddress = 'a'\n", "columns are numbers"),
        ("format = 'csv", "mapping.toml"),
        ("#" * (FILE_BYTES_MAX + 1), "larger than"),
    ],
)
def test_a_mapping_that_can_not_be(list_file: ListFile, mapping: str, said: str) -> None:
    with pytest.raises(ParameterInvalid, match=said) as caught:
        load_mapping(list_file(mapping, "mapping.toml"))
    assert caught.value.param == "mapping"


def test_a_mapping_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ParameterInvalid, match="cannot be opened"):
        load_mapping(tmp_path / "mapping.toml")


def test_a_format_is_named_or_described(database: Database, list_file: ListFile) -> None:
    described = load_mapping(list_file(MAPPING, "mapping.toml"))
    path = list_file(CSV)
    with pytest.raises(ParameterInvalid, match="leave --format out"):
        import_list(database, path, format="csv", mapping=described, now=NOW)
    with pytest.raises(ParameterInvalid, match="described by a mapping"):
        import_list(database, path, format="mapped", now=NOW)
