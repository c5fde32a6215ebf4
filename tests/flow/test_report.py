"""Reports over a real ledger: books that a real checker takes, parts that a crash leaves behind."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from beancount.loader import load_string
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import BENEFICIARY, credit, fund_treasury
from tests.flow.policing import VAULT
from tests.flow.test_conversion import say
from tests.flow.test_fee import RULES, charged_by
from tests.flow.test_payin_assets import new_token
from tests.flow.test_rate import put

from sakk.client.file_proof import FileProofError, check_file, main, proof_path
from sakk.core import chart_mapping as mapping_rules
from sakk.core import file as file_rules
from sakk.core.errors import RateLimited, UnexpectedState
from sakk.core.rate_source import SourceKind
from sakk.core.report import OPEN_MAX, Report, ReportForm, ReportKind, ReportParameters
from sakk.flow import chart_mapping as charts
from sakk.flow import report as flow
from sakk.flow import report_list
from sakk.flow.forget import forget_stage
from sakk.ledger.projection import wait_projected
from sakk.store import file as files
from sakk.store import report as store
from sakk.store.identity import new_id

Rows = list[dict[str, str]]


def ask(world: World, kind: str, form: str = "csv", **changes: Any) -> Report:
    # What was booked so far is before the end.
    world.advance(timedelta(seconds=5))
    now = world.clock()
    parameters = ReportParameters(start=datetime.fromtimestamp(0, UTC), end=now)
    account = changes.pop("asked_by", world.operator)
    with world.database.begin() as connection:
        return flow.create(
            connection,
            ReportKind(kind),
            ReportForm(form),
            replace(parameters, **changes),
            identifier=new_id("rpt"),
            account_id=account,
            livemode=False,
            is_operator=account == world.operator,
            requested_by=None,
            metadata={},
            now=now,
        )


def write(world: World) -> int:
    """The stage runs once, with the ledger's rows written and a moment gone by."""
    wait_projected(world.database.url)
    world.advance(timedelta(seconds=5))
    return flow.report_stage(replace(world.parts, vault=VAULT)).run()


def now_of(world: World, report: Report) -> Report:
    with world.database.begin() as connection:
        found = store.find(connection, report.id, account_id=None, livemode=False)
    assert found is not None
    return found


def content(world: World, report: Report) -> bytes:
    """What a report came to."""
    while write(world):
        pass
    ended = now_of(world, report)
    assert ended.status == "succeeded", ended.failure_message
    assert ended.file is not None
    return b"".join(files.chunks(world.database, ended.file))


def rows(world: World, kind: str, **changes: Any) -> Rows:
    text = content(world, ask(world, kind, **changes)).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.fixture
def moved(world: World) -> World:
    """Fees, payments, a payout and the gas that it took."""
    charged_by(world, *RULES)
    fund_treasury(world)
    credit(world, 100)
    credit(world, 30)
    world.payout(20 * WHOLE_TOKEN, address=BENEFICIARY)
    world.run()
    world.finalize()
    return world


