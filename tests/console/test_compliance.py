"""What an officer does beside cases: rules, exemptions, institutions, and what transfers lack."""

import json
import re
from html import unescape
from typing import get_args

import pytest

from sakk.console.case_event import EVENTS, NOUNS
from sakk.console.label import KINDS as LISTS
from sakk.console.rule import EXAMPLES
from sakk.console.rule_words import ACTIONS, DETAILS, FIELDS, KINDS, METHODS, RULES
from sakk.console.screening import CATEGORIES, VERDICTS
from sakk.core.behaviour import WindowKey
from sakk.core.event import EVENT_TYPES
from sakk.core.exposure import ISSUANCE, Method
from sakk.core.label import Category, ListKind
from sakk.core.rule import BUILT_IN, BUILT_IN_NAMED, Rule, fields_of, read_rules
from sakk.core.screening import UNREADABLE_ADDRESS, CountryHit, Verdict
from sakk.core.verdict import KNOWN_GOOD
from sakk.flow import party as party_flow
from sakk.flow.travel_need import judge
from sakk.flow.travel_rule import find
from sakk.runtime.sandbox_screening import STRUCTURING
from sakk.store import name as name_store
from sakk.store import party as party_store
from sakk.store.label import list_lists
from sakk.store.regime import find_active
from sakk.store.seed import seed_currencies
from sakk.store.vasp import find_all
from sakk.store.vault import Vault
from tests.console.browser import Browser
from tests.console.objects import under_review
from tests.console.office import VAULT, Meeting, Office
from tests.console.risk import case_of, exemption_of, likeness
from tests.flow.policing import Desk
from tests.flow.test_travel_rule import enact

LEI = "506700GE1G29325QX363"
PDF = b"%PDF-1.7\nof the register"
ENTITY = {
    "rentity_id": "4711",
    "name": "Example Payments Ltd",
    "swift": "EXMPXX22",
    "first_name": "Dora",
    "last_name": "Example",
    "email": "dora@example.com",
    "occupation": "MLRO",
    "address": "1 Main Street",
    "city": "Valletta",
    "country_code": "MT",
    "currency": "USD",
}
COMPANY = {
    "kind": "legal_entity",
    "role": "account",
    "legal_name": "Quay Imports Ltd",
    "registration_number": "4711",
    "registration_country": "HK",
    "incorporated_on": "2020-05-04",
    "registered_line1": "9 Pier Road",
    "registered_city": "Hong Kong",
    "registered_country": "HK",
}
PERSON = {
    "kind": "individual",
    "role": "related",
    "full_name": "Mei Example",
    "birth_date": "1984-02-01",
    "nationalities": "HK, GB",
    "home_line1": "3 Hill Street",
    "home_city": "Hong Kong",
    "home_country": "HK",
    "papers": "passport, K1234, HK, 2031-01-31",
}


