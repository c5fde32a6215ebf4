"""The bench of names with tiny sizes: it finishes, and its figures are of what it says."""

from pathlib import Path

import pytest

from sakk.bench import screening_name as bench
from sakk.bench.figures import WrongResult
from sakk.core.entity import EntityKind


def test_a_line_for_each_figure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(
        "schema,name1,name2,is_match\n"
        "Person,Ivan Petrov,PETROV Ivan,true\n"
        "Company,Example GmbH,OOO Primer,true\n"
        "Person,Ivan Petrov,Petrov Ivan,false\n"
        "Vessel,Sea Sample,Land Sample,false\n"
    )
    monkeypatch.setenv(bench.PAIRS_VARIABLE, str(pairs))
    monkeypatch.setattr(bench, "ENTRIES", 600)
    monkeypatch.setattr(bench, "PAIRS", 100)
    lines = {line["name"]: line["median"] for line in bench.names(lambda line: None)}
    assert lines["name_candidates_recall"] == 1000
    assert lines["name_pairs_f1"] > 900
    # One is right, one is missed, and one that looks alike is wrong.
    assert lines["name_pairs_of_file_precision"] == 500
    assert lines["name_pairs_of_file_recall"] == 500
    assert lines["name_pairs_of_file_f1"] == 500
    assert bench.read_pairs(pairs)[1].kind is EntityKind.organization


def test_an_index_that_finds_nothing_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "ENTRIES", 120)
    monkeypatch.setattr(bench, "written", lambda name, dice: "zzz qqq")
    with pytest.raises(WrongResult):
        bench.names(lambda line: None)
