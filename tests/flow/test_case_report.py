"""Reports of cases: drafted from what is there, filed by two people, kept byte for byte."""

import hashlib
from xml.etree import ElementTree

import pytest
from sqlalchemy import text
from tests.core.test_goaml import ENTITY, check
from tests.flow.policing import ACME, Desk, Member
from tests.flow.test_case import acts, found
from tests.flow.test_case_work import confirm, desk, people, shown, waiting

from sakk.core.errors import ParameterInvalid, PermissionDenied, SamePerson, UnexpectedState
from sakk.core.payout import Payout
from sakk.flow import case_report as flow
from sakk.flow.case_report import Words
from sakk.store import case as store
from sakk.store.identity import new_id
from sakk.store.seed import seed_currencies

__all__ = ["desk"]

WORDS = Words("The receiver is on a list.", "The payout is held.", ("SAN",))
US = {**ENTITY, "currency": "USD"}


def configured(desk: Desk, by: Member) -> None:
    with desk.database.begin() as connection:
        seed_currencies(connection)
        connection.execute(
            text("UPDATE currencies SET usd_numerator = 1, usd_denominator = 1 WHERE kind = 'coin'")
        )
    flow.configure(desk.parts, US, actor=by.actor, livemode=False)


def draft(desk: Desk, row: Payout, words: Words = WORDS) -> bytes:
    with desk.database.begin() as connection:
        return flow.draft(connection, row.id, words, livemode=False, now=desk.now)


def test_a_report_is_drafted_from_the_case(desk: Desk) -> None:
    row = waiting(desk)
    carl, _ = people(desk)
    with pytest.raises(UnexpectedState, match="Nobody is named who reports"):
        draft(desk, row)
    with pytest.raises(PermissionDenied):
        flow.configure(desk.parts, US, actor=desk.member("fay", "viewer").actor, livemode=False)
    configured(desk, carl)
    root = check(draft(desk, row))
    assert root.findtext("entity_reference") == found(desk.database, row.id).id
    assert root.findtext("transaction/transactionnumber") == row.id
    assert root.findtext("transaction/amount_local") == "1.00"
    assert root.findtext("transaction/t_to/to_account/account") == ACME
    client = "transaction/t_from_my_client/from_account"
    assert root.findtext(f"{client}/client_number") == desk.account.rpartition("_")[2]
    assert draft(desk, row) == draft(desk, row)
    with pytest.raises(ParameterInvalid, match="indicators"):
        draft(desk, row, Words("why", "what", ()))
    flow.configure(desk.parts, ENTITY, actor=carl.actor, livemode=False)
    with pytest.raises(ParameterInvalid, match="eur has no price"):
        draft(desk, row)


def test_two_people_file_a_report(desk: Desk) -> None:
    row = waiting(desk)
    carl, dora = people(desk)
    configured(desk, carl)
    identifier = new_id("catt")

    def propose() -> None:
        flow.file(
            desk.parts,
            row.id,
            WORDS,
            actor=carl.actor,
            livemode=False,
            attachment_id=identifier,
        )

    propose()
    # The same again, as when the answer was lost.
    propose()
    case = found(desk.database, row.id)
    assert case.status == "awaiting_second"
    assert case.proposal is not None
    with desk.database.begin() as connection:
        content = store.read_content(connection, identifier)
        [kept] = store.list_attachments(connection, case.id)
    assert (kept.media_type, kept.sha256) == (
        "application/xml",
        hashlib.sha256(content).hexdigest(),
    )
    assert case.proposal["sha256"] == kept.sha256
    assert ElementTree.fromstring(content).findtext("reason") == WORDS.reason
    digest = shown(desk, case.id)
    with pytest.raises(SamePerson):
        confirm(desk, case.id, carl, digest)
    filed = confirm(desk, case.id, dora, digest)
    # Filing ends nothing: what is held is still to be decided.
    assert (filed.status, filed.outcome, filed.proposal) == ("in_progress", None, None)
    assert desk.read(row).under_review
    assert acts(desk.database, case.id) == ["opened", "attached", "proposed", "filed"]
    with desk.database.begin() as connection:
        last = store.list_acts(connection, case.id)[-1]
    assert (last.actor, last.detail["proposal"]["sha256"]) == (dora.id, kept.sha256)
