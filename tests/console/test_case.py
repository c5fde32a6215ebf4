"""Cases in the console: how an officer's work goes, by two people, and what others see of it."""

import re

from sakk.core.payout import Payout
from sakk.core.person import Actor
from sakk.core.rule import BUILT_IN, BUILT_IN_NAME, rules_document
from sakk.core.rule import PREFIX as RULES_PREFIX
from sakk.flow import rule as rules
from sakk.store import payout as payouts
from sakk.store.identity import new_id
from sakk.store.name import insert_name_screenings
from tests.console.browser import Browser
from tests.console.desk import configure
from tests.console.objects import under_review
from tests.console.office import Office
from tests.console.risk import PDF, alike, case_of
from tests.flow.policing import Desk
from tests.flow.test_approval_batch import listed

OFFICER = "compliance"


def officers(office: Office) -> tuple[Browser, Browser]:
    return office.browser(office.person(OFFICER)), office.browser(office.person(OFFICER))


def status_of(office: Office, row: Payout) -> tuple[str, bool]:
    with office.parts.database.read() as connection:
        found = payouts.find(connection, row.id, account_id=None, livemode=False)
    assert found is not None
    return found.status, found.under_review


def test_two_officers_take_a_case_from_the_queue_to_its_end(office: Office) -> None:
    listed(Desk(office.parts.database, office.alice))
    row = under_review(office, office.alice)
    case = case_of(office, row)
    path = f"/console/cases/{case}"
    first, second = officers(office)
    office.prove()
    assert case in first.get("/console/cases").text
    page = first.get(path)
    for fact in ("Mixer", "mixers", "50.0001", "a mixer", "sidorow", "sidorov", "87 %"):
        assert fact in page.text, fact
    assert "Money from or to a mixer (Mixer)" in page.said
    assert "(mixer)" not in page.said
    assert ("<script>alert" in page.text, "\u202e" in page.text) == (False, False)

    assert first.post(f"{path}/take").location == path
    assert case in first.get("/console/cases?owner=me").text
    assert case not in second.get("/console/cases?owner=me").text
    # Somebody whose page is old does not take it away by that.
    second.get(path)
    assert second.post(f"{path}/take", {"was": ""}).status == 400

    first.get(path)
    assert first.post(f"{path}/note", {"text": "Asked for the invoice.\nNone came."}).status == 303
    first.get(path)
    sent = first.upload(f"{path}/attach", {}, file=("../invoice.PDF", PDF))
    assert sent.status == 303, sent.text
    [file] = re.findall(rf'href="({path}/files/\w+)"', first.get(path).text)
    got = first.get(file)
    assert got.body == PDF
    assert got.headers["content-disposition"] == "attachment; filename*=UTF-8''invoice.PDF"
    first.get(path)
    refused = first.upload(f"{path}/attach", {}, file=("invoice.exe", b"MZ"))
    assert (refused.status, ".pdf" in refused.text) == (400, True)

    first.get(path)
    assert first.post(f"{path}/propose", {"outcome": "reject", "note": "No invoice."}).status == 303
    page = first.get(path)
    assert "another person confirms it" in page.text
    assert f"{path}/confirm" not in page.text
    page = second.get(path)
    assert "No invoice." in page.text
    [digest] = re.findall(r'name="digest" value="(\w+)"', page.text)
    assert first.post(f"{path}/confirm", {"digest": digest}).status == 403
    # What was added since is looked at before it is confirmed.
    second.get(path)
    assert second.post(f"{path}/note", {"text": "I look at it."}).status == 303
    second.get(path)
    assert second.post(f"{path}/confirm", {"digest": digest}).status == 400
    [digest] = re.findall(r'name="digest" value="(\w+)"', second.get(path).text)
    office.unprove()
    second.get(path)
    assert second.post(f"{path}/confirm", {"digest": digest}).status == 403
    assert status_of(office, row) == ("requested", True)
    office.prove()
    second.get(path)
    assert second.post(f"{path}/confirm", {"digest": digest}).status == 303
    assert status_of(office, row)[0] == "rejected"

    assert case not in first.get("/console/cases").text
    assert case in first.get("/console/cases?status=closed").text
    first.get(path)
    assert first.post(f"{path}/reopen", {}).status == 400
    first.get(path)
    assert first.post(f"{path}/reopen", {"reason": "The invoice came."}).status == 303
    assert case in first.get("/console/cases?owner=nobody").text


