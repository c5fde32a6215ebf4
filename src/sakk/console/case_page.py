"""One case as its page shows it: what it is about, the evidence, and what may be done now."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from sqlalchemy import Connection

from sakk.console import booking
from sakk.console.case_event import EVENTS
from sakk.console.case_reason import why_in
from sakk.console.name_screening import said_in
from sakk.console.route import ROOT
from sakk.console.rule_words import RuleWords, detail_in
from sakk.console.screening import VERDICTS, categories_of, reasons_of
from sakk.console.visit import Page, Rejected, Visit
from sakk.core import case as rules
from sakk.core.case import Case, CaseKind, CaseStatus, Priority
from sakk.core.errors import ResourceMissing
from sakk.core.exposure import Way
from sakk.core.role import Role
from sakk.flow.case_evidence import evidence
from sakk.flow.case_subject import Matter, find_matter
from sakk.pages.language import mark, mark_in
from sakk.store import case as store
from sakk.store import network as networks
from sakk.store import person as persons
from sakk.store.name import list_name_screenings
from sakk.store.page import PageRequest

NAMES_SHOWN_MAX: Final = 10
# In how many days an account is to answer.
DAYS_TO_ANSWER: Final = (3, 7, 14, 30)
STATUSES: Mapping[str, tuple[str, str]] = {
    "open": (mark_in("case", "Open"), "warn"),
    "assigned": (mark_in("case", "Taken"), "wait"),
    "in_progress": (mark("Being worked on"), "wait"),
    "awaiting_answer": (mark("Waits for an answer"), "wait"),
    "awaiting_second": (mark("Waits for a second person"), "warn"),
    "carrying_out": (mark("Being carried out"), "wait"),
    "closed": (mark("Closed"), "plain"),
}
KINDS: Mapping[str, str] = {
    "payin": mark("Pay-in"),
    "payout": mark("Payout"),
    "refund": mark("Refund"),
    "party": mark("Party"),
    "address": mark("Address"),
    "outflow": mark("Coins that left"),
    "bank_line": mark("Transfer to a bank account"),
}
PRIORITIES: Mapping[str, tuple[str, str]] = {
    "urgent": (mark("Urgent"), "bad"),
    "high": (mark("High"), "warn"),
    "normal": (mark("Normal"), "plain"),
    "low": (mark("Low"), "plain"),
}
OUTCOMES: Mapping[str, str] = {
    "release": mark("Release: let it go on"),
    "return": mark("Return the coins"),
    "seize": mark("Seize the coins"),
    "reject": mark("Reject it"),
    "dismiss": mark("Dismiss: nothing is to be done"),
    "file": mark("File a report to the authority"),
}
ACTS: Mapping[str, str] = {
    "opened": mark("Opened"),
    "found": mark("Something more was found"),
    "reopened": mark("Opened again"),
    "assigned": mark_in("case", "Taken"),
    "noted": mark("Note"),
    "attached": mark("File"),
    "asked": mark("The account is asked"),
    "answered": mark("The account answered"),
    "withdrawn": mark("Question taken back"),
    "reminded": mark("Reminder sent"),
    "proposed": mark("Outcome proposed"),
    "declined": mark("Proposal refused"),
    "confirmed": mark("Outcome confirmed"),
    "filed": mark("Report filed"),
    "carried_out": mark("Carried out"),
    "failed": mark("Could not be carried out"),
    "overdue": mark("Past its deadline"),
}


def officers_of(connection: Connection, visit: Visit) -> list[tuple[str, str]]:
    """Who may work on cases."""
    found = persons.list_persons(connection, livemode=visit.livemode)
    return [(each.id, each.name) for each in found if Role.compliance in each.powers]


def may_work(visit: Visit) -> bool:
    """Do they work on cases?"""
    return visit.may("cases", "write") and Role.compliance in visit.person.powers


def found_case(visit: Visit, case: str) -> Matter:
    """A case that may be looked at here: any, or of the account that was chosen."""
    with visit.database.read() as connection:
        matter = find_matter(connection, case, livemode=visit.livemode)
    if visit.account_id not in (None, matter.case.account_id):
        raise ResourceMissing("There is no such case.")
    return matter


def detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    matter = found_case(visit, identifier)
    case = matter.case
    with visit.database.read() as connection:
        shown = evidence(connection, matter, now=visit.now)
        assets = {each.asset: each for each in networks.list_assets(connection)}
        related = [
            store.find(connection, each, livemode=visit.livemode) for each in shown["related"]
        ]
        alike, _ = list_name_screenings(
            connection,
            PageRequest(NAMES_SHOWN_MAX),
            livemode=visit.livemode,
            subject=case.subject,
        )
        officers = officers_of(connection, visit)
        names = persons.names(connection, _people(shown))
    values = {
        "case": case,
        "shown": shown,
        "about": _about(visit, matter, assets),
        "verdicts": [
            {
                **each,
                "at": _moment(each["created"]),
                "lines": reasons_of(each, assets),
                "parts": categories_of(each, assets),
            }
            for each in shown["screenings"]
        ],
        "alike": alike,
        "said": said_in(visit),
        "why": why_in(visit),
        "rule_name": RuleWords(visit).name,
        "detail": detail_in(visit),
        "related": [each for each in related if each is not None],
        "history": _history(shown),
        "officers": officers,
        "names": names,
        "priority": Priority(case.priority).name,
        "is_late": rules.is_overdue(case, visit.now),
        "rejected": rejected,
        "sent": {} if rejected is None else rejected.values,
        "faults": {} if rejected is None else rejected.faults,
        "words": {
            "status": STATUSES,
            "kind": KINDS,
            "priority": PRIORITIES,
            "outcome": OUTCOMES,
            "act": ACTS,
            "verdict": VERDICTS,
            "booked": booking.REASONS,
            "event": EVENTS,
        },
    }
    return Page("console/case.html", values | _possible(visit, case, shown))


def _possible(visit: Visit, case: Case, shown: Mapping[str, Any]) -> dict[str, Any]:
    """What this person may do with the case now, and what can be chosen there."""
    gettext = visit.words.gettext
    is_officer = may_work(visit)
    proposal = shown["proposal"]
    is_worked = case.status in (*rules.WORKED, CaseStatus.awaiting_answer)
    waiting = [each for each in shown["information_requests"] if each["status"] == "open"]
    return {
        "is_officer": is_officer,
        "is_proposer": proposal is not None and proposal["by"] == visit.person.id,
        "may_propose": is_officer and is_worked and bool(shown["outcomes"]),
        "may_report": is_officer and is_worked,
        "may_ask": is_officer and case.status in rules.WORKED and case.account_id is not None,
        "question": waiting[0] | {"due": _moment(waiting[0]["due_at"])} if waiting else None,
        "choices": {
            "outcome": [(each, gettext(OUTCOMES[each])) for each in shown["outcomes"]],
            "days": [
                (str(each), visit.words.ngettext("{number} day", "{number} days", each))
                for each in DAYS_TO_ANSWER
            ],
            "place": [
                ("", "–"),
                ("left", gettext("Left where they stand")),
                ("vault", gettext("Into a vault")),
            ],
        },
    }


def _people(shown: Mapping[str, Any]) -> list[str]:
    """Everybody who is named in a case."""
    proposal = shown["proposal"] or {}
    found = [shown["assignee"], proposal.get("by"), proposal.get("confirmed_by")]
    found += [each["author"] for each in (*shown["notes"], *shown["attachments"])]
    found += [each["by"] for each in shown["history"]]
    return sorted({each for each in found if each is not None})


def _about(visit: Visit, matter: Matter, assets: Mapping[str, Any]) -> dict[str, Any]:
    """What the case is about: its parties, its amount, and where its own page is."""
    subject = matter.subject
    asset = assets.get(subject.asset)
    path = None
    if matter.payin is not None:
        path = f"{ROOT}/payins/{matter.payin.id}"
    elif matter.payout is not None:
        path = f"{ROOT}/payouts/{matter.payout.id}"
    elif matter.case.kind == CaseKind.party:
        path = f"{ROOT}/parties/{matter.case.subject}"
    ask = None
    if subject.asset and visit.may("exposures"):
        wanted = {"network": subject.network, "asset": subject.asset}
        way = Way.source if matter.payout is None else Way.destination
        party = (subject.sender or subject.receiver) if way is Way.source else subject.receiver
        ask = f"{ROOT}/exposures?{urlencode({**wanted, 'address': party, 'direction': way.value})}"
    return {
        "subject": subject,
        "symbol": None if asset is None else asset.symbol,
        "decimals": 0 if asset is None else asset.decimals,
        "path": path,
        "is_outgoing": matter.payout is not None,
        "exposure": ask,
    }


def _history(shown: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What happened, oldest first: acts with what was written, and events of the subject."""
    notes = {each["id"]: each for each in shown["notes"]}
    files = {each["id"]: each for each in shown["attachments"]}
    asked = {each["id"]: each for each in shown["information_requests"]}
    lines = [
        {
            **each,
            "at": _moment(each["created"]),
            "note": notes.get(each["detail"].get("note", "")),
            "file": files.get(each["detail"].get("attachment", "")),
            "asked": asked.get(each["detail"].get("information_request", "")),
            "files": [files[one] for one in each["detail"].get("files", []) if one in files],
            "event": None,
        }
        for each in shown["history"]
    ]
    lines += [
        {"at": _moment(each["created"]), "event": each, "act": None}
        for each in shown["timeline"]
        if not each["type"].startswith("case.")
    ]
    return sorted(lines, key=lambda line: line["at"])


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
