"""Bank proofs, as rules: balances against statements, orders against lines, and what may come."""

from datetime import UTC, date, datetime, timedelta

from sakk.core.bank_proof import (
    BankBalance,
    BankMoment,
    BrokenStatement,
    Line,
    Movement,
    Posting,
    ReturnDifference,
    UnbookedLine,
    findings_of_banks,
    others_suspense,
    paired,
)
from sakk.core.matching import Side
from sakk.core.reconciliation import BreakKind, Suspended

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
THEN = date(2026, 3, 2)


def order(name: str, units: int, reference: str, *, on: date = THEN, iban: str = "A") -> Movement:
    return Movement(name, Side.left, "eur", units, on, reference, iban)


def line(
    name: str, units: int, reference: str | None, *, on: date = THEN, iban: str | None = "A"
) -> Movement:
    return Movement(name, Side.right, "eur", units, on, reference, iban)


def found(moment: BankMoment) -> set[tuple[BreakKind, str | None, int]]:
    return {(each.kind, each.subject, each.units) for each in findings_of_banks(moment, now=NOW)}


def test_a_balance_at_a_bank_is_what_its_statement_says() -> None:
    balances = [
        BankBalance("ba_1", "eur", "bst_1", 100, 20, 80),
        BankBalance("ba_2", "eur", "bst_2", 100, 0, 93),
        BankBalance("ba_3", "eur", None, 0, 0, 5),
    ]
    assert balances[0].to_document()["difference"] == "0"
    assert found(BankMoment(balances, [BrokenStatement("bst_2", "eur", 4)])) == {
        (BreakKind.bank_without_ledger, "ba_2", 7),
        (BreakKind.ledger_without_bank, "ba_3", -5),
        (BreakKind.row_differs, "bst_2", 4),
    }


def test_orders_and_lines_that_nothing_links() -> None:
    movements = [
        order("lost", -10, "1"),
        order("young", -11, "2", on=date(2026, 3, 16)),
        order("wrong", -12, "3"),
        line("lwrong", -13, "3"),
        order("astray", -14, "4"),
        line("lastray", -14, "4", iban="B"),
        order("twice", -15, "5"),
        line("ltwice", -15, "5", iban=None),
        line("ltwice2", -15, "5"),
        line("stray", -16, "6"),
        line("nameless", -17, None, on=date(2026, 3, 18)),
        order("fine", -18, "7"),
        line("lfine", -18, "7"),
    ]
    assert found(BankMoment(movements=movements)) == {
        (BreakKind.ledger_without_bank, "lost", 10),
        (BreakKind.amount_differs, "wrong", -1),
        (BreakKind.counterparty_differs, "astray", 0),
        (BreakKind.duplicate, "ltwice2", -15),
        (BreakKind.bank_without_ledger, "stray", -16),
    }
    [double] = [
        each
        for each in findings_of_banks(BankMoment(movements=movements), now=NOW)
        if each.kind is BreakKind.duplicate
    ]
    assert double.detail == "ltwice2 of -15, beside ltwice"


def test_a_line_that_is_not_booked_in_a_day_is_found() -> None:
    lines = [
        UnbookedLine("bl_stuck", "eur", -5, "matched", 9, NOW - timedelta(hours=25)),
        UnbookedLine("bl_new", "eur", 7, "new", 0, NOW - timedelta(days=2)),
        UnbookedLine("bl_young", "eur", 7, "matched", 1, NOW - timedelta(hours=23)),
    ]
    assert found(BankMoment(unbooked=lines)) == {
        (BreakKind.in_flight, "bl_stuck", -5),
        (BreakKind.in_flight, "bl_new", 7),
    }
    [stuck, _] = findings_of_banks(BankMoment(unbooked=lines), now=NOW)
    assert "matched since 2026-03-19 11:00 UTC" in stuck.detail
    assert "9 refusals" in stuck.detail


