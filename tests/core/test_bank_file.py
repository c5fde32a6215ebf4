from datetime import UTC, datetime

import pytest

from sakk.core.bank_file import NAME_LENGTH_MAX, BankFile, public, safe_name

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


def test_what_is_shown() -> None:
    row = BankFile(
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
    assert public(row)["done_at"] is None
    row = BankFile(**{name: getattr(row, name) for name in row.__slots__} | {"done_at": NOW})
    assert public(row)["done_at"] == int(NOW.timestamp())
