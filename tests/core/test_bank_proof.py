"""Bank proofs, as rules: balances against statements, orders against lines, and what may come."""

from datetime import date

from sakk.core.bank_proof import (
    BankBalance,
    BankMoment,
    BrokenStatement,
    Movement,
    findings_of_banks,
)
from sakk.core.matching import Side
from sakk.core.reconciliation import BreakKind

TODAY = date(2026, 3, 20)
THEN = date(2026, 3, 2)


def order(name: str, units: int, reference: str, *, on: date = THEN, iban: str = "A") -> Movement:
    return Movement(name, Side.left, "eur", units, on, reference, iban)


def line(
    name: str, units: int, reference: str | None, *, on: date = THEN, iban: str | None = "A"
) -> Movement:
    return Movement(name, Side.right, "eur", units, on, reference, iban)


def found(moment: BankMoment) -> set[tuple[BreakKind, str | None, int]]:
    return {
        (each.kind, each.subject, each.units) for each in findings_of_banks(moment, today=TODAY)
    }


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
        for each in findings_of_banks(BankMoment(movements=movements), today=TODAY)
        if each.kind is BreakKind.duplicate
    ]
    assert double.detail == "ltwice2 of -15, beside ltwice"
