"""What an officer does beside cases: rules, exemptions, institutions, and what transfers lack."""

import json
import re
from html import unescape

from sakk.console.rule import EXAMPLES, KINDS
from sakk.core.rule import read_rules
from sakk.flow.travel_need import judge
from sakk.flow.travel_rule import find
from sakk.store import name as name_store
from sakk.store.seed import seed_currencies
from sakk.store.vasp import find_all
from tests.console.office import VAULT, Office
from tests.console.risk import exemption_of
from tests.flow.policing import Desk
from tests.flow.test_travel_rule import enact

LEI = "506700GE1G29325QX363"


def test_rules_are_written_tried_and_proposed(office: Office) -> None:
    """A draft is tried without a trace; another person puts what was proposed in force."""
    proposer, other = (office.browser(office.person("compliance")) for _ in range(2))
    office.prove()
    page = proposer.get("/console/rules/new")
    written = json.loads(_field(page.text, "rules"))
    added = proposer.post("/console/rules/add", {"rules": json.dumps(written), "kind": "amount"})
    rules = json.loads(_field(added.text, "rules"))
    assert (added.status, rules[:-1], rules[-1]["kind"]) == (200, written, "amount")
    tried = proposer.post("/console/rules/try", {"rules": json.dumps(rules), "last": "50"})
    assert (tried.status, "judged again" in tried.said) == (200, True)
    wrong = proposer.post("/console/rules/try", {"rules": json.dumps([*rules, {"kind": "x"}])})
    assert (wrong.status, f"rules[{len(rules)}]" in wrong.text) == (400, True)
    broken = proposer.post("/console/rules/new", {"rules": "[", "note": "Kept words."})
    assert (broken.status, "Kept words." in broken.text) == (400, True)
    assert "Proposed" not in proposer.get("/console/rules").text

    proposer.get("/console/rules/new")
    sent = proposer.post("/console/rules/new", {"rules": json.dumps(rules), "note": "Large ones."})
    assert sent.status == 303, sent.text
    assert f"{sent.location}/approve" not in proposer.get(sent.location).text
    page = other.get(sent.location)
    [digest] = re.findall(r'name="digest" value="(\w+)"', page.text)
    assert "Large ones." in page.text
    assert other.post(f"{sent.location}/approve", {"digest": digest}).status == 303
    assert json.loads(_field(other.get("/console/rules/new").text, "rules")) == rules
    viewer = office.browser(office.person("viewer"))
    assert "/console/rules/new" not in viewer.get("/console/rules").text
    assert viewer.get("/console/rules/new").status == 403


def test_every_kind_of_rule_has_an_example_that_can_be_proposed() -> None:
    assert EXAMPLES.keys() == KINDS.keys()
    read_rules([{"kind": k, "name": k, "verdict": "review", **v} for k, v in EXAMPLES.items()])


def test_an_exemption_ends_with_a_reason(office: Office) -> None:
    identifier = exemption_of(office)
    path = f"/console/exemptions/{identifier}"
    officer = office.browser(office.person("compliance"))
    assert path in officer.get("/console/exemptions?state=standing").text
    office.unprove()
    officer.get(path)
    assert officer.post(f"{path}/end", {"reason": "It was them."}).status == 403
    office.prove()
    officer.get(path)
    assert officer.post(f"{path}/end", {}).status == 422
    officer.get(path)
    assert officer.post(f"{path}/end", {"reason": "It was them after all."}).status == 303
    page = officer.get(path)
    assert ("It was them after all." in page.text, f"{path}/end" in page.text) == (True, False)
    assert path in officer.get("/console/exemptions?state=ended").text
    assert path not in officer.get("/console/exemptions?state=standing").text
    with office.parts.database.read() as connection:
        row = name_store.find_exemption(connection, identifier, livemode=False)
        assert row is not None
        assert name_store.exemptions_of(connection, row.subject, livemode=False) == []
    file = officer.get("/console/exemptions?format=csv").body.decode()
    assert "It was them after all." in file
    officer.get("/console/exemptions")
    gone = officer.post(
        "/console/exemptions", {"subject": "a note", "entity": "ent_none", "reason": "Kept words."}
    )
    assert (gone.status, "Kept words." in gone.text) == (404, True)


