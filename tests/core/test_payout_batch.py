"""Payout batches, as rules: what doubles what, which id a line has, what a batch adds up to."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.core.test_payout import MOMENT, payout, place, request, terms

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
    PayoutBatch,
    Total,
    digest_of,
    doubles,
    drafts,
    line_id,
    preview_line,
    preview_totals,
    public,
    refusal,
    repeated,
    status_of,
)

BATCH = ids.encode("pob", ids.uuid7(now_ms=1_767_323_045_000, random=b"\xff" * 10))


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
    ]
    digests = {digest_of([rows[0], replace(rows[1], **change)]) for change in changes}
    assert len(digests | {digest, digest_of(rows[::-1])}) == len(changes) + 2


@pytest.mark.parametrize("status", list(PayoutStatus))
def test_a_batch_is_complete_when_every_payout_has_ended(status: PayoutStatus) -> None:
    ended = status.value in ("posted", "rejected", "canceled", "failed")
    expected = BatchStatus.completed if ended else BatchStatus.processing
    assert status_of([total(PayoutStatus.posted), total(status)]) is expected


def test_what_is_shown() -> None:
    batch = PayoutBatch(
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
    shown = public(batch, [total(PayoutStatus.requested)])
    assert (shown["status"], shown["lines"], shown["canceled_at"]) == ("processing", 2, None)
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
    canceled = public(replace(batch, canceled_at=MOMENT), [])
    assert (canceled["canceled_at"], canceled["status"]) == (int(MOMENT.timestamp()), "completed")