def test_each_posting_is_of_a_line() -> None:
    postings = [
        Posting(1, "opening", 1_000, False),
        # A payment and what came back of it are of one row.
        Posting(2, "out", -40, False),
        Posting(2, "back", 40, False),
        Posting(3, "early", 9, False),
        Posting(5, "stray", 6, False),
        Posting(6, "twice", 3, False),
        Posting(6, "twice again", 3, False),
        Posting(7, "wrong", -8, False),
        Posting(8, "repairs lost", 4, True),
        Posting(8, "takes back", 8, True),
        Posting(8, "repairs nothing", 2, True),
    ]
    lines = [
        Line(1, "ba_1", 1_000, True),
        Line(2, "lout", -40, True),
        Line(2, "lback", 40, True),
        Line(3, "learly", 9, False),
        Line(4, "llost", 4, True),
        Line(6, "lonce", 3, True),
        Line(9, "lmissing", -7, True),
        Line(10, "lcoming", 11, False),
    ]
    left = paired(postings, lines, unit="eur", bank_account="ba_1")
    assert left.early_units == 9
    told = BankMoment([BankBalance("ba_1", "eur", "bst_1", 82, 0, 100)], pairings=[left])
    assert left.difference == -18
    assert found(told) == {
        (BreakKind.ledger_without_bank, "stray", -6),
        (BreakKind.ledger_without_bank, "twice again", -3),
        (BreakKind.ledger_without_bank, "repairs nothing", -2),
        (BreakKind.bank_without_ledger, "lmissing", -7),
    }
    # A provider takes its fee in the debit of the payment: two postings, one line.
    both = [Posting(4, "paid", -40, False), Posting(4, "fee", -1, False)]
    whole = paired(both, [Line(4, "lpaid", -41, True)], unit="eur", bank_account="ba_1")
    assert (whole.postings, whole.lines, whole.difference) == ([], [], 0)
    # So it is before its row says that it is booked.
    soon = paired(both, [Line(4, "lpaid", -41, False)], unit="eur", bank_account="ba_1")
    assert (soon.postings, soon.lines, soon.early_units) == ([], [], -41)
    # What postings and lines do not tell is still told of the whole.
    more = BankMoment([BankBalance("ba_1", "eur", "bst_1", 82, 0, 99)], pairings=[left])
    assert (BreakKind.ledger_without_bank, "ba_1", -17) in found(more)


def test_what_a_bank_took_otherwise_for_a_return_is_found_until_it_is_corrected() -> None:
    differences = [
        ReturnDifference("beyond", "l1", "suspense:a", "eur", 8, 0),
        ReturnDifference("missing", "l2", "suspense:a", "eur", -5, 0),
        ReturnDifference("partly", "l3", "suspense:b", "eur", 8, 6),
        ReturnDifference("too far", "l4", "suspense:c", "eur", -5, -6),
        ReturnDifference("corrected", "l5", "suspense:c", "eur", 8, 8),
    ]
    findings = findings_of_banks(BankMoment(differences=differences), now=NOW)
    assert {(each.kind, each.key, each.subject, each.units) for each in findings} == {
        (BreakKind.amount_differs, "bank_return:beyond", "beyond", -8),
        (BreakKind.amount_differs, "bank_return:missing", "missing", 5),
        (BreakKind.amount_differs, "bank_return:partly", "partly", -2),
        (BreakKind.amount_differs, "bank_return:too far", "too far", -1),
    }
    details = [each.detail for each in findings]
    assert "took 8 beyond what was agreed to for beyond: suspense:a has 8 too little" in details[0]
    assert "sent 5 too little for missing: suspense:a has 5 too much" in details[1]
    assert differences[2].to_document()["corrected_units"] == "6"
    # Suspense says what is others', each once: nothing of it is corrected a second time.
    stands = [Suspended("suspense:a", "eur", 7), Suspended("suspense:b", "eur", -2)]
    assert others_suspense(stands, differences) == [
        Suspended("suspense:a", "eur", 10),
        Suspended("suspense:c", "eur", 1),
    ]
