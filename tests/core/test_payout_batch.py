"""Payout batches, as rules: what doubles what, which id a line has, what a batch adds up to."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.core.test_payout import ASSET, MOMENT, payout, place, request, terms

from sakk.core import ids
from sakk.core.beneficiary import Destination
from sakk.core.errors import (
    AmountTooSmall,
    InvalidRequest,
    ParameterInvalid,
    PayoutDuplicate,
)
from sakk.core.payout import Payout, PayoutStatus
from sakk.core.payout_batch import (
    LINES_MAX,
    BatchStatus,
    Fault,
    Line,
    OnInvalid,
    PayoutBatch,
    Total,
    digest_asked,
    digest_kept,
    digest_of,
    digest_quoted,
    doubles,
    drafts,
    kept,
    line_id,
    preview_line,
    preview_totals,
    public,
    public_skipped,
    refusal,
    repeated,
    skipped_lines,
    status_of,
)
from sakk.core.quote import Quote

BATCH = ids.encode("pob", ids.uuid7(now_ms=1_767_323_045_000, random=b"\xff" * 10))
WHOLE = PayoutBatch(
    id=BATCH,
    account_id="acct_1",
    livemode=False,
    lines=2,
    digest="ab" * 32,
    source="json",
    description=None,
    metadata={},
    allow_duplicates=False,
    canceled_at=None,
    created=MOMENT,
)


def line(number: int, **changes: Any) -> Payout:
    return payout(batch=BATCH, line=number, **changes)


def total(status: PayoutStatus, **changes: Any) -> Total:
    return replace(Total(BATCH, "usdc", 6, status.value, 2, 3_000_000, 20_000, 1), **changes)


def test_every_line_is_drafted_or_its_fault_is_named() -> None:
    asked = [Line(1, request()), Line(2, request(amount=1)), Line(3, request(currency="eur"))]
    asked.append(Line(4, request()))
    unknown = ParameterInvalid("Who?", param="destination[beneficiary]")
    places: list[Destination | InvalidRequest] = [place(), place(), place(), unknown]
    made, faults = drafts(
        asked, places, terms(), batch=BATCH, account_id="acct_1", livemode=False, now=MOMENT
    )
    assert [(each.line, each.batch, each.id) for each in made] == [(1, BATCH, line_id(BATCH, 1))]
    assert [(each.line, each.param, each.kind) for each in faults] == [
        (2, "amount", AmountTooSmall),
        (3, "currency", ParameterInvalid),
        (4, "destination[beneficiary]", ParameterInvalid),
    ]
    assert faults[0].document() == {
        "line": 2,
        "param": "amount",
        "code": "amount_too_small",
        "message": faults[0].message,
    }


QUOTE = Quote(
    id="qt_1",
    account_id="acct_1",
    livemode=False,
    kind="payout",
    network="eip155:84532",
    asset=ASSET,
    currency="usdc",
    decimals=6,
    fee=7,
    network_fee=7,
    gas=1,
    gas_price=1,
    metadata={},
    expires_at=MOMENT + timedelta(minutes=1),
    created=MOMENT,
)


def test_a_line_is_charged_what_its_quote_promised() -> None:
    asked = [
        Line(1, request()),
        Line(2, request(quote="qt_1")),
        Line(3, request(quote="qt_none")),
        Line(4, request(quote="qt_1", currency="usdt")),
        Line(5, request(quote="qt_1", currency="eur")),
        Line(6, request(quote="qt_1")),
        Line(7, request(quote="qt_old")),
    ]
    unknown = ParameterInvalid("Who?", param="destination[beneficiary]")
    places: list[Destination | InvalidRequest] = [place()] * 7
    places[5] = unknown
    quotes = {"qt_1": QUOTE, "qt_old": replace(QUOTE, expires_at=MOMENT)}
    made, faults = drafts(
        asked,
        places,
        terms(),
        batch=BATCH,
        account_id="acct_1",
        livemode=False,
        now=MOMENT,
        quotes=quotes,
    )
    assert [(each.line, each.fee, each.quote) for each in made] == [(1, 0, None), (2, 7, "qt_1")]
    assert [(each.line, each.param) for each in faults] == [
        (3, "quote"),
        (4, "quote"),
        (5, "currency"),
        (6, "destination[beneficiary]"),
        (7, "quote"),
    ]


@pytest.mark.parametrize(
    ("faults", "on_invalid", "paid"),
    [
        ([], OnInvalid.refuse, [1, 2, 3]),
        ([], OnInvalid.skip, [1, 2, 3]),
        ([Fault(2, None, "")], OnInvalid.refuse, []),
        ([Fault(2, None, ""), Fault(2, "amount", "")], OnInvalid.skip, [1, 3]),
        ([Fault(9, None, "")], OnInvalid.skip, [1, 2, 3]),
        ([Fault(9, None, "", whole=True)], OnInvalid.skip, []),
        ([Fault(number, None, "") for number in (1, 2, 3)], OnInvalid.skip, []),
    ],
)
def test_what_is_paid_beside_faults(
    faults: list[Fault], on_invalid: OnInvalid, paid: list[int]
) -> None:
    rows = [line(1), line(2), line(3)]
    assert [each.line for each in kept(rows, faults, on_invalid)] == paid


def test_a_digest_says_which_lines_are_paid() -> None:
    rows = [line(1), line(2, reference="A"), line(3, reference="A")]
    found = {
        digest_of(rows),
        digest_kept(digest_of(rows), rows),
        digest_kept(digest_of(rows), rows[:2]),
        # The same payments, of another line.
        digest_kept(digest_of(rows), [rows[0], rows[2]]),
        digest_kept(digest_of(rows), [rows[0], replace(rows[1], destination=OTHER)]),
        digest_kept(digest_of(rows[:2]), rows[:2]),
        digest_quoted(digest_of(rows), "qt_1"),
        digest_quoted(digest_of(rows), "qt_2"),
    }
    assert len(found) == 8


def test_the_same_lines_were_asked_for_whatever_is_wrong_with_them() -> None:
    asked = [Line(1, request()), Line(2, request(amount=1, scheduled_at=MOMENT))]
    assert digest_asked(asked) == digest_asked([replace(each, number=9) for each in asked])
    assert digest_asked(asked) != digest_asked(asked[:1])


def test_lines_that_are_left_out_keep_what_they_said() -> None:
    asked = [Line(2, request(reference="A", scheduled_at=MOMENT)), Line(3, request())]
    faults = [
        Fault(2, "amount", "Too small.", AmountTooSmall),
        Fault(4, "amount", "A comma."),
        Fault(2, None, "It repeats.", PayoutDuplicate),
        Fault(5, None, "Cells."),
    ]
    found = skipped_lines(WHOLE, faults, asked, {4: {"amount": "1,5"}})
    assert [(each.line, each.batch, each.account_id) for each in found] == [
        (number, BATCH, "acct_1") for number in (2, 4, 5)
    ]
    assert [each.id for each in found] == sorted({each.id for each in found})
    assert found[0].id.startswith("pbs_")
    assert found[0].faults == [
        {"param": "amount", "code": "amount_too_small", "message": "Too small."},
        {"param": None, "code": "payout_duplicate", "message": "It repeats."},
    ]
    assert found[0].said == {
        "network": "eip155:84532",
        "address": "0x70997970c51812dc3a010c7d01b50e0d17dc79c8",
        "currency": "usdc",
        "amount": "5000000",
        "fee_mode": "sender",
        "reference": "A",
        "scheduled_at": MOMENT.isoformat(),
    }
    assert [each.said for each in found[1:]] == [{"amount": "1,5"}, {}]
    shown = public_skipped(found[1])
    assert (shown["object"], shown["line"]) == ("payout_batch.skipped_line", 4)
    assert (shown["payout_batch"], shown["said"]) == (BATCH, {"amount": "1,5"})


def test_ids_of_lines_are_in_order_and_a_batchs_own() -> None:
    found = [line_id(BATCH, number) for number in (1, 2, 255, 256, LINES_MAX)]
    assert found == sorted(set(found))
    assert all(each.startswith("po_") for each in found)
    other = ids.encode("pob", ids.decode(BATCH)[1] ^ 1)
    assert line_id(other, 1) not in found
    assert ids.decode(found[0])[1] >> 80 == ids.decode(BATCH)[1] >> 80


OTHER = "0x" + "bb" * 20


@pytest.mark.parametrize(
    ("first", "second", "doubled"),
    [
        ({}, {}, True),
        ({"reference": "A"}, {"reference": "A"}, True),
        ({"reference": "A"}, {"reference": "A", "amount": 1, "destination": OTHER}, True),
        ({"reference": "A"}, {"reference": "B"}, False),
        ({"reference": "A"}, {}, False),
        ({}, {"amount": 1}, False),
        ({}, {"destination": OTHER}, False),
        ({}, {"asset": "another"}, False),
    ],
)
def test_what_doubles_what(first: dict[str, Any], second: dict[str, Any], doubled: bool) -> None:
    rows = [line(1, **first), line(2, destination="0x" + "cc" * 20), line(3, **second)]
    found = doubles(rows)
    assert [(each.line, each.kind) for each in found] == ([(3, PayoutDuplicate)] if doubled else [])
    if doubled:
        assert "line 1" in found[0].message
    assert doubles(rows, frozenset({3})) == []


def test_the_line_that_is_doubled_is_the_first() -> None:
    rows = [line(number, reference="A", amount=number) for number in (4, 5, 6)]
    assert ["line 4" in each.message for each in doubles(rows)] == [True, True]


def test_a_reference_of_an_earlier_payout() -> None:
    rows = [line(1, reference="A"), line(2, reference="B"), line(3)]
    [fault] = repeated(rows, {"B": "po_9"})
    assert (fault.line, fault.param) == (2, "reference")
    assert "po_9" in fault.message
    assert repeated(rows, {"B": "po_9"}, frozenset({2})) == []


def test_a_batch_is_refused_by_its_first_fault() -> None:
    faults = [
        Fault(7, "destination[address]", "Not an address."),
        Fault(3, "amount", "Too small.", AmountTooSmall),
    ]
    error = refusal(faults, in_file=False)
    assert isinstance(error, AmountTooSmall)
    assert error.param == "lines[2][amount]"
    assert error.message.startswith("Line 3: Too small. 2 faults in all, and nothing was made")
    assert refusal(faults[:1], in_file=False).param == "lines[6][destination][address]"
    assert refusal([Fault(2, None, "Repeats.")], in_file=False).param == "lines[1]"
    in_file = refusal(faults[:1], in_file=True)
    assert in_file.param == "file"
    assert in_file.message == "Line 7, column destination[address]: Not an address."
    bare = refusal([Fault(2, None, "Repeats.")], in_file=True)
    assert bare.message == "Line 2: Repeats."
    same = Fault(0, None, "Asked for already.", PayoutDuplicate, whole=True)
    assert refusal([same, Fault(2, None, "Repeats.")], in_file=True).message.startswith("Line 2:")
    whole = refusal([same], in_file=False)
    assert (whole.message, whole.param) == ("Asked for already.", None)


def test_what_a_preview_shows() -> None:
    later = MOMENT + timedelta(days=1)
    rows = [
        line(1, fee=20_000),
        line(2, fee=20_000, fee_mode="receiver", scheduled_at=later),
        line(3, currency="cny", decimals=2, amount=725),
    ]
    cny, usdc = preview_totals(rows)
    assert (cny["currency"], cny["count"], cny["debited_decimal"]) == ("cny", 1, "7.25")
    assert (usdc["count"], usdc["delivered"], usdc["fee"]) == (2, 9_980_000, 40_000)
    assert usdc["debited_decimal"] == "10.020000"
    first, second = preview_line(rows[0]), preview_line(rows[1])
    assert (first["scheduled_at"], second["scheduled_at"]) == (None, int(later.timestamp()))
    assert first["destination"]["address"] == "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


def test_a_digest_is_of_what_would_be_paid() -> None:
    rows = [line(1), line(2, reference="A")]
    digest = digest_of(rows)
    assert len(digest) == 64
    assert digest_of([replace(row, id="po_2", metadata={}) for row in rows]) == digest
    later = MOMENT + timedelta(days=1)
    changes: list[dict[str, Any]] = [
        {"amount": 1},
        {"destination": OTHER},
        {"asset": "another"},
        {"fee_mode": "receiver"},
        {"reference": "B"},
        {"scheduled_at": later},
        {"quote": "qt_1"},
    ]
    digests = {digest_of([rows[0], replace(rows[1], **change)]) for change in changes}
    assert len(digests | {digest, digest_of(rows[::-1])}) == len(changes) + 2


@pytest.mark.parametrize("status", list(PayoutStatus))
def test_a_batch_is_complete_when_every_payout_has_ended(status: PayoutStatus) -> None:
    ended = status.value in ("posted", "rejected", "canceled", "failed")
    expected = BatchStatus.completed if ended else BatchStatus.processing
    assert status_of([total(PayoutStatus.posted), total(status)]) is expected


def test_what_is_shown() -> None:
    shown = public(WHOLE, [total(PayoutStatus.requested)])
    assert (shown["status"], shown["lines"], shown["canceled_at"]) == ("processing", 2, None)
    assert (shown["on_invalid"], shown["skipped"]) == ("refuse", 0)
    assert shown["totals"] == [
        {
            "currency": "usdc",
            "status": "requested",
            "count": 2,
            "amount": 3_000_000,
            "amount_decimal": "3.000000",
            "fee": 20_000,
            "fee_decimal": "0.020000",
            "under_review": 1,
        }
    ]
    canceled = public(replace(WHOLE, canceled_at=MOMENT), [])
    assert (canceled["canceled_at"], canceled["status"]) == (int(MOMENT.timestamp()), "completed")


def test_a_fault_is_told_again_as_the_error_that_it_was() -> None:
    error = AmountTooSmall("At least {least}.", param="amount", least=5)
    fault = Fault.of(3, error)
    assert (type(fault.error), fault.error.message, fault.error.param) == (
        AmountTooSmall,
        fault.message,
        "amount",
    )
    assert Fault(2, None, "Repeats.").error.message == "Repeats."


def test_a_digest_is_of_what_a_platform_named_for_itself() -> None:
    named = {"platform": "acct_2", "version": None}
    by_rule = {"platform": "acct_2", "version": "afv_1"}
    rows = [
        line(1),
        line(1, application_fee=5, application_terms=named),
        line(1, application_fee=6, application_terms=named),
    ]
    assert len({digest_of([row]) for row in rows}) == 3
    # What rules take is priced when it is asked for.
    assert digest_of([line(1, application_fee=5, application_terms=by_rule)]) == digest_of(rows[:1])