def test_a_proposal_is_refused_and_the_case_goes_on(office: Office) -> None:
    row = under_review(office, office.alice)
    case = case_of(office, row)
    path = f"/console/cases/{case}"
    first, second = officers(office)
    office.prove()
    first.get(path)
    # What can not be done with a payout is refused in words, and the form is shown again.
    wrong = first.post(f"{path}/propose", {"outcome": "seize", "note": "Kept words."})
    assert (wrong.status, "Kept words." in wrong.text) == (400, True)
    first.get(path)
    assert first.post(f"{path}/propose", {"outcome": "release"}).status == 303
    second.get(path)
    assert second.post(f"{path}/decline", {"reason": "Too early."}).status == 303
    assert "Too early." in first.get(path).text
    assert status_of(office, row) == ("requested", True)


def test_a_report_is_drafted_and_waits_for_a_second_person(office: Office) -> None:
    listed(Desk(office.parts.database, office.alice))
    case = case_of(office, under_review(office, office.alice))
    path = f"/console/cases/{case}"
    first, _ = officers(office)
    office.prove()
    first.get(path)
    words = {"reason": "Half of it is of a mixer.", "action": "Stopped.", "indicators": "MIX"}
    got = first.post(f"{path}/draft", words)
    # Nobody says yet who reports: the page says what is missing, and keeps the words.
    assert (got.status, "Half of it is of a mixer." in got.text) == (400, True)


def test_who_only_looks_has_no_buttons_and_a_merchant_no_page(office: Office) -> None:
    row = under_review(office, office.alice)
    case = case_of(office, row)
    viewer = office.browser(office.person("viewer"))
    page = viewer.get(f"/console/cases/{case}")
    assert page.status == 200
    for act in ("take", "note", "attach", "propose", "file"):
        assert f"{case}/{act}" not in page.text
    # An owner of the house decides no case either, unless they are of compliance too.
    assert (
        f"{case}/propose"
        not in office.browser(office.person("owner")).get(f"/console/cases/{case}").text
    )
    merchant = office.browser(office.person(alice=["owner"]))
    assert merchant.get(f"/console/cases/{case}").status == 404
    assert "/console/cases" not in merchant.get("/console").text
    told = merchant.get(f"/console/payouts/{row.id}").text
    assert (case in told, "mixer" in told.lower()) == (False, False)


def test_cases_are_found_by_what_is_known_of_them(office: Office) -> None:
    with office.parts.database.begin() as connection:
        configure(connection)
    row = under_review(office, office.bob)
    case = case_of(office, row)
    reader = office.browser(office.person(OFFICER))
    for query in (
        f"q={case}",
        f"q={row.id}",
        f"q={row.destination}",
        "kind=payout&priority=normal&order=due",
        "order=age",
        "order=newest&status=open",
    ):
        assert case in reader.get(f"/console/cases?{query}").text, query
    for query in ("late=yes", "kind=party", "priority=urgent", "q=nothing"):
        assert case not in reader.get(f"/console/cases?{query}").text, query
    file = reader.get("/console/cases?format=csv").body.decode("utf-8-sig")
    assert f"{case}," in file
    # Looking at one account shows its cases alone.
    reader.get("/console/look")
    reader.post("/console/look", {"account": office.alice})
    assert case not in reader.get("/console/cases").text
    assert reader.get(f"/console/cases/{case}").status == 404


def test_a_queue_is_turned_page_by_page(office: Office) -> None:
    reader = office.browser(office.person(OFFICER))
    ids = [case_of(office, under_review(office, office.alice)) for _ in range(3)]
    for order in ("urgency", "due", "age"):
        seen: list[str] = []
        after = ""
        while True:
            text = reader.get(f"/console/cases?order={order}&owner=nobody{after}").text
            seen += re.findall(r'href="/console/cases/(case_\w+)"', text)
            older = re.search(r'rel="next" href="([^"]+after=(case_\w+))"', text)
            if older is None:
                break
            after = f"&after={older[2]}"
        assert len(seen) == len(set(seen))
        assert [each for each in seen if each in ids] == ids


