from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.networks import a_token

from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.label import Label, LabelList
from sakk.screening.importers import ImportReport, Skipped, import_list, lists, retire_list
from sakk.screening.override import OVERRIDES
from sakk.store import label as store
from sakk.store.database import Database
from sakk.store.network import put_asset

from .conftest import SUSPECT, ListFile

FIXTURES = Path(__file__).parent / "fixtures"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def of(database: Database, address: str, family: str = "eip155") -> list[Label]:
    with database.begin() as connection:
        return store.labels_of(connection, family, address)


def bring(database: Database, file: str, **options: str) -> ImportReport:
    return import_list(database, FIXTURES / file, now=NOW, **options)  # type: ignore[arg-type]


def standing(database: Database) -> list[LabelList]:
    with database.begin() as connection:
        return lists(connection)


def test_an_ofac_file(database: Database) -> None:
    report = bring(database, "sanctioned_addresses_ETH.txt")
    assert (report.rows, report.opened, report.lists_version) == (3, 3, 1)
    assert (report.list.name, report.list.kind) == ("sanctioned_addresses_ETH", "sanctions")
    (label,) = of(database, "0xabcdef0123456789abcdef0123456789abcdef01")
    assert (label.category, label.confidence, label.source) == ("sanctions", 100, "OFAC SDN")
    assert (label.recorded_from, label.recorded_to) == (NOW, None)


def test_a_tagpack_inherits_from_its_header(database: Database) -> None:
    report = bring(database, "pack.yaml")
    assert (report.rows, report.opened, report.duplicates) == (9, 5, 1)
    assert report.skipped == {"reserved": 1, "token": 1, "malformed": 1}
    assert report.examples == (
        Skipped(19, "0x" + "0" * 40, "reserved"),
        Skipped(20, "0xdac17f958d2ee523a2206206994597c13d831ec7", "token"),
        Skipped(21, "0x5555", "malformed"),
    )
    assert report.unknown_categories == {"an_unknown_concept": 1}
    (inherited,) = of(database, "0x" + "3" * 40)
    assert (inherited.category, inherited.entity) == ("ransomware", "Example family")
    assert (inherited.confidence, inherited.source) == (50, "https://example.org/report")
    (own,) = of(database, "0x" + "4" * 40)
    assert (own.category, own.entity, own.actor) == ("scam", "Another scheme", "schemer")
    assert own.confidence == 100
    (bitcoin,) = of(database, "134r8iHv69xdT6p5qVKTsHrcUEuBVZAYak", "bip122")
    assert bitcoin.category == "ransomware"
    (sanctioned,) = of(database, "0x" + "6" * 40)
    assert sanctioned.category == "sanctions"
    # Its own word for a mixer does not outweigh the header's.
    (mixed,) = of(database, "0x" + "7" * 40)
    assert mixed.category == "ransomware"


def test_forta_labels(database: Database) -> None:
    report = bring(database, "forta_labels.csv")
    assert (report.rows, report.opened, report.duplicates) == (3, 2, 1)
    (phisher,) = of(database, "0x" + "8" * 40)
    assert (phisher.category, phisher.entity) == ("scam", "Fake_Phishing1")
    (thief,) = of(database, "0x" + "9" * 40)
    assert (thief.category, thief.entity) == ("theft", "Bridge Exploiter, 2")


def test_forta_contracts(database: Database) -> None:
    report = bring(database, "forta_contracts.csv")
    assert report.list.format == "forta"
    (first,) = of(database, "0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1")
    assert (first.category, first.entity, first.source) == ("theft", None, "A table")
    (second,) = of(database, "0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa2")
    assert (second.category, second.entity) == ("scam", "Phisher 7")


def test_a_csv_of_the_operator(database: Database) -> None:
    report = bring(database, "own.csv", name="ours")
    assert (report.list.name, report.opened) == ("ours", 2)
    assert report.ignored_columns == ("internal_note",)
    assert report.skipped == {"token": 1}
    (label,) = of(database, "0xb111111111111111111111111111111111111111")
    assert label.valid_from == datetime(2025, 1, 1, tzinfo=UTC)
    assert label.valid_to == datetime(2034, 12, 31, 22, tzinfo=UTC)
    assert (label.confidence, label.entity) == (90, "A shop that never sends")
    (tron,) = of(database, "TBHTJqAy4DhHhmT3dNceJYNRz4SdLofLre", "tron")
    assert (tron.category, tron.confidence, tron.entity) == ("theft", 20, None)


def test_json_as_an_array_and_by_the_line(database: Database) -> None:
    report = bring(database, "own.json")
    assert (report.opened, report.ignored_columns) == (2, ("extra",))
    (label,) = of(database, "0xc222222222222222222222222222222222222222")
    assert (label.category, label.entity, label.confidence) == ("scam", "A  page", 70)
    report = bring(database, "own.jsonl")
    assert (report.rows, report.opened) == (2, 2)
    assert of(database, "0xd111111111111111111111111111111111111111")[0].category == "mixer"