def test_rules_are_written_tried_and_proposed(office: Office) -> None:
    """A draft is changed by its fields and tried without a trace; another puts it in force."""
    proposer, other = (office.browser(office.person("compliance")) for _ in range(2))
    office.prove()
    with office.parts.database.begin() as connection:
        seed_currencies(connection)
    page = proposer.get("/console/rules/new")
    draft = _draft(page.text)
    began = json.loads(draft["rules"])
    added = proposer.post("/console/rules/edit", draft | {"act": "add", "kind": "amount"})
    assert (added.status, 'name="amount_whole"' in added.text) == (200, True)
    draft = _draft(added.text) | {"name": "large", "verdict": "block", "amount_whole": "٢٥٬٠٠٠"}
    # What can not be read is said at its field, and what was typed is still there.
    wrong = proposer.post(
        "/console/rules/edit", draft | {"act": "keep", "amount_units": "usdc 1.5, moon 2"}
    )
    assert wrong.status == 422
    assert "There is no currency moon here." in wrong.said, re.findall("class=.fault.*", wrong.said)
    assert 'id="amount_units-fault"' in wrong.text
    assert 'value="usdc 1.5, moon 2"' in wrong.text
    twice = proposer.post("/console/rules/edit", draft | {"act": "keep", "name": "direct_mixer"})
    assert (twice.status, 'id="name-fault"' in twice.text) == (400, True)
    moved = {"act": f"up:{len(began)}", "amount_units": "usdc 1.5"}
    kept = proposer.post("/console/rules/edit", draft | moved)
    assert kept.status == 200, kept.text
    rules = json.loads(_draft(kept.text)["rules"])
    assert rules[-2] == {
        "kind": "amount",
        "name": "large",
        "verdict": "block",
        "amount": {"units": {"usdc": "1500000"}, "whole": "25000"},
    }
    assert [each for each in rules if each["name"] != "large"] == began
    assert "25,000 whole units · 1.50 USDC" in kept.said
    draft = _draft(kept.text) | {"note": "Large ones."}
    less = proposer.post("/console/rules/edit", draft | {"act": f"remove:{len(rules) - 1}"})
    assert "Taken out" in less.said
    tried = proposer.post("/console/rules/try", draft | {"last": "50"})
    assert (tried.status, "judged again" in tried.said) == (200, True)
    assert "Proposed" not in proposer.get("/console/rules").text

    proposer.get("/console/rules/new")
    sent = proposer.post("/console/rules/new", draft)
    assert sent.status == 303, sent.text
    assert f"{sent.location}/approve" not in proposer.get(sent.location).text
    page = other.get(sent.location)
    [digest] = re.findall(r'name="digest" value="(\w+)"', page.text)
    assert ("Large ones." in page.text, "Added" in page.said) == (True, True)
    assert other.post(f"{sent.location}/approve", {"digest": digest}).status == 303
    assert json.loads(_draft(other.get("/console/rules/new").text)["rules"]) == rules
    viewer = office.browser(office.person("viewer"))
    assert "/console/rules/new" not in viewer.get("/console/rules").text
    assert viewer.get("/console/rules/new").status == 403


def test_rules_are_written_as_json_too(office: Office) -> None:
    proposer = office.browser(office.person("compliance"))
    draft = _draft(proposer.get("/console/rules/new").text)
    shown = proposer.post("/console/rules/edit", draft | {"act": "json"})
    written = json.loads(_field(shown.text, "rules"))
    assert written == json.loads(draft["rules"])
    for text, place in (
        ("[", "This is no JSON."),
        (json.dumps([*written, {"kind": "x"}]), f"rules[{len(written)}]"),
        (r'[{"name": "\ud800"}]', "This is no JSON."),
    ):
        sent = {"rules": text, "view": "json", "note": "Kept."}
        wrong = proposer.post("/console/rules/try", sent)
        assert (wrong.status, place in wrong.said, "Kept." in wrong.text) == (400, True, True)
    some = {"rules": json.dumps(written[:2]), "view": "json", "act": "form"}
    back = proposer.post("/console/rules/edit", some)
    assert json.loads(_draft(back.text)["rules"]) == written[:2]


def test_every_kind_of_rule_has_an_example_that_can_be_proposed() -> None:
    assert EXAMPLES.keys() == KINDS.keys()
    read_rules([{"kind": k, "name": k, "verdict": "review", **v} for k, v in EXAMPLES.items()])


