"""Evidence: what an officer needs to decide a case, gathered from where it stands.

Verdicts with their reasons, what the ledger did, what happened and when, what people wrote. Nothing
is copied into the case: it is read as it is, and so are the acts, which never change.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core import attachment as attachments
from sakk.core import case as rules
from sakk.core import ids, screening
from sakk.core import information_request as asked_rules
from sakk.core.case import CaseStatus
from sakk.core.chart import TransferCode
from sakk.core.payin import public as public_payin
from sakk.core.payout import public as public_payout
from sakk.flow.case_subject import Matter
from sakk.store import case as store
from sakk.store import event as events
from sakk.store import information_request as questions
from sakk.store.ledger import TransferQuery, account_names, find_transfers
from sakk.store.page import LIMIT_MAX, PageRequest
from sakk.store.screening import list_screenings

RELATED_MAX = 50
TIMELINE_MAX = 100


def evidence(connection: Connection, matter: Matter, *, now: datetime) -> dict[str, Any]:
    """The object ``case`` with all that is known of it; the operator's alone."""
    case = matter.case
    judged, _ = list_screenings(
        connection,
        PageRequest(limit=LIMIT_MAX),
        livemode=case.livemode,
        subject=case.subject,
    )
    happened, _ = events.page(
        connection,
        account_id=None,
        livemode=case.livemode,
        limit=TIMELINE_MAX,
        object_id=case.subject,
    )
    settings = store.find_settings(connection, livemode=case.livemode)
    waits = case.status == CaseStatus.awaiting_second
    about: dict[str, Any] | None = None
    if matter.payin is not None:
        about = public_payin(matter.payin, operator=True)
    elif matter.payout is not None:
        about = public_payout(matter.payout, operator=True)
    possible = rules.outcomes_of(case.kind, matter.subject)
    return {
        **rules.public(case, now=now),
        "outcomes": [each.value for each in possible],
        "digest": rules.digest_of(case, matter.subject) if waits else None,
        "one_person": settings is not None and settings.one_person,
        "about": about,
        "subjects": store.list_subjects(connection, case.id),
        "related": store.list_related(connection, case.id, limit=RELATED_MAX),
        "screenings": [screening.to_public(each) for each in judged],
        "ledger": _ledger(connection, case.subject),
        "timeline": [
            {"id": each.id, "type": each.type, "created": int(each.created.timestamp())}
            for each in reversed(happened)
        ],
        "notes": [rules.public_note(each) for each in store.list_notes(connection, case.id)],
        "information_requests": [
            asked_rules.public_of_case(each, now=now)
            for each in questions.list_of_case(connection, case.id)
        ],
        "attachments": [
            attachments.public(each) for each in store.list_attachments(connection, case.id)
        ],
        "history": [rules.public_act(each) for each in store.list_acts(connection, case.id)],
    }


def _ledger(connection: Connection, subject: str) -> list[dict[str, Any]]:
    """What the ledger moved in the name of the subject, oldest first, with the chart's names."""
    try:
        _, number = ids.decode(subject)
    except ValueError:
        return []
    found = find_transfers(
        connection, TransferQuery(user_data=number), limit=LIMIT_MAX, newest_first=False
    )
    sides = {side.int for each in found for side in (each.debit_account_id, each.credit_account_id)}
    names = account_names(connection, sorted(sides))

    def named(account: int) -> str:
        return names[account].name if account in names else f"{account:x}"

    return [
        {
            "transfer": f"{each.id.int:x}",
            "debit": named(each.debit_account_id.int),
            "credit": named(each.credit_account_id.int),
            "units": str(each.amount),
            "why": TransferCode(each.code).name,
            "status": each.status,
            "created": each.timestamp_ns // 1_000_000_000,
        }
        for each in found
    ]