def test_an_account_is_asked_and_answers_with_files(office: Office) -> None:
    """The officer's question, the merchant's answer, and nothing of the case on the way."""
    row = under_review(office, office.alice)
    case = case_of(office, row)
    path = f"/console/cases/{case}"
    officer, _ = officers(office)
    merchant = office.browser(office.person(alice=["owner"]))
    officer.get(path)
    told = officer.post(f"{path}/ask", {"question": "Is this about sanctions?", "days": "3"})
    assert (told.status, "Is this about sanctions?" in told.text) == (400, True)
    officer.get(path)
    asked = {"question": "What is it paid for?\nSend the invoice.", "days": "3"}
    assert officer.post(f"{path}/ask", asked).status == 303
    page = officer.get(path)
    assert ("Waits for an answer" in page.text, f"{path}/ask" in page.text) == (True, False)

    assert "Questions that wait for your answer" in merchant.get("/console").text
    listed = merchant.get("/console/questions?status=open").text
    [question] = set(re.findall(r'href="(/console/questions/\w+)"', listed))
    page = merchant.get(question)
    assert ("Send the invoice." in page.text, row.id in page.text) == (True, True)
    for trace in (case, "mixer", "sanction", "officer", "compliance"):
        assert trace not in page.text.lower(), trace
    wrong = merchant.upload(question, {"text": "Kept words."}, files=("invoice.exe", b"MZ"))
    assert (wrong.status, "Kept words." in wrong.text, ".pdf" in wrong.text) == (400, True, True)
    merchant.get(question)
    sent = merchant.upload(question, {"text": "For tea."}, files=("../invoice.pdf", PDF))
    assert sent.status == 303, sent.text
    page = merchant.get(question)
    assert ("For tea." in page.text, "invoice.pdf" in page.text) == (True, True)
    assert "<textarea" not in page.text
    # Somebody else's account has no such question.
    assert office.browser(office.person(bob=["owner"])).get(question).status == 404

    page = officer.get(path)
    assert ("For tea." in page.text, "Being worked on" in page.text) == (True, True)
    [file] = re.findall(rf'href="({path}/files/\w+)"', page.text)
    assert officer.get(file).body == PDF
    officer.get(path)
    assert officer.post(f"{path}/ask", asked).status == 303
    [again] = set(re.findall(r'name="question" value="(irq_\w+)"', officer.get(path).text))
    assert officer.post(f"{path}/withdraw", {"question": again}).status == 303
    assert "No answer is needed any more." in merchant.get(f"/console/questions/{again}").text


def test_a_name_is_asked_for_and_is_somebody_else(office: Office) -> None:
    officer, _ = officers(office)
    with office.parts.database.begin() as connection:
        insert_name_screenings(connection, [row := alike("an enquiry", office.alice)])
    path = f"/console/names/{row.id}"
    page = officer.get(path)
    for fact in ("sidorow", "sidorov", "87 %", "OFAC-1", f"{path}/exempt"):
        assert fact in page.text, fact
    office.prove()
    # The list has not got the entry any more: nothing is exempted of it.
    gone = officer.post(f"{path}/exempt", {"entity": "ent_1", "reason": "Another birth date."})
    assert (gone.status, "ent_1" in gone.text) == (404, True)
    officer.get("/console/names")
    wrong = officer.post("/console/names", {"name": "Ann", "birth": "yesterday"})
    assert (wrong.status, "yesterday" in wrong.text) == (400, True)
    viewer = office.browser(office.person("viewer"))
    assert f"{path}/exempt" not in viewer.get(path).text
    assert office.browser(office.person(alice=["owner"])).get(path).status == 404


def test_rules_are_put_in_force_by_another_person(office: Office) -> None:
    proposer = office.person(OFFICER)
    identifier = new_id(RULES_PREFIX)
    rules.propose(
        office.parts,
        rules_document(BUILT_IN[BUILT_IN_NAME]),
        identifier=identifier,
        actor=Actor("sgn_of_the_proposer", proposer.id),
        note=None,
        livemode=False,
    )
    path = f"/console/rules/{identifier}"
    own, other = office.browser(proposer), office.browser(office.person(OFFICER))
    office.prove()
    assert f"{path}/approve" not in own.get(path).text
    [digest] = re.findall(r'name="digest" value="(\w+)"', other.get(path).text)
    assert other.post(f"{path}/approve", {"digest": "00" * 32}).status == 400
    other.get(path)
    assert other.post(f"{path}/approve", {"digest": digest}).status == 303
    page = other.get(path)
    assert ("In force" in page.text, f"{path}/reject" in page.text) == (True, False)
