"""Breaks, as rules: what may follow what, which accounts a correction names, and what is told."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sakk.core import chart
from sakk.core import ledger_break as rules
from sakk.core.chart import LedgerAccount
from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.ledger_break import Act, BreakAct, BreakStatus, LedgerBreak, Leg
from sakk.core.reconciliation import BreakKind, Finding

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ASSET = "eip155:1/erc20:0xaa"
SUSPENSE, CUSTODY = f"suspense:{ASSET}#{ASSET}", f"custody:{ASSET}:hot#{ASSET}"
FINDING = Finding(
    f"chain:{ASSET}", "chain:eip155:1", BreakKind.chain_without_ledger, ASSET, ASSET, 5, "5 more"
)
LEGS = [Leg(CUSTODY, SUSPENSE, 5)]


def row(status: BreakStatus = BreakStatus.open, **changes: Any) -> LedgerBreak:
    made = rules.opened(FINDING, identifier="brk_1", livemode=True, run="recon_1", now=NOW)
    return replace(made, status=status.value, **changes)


def proposed(**changes: Any) -> LedgerBreak:
    proposal = rules.proposal_of(row(), LEGS, by="per_1", note=" why\x00 ", now=NOW)
    return row(BreakStatus.awaiting_second, proposal={**proposal, **changes})


@pytest.mark.parametrize("status", BreakStatus)
@pytest.mark.parametrize("act", Act)
def test_what_may_follow_what(status: BreakStatus, act: Act) -> None:
    may = {
        Act.found: "open awaiting_second correcting corrected",
        Act.noted: "open awaiting_second correcting corrected",
        Act.assigned: "open awaiting_second corrected",
        Act.proposed: "open awaiting_second",
        Act.declined: "awaiting_second",
        Act.confirmed: "awaiting_second",
        Act.booked: "correcting",
        Act.refused: "correcting",
        Act.reopened: "corrected",
        Act.resolved: "open awaiting_second corrected",
    }.get(act, "")
    if status.value in may.split():
        assert rules.after(row(status), act) in BreakStatus
    else:
        with pytest.raises(UnexpectedState, match="can not be"):
            rules.after(row(status), act)


def test_a_break_that_is_found_again() -> None:
    grown = replace(FINDING, units=6)
    same, act = rules.found_again(row(), FINDING, run="recon_2", started=NOW)
    assert (same.last_run, act) == ("recon_2", None)
    larger, act = rules.found_again(row(), grown, run="recon_2", started=NOW)
    assert (larger.units, act) == (6, Act.found)
    # A run that began before the correction does not know of it; one after it opens it again.
    corrected = row(BreakStatus.corrected, corrected_at=NOW, proposal={"by": "per_1"})
    assert rules.found_again(corrected, FINDING, run="recon_2", started=NOW) == (corrected, None)
    again, act = rules.found_again(corrected, FINDING, run="recon_2", started=LATER)
    assert (again.status, again.proposal, act) == ("open", None, Act.reopened)


def test_a_break_that_is_gone() -> None:
    ended = rules.gone(row(), run="recon_2", now=LATER)
    assert ended is not None
    assert (ended.status, ended.resolved_at) == ("resolved", LATER)
    assert rules.age_seconds(ended, LATER + timedelta(days=1)) == 3_600
    assert rules.gone(row(BreakStatus.correcting), run="recon_2", now=LATER) is None


def test_it_is_explained_by_whom_owns_it() -> None:
    assert not row(notes=1).is_explained
    assert not row(owner="per_1").is_explained
    assert row(owner="per_1", notes=1).is_explained


@pytest.mark.parametrize(
    "account",
    [
        *(chart.custody(ASSET, place) for place in ("hot", "cold", "deposit")),
        chart.dust(ASSET),
        chart.suspense(ASSET),
        chart.gas_tank("eip155:1", "eip155:1/slip44:60"),
        chart.conversion_asset(ASSET),
        chart.conversion_currency(ASSET, "usdc"),
        chart.fee_revenue("usdc"),
        chart.fee_network("usdc"),
        chart.equity_operator("test/usdc"),
        chart.loss("transfer_fee", ASSET),
        chart.merchant("acct_1", "available", "usdc"),
        chart.receivable("acct_1", "usdc"),
        chart.bank("ba_1", "eur"),
        chart.bank_suspense("ba_1", "eur"),
    ],
)
def test_the_accounts_that_a_correction_names(account: LedgerAccount) -> None:
    assert rules.account_of(account.name, param="debit") == account


@pytest.mark.parametrize(
    "name",
    [
        "",
        "suspense",
        f"suspense:{ASSET}",
        f"suspense:{ASSET}#usdc",
        f"custody:{ASSET}:pocket#{ASSET}",
        chart.quarantine(ASSET).name,
        chart.seized(ASSET).name,
        chart.escrow(ASSET).name,
        chart.merchant("acct_1", "reserved", "usdc").name,
        chart.merchant("acct_1", "incoming", "usdc").name,
        "merchant:somebody:available#usdc",
        "receivable:somebody#usdc",
        chart.payout_in_flight("usdc").name,
        chart.channel("ch_1", "usdc").name,
        chart.pool("acct_1", "usdc").name,
        "loss:a b#usdc",
        "loss#usdc",
        "dust:" + "x" * 400 + "#" + "x" * 400,
    ],
)
def test_what_no_correction_names(name: str) -> None:
    with pytest.raises(ParameterInvalid, match="No correction is booked on"):
        rules.account_of(name, param="transfers[0][debit]")


@pytest.mark.parametrize(
    ("legs", "param"),
    [
        ([], "transfers"),
        (LEGS * 9, "transfers"),
        ([Leg("x", SUSPENSE, 5)], "transfers[0][debit]"),
        ([LEGS[0], Leg(CUSTODY, "x", 5)], "transfers[1][credit]"),
        ([Leg(CUSTODY, CUSTODY, 5)], "transfers[0][credit]"),
        ([Leg(CUSTODY, "equity:operator#usdc", 5)], "transfers[0][credit]"),
        ([Leg(CUSTODY, SUSPENSE, 0)], "transfers[0][units]"),
        ([Leg(CUSTODY, SUSPENSE, 1 << 127)], "transfers[0][units]"),
    ],
)
def test_proposals_that_are_refused(legs: list[Leg], param: str) -> None:
    with pytest.raises(ParameterInvalid) as refused:
        rules.proposal_of(row(), legs, by="per_1", note=None, now=NOW)
    assert refused.value.param == param


def test_a_correction_is_of_the_modes_own_money() -> None:
    [posting] = rules.correction_postings([{"debit": CUSTODY, "credit": SUSPENSE, "units": "5"}])
    assert (posting.amount, posting.code.name) == (5, "break_corrected")
    rules.check_mode([posting], livemode=True, live_units={ASSET: True})
    legs = [{"debit": "conversion:coin#usdc", "credit": "equity:operator#usdc", "units": "5"}]
    bridge = rules.correction_postings(legs)
    rules.check_mode(bridge, livemode=True, live_units={"usdc": True, "coin": True})
    with pytest.raises(ParameterInvalid, match="no unit 'coin'"):
        rules.check_mode(bridge, livemode=True, live_units={"usdc": True})
    for modes in ({ASSET: False}, {}):
        with pytest.raises(ParameterInvalid, match="no unit"):
            rules.check_mode([posting], livemode=True, live_units=modes)


def test_what_is_confirmed_is_what_was_shown() -> None:
    first = proposed()
    digest = rules.digest_of(first)
    assert first.proposal is not None
    assert first.proposal["note"] == "why"
    changed = [
        proposed(by="per_2"),
        proposed(transfers=[{"debit": SUSPENSE, "credit": CUSTODY, "units": "5"}]),
        replace(first, units=6),
        replace(first, corrections=1),
    ]
    assert digest not in {rules.digest_of(each) for each in changed}
    said = rules.confirmed(first, by="per_2", digest=digest)
    assert (said.status, said.corrections) == ("correcting", 1)
    assert said.proposal is not None
    assert said.proposal["confirmed_by"] == "per_2"


@pytest.mark.parametrize("text", ["", " \n ", "x" * 5_001])
def test_notes_say_something(text: str) -> None:
    with pytest.raises(ParameterInvalid, match="1 to 5000"):
        rules.check_note(text)


def test_what_is_told() -> None:
    told = rules.public(proposed(), now=LATER)
    assert (told["object"], told["units"], told["age_seconds"]) == ("break", "5", 3_600)
    assert told["digest"] == rules.digest_of(proposed())
    done = replace(row(), corrected_at=NOW, resolved_at=LATER)
    told = rules.public(done, now=LATER)
    assert (told["digest"], told["corrected_at"]) == (None, int(NOW.timestamp()))
    act = BreakAct("bka_1", "brk_1", 1, True, "opened", "system", None, {}, NOW)
    assert rules.public_act(act)["break"] == "brk_1"
