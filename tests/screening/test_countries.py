"""Lists of countries: imported as a difference, refused with the line, and judged by."""

from dataclasses import replace
from pathlib import Path

import pytest

from sakk.core.account import AccountKind
from sakk.core.errors import ParameterInvalid
from sakk.core.rule import CountryRule
from sakk.core.screening import Verdict
from sakk.flow import account as accounts
from sakk.screening.countries import import_countries
from sakk.screening.engine import Engine
from sakk.screening.importers import retire_list
from sakk.store.database import Database
from sakk.store.identity import new_id, now
from sakk.store.label import list_lists, lists_version

from .conftest import ListFile, enact, request

FATF = Path(__file__).resolve().parents[3] / "shared" / "data" / "kyt" / "fatf_2026-06.csv"
HEAD = "# verify before use\niso2,name,list\n"
BLACK = CountryRule(name="fatf", verdict=Verdict.review, lists=("black_edd",))


def account_of(database: Database, country: str) -> str:
    identifier = new_id("acct")
    with database.begin() as connection:
        accounts.create(
            connection,
            account_id=identifier,
            livemode=False,
            now=now(),
            kind=AccountKind.merchant,
            details={"name": "Merchant", "country": country},
        )
    return identifier


def test_a_country_is_judged_while_it_is_listed(database: Database, list_file: ListFile) -> None:
    enact(database, BLACK)
    asked = replace(request(), account_id=account_of(database, "MM"))
    engine = Engine(database)
    assert engine.screen([asked])[0].verdict == "clear"
    report = import_countries(
        database, list_file(HEAD + "MM,Myanmar,black_edd\nKE,Kenya,grey\n"), name="fatf", now=now()
    )
    assert (report.opened, report.closed, report.lists_version) == (2, 0, 1)
    (made,) = engine.screen([asked])
    (reason,) = made.reasons
    assert (made.verdict, reason.kind, reason.list, reason.version) == (
        "review",
        "country",
        "fatf",
        1,
    )
    assert reason.detail == "the account is of MM, which is black_edd"
    same = import_countries(
        database, list_file(HEAD + "MM,Myanmar,black_edd\nKE,Kenya,grey\n"), name="fatf", now=now()
    )
    assert (same.unchanged, same.lists_version, same.list.version) == (2, 1, 1)
    report = import_countries(
        database, list_file(HEAD + "MM,Myanmar,grey\n"), name="fatf", now=now()
    )
    assert (report.opened, report.closed, report.lists_version) == (1, 2, 2)
    assert engine.screen([asked])[0].verdict == "clear"
    # What was decided is reached again by what was recorded.
    assert Engine(database).replay(made) == (Verdict.review, made.reasons)
    retire_list(database, "fatf", now=now())
    with database.begin() as connection:
        assert lists_version(connection) == 3
        (listed,) = list_lists(connection)
    assert (listed.kind, listed.row_count, listed.is_stale(now())) == ("countries", 0, False)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("country,list\nKP,black\n", "no column 'iso2'"),
        (HEAD + "XX,Nowhere,grey\n", ":3: 'XX' is no country's code"),
        (HEAD + "kp,North Korea,grey\n", ":3: 'kp' is no country's code"),
        (HEAD + "KP,North Korea,Very Black\n", ":3: 'Very Black' is no name of a list"),
        (HEAD, "says of no country"),
        (HEAD + "KP,North Korea,grey\n" * 1_001, "more than 1000 rows"),
    ],
)
def test_a_wrong_file_changes_nothing(
    database: Database, list_file: ListFile, content: str, said: str
) -> None:
    with pytest.raises(ParameterInvalid, match=said):
        import_countries(database, list_file(content), name="fatf", now=now())
    with database.begin() as connection:
        assert lists_version(connection) == 0


@pytest.mark.skipif(not FATF.exists(), reason="the lists are not on this machine")
def test_fatf_as_it_stood(database: Database) -> None:
    report = import_countries(database, FATF, name="fatf", now=now())
    assert (report.opened, report.list.row_count) == (25, 25)
