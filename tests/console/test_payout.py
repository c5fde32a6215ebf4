"""Payouts in the console: what is shown to whom, and who says yes to whose."""

import re
import time

import pytest

from sakk.core import ids
from sakk.store import payout as store
from tests.console.objects import ADDRESS, HOSTILE, payout_of
from tests.console.office import Office
from tests.flow.policing import NETWORK, Desk
from tests.flow.test_approval_batch import listed


def test_a_merchant_sees_their_own_payouts_and_nothing_of_ours(office: Office) -> None:
    own = payout_of(office, office.alice)
    other = payout_of(office, office.bob)
    browser = office.browser(office.person(alice=["owner"]))
    listed = browser.get("/console/payouts")
    assert (own.id in listed.text, other.id in listed.text) == (True, False)
    assert browser.get(f"/console/payouts/{other.id}").status == 404
    page = browser.get(f"/console/payouts/{own.id}")
    assert page.status == 200
    assert "250,000.01" in page.text
    assert "<script>alert" not in page.text
    assert "\u202e" not in page.text
    for hidden in ("What will be signed", "do not cover it yet", "/approve"):
        assert hidden not in page.text


def test_a_list_is_turned_searched_and_saved_to_a_file(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sakk.console.listing.ROWS", 2)
    listed(Desk(office.parts.database, office.operator))
    rows = sorted((payout_of(office, office.operator).id for _ in range(4)), reverse=True)
    # The newest beyond doubt: ids of one millisecond come in any order, and lists go by them.
    in_a_second = time.time_ns() // 1_000_000 + 1_000
    odd = payout_of(
        office,
        office.operator,
        id=ids.encode("po", ids.uuid7(now_ms=in_a_second, random=bytes(ids.RANDOM_BYTES))),
        amount=7_000_000,
        destination="0x" + "7c" * 20,
        description="=2+3",
        reference="INV-77",
        status="canceled",
        decided_at=None,
    ).id
    browser = office.browser(office.person(operator=["viewer"]))

    def shown(query: str) -> list[str]:
        path = f"/console/payouts{query}"
        return re.findall(r'href="/console/payouts/(po_\w+)"', browser.get(path).text)

    assert shown("") == [odd, rows[0]]
    assert shown(f"?after={rows[0]}") == rows[1:3]
    assert shown(f"?after={rows[2]}") == rows[3:]
    assert shown(f"?before={rows[2]}") == rows[:2]
    assert shown("?show=waiting") == rows[:2]
    for found in (odd, "0x" + "7C" * 20, "7.00", "INV-77", "=2%2B3"):
        assert shown(f"?q={found}") == [odd], found
    assert shown("?status=canceled&currency=usdc") == [odd]
    assert (shown("?status=posted"), shown("?show=review"), shown("?q=pob_nothing12")) == ([],) * 3
    file = browser.get("/console/payouts?format=csv")
    assert (file.status, file.headers["content-type"]) == (200, "text/csv; charset=utf-8")
    assert "'=2+3" in file.text
    assert file.text.count("250000.010000") == 4


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"amount": "1,250.00", "address": ADDRESS}, "Write an amount as 1250.00"),
        ({"amount": "0.00", "address": ADDRESS}, "More than nothing."),
        ({"amount": "1"}, "Give an address, or choose one"),
        ({"amount": "1", "address": ADDRESS, "route": "nowhere gold"}, "Choose one from the list."),
        # Alice has no money.
        ({"amount": "1", "address": "0x12"}, "address"),
    ],
)
def test_a_form_that_is_wrong_is_shown_again(
    office: Office, form: dict[str, str], said: str
) -> None:
    listed(Desk(office.parts.database, office.alice))
    browser = office.browser(office.person(alice=["finance"]))
    office.prove()
    assert browser.get("/console/payouts/new").status == 200
    got = browser.post(
        "/console/payouts/new", {"route": f"{NETWORK} usdc", "description": HOSTILE, **form}
    )
    assert 400 <= got.status < 500
    assert said in got.text
    assert (f'value="{form["amount"]}"' in got.text, "<script>alert" in got.text) == (True, False)


