"""A small month through the real flow: every error in it is found, none is invented, it closes."""

import pytest

from sakk.bench import close
from sakk.bench.figures import WrongResult


def test_every_error_of_a_month_is_found_and_the_month_is_closed(database_url: str) -> None:
    said: list[str] = []
    results = close.in_database(
        database_url, merchants=12, month_days=2, error_every=2, say=said.append
    )
    [errors] = [each["median"] for each in results if each["name"] == "month_errors_found"]
    told = {each.partition(":")[0] for each in said}
    assert told >= {
        "amount_differs",
        "bank_without_ledger",
        "chain_without_ledger",
        "counterparty_differs",
        "duplicate",
        "ledger_without_bank",
        "row_differs",
        "suspense",
    }
    # What was corrected or mended has ended, and nothing else.
    assert f"8 ended, {errors - 8:g} explained" in said
    assert said[-1].startswith("the day ")


def test_what_is_missed_or_invented_is_told() -> None:
    one: close.Found = ("suspense", "a", 1)
    other: close.Found = ("suspense", "a", 2)
    close.compare({one}, {one}, "it")
    nothing: set[close.Found] = set()
    for found, expected in (({one}, {other}), (nothing, {one}), ({one}, nothing)):
        with pytest.raises(WrongResult, match="it did not find"):
            close.compare(found, expected, "it")