def test_every_code_of_rules_and_verdicts_has_a_name() -> None:
    """The catalogue is held against the code: a new kind, field, category or rule needs a name."""
    kinds = {each.__struct_config__.tag for each in get_args(Rule)}
    assert KINDS.keys() == kinds
    fields = {name for kind in kinds for name in fields_of(kind)}
    assert FIELDS.keys() == fields | {"name", "kind", "verdict"}
    rules = {each.name for version in BUILT_IN.values() for each in version}
    named = (BUILT_IN_NAMED.name, STRUCTURING.name, KNOWN_GOOD, UNREADABLE_ADDRESS)
    assert RULES.keys() == rules | set(named)
    assert CATEGORIES.keys() == {*Category, ISSUANCE, "unknown"}
    assert VERDICTS.keys() == set(Verdict)
    assert ACTIONS.keys() == set(Verdict) - {Verdict.clear}
    assert METHODS.keys() == set(Method)
    assert LISTS.keys() == set(ListKind)
    assert EVENTS.keys() == {each for each, kind in EVENT_TYPES.items() if kind.noun in NOUNS}
    details = (
        "by haircut at height 7",
        "3 of 4 units lead to nothing known",
        "over 3 addresses in a row, each of which kept a little",
        "the amount alone",
        "was never paid before",
        "looks like 0xab",
        "can not be looked up in the issuer's deny-list, at block 9",
        "10 came in and 9 go out within 60 s",
        f"3 transfers, 2700 units, {WindowKey('outgoing', 'account', 60, 1, 2).name}",
        CountryHit("account", "KP", "grey", "fatf", 1).words,
    )
    for each in details:
        assert any(pattern.fullmatch(each) for pattern, _ in DETAILS), each


def test_the_regime_and_who_reports_are_set_up_by_an_officer(office: Office) -> None:
    officer, viewer = (office.browser(office.person(role)) for role in ("compliance", "viewer"))
    office.prove()
    with office.parts.database.begin() as connection:
        seed_currencies(connection)
    officer.get("/console/regime")
    nobody = officer.post("/console/regime", {"regime": "eu"})
    assert (nobody.status, 'id="institution-fault"' in nobody.text) == (400, True)
    ours = {"institution": "Example Pay AG", "country": "CH"}
    wrong = officer.post("/console/regime", {"regime": "eu", "lei": LEI[:-1] + "4", **ours})
    assert (wrong.status, 'id="lei-fault"' in wrong.text) == (400, True)
    assert officer.post("/console/regime", {"regime": "eu", "lei": LEI, **ours}).status == 303
    page = viewer.get("/console/regime")
    assert all(each in page.said for each in ("European Union", "Example Pay AG", LEI, "1 day"))
    assert 'name="institution"' not in page.text
    assert "European Union" in viewer.get("/console/travel_rules").said
    written = json.loads(_field(officer.get("/console/regime").text, "written"))
    stricter = {"regime": "written", "written": json.dumps(written | {"silence": "no"})}
    told = officer.post("/console/regime", stricter | ours | {"lei": LEI})
    assert (told.status, 'id="written-fault"' in told.text) == (400, True)
    assert officer.post("/console/regime", {"regime": "none", "lei": LEI, **ours}).status == 303
    with office.parts.database.read() as connection:
        chosen = find_active(connection, livemode=False)
    assert chosen is not None
    assert (chosen.name, chosen.regime, chosen.institution is None) == ("none", None, False)

    officer.get("/console/reporting_entity")
    short = officer.post("/console/reporting_entity", ENTITY | {"country_code": "Malta"})
    assert (short.status, 'id="country_code-fault"' in short.text) == (400, True)
    assert officer.post("/console/reporting_entity", ENTITY).status == 303
    case = case_of(office, under_review(office, office.alice))
    officer.get(f"/console/cases/{case}")
    words = {"reason": "A mixer.", "action": "Held.", "indicators": "SAN"}
    draft = officer.post(f"/console/cases/{case}/draft", words)
    assert (draft.status, b"<first_name>Dora</first_name>" in draft.body) == (200, True)