def test_an_institution_is_written_down_and_blocked(office: Office) -> None:
    officer = office.browser(office.person("compliance"))
    office.prove()
    officer.get("/console/vasps/new")
    lines = "0x" + "ab" * 20 + "\n0x" + "cd" * 20
    given = {"name": "Example Exchange", "lei": LEI, "country": "CH", "addresses": lines}
    wrong = officer.post("/console/vasps/new", {**given, "lei": "506700GE1G29325QX364"})
    assert (wrong.status, "check digits" in wrong.said, "Example Ex" in wrong.text) == (
        400,
        True,
        True,
    )
    typo = officer.post("/console/vasps/new", {**given, "addresses": lines[:-1]})
    assert (typo.status, "mistyped" in typo.said) == (400, True)
    officer.get("/console/vasps/new")
    sent = officer.post("/console/vasps/new", given)
    # A double click makes one.
    assert officer.post("/console/vasps/new", given).location == sent.location
    assert (sent.status, sent.location in officer.get("/console/vasps?q=example").text) == (
        303,
        True,
    )
    assert sent.location in officer.get(f"/console/vasps?q=0x{'CD' * 20}").text
    officer.get(sent.location)
    assert officer.post(sent.location, {**given, "addresses": lines[:42]}).status == 303
    officer.get(sent.location)
    assert officer.post(f"{sent.location}/trust", {"status": "blocked"}).status == 303
    with office.parts.database.read() as connection:
        [row] = find_all(connection, leis=[LEI], livemode=False)
    assert (row.status, row.addresses) == ("blocked", [lines[:42]])
    for role in ("finance", "viewer"):
        reader = office.browser(office.person(role))
        assert '<form class="card"' not in reader.get(sent.location).text


def test_what_a_transfer_lacks_is_told_by_an_officer(office: Office) -> None:
    """The account, then who receives: the payout goes on when the last of it is there."""
    desk = Desk(office.parts.database, office.alice)
    with office.parts.database.begin() as connection:
        seed_currencies(connection)
    enact(desk)
    [row] = desk.payouts([5_000])
    with office.parts.database.begin() as connection:
        judge(connection, VAULT, [row], {}, now=desk.now)
    with office.parts.database.read() as connection:
        record = find(connection, row.id, account_id=None, livemode=False)
    path = f"/console/travel_rules/{record.id}"
    officer = office.browser(office.person("compliance"))
    office.prove()
    page = officer.get(path)
    for words in ("Of who receives", "Who keeps the wallet: an institution, or its owner?"):
        assert words in page.said, words
    officer.get(path)
    lone = officer.post(f"{path}/supply", {"of": "beneficiary", "name": "Lee"})
    assert (lone.status, "Say both" in lone.text) == (400, True)
    officer.get(path)
    ann = {"of": "beneficiary", "type": "natural", "name": "Lee", "given_name": "Ann"}
    told = officer.post(f"{path}/supply", {**ann, "wallet": "self_hosted"})
    assert told.status == 303, told.text
    if "Of who sends" in officer.get(path).said:
        shop = {"of": "account", "type": "legal", "name": "Shop Ltd", "country": "HK"}
        shop |= {"postal": "9 Pier Road", "town": "Hong Kong"}
        assert officer.post(f"{path}/supply", shop).status == 303
    page = officer.get(path)
    assert ("What is missing" in page.text, f"{path}/supply" in page.text) == (False, False)
    with office.parts.database.read() as connection:
        assert find(connection, row.id, account_id=None, livemode=False).status == "complete"
    # What was told is sealed: no list and no log holds it.
    assert "Lee" not in officer.get("/console/travel_rules").text
    assert "Lee" not in officer.get(f"/console/audit?subject={record.id}").text
    assert officer.get(path).text.count("Lee") >= 1
    late = officer.post(f"{path}/supply", ann)
    assert late.status == 400


def _field(page: str, name: str) -> str:
    found = re.search(rf'<textarea id="{name}"[^>]*>(.*?)</textarea>', page, re.DOTALL)
    assert found is not None, page
    return unescape(found[1])
