"""Reports: what may be asked for, by whom, and the tax in a fee."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sakk.core import file as files
from sakk.core import ids
from sakk.core import report as rules
from sakk.core.errors import InvalidRequest, PermissionDenied
from sakk.core.file import StoredFile
from sakk.core.report import Report, ReportForm, ReportKind, ReportParameters

NOW = datetime(2026, 11, 26, tzinfo=UTC)
ALL = ReportParameters(start=NOW - timedelta(days=30), end=NOW)
ACCOUNT = ids.encode("acct", 7)
CURRENCIES = {"usdc": 6}


def checked(kind: str, form: str = "csv", *, is_operator: bool = True, **changes: Any) -> None:
    rules.check(
        ReportKind(kind),
        ReportForm(form),
        replace(ALL, **changes),
        is_operator=is_operator,
        currencies=CURRENCIES,
        now=NOW,
    )


@pytest.mark.parametrize(
    ("kind", "form", "is_operator", "changes"),
    [
        ("general_ledger", "beancount", True, {}),
        ("trial_balance", "jsonl", True, {"detail": True}),
        ("merchant_statement", "csv", False, {"account": ACCOUNT, "currency": "usdc"}),
        ("fees", "csv", False, {"tax_ppm": 190_000}),
        ("volumes", "csv", False, {"account": ACCOUNT}),
        ("travel_rule", "csv", True, {}),
        ("large_values", "csv", True, {"threshold": 10_000, "currency": "usdc"}),
    ],
)
def test_what_may_be_asked_for(
    kind: str, form: str, is_operator: bool, changes: dict[str, Any]
) -> None:
    checked(kind, form, is_operator=is_operator, **changes)


@pytest.mark.parametrize(
    ("kind", "form", "changes", "param"),
    [
        ("fees", "beancount", {}, "format"),
        ("fees", "csv", {"end": NOW + timedelta(seconds=1)}, "parameters[interval_end]"),
        ("fees", "csv", {"start": NOW}, "parameters[interval_start]"),
        ("fees", "csv", {"currency": "xyz"}, "parameters[currency]"),
        ("fees", "csv", {"tax_ppm": 1_000_001}, "parameters[tax_ppm]"),
        ("merchant_statement", "csv", {"currency": "usdc"}, "parameters[account]"),
        ("merchant_statement", "csv", {"account": ACCOUNT}, "parameters[currency]"),
        ("large_values", "csv", {"currency": "usdc"}, "parameters[threshold]"),
        ("large_values", "csv", {"threshold": 5}, "parameters[currency]"),
        ("large_values", "csv", {"threshold": 0, "currency": "usdc"}, "parameters[threshold]"),
        ("trial_balance", "csv", {"account": ACCOUNT}, "parameters[account]"),
    ],
)
def test_what_may_not(kind: str, form: str, changes: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        checked(kind, form, **changes)
    assert refused.value.param == param


@pytest.mark.parametrize("kind", sorted(set(ReportKind) - rules.MERCHANTS))
def test_the_books_are_the_operators(kind: str) -> None:
    with pytest.raises(PermissionDenied):
        checked(kind, is_operator=False)


@given(amount=some.integers(-(10**30), 10**30), tax_ppm=some.integers(0, rules.TAX_PPM_MAX))
def test_net_and_tax_are_the_amount(amount: int, tax_ppm: int) -> None:
    net, tax = rules.tax_within(amount, tax_ppm)
    assert net + tax == amount
    # Within half a unit of the exact share, and what goes back is the mirror of what was charged.
    assert abs(tax * (rules.MILLION + tax_ppm) - amount * tax_ppm) * 2 <= rules.MILLION + tax_ppm
    assert rules.tax_within(-amount, tax_ppm) == (-net, -tax)


def report(**changes: Any) -> Report:
    made = Report(
        id=ids.encode("rpt", 5),
        account_id=ACCOUNT,
        livemode=False,
        kind="fees",
        form="csv",
        status="running",
        parameters=ALL.document(),
        mapping=None,
        rows=0,
        rows_total=None,
        file=None,
        failure_code=None,
        failure_message=None,
        requested_by=None,
        metadata={},
        created=NOW,
    )
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("changes", "percent"),
    [
        ({}, 0),
        ({"rows": 1, "rows_total": 3}, 33),
        ({"rows": 3, "rows_total": 3}, 99),
        ({"rows": 0, "rows_total": 0, "status": "succeeded"}, 100),
    ],
)
def test_a_report_is_done_when_it_is_a_file(changes: dict[str, Any], percent: int) -> None:
    assert rules.progress_percent(report(**changes)) == percent


def test_a_report_and_its_file_are_shown() -> None:
    ended = report(status="succeeded", ended_at=NOW, rows=1, rows_total=1)
    file = StoredFile(
        id=ids.encode("file", 5),
        account_id=ACCOUNT,
        livemode=False,
        kind="fees",
        form="csv",
        name=rules.file_name(ended),
        size=7,
        rows=1,
        sha256=bytes(32),
        signature=bytes(64),
        authority=bytes(32),
        expires_at=NOW + files.KEPT_FOR,
        created=NOW,
    )
    shown = rules.public(ended, files.public(file, public_url="https://pay.example"))
    assert shown["parameters"]["interval_end"] == shown["ended_at"] == int(NOW.timestamp())
    assert shown["result"]["url"] == f"https://pay.example/v1/files/{file.id}/contents"
    assert files.public(file, public_url=None)["url"] == f"/v1/files/{file.id}/contents"
    assert file.name == "fees-2026-11-26-000005.csv"
    assert rules.public(report(), None)["ended_at"] is None
    assert rules.read_parameters(ended.parameters) == ALL


def test_every_fact_of_a_file_is_signed() -> None:
    facts: dict[str, Any] = {
        "identifier": ids.encode("file", 5),
        "account_id": ACCOUNT,
        "kind": "fees",
        "size": 7,
        "created": NOW,
        "sha256": bytes(32),
    }
    changed: dict[str, Any] = {
        "identifier": ids.encode("file", 6),
        "account_id": ids.encode("acct", 8),
        "kind": "fee",
        "size": 8,
        "created": NOW + timedelta(seconds=1),
        "sha256": bytes([1] * 32),
    }
    words = {files.words(**{**facts, name: value}) for name, value in changed.items()}
    assert len(words | {files.words(**facts)}) == 7