def test_a_list_is_imported_and_used_no_more(office: Office) -> None:
    officer = office.browser(office.person("compliance"))
    office.unprove()
    # A proof keeps no file: it is given before one can be chosen.
    assert 'name="file"' not in officer.get("/console/lists").text
    office.prove()
    assert 'name="file"' in officer.get("/console/lists").text
    address = "0x52908400098527886E0F7030069857D2E4169EE7"
    rows = f"address,category,entity\n{address},sanctions,Example".encode()
    form = {"name": "own designated", "kind": "sanctions"}
    broken = officer.upload("/console/lists", form, file=("a.csv", b"address,category\nmoon,x\n"))
    assert (broken.status, "sakk-list-" in broken.text) == (400, False)
    assert "a.csv" in broken.said
    assert officer.upload("/console/lists", form, file=("a.csv", rows)).status == 303
    told = officer.get("/console/lists")
    assert "Imported: 1 entries are new, 0 are gone." in told.said
    assert officer.post("/console/lists/retire", {"name": "own designated"}).status == 303
    with office.parts.database.read() as connection:
        [found] = [each for each in list_lists(connection) if each.name == "own designated"]
    assert (found.row_count, found.retired_at is None) == (0, False)


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
    """The account, then who receives: the payout goes on when the last of it is there. What was
    sealed under another key is not told to, and not lost."""
    desk = Desk(office.parts.database, office.alice)
    with office.parts.database.begin() as connection:
        seed_currencies(connection)
    enact(desk)
    _sealed_elsewhere(office, desk)
    [row] = desk.payouts([5_000])
    with office.parts.database.begin() as connection:
        judge(connection, VAULT, [row], {}, now=desk.now)
    with office.parts.database.read() as connection:
        record = find(connection, row.id, account_id=None, livemode=False)
    path = f"/console/travel_rules/{record.id}"
    officer = office.browser(office.person("compliance"))
    office.prove()
    page = officer.get(path)
    for words in (
        "Of who receives",
        "Who keeps the wallet: an institution, or its owner?",
        "recommendation 16",
    ):
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


def _sealed_elsewhere(office: Office, desk: Desk) -> None:
    """The page says what is missing; the record stays, and can be decided on without it."""
    [row] = desk.payouts([5_000])
    with office.parts.database.begin() as connection:
        judge(connection, Vault(bytes(32)), [row], {}, now=desk.now)
        before = find(connection, row.id, account_id=None, livemode=False)
    officer = office.browser(office.person("compliance"))
    office.prove()
    path = f"/console/travel_rules/{before.id}"
    page = officer.get(path)
    assert (page.status, "SAKK_VAULT_KEY_FILE" in page.said) == (200, True)
    assert f"{path}/supply" not in page.text
    told = {"of": "beneficiary", "type": "natural", "name": "Lee"}
    assert officer.post(f"{path}/supply", told).status == 503
    with office.parts.database.read() as connection:
        assert find(connection, row.id, account_id=None, livemode=False) == before
    officer.get(path)
    assert officer.post(f"{path}/refuse", {"reason": "It can not be read."}).status == 303
    with office.parts.database.read() as connection:
        after = find(connection, row.id, account_id=None, livemode=False)
    assert (after.status, after.payload) == ("refused", before.payload)


def test_an_account_is_known_by_clicking(office: Office) -> None:
    """Written down, documented, owned, handed in, a likeness decided, accepted by two persons."""
    first, second = (office.browser(office.person("compliance")) for _ in range(2))
    office.prove()
    for each in (first, second):
        each.get("/console/look")
        each.post("/console/look", {"account": office.alice})
    firm, owner = write_down(first)
    hand_in(office, first, firm, owner)
    decide(office, first, second, firm)
    first.get(f"{firm}/change")
    changed = {name: value for name, value in COMPANY.items() if name not in ("kind", "role")}
    changed |= {"trading_names": "Quay\nThe Quay", "industry": "tea"}
    assert first.post(f"{firm}/change", changed).status == 303
    page = first.get(firm)
    assert ("Its review is due" in page.said, "The Quay" in page.text) == (True, True)
    assert firm in first.get("/console/parties?due=review").text
    assert firm in first.get("/console/parties?q=quay&status=approved").text
    first.get(firm)
    out = first.post(f"{firm}/refuse", {"act": "suspend", "reason": "No answer."})
    assert out.status == 303
    with office.parts.database.read() as connection:
        assert not party_store.is_verified(connection, office.alice, livemode=False)
    # Who looks at another account, and who only reads.
    first.get("/console/look")
    first.post("/console/look", {"account": office.bob})
    assert first.get(firm).status == 404
    viewer = office.browser(office.person("viewer"))
    text = viewer.get(firm).text
    assert ("No answer." in text, f"{firm}/" in text.replace(f"{firm}/documents", "")) == (
        True,
        False,
    )