def test_the_books_are_what_a_checker_and_the_ledger_say(moved: World, tmp_path: Path) -> None:
    entries = rows(moved, "general_ledger")
    sums: dict[tuple[str, str], Decimal] = {}
    for row in entries:
        unit = (row["currency"], row["asset"])
        amount = Decimal(row["debit"] or 0) - Decimal(row["credit"] or 0)
        sums[unit] = sums.get(unit, Decimal(0)) + amount
    assert len(entries) > 10
    assert not any(sums.values())
    assert {"payin", "payin_fee", "payout", "gas"} <= {row["reason"] for row in entries}
    # A second source: the accounts' own lines, whole and by the chart.
    balance = rows(moved, "trial_balance")
    detail = rows(moved, "trial_balance", detail=True)
    for shown in (balance, detail):
        of_merchants = [row for row in shown if row["code"] == "2100"]
        assert sum(Decimal(row["credit"]) for row in of_merchants) == Decimal(
            moved.balance()
        ) / Decimal(WHOLE_TOKEN)
        for total in (row for row in shown if row["account"] == "total"):
            assert total["debit"] == total["credit"]
    assert len(detail) >= len(balance)
    # Of a period that begins in the middle, with opening balances.
    middle = datetime.fromisoformat(entries[len(entries) // 2]["time"])
    for start in (datetime.fromtimestamp(0, UTC), middle):
        text = content(moved, ask(moved, "general_ledger", "beancount", start=start)).decode()
        found, errors, _ = load_string(text)
        assert not errors, [each.message for each in errors]
        kinds = [type(each).__name__ for each in found]
        assert kinds.count("Balance") >= len(balance) - 5
        assert kinds.count("Transaction") > 4
    broken = text.replace(" USDC\n", "1 USDC\n", 1)
    assert load_string(broken)[1], "the checker finds what is not balanced"
    lists_say_what_moved(moved, tmp_path)
    moved.check()


def lists_say_what_moved(moved: World, folder: Path) -> None:
    lines = moved.statement()
    told = rows(moved, "merchant_statement", account=moved.account, currency="usdc")
    opening, *between, closing = told
    assert [row["id"] for row in between] == [line.id for line in lines]
    assert [row["number"] for row in between] == [str(n) for n in range(1, len(lines) + 1)]
    assert (opening["type"], opening["balance"], closing["type"]) == (
        "opening",
        "0.000000",
        "closing",
    )
    assert Decimal(closing["balance"]) * WHOLE_TOKEN == moved.balance()
    # The same in two periods, that lead on.
    middle = lines[len(lines) // 2].timestamp
    about = {"account": moved.account, "currency": "usdc"}
    first = rows(moved, "merchant_statement", end=middle, **about)
    second = rows(moved, "merchant_statement", start=middle, **about)
    assert first[1:-1] + second[1:-1] == between
    assert first[-1]["balance"] == second[0]["balance"]
    of_fees = rows(moved, "fees", tax_ppm=190_000, asked_by=moved.account)
    assert of_fees
    assert all(
        Decimal(row["net"]) + Decimal(row["tax"]) == Decimal(row["amount"]) for row in of_fees
    )
    moved_in = {row["direction"]: row for row in rows(moved, "volumes")}
    assert (moved_in["payin"]["transfers"], moved_in["payin"]["amount"]) == ("2", "130.000000")
    assert moved_in["payout"]["amount"] == "20.000000"
    large = rows(moved, "large_values", threshold=5_000, currency="usd")
    assert [(row["direction"], row["value"]) for row in large] == [("payin", "100.00")]
    # By what sources say, not by what was once written down with a currency.
    put(moved.parts, "desk", SourceKind.csv, str(folder / "desk.csv"), "usdc-usd")
    say(moved, folder, "usdc,usd,0.5,0.52")
    large = rows(moved, "large_values", threshold=1_531, currency="usd")
    assert [row["value"] for row in large] == ["51.00"]
    shown = content(moved, ask(moved, "travel_rule", "jsonl"))
    assert all(json.loads(line)["status"] for line in shown.splitlines())


def test_coins_are_told_in_their_currency_whatever_their_token_counts_in(world: World) -> None:
    """USDC has 18 decimals on one chain and 6 on others, GUSD 2: 25 are 25."""
    for symbol, decimals in (("WIDE", 18), ("GUSD", 2)):
        token = new_token(world, symbol, decimals=decimals)
        world.list_token(token, currency_decimals=6)
        world.pay(world.intent(2_500, currencies=[token.currency]), token.contract)
    world.finalize()
    told = rows(world, "volumes")
    assert [(row["currency"], row["amount"]) for row in told] == [
        ("gusd", "25.000000"),
        ("wide", "25.000000"),
    ]
    assert [row["value"] for row in rows(world, "large_values", threshold=1, currency="usd")] == [
        "25.00",
        "25.00",
    ]


def test_half_a_report_is_no_file(moved: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_rules, "CHUNK_BYTES", 200)
    whole = report_list.merchant_statement
    report = ask(moved, "merchant_statement", account=moved.account, currency="usdc")

    def dies(*given: Any, **named: Any) -> Any:
        sheet = whole(*given, **named)

        def some() -> Iterator[Any]:
            for number, row in enumerate(sheet.rows):
                if number == 3:
                    raise KeyboardInterrupt
                yield row

        return replace(sheet, rows=some())

    monkeypatch.setattr(report_list, "merchant_statement", dies)
    with pytest.raises(KeyboardInterrupt):
        write(moved)
    half = now_of(moved, report)
    assert (half.status, half.file, half.attempt) == ("running", None, 1)
    assert list(files.chunks(moved.database, flow.file_of(report)))
    with moved.database.begin() as connection:
        assert files.find_many(connection, [flow.file_of(report)]) == {}
    # Its lease holds until it runs out; then the next begins again, and nothing is there twice.
    monkeypatch.setattr(report_list, "merchant_statement", whole)
    assert write(moved) == 0
    moved.advance(timedelta(minutes=2))
    text = content(moved, report).decode("utf-8-sig")
    assert len(text.splitlines()) == len(moved.statement()) + 3
    # One that is canceled while it is written is thrown away by whoever writes it.
    other = ask(moved, "merchant_statement", account=moved.account, currency="usdc")

    def canceled(*given: Any, **named: Any) -> Any:
        with moved.database.begin() as connection:
            flow.cancel(
                connection, other.id, account_id=moved.operator, livemode=False, now=moved.clock()
            )
        return whole(*given, **named)

    monkeypatch.setattr(report_list, "merchant_statement", canceled)
    write(moved)
    assert now_of(moved, other).status == "canceled"
    assert not list(files.chunks(moved.database, flow.file_of(other)))


def test_a_file_is_proved_offline_and_forgotten_in_time(
    moved: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = ask(moved, "fees", asked_by=moved.account)
    body = content(moved, report)
    with moved.database.begin() as connection:
        file = files.find(
            connection, flow.file_of(report), account_id=moved.account, livemode=False
        )
        other = files.find(connection, flow.file_of(report), account_id="acct_x", livemode=False)
    assert file is not None
    assert other is None
    proof = file_rules.public(file, public_url=None)
    key = VAULT.authority_key().hex()
    assert check_file([body], proof, authority=key) == key
    for changed in (
        {"created": proof["created"] + 1},
        {"account": moved.operator},
        {"kind": "volumes"},
        {"signature": "00" * 64},
        {"signature": "zz"},
        {"sha256": "00" * 32},
        {"size": proof["size"] + 1},
        {"kind": None},
    ):
        with pytest.raises(FileProofError):
            check_file([body], {**proof, **changed})
    with pytest.raises(FileProofError, match="another key"):
        check_file([body], proof, authority="00" * 32)
    saved = tmp_path / file.name
    saved.write_bytes(body)
    proof_path(saved).write_text(json.dumps(proof))
    assert main([str(saved), "--authority", key]) == 0
    saved.write_bytes(body + b"x")
    assert main([str(saved)]) == 1
    assert "are not those" in capsys.readouterr().err
    moved.advance(file_rules.KEPT_FOR)
    forget_stage(moved.parts).run()
    assert not list(files.chunks(moved.database, file.id))


def test_what_waits_for_the_ledger_keeps_no_other_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, other = ask(world, "trial_balance"), ask(world, "fees")
    monkeypatch.setattr(flow, "projected_until", lambda *_, **__: None)
    assert write(world) > 0
    # It runs again at once, while there is anything to look at, and no clock has moved.
    stage = flow.report_stage(replace(world.parts, vault=VAULT))
    while stage.run():
        pass
    assert (now_of(world, waits).status, now_of(world, other).status) == ("pending", "succeeded")


def test_limits_and_faults_end_a_report_and_are_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    credit(world, 10)
    with world.database.begin() as connection:
        rest = mapping_rules.document_of(mapping_rules.BUILT_IN)
        charts.put(connection, mapping_rules.read_rules(rest), by=None, now=world.clock())
    report = ask(world, "trial_balance")
    assert report.mapping == 1

    def unplaced(*_: Any) -> None:
        return None

    monkeypatch.setattr(mapping_rules, "find", unplaced)
    write(world)
    failed = now_of(world, report)
    assert (failed.status, failed.failure_code) == ("failed", UnexpectedState.code)
    monkeypatch.undo()
    monkeypatch.setattr(file_rules, "BYTES_MAX", 10)
    report = ask(world, "volumes")
    write(world)
    assert now_of(world, report).failure_code == "report_too_large"
    assert world.event_types(account=world.operator, operator=True).count("report.failed") == 2
    for _ in range(OPEN_MAX):
        ask(world, "fees")
    with pytest.raises(RateLimited):
        ask(world, "fees")
