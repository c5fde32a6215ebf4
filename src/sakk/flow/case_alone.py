"""Short ways past a case: what is held for its token alone, and what the sandbox lets one do.

Everywhere else what screening holds is decided by its case, by two people; the words of one are
refused here, whichever door they come through.
"""

from sqlalchemy import Connection

from sakk.core import case as rules
from sakk.core.case import Case, Outcome
from sakk.core.errors import ResourceMissing, UnexpectedState
from sakk.core.payin import PayIn, is_screened_reason
from sakk.core.person import Actor
from sakk.flow.case_subject import find_matter
from sakk.flow.case_work import Plan, confirm_locked, propose_locked
from sakk.flow.context import Parts
from sakk.flow.officer import case_officer, is_alone
from sakk.flow.payin import release_held
from sakk.store import case as store
from sakk.store import payin as payins


def release_payin(parts: Parts, identifier: str, *, actor: Actor, livemode: bool) -> PayIn:
    """Let go on what is held for its token alone, once that is listed; ResourceMissing.

    What screening holds is released by its case: UnexpectedState, but in the sandbox.
    """
    now = parts.clock()
    with parts.database.begin() as connection:
        row = payins.find(connection, identifier, account_id=None, livemode=livemode, lock=True)
        if row is None:
            raise ResourceMissing(f"No such payin: {identifier!r}.", param="id")
        if not store.is_live(connection, row.id):
            if row.screening is not None and is_screened_reason(row.reason):
                # Its merchant may be asked first who sent it, and it has no case before.
                _require_alone(connection, row.id, Outcome.release, actor=actor, livemode=livemode)
            return release_held(connection, row, now=now)
        decide_alone(parts, connection, row.id, Outcome.release, actor=actor, livemode=livemode)
        released = payins.find(connection, row.id, account_id=None, livemode=livemode)
    assert released is not None
    return released


def decide_alone(
    parts: Parts,
    connection: Connection,
    subject: str,
    outcome: Outcome,
    *,
    actor: Actor,
    livemode: bool,
) -> Case:
    """Propose and confirm in one, in the sandbox; UnexpectedState names the case elsewhere."""
    _require_alone(connection, subject, outcome, actor=actor, livemode=livemode)
    now = parts.clock()
    by = case_officer(connection, actor, livemode=livemode)
    matter = find_matter(connection, subject, livemode=livemode, lock=True)
    proposed = propose_locked(connection, matter, Plan(outcome), by=by, now=now)
    matter = find_matter(connection, proposed.id, livemode=livemode, lock=True)
    digest = rules.digest_of(matter.case, matter.subject)
    return confirm_locked(connection, matter, None, by=by, digest=digest, now=now)


def _require_alone(
    connection: Connection, subject: str, outcome: Outcome, *, actor: Actor, livemode: bool
) -> None:
    if actor.person is not None or not is_alone(connection, livemode=livemode):
        raise UnexpectedState(
            "Screening holds this: two people decide by its case"
            " (POST /v1/cases/{subject}/propose, `sakk cases {outcome} {subject}`).",
            subject=subject,
            outcome=outcome,
        )