def write_down(first: Browser) -> tuple[str, str]:
    """The company and its owner: where their pages are."""
    first.get("/console/parties/new?kind=legal_entity")
    wrong = first.post("/console/parties/new", {**COMPANY, "registered_city": ""})
    assert (wrong.status, "An address has a street" in wrong.text, "Quay" in wrong.text) == (
        400,
        True,
        True,
    )
    typo = first.post("/console/parties/new", {**COMPANY, "lei": "506700GE1G29325QX364"})
    assert (typo.status, "is no LEI" in typo.said) == (400, True)
    first.get("/console/parties/new?kind=legal_entity")
    firm = first.post("/console/parties/new", COMPANY).location
    assert first.post("/console/parties/new", COMPANY).location == firm
    first.get("/console/parties/new?kind=individual")
    owner = first.post("/console/parties/new", PERSON).location
    page = first.get(firm)
    for words in ("A certificate of incorporation", "Who owns the remaining", "Quay Imports"):
        assert words in page.said, words
    early = first.post(f"{firm}/submit")
    assert (early.status, "Something is missing" in early.said) == (400, True)
    return str(firm), str(owner)


def hand_in(office: Office, first: Browser, firm: str, owner: str) -> None:
    """Its owner is linked, a document is added, and it is handed in."""
    given = {"party": owner.rpartition("/")[2], "relation": "owner"}
    first.get(firm)
    for share in ("a third", "9e9999999"):
        odd = first.post(f"{firm}/link", {**given, "share": share})
        assert (odd.status, "Write a percentage" in odd.said) == (400, True)
        first.get(firm)
    assert first.post(f"{firm}/link", {**given, "share": "62.5"}).status == 303
    kept = {"document": "incorporation", "country": "HK", "expires_on": "2031-01-31"}
    first.get(firm)
    other = first.upload(f"{firm}/attach", kept, file=("it.exe", b"MZ"))
    assert (other.status, ".pdf" in other.said) == (400, True)
    first.get(firm)
    with pytest.MonkeyPatch.context() as patch:
        # Two clicks at once keep one document, and the second is answered like the first.
        patch.setattr(party_flow, "locked", Meeting(party_flow.locked))
        upload = f"{firm}/attach"
        both = first.twice(lambda tab: tab.upload(upload, kept, file=("i\0t.pdf", PDF)))
    assert [(each.status, each.location) for each in both] == [(303, firm)] * 2
    page = first.get(firm)
    [document] = re.findall(rf'href="({firm}/documents/\w+)"', page.text)
    got = first.get(document)
    assert (got.body, got.headers["content-disposition"].partition(";")[0]) == (PDF, "attachment")
    # Whatever an account called it: it is saved as what it is.
    with office.parts.database.begin() as connection:
        this = party_store.party_documents.c.id == document.rpartition("/")[2]
        hostile = (
            party_store.party_documents.update().where(this).values(name="../pass\u202eport.hta")
        )
        connection.execute(hostile)
    assert first.get(document).headers["content-disposition"].endswith("''passport.hta.pdf")
    # More than a quarter is nobody's yet.
    assert first.post(f"{firm}/submit").status == 400
    first.get(firm)
    [link] = re.findall(r'name="link" value="(plnk_\w+)"', first.get(firm).text)
    assert first.post(f"{firm}/unlink", {"link": link}).status == 303
    first.get(firm)
    assert first.post(f"{firm}/link", {**given, "share": "100"}).status == 303
    first.get(firm)
    assert first.post(f"{firm}/submit").status == 303


