"""Requests for information: what a question may say, when an answer is due, and what is shown."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sakk.core import information_request as rules
from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.information_request import Asked, InformationEnd, InformationRequest

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
FILE = {
    "attachment": "catt_1",
    "name": "invoice.pdf",
    "media_type": "application/pdf",
    "size_bytes": 9,
    "sha256": "ab",
}


def request(**changes: Any) -> InformationRequest:
    known: dict[str, Any] = {
        "id": "irq_1",
        "case_id": "case_1",
        "account_id": "acct_1",
        "livemode": True,
        "about": {"object": "payin", "id": "pin_1"},
        "question": "What was it paid for?",
        "asked_by": "per_officer",
        "due_at": NOW,
        "created": NOW - timedelta(days=7),
    }
    return InformationRequest(**(known | changes))


def end(status: str = "answered", **changes: Any) -> InformationEnd:
    known: dict[str, Any] = {
        "request_id": "irq_1",
        "livemode": True,
        "status": status,
        "by": "per_merchant",
        "text": "For coffee.",
        "files": [FILE],
        "created": NOW,
    }
    return InformationEnd(**(known | changes))


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("Is the payer under SANCTIONS?", "SANCTIONS"),
        ("Why does the OFAC list have him?", "OFAC"),
        ("We look into money laundering.", "laundering"),
        ("This looks ｓｕｓｐｉｃｉｏｕｓ.", "suspicious"),
        ("See case_01jd8k4e5 of ours.", "case_01jd8k4e5"),
        ("He stands on own-refused, who is he?", "own-refused"),
        ("付款人是否受到制裁？", "制裁"),
        ("這筆交易涉及洗錢嗎？", "洗錢"),
        ("هل يخضع الدافع لأي عقوبات؟", "عقوبات"),
    ],
)
def test_a_question_does_not_tell_why_it_is_asked(question: str, word: str) -> None:
    with pytest.raises(ParameterInvalid) as refused:
        rules.check_question(question, lists=["OFAC SDN", "own-refused"])
    assert (refused.value.param, word in str(refused.value)) == ("question", True)


@pytest.mark.parametrize(
    "question",
    [
        "What was it paid for?\nPlease send the invoice.",
        "Who is Ivan Petrov to you? In which case did you deliver, and how?",
        "请说明这笔款项的用途，并附上发票。",
        "ما الغرض من هذه الدفعة؟",
    ],
)
def test_a_question_asks_for_facts(question: str) -> None:
    assert rules.check_question(f"  {question}\r\n", lists=["UN"]) == question


@pytest.mark.parametrize("text", ["", " \n", "x" * 5_001, "a\x07b", "\u202eabc"])
def test_text_is_for_people(text: str) -> None:
    with pytest.raises(ParameterInvalid):
        rules.check_text(text, param="text")


def test_an_answer_is_due_in_time_to_be_written() -> None:
    assert rules.check_due(None, now=NOW) == NOW + timedelta(days=7)
    soonest, latest = NOW + rules.DUE_MIN, NOW + rules.DUE_MAX
    assert [rules.check_due(each, now=NOW) for each in (soonest, latest)] == [soonest, latest]
    for wrong in (soonest - timedelta(seconds=1), latest + timedelta(seconds=1)):
        with pytest.raises(ParameterInvalid):
            rules.check_due(wrong, now=NOW)


def test_few_files_and_small() -> None:
    rules.check_files([2 << 20] * 5)
    for wrong in ([1] * 6, [6 << 20, 5 << 20]):
        with pytest.raises(ParameterInvalid):
            rules.check_files(wrong)


def test_a_request_ends_once() -> None:
    rules.check_open(Asked(request()))
    for status in ("answered", "withdrawn"):
        with pytest.raises(UnexpectedState, match=status):
            rules.check_open(Asked(request(), end(status)))
    assert rules.is_same_answer(end(), "For coffee.", ["ab"])
    assert not rules.is_same_answer(end(), "For coffee.", [])
    assert not rules.is_same_answer(end(), "For tea.", ["ab"])
    assert not rules.is_same_answer(end("withdrawn"), "For coffee.", ["ab"])


def test_it_is_reminded_of_three_times_a_day_apart() -> None:
    day = rules.REMINDER_EVERY
    second = timedelta(seconds=1)
    for reminders in range(3):
        asked = Asked(request(), reminders=reminders)
        assert not rules.reminder_due(asked, now=NOW + reminders * day - second)
        assert rules.reminder_due(asked, now=NOW + reminders * day)
    assert not rules.reminder_due(Asked(request(), reminders=3), now=NOW + 9 * day)
    assert not rules.reminder_due(Asked(request(), end()), now=NOW + 9 * day)


def test_who_is_asked_sees_neither_case_nor_officer() -> None:
    shown = rules.public(Asked(request(), end()), now=NOW)
    assert shown["answer"]["files"] == [{k: v for k, v in FILE.items() if k != "attachment"}]
    assert not {"case_1", "per_officer", "catt_1"} & set(str(shown).replace("'", " ").split())
    of_case = rules.public_of_case(Asked(request(), end()), now=NOW)
    assert (of_case["asked_by"], of_case["attachments"]) == ("per_officer", ["catt_1"])
    waiting = rules.public(Asked(request()), now=NOW)
    assert (waiting["status"], waiting["overdue"], waiting["answer"]) == ("open", True, None)
    withdrawn = rules.public(Asked(request(), end("withdrawn", text=None, files=[])), now=NOW)
    assert (withdrawn["answer"], withdrawn["overdue"]) == (None, False)
    assert rules.public_of_case(Asked(request()), now=NOW)["attachments"] == []