def test_money_is_not_asked_for_without_a_proof_of_who_asks(office: Office) -> None:
    listed(Desk(office.parts.database, office.alice))
    browser = office.browser(office.person(alice=["finance"]))
    browser.get("/console/payouts/new")
    office.unprove()
    form = {"route": f"{NETWORK} usdc", "amount": "1", "address": ADDRESS}
    assert browser.post("/console/payouts/new", form).status == 403


def test_another_person_approves_what_was_shown(office: Office) -> None:
    listed(Desk(office.parts.database, office.alice))
    maker, other = office.person("admin"), office.person("admin")
    row = payout_of(
        office, office.alice, initiator_person=maker.id, approvals_needed=1, approver_role="admin"
    )
    path = f"/console/payouts/{row.id}"
    first, second = office.browser(maker), office.browser(other)
    assert "another person approves it" in first.get(path).text
    page = second.get(path)
    assert "What will be signed" in page.text
    [digest] = re.findall(r'name="digest" value="(\w+)"', page.text)
    # Without a proof of who says so it does not count.
    office.unprove()
    assert second.post(f"{path}/approve", {"digest": digest}).status == 403
    office.prove()
    first.get(path)
    assert first.post(f"{path}/approve", {"digest": digest}).status == 403
    second.get(path)
    stale = second.post(f"{path}/approve", {"digest": "0" * 64})
    assert stale.status == 400
    assert _status(office, row.id) == "screened"
    second.get(path)
    got = second.post(f"{path}/approve", {"digest": digest})
    assert (got.status, got.location) == (303, path), got.text
    assert _status(office, row.id) == "approved"


def test_one_no_is_enough_and_who_may_only_look_says_none(office: Office) -> None:
    listed(Desk(office.parts.database, office.alice))
    row = payout_of(office, office.alice)
    path = f"/console/payouts/{row.id}"
    viewer = office.browser(office.person("viewer"))
    assert "/reject" not in viewer.get(path).text
    assert viewer.post(f"{path}/reject").status == 403
    approver = office.browser(office.person("admin"))
    approver.get(path)
    assert approver.post(f"{path}/reject", {"reason": "No invoice"}).status == 303
    assert _status(office, row.id) == "rejected"


def test_a_merchant_calls_off_their_own_alone(office: Office) -> None:
    own, other = payout_of(office, office.alice), payout_of(office, office.bob)
    browser = office.browser(office.person(alice=["finance"]))
    assert browser.post(f"/console/payouts/{other.id}/cancel").status == 404
    browser.get(f"/console/payouts/{own.id}")
    assert browser.post(f"/console/payouts/{own.id}/cancel").status == 303
    assert (_status(office, own.id), _status(office, other.id)) == ("canceled", "screened")
    # Nor does anybody of theirs say yes.
    assert browser.post(f"/console/payouts/{own.id}/approve", {"digest": "0"}).status == 404


def _status(office: Office, identifier: str) -> str:
    with office.parts.database.read() as connection:
        found = store.find(connection, identifier, account_id=None, livemode=False)
    assert found is not None
    return found.status


def test_who_may_not_ask_for_payouts_has_no_form(office: Office) -> None:
    browser = office.browser(office.person(alice=["viewer"]))
    assert browser.get("/console/payouts/new").status == 403
    assert "/console/payouts/new" not in browser.get("/console/payouts").text


@pytest.mark.parametrize("language", ["en", "zh-Hans", "zh-Hant", "ar"])
def test_an_amount_is_exact_in_every_language(office: Office, language: str) -> None:
    own = payout_of(office, office.alice)
    browser = office.browser(office.person(alice=["viewer"]))
    page = browser.get(f"/console/payouts/{own.id}?lang={language}")
    assert "250,000.01" in page.text