def decide(office: Office, first: Browser, second: Browser, firm: str) -> None:
    """A likeness is somebody else's, the risk is high, and two people accept it."""
    identifier = firm.rpartition("/")[2]
    compare_names(office, identifier)
    assert "Parties with likenesses to decide on" in second.get("/console").said
    page = second.get(firm)
    [hit] = re.findall(r'name="hit" value="(phit_\w+)"', page.text)
    [digest] = re.findall(r'name="digest" value="(\w+)"', page.text)
    # Nothing is accepted while a likeness is open, and nothing without a word why.
    open_ = second.post(f"{firm}/approve", {"digest": digest, "note": "papers seen"})
    assert (open_.status, "decide on each first" in open_.said) == (400, True)
    second.get(firm)
    assert second.post(f"{firm}/likeness", {"hit": hit, "state": "false_positive"}).status == 422
    second.get(firm)
    said = {"hit": hit, "state": "false_positive", "why": "Another register."}
    assert second.post(f"{firm}/likeness", said).status == 303
    assert "Another register." in second.get(f"/console/exemptions?q={identifier}").text
    second.get(firm)
    assert second.post(f"{firm}/rate", {"rating": "high", "note": "cash business"}).status == 303
    stale = second.post(f"{firm}/approve", {"digest": digest, "note": "papers seen"})
    assert stale.status == 400
    for browser in (first, second):
        [digest] = re.findall(r'name="digest" value="(\w+)"', browser.get(firm).text)
        said = {"digest": digest, "note": "papers seen"}
        office.unprove()
        browser.get(firm)
        assert browser.post(f"{firm}/approve", said).status == 403
        office.prove()
        browser.get(firm)
        assert browser.post(f"{firm}/approve", said).status == 303
        again = browser.post(f"{firm}/approve", said)
    assert again.status in (303, 400)
    with office.parts.database.read() as connection:
        assert party_store.is_verified(connection, office.alice, livemode=False)
    page = first.get(firm)
    for words in ("The first of two people accepted it", "Accepted", "cash business"):
        assert words in page.said, words


def compare_names(office: Office, identifier: str) -> None:
    """As the stage does: the lists have somebody who is called alike."""
    with office.parts.database.begin() as connection:
        party = party_store.find_party(
            connection, identifier, livemode=False, account_id=None, lock=True
        )
        assert party is not None
        party_store.put_hits(connection, [likeness(party.id, party.account_id)])
        party_store.change(
            connection,
            party.id,
            {"open_hits": 1, "screened_revision": party.revision, "lists_version": 3},
        )


def test_cases_are_given_together(office: Office) -> None:
    ids = [case_of(office, under_review(office, office.alice)) for _ in range(3)]
    giver, taker = office.person("compliance"), office.person("compliance")
    browser, other = office.browser(giver), office.browser(taker)
    page = browser.get("/console/cases").text
    chosen = re.findall(r'name="chosen" value="([^"]+)"', page)
    assert {f"{each}:" for each in ids} <= set(chosen)
    other.get(f"/console/cases/{ids[2]}")
    assert other.post(f"/console/cases/{ids[2]}/take", {"was": ""}).status == 303
    browser.get("/console/cases")
    sent = {"chosen": [f"{each}:" for each in ids], "assignee": giver.id}
    assert browser.post("/console/cases/give", sent).status == 303
    told = browser.get("/console/cases?owner=me")
    assert "2 cases are given. 1 was changed by somebody meanwhile" in told.said
    assert [f"/cases/{each}" in told.text for each in ids] == [True, True, False]
    home = browser.get("/console").said
    assert ("Cases of yours" in home, "Open cases" in home) == (True, True)
    viewer = office.browser(office.person("viewer"))
    assert 'name="chosen"' not in viewer.get("/console/cases").text


def _field(page: str, name: str) -> str:
    found = re.search(rf'<textarea id="{name}"[^>]*>(.*?)</textarea>', page, re.DOTALL)
    assert found is not None, page
    return unescape(found[1])


def _draft(page: str) -> dict[str, str]:
    """What the form of a draft sends when nothing was typed."""
    hidden = re.findall(r'<input type="hidden" name="(rules|view|open)" value="([^"]*)"', page)
    return {name: unescape(value) for name, value in hidden}
