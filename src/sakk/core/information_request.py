"""Requests for information: a compliance officer asks the account that a case is about.

``open → answered``, or ``withdrawn``. What was asked, how it ended and each reminder are rows of
their own that never change. Who is asked must not learn why: they see the question, the payment as
they know it anyway, and the date. A question that names a list, a suspicion or a case is refused
before anybody sees it (tipping off is an offence nearly everywhere: FATF recommendation 21).
"""

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sakk.core.attachment import SIZE_BYTES_MAX
from sakk.core.errors import ParameterInvalid, UnexpectedState

PREFIX: Final = "irq"
TEXT_LENGTH_MAX: Final = 5_000
FILES_MAX: Final = 5
DUE: Final = timedelta(days=7)
DUE_MIN: Final = timedelta(hours=1)
DUE_MAX: Final = timedelta(days=90)
# Once when its time is over, then a day apart.
REMINDERS_MAX: Final = 3
REMINDER_EVERY: Final = timedelta(hours=24)

# What tells that somebody is suspected, in the languages of our pages. Latin words begin a word.
_TELLING: Final = re.compile(
    r"\b(?:sanction\w*|ofac|sdn|launder\w*|aml|terroris\w*|suspicio\w*|suspect\w*|screening\w*"
    r"|black ?list\w*|watch ?list\w*|risk scor\w*|compliance case\w*|mixer\w*)"
    r"|(?:case|scr|cnote|catt|cact|nsc)_[0-9a-z]+"
    r"|制裁|洗[钱錢]|恐怖主[义義]|可疑|嫌疑|黑名[单單]|[筛篩]查|混[币幣]"
    r"|عقوبات|غسل الأموال|غسيل الأموال|إرهاب|مشبوه|اشتباه|القائمة السوداء",
    re.IGNORECASE,
)


class InformationStatus(StrEnum):
    """Where a request stands; it ends once."""

    open = "open"
    answered = "answered"
    withdrawn = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class InformationRequest:
    """A row: what was asked of whom, by when. Never changed afterwards.

    ``about``: the payment as its account knows it, when it was asked. ``asked_by``: a person's id,
    for the operator's eyes alone, as is ``case_id``.
    """

    id: str
    case_id: str
    account_id: str
    livemode: bool
    about: dict[str, Any]
    question: str
    asked_by: str
    due_at: datetime
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InformationEnd:
    """How a request ended: ``answered`` with text and files, or ``withdrawn``. Never changed.

    ``by``: the person, the key that is nobody's, or ``operator`` for what an officer wrote down.
    ``files``: name, media_type, size_bytes, sha256
    and ``attachment``, under which the case keeps it.
    """

    request_id: str
    livemode: bool
    status: str
    by: str
    text: str | None
    files: list[dict[str, Any]]
    created: datetime


@dataclass(frozen=True, slots=True)
class Asked:
    """A request with how it ended, and how often it was reminded of."""

    request: InformationRequest
    end: InformationEnd | None = None
    reminders: int = 0

    @property
    def status(self) -> InformationStatus:
        return InformationStatus.open if self.end is None else InformationStatus(self.end.status)

    def is_overdue(self, now: datetime) -> bool:
        """Is its time over, and nothing was answered?"""
        return self.end is None and self.request.due_at <= now


def check_text(text: str, *, param: str) -> str:
    """A question or an answer as it is kept; ParameterInvalid when it is none."""
    kept = text.replace("\r\n", "\n").strip()
    if not kept or len(kept) > TEXT_LENGTH_MAX:
        raise ParameterInvalid(
            "Write 1 to {length_max} characters.", param=param, length_max=TEXT_LENGTH_MAX
        )
    if not all(each.isprintable() or each in "\n\t" for each in kept):
        raise ParameterInvalid("Write no control characters but line breaks and tabs.", param=param)
    return kept


def check_question(text: str, *, lists: Collection[str]) -> str:
    """A question that tells nobody why it is asked; ParameterInvalid names the word that would.

    ``lists``: the names of the lists in force.
    """
    kept = check_text(text, param="question")
    plain = unicodedata.normalize("NFKC", kept)
    named = _TELLING.search(plain)
    word = None if named is None else named[0]
    for each in () if word else lists:
        if re.search(rf"\b{re.escape(each)}\b", plain, re.IGNORECASE):
            word = each
            break
    if word is not None:
        raise ParameterInvalid(
            "The question says {word}, which tells why it is asked. Ask for facts and documents"
            " alone.",
            param="question",
            word=repr(word),
        )
    return kept


def check_due(due_at: datetime | None, *, now: datetime) -> datetime:
    """By when it is to be answered; a week from now where nobody says."""
    if due_at is None:
        return now + DUE
    if not now + DUE_MIN <= due_at <= now + DUE_MAX:
        raise ParameterInvalid(
            "An answer is due between an hour and 90 days from now.", param="due_at"
        )
    return due_at


def check_files(sizes: Sequence[int]) -> None:
    """Few enough files, which are small enough together; ParameterInvalid."""
    if len(sizes) > FILES_MAX:
        raise ParameterInvalid(
            "An answer has at most {files_max} files.", param="files", files_max=FILES_MAX
        )
    if sum(sizes) > SIZE_BYTES_MAX:
        raise ParameterInvalid(
            "The files have more than {size_bytes_max} bytes together.",
            param="files",
            size_bytes_max=SIZE_BYTES_MAX,
        )


def is_same_answer(end: InformationEnd, text: str, hashes: Sequence[str]) -> bool:
    """Is this the answer that was given, sent once more?"""
    return (end.status, end.text, [each["sha256"] for each in end.files]) == (
        InformationStatus.answered,
        text,
        list(hashes),
    )


def check_open(asked: Asked) -> None:
    """UnexpectedState for a request that has ended."""
    if asked.end is not None:
        raise UnexpectedState(
            "This request is {status}: nothing more is answered to it.", status=asked.status.value
        )


def reminder_due(asked: Asked, *, now: datetime) -> bool:
    """Is the next reminder's time come?"""
    at = asked.request.due_at + asked.reminders * REMINDER_EVERY
    return asked.end is None and asked.reminders < REMINDERS_MAX and at <= now


def public(asked: Asked, *, now: datetime) -> dict[str, Any]:
    """The API's object ``information_request``, as the account that is asked sees it."""
    request, end = asked.request, asked.end
    answered = end is not None and end.status == InformationStatus.answered
    return {
        "id": request.id,
        "object": "information_request",
        "account": request.account_id,
        "about": request.about,
        "question": request.question,
        "status": asked.status.value,
        "due_at": int(request.due_at.timestamp()),
        "overdue": asked.is_overdue(now),
        "reminders": asked.reminders,
        "answer": None
        if end is None or not answered
        else {
            "text": end.text,
            "files": [
                {name: each[name] for name in ("name", "media_type", "size_bytes", "sha256")}
                for each in end.files
            ],
            "by": end.by,
            "created": int(end.created.timestamp()),
        },
        "ended_at": None if end is None else int(end.created.timestamp()),
        "metadata": {},
        "created": int(request.created.timestamp()),
        "livemode": request.livemode,
    }


def public_of_case(asked: Asked, *, now: datetime) -> dict[str, Any]:
    """The same with what the operator alone sees: who asked, and the files' ids."""
    shown = public(asked, now=now)
    files = [] if asked.end is None else asked.end.files
    return {
        **shown,
        "asked_by": asked.request.asked_by,
        "attachments": [each["attachment"] for each in files],
    }