def test_a_category_for_all_rows(database: Database, list_file: ListFile) -> None:
    path = list_file(f"address,note\n{SUSPECT},x\n")
    with pytest.raises(ParameterInvalid, match=r"list\.csv:2: the row has no category"):
        import_list(database, path, now=NOW)
    import_list(database, path, category="sanctions", kind="sanctions", now=NOW)
    assert of(database, SUSPECT)[0].category == "sanctions"


def test_the_format_can_be_named(database: Database, list_file: ListFile) -> None:
    path = list_file(f"{SUSPECT}\n", "addresses.dat")
    with pytest.raises(ParameterInvalid, match="--format"):
        import_list(database, path, now=NOW)
    report = import_list(database, path, format="ofac", now=NOW)
    assert (report.list.format, report.opened) == ("ofac", 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "xml"}, "Unknown format 'xml'; known are ofac"),
        ({"kind": "rumours"}, "Unknown kind 'rumours'; known are sanctions"),
        ({"category": "bad"}, "Unknown category 'bad'; known are sanctions"),
        ({"name": " "}, "1 to 100 printable"),
        ({"name": "a" * 101}, "1 to 100 printable"),
        ({"name": OVERRIDES}, "is taken"),
    ],
)
def test_options_that_are_no_choice(
    database: Database, options: dict[str, str], message: str
) -> None:
    with pytest.raises(ParameterInvalid, match=message):
        bring(database, "own.csv", **options)


def test_only_the_operator_calls_an_address_good(database: Database, list_file: ListFile) -> None:
    path = list_file(f"address,category,reason\n{SUSPECT},known_good,our own exchange\n")
    with pytest.raises(ParameterInvalid, match="only the operator's own list"):
        import_list(database, path, now=NOW)
    import_list(database, path, kind="operator", now=NOW)
    assert of(database, SUSPECT)[0].entity == "our own exchange"


def test_contracts_of_listed_assets_never_become_labels(
    database: Database, list_file: ListFile
) -> None:
    contract = "0x036cbd53842c5426634e7929541ec2318f3dcf7e"
    with database.begin() as connection:
        put_asset(
            connection,
            a_token(f"eip155:84532/erc20:{contract}", created=NOW),
        )
    path = list_file(f"address,category\n0x{contract[2:].upper()},scam\n{SUSPECT},scam\n")
    assert import_list(database, path, now=NOW).skipped == {"token": 1}
    assert of(database, contract) == []


def test_delisting_closes_and_the_history_stays(database: Database, list_file: ListFile) -> None:
    other = "0x" + "6b" * 20
    later = NOW + timedelta(days=1)
    import_list(database, list_file(f"address,category\n{SUSPECT},scam\n{other},scam\n"), now=NOW)
    report = import_list(database, list_file(f"address,category\n{other},scam\n"), now=later)
    assert (report.opened, report.closed, report.unchanged) == (0, 1, 1)
    (closed,) = of(database, SUSPECT)
    assert (closed.recorded_from, closed.recorded_to) == (NOW, later)


def test_the_same_file_again_only_renews_the_age(database: Database) -> None:
    first = bring(database, "sanctioned_addresses_ETH.txt")
    later = NOW + timedelta(days=2)
    assert first.list.is_stale(later)
    again = import_list(database, FIXTURES / "sanctioned_addresses_ETH.txt", now=later)
    assert (again.opened, again.closed, again.unchanged) == (0, 0, 3)
    assert again.list.version == again.lists_version == first.lists_version
    assert again.list.sha256 == first.list.sha256
    (current,) = standing(database)
    assert current == again.list
    assert (current.age_seconds(later), current.is_stale(later)) == (0, False)


def test_a_list_that_did_not_change_keeps_its_version(
    database: Database, list_file: ListFile
) -> None:
    first = bring(database, "own.csv")
    import_list(database, list_file(f"address,category\n{SUSPECT},scam\n"), now=NOW)
    again = bring(database, "own.csv")
    assert (first.list.version, again.list.version, again.lists_version) == (1, 1, 2)


def test_retiring_a_list_closes_it(database: Database) -> None:
    bring(database, "own.csv")
    later = NOW + timedelta(days=1)
    retired = retire_list(database, "own", now=later)
    assert (retired.row_count, retired.retired_at, retired.version) == (0, later, 2)
    (label,) = of(database, "0xb111111111111111111111111111111111111111")
    assert label.recorded_to == later
    assert bring(database, "own.csv").list.retired_at is None
    with pytest.raises(ResourceMissing, match="no list is called"):
        retire_list(database, "nothing", now=NOW)


def test_a_sanctions_list_does_not_shrink_by_accident(
    database: Database, list_file: ListFile
) -> None:
    name = "sanctioned_addresses_ETH.txt"
    rows = [f"0x{2**100 + number:040x}" for number in range(100)]
    import_list(database, list_file("\n".join(rows), name), now=NOW)
    cut = list_file("\n".join(rows[:49]), name)
    with pytest.raises(ParameterInvalid, match="would leave 49 of 100"):
        import_list(database, cut, now=NOW)
    assert standing(database)[0].row_count == 100
    report = import_list(database, cut, allow_shrink=True, now=NOW)
    assert (report.closed, report.list.row_count) == (51, 49)
    # Half of it going is believed: lists do change.
    half = list_file("\n".join(rows[:25]), name)
    assert import_list(database, half, now=NOW).closed == 24
