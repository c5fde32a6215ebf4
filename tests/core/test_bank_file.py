from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sakk.core.bank_file import NAME_LENGTH_MAX, BankFile, public, released, safe_name
from sakk.core.errors import ApprovalStale, SamePerson, UnexpectedState
from sakk.core.proposal import SecondPerson

NOW = datetime(2026, 11, 26, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("camt.xml", "camt.xml"),
        ("../../etc/passwd", "passwd"),
        ("C:\\bank\\a.sta", "a.sta"),
        ("a\nb\x00.xml", "a_b_.xml"),
        ("x" * 300, "x" * NAME_LENGTH_MAX),
        ("folder/", "unnamed"),
        ("", "unnamed"),
    ],
)
def test_names_are_no_paths(name: str, kept: str) -> None:
    assert safe_name(name) == kept


ROW = BankFile(
    id="bf_1",
    livemode=False,
    bank_account=None,
    way="in",
    kind="camt.053",
    name="a.xml",
    sha256="00",
    size=3,
    status="received",
    created=NOW,
)


def test_what_is_shown() -> None:
    assert (public(ROW)["done_at"], public(ROW)["released_at"]) == (None, None)
    row = replace(ROW, done_at=NOW, released_by="per_2", released_at=NOW)
    assert public(row)["done_at"] == public(row)["released_at"] == int(NOW.timestamp())


def test_another_person_stands_for_what_was_brought() -> None:
    brought = replace(ROW, status="awaiting", brought_by="per_1")
    second = SecondPerson("per_2", True, "00")
    done = released(brought, second, now=NOW)
    assert (done.status, done.released_by, done.released_at) == ("received", "per_2", NOW)
    assert released(brought, SecondPerson("per_1", False, "00"), now=NOW)
    with pytest.raises(SamePerson):
        released(brought, SecondPerson("per_1", True, "00"), now=NOW)
    with pytest.raises(ApprovalStale):
        released(brought, SecondPerson("per_2", True, "01"), now=NOW)
    with pytest.raises(UnexpectedState):
        released(ROW, second, now=NOW)
