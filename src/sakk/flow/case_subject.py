"""What cases are about: a subject's row is found, locked, and told to the rules of cases."""

from dataclasses import dataclass

from sqlalchemy import Connection

from sakk.core.case import Case, CaseKind, Subject
from sakk.core.errors import ResourceMissing
from sakk.core.payin import OPERATORS, UNBOOKABLE, PayIn, PayInRole, PayInStatus
from sakk.core.payout import Payout, PayoutStatus
from sakk.store import case as store
from sakk.store import payin as payins
from sakk.store import payout as payouts
from sakk.store.screening import latest_screening


@dataclass(frozen=True, slots=True)
class Matter:
    """A case with what it is about, both locked, subject first."""

    case: Case
    subject: Subject
    payin: PayIn | None = None
    payout: Payout | None = None


def find_matter(
    connection: Connection, identifier: str, *, livemode: bool, lock: bool = False
) -> Matter:
    """A case by its id or its subject's; ResourceMissing."""
    found = store.find(connection, identifier, livemode=livemode)
    if found is None:
        raise ResourceMissing(
            "No such case: {identifier}.", param="id", identifier=repr(identifier)
        )
    payin: PayIn | None = None
    payout: Payout | None = None
    match CaseKind(found.kind):
        case CaseKind.payin:
            payin = payins.find(
                connection, found.subject, account_id=None, livemode=livemode, lock=lock
            )
        case CaseKind.payout | CaseKind.refund:
            payout = payouts.find(
                connection, found.subject, account_id=None, livemode=livemode, lock=lock
            )
        case CaseKind.party | CaseKind.address | CaseKind.outflow | CaseKind.bank_line:
            pass
    case_row = store.lock(connection, found.id) if lock else found
    assert case_row is not None
    judged = latest_screening(connection, found.subject)
    screening = None if judged is None else judged.id
    if payin is not None:
        subject = _of_payin(payin, screening)
    elif payout is not None:
        subject = _of_payout(payout, screening)
    else:
        subject = Subject(status="known", screening=screening)
    return Matter(case_row, subject, payin, payout)


def _of_payin(row: PayIn, screening: str | None) -> Subject:
    held = row.status == PayInStatus.held and not row.orphaned
    return Subject(
        status=row.status,
        waits=held,
        is_booked=held and row.quarantined,
        is_deposit=row.role not in OPERATORS
        and (held or row.status == PayInStatus.seized)
        and (row.quarantined or row.role in UNBOOKABLE),
        is_too_large=row.role == PayInRole.excessive,
        network=row.network,
        asset=row.asset,
        units=row.token_amount,
        sender=row.sender,
        receiver=row.address,
        screening=screening,
    )


def _of_payout(row: Payout, screening: str | None) -> Subject:
    return Subject(
        status="under_review" if row.under_review else row.status,
        waits=row.under_review and row.status == PayoutStatus.requested,
        network=row.network,
        asset=row.asset,
        units=row.token_amount,
        receiver=row.destination,
        screening=screening,
    )
