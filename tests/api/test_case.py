"""Cases over the API: worked by the operator, downloads that harm nobody, and no tipping-off."""

import base64
import hashlib
import json
import re
from typing import Any

import pytest

from sakk.api.app import ROUTES
from sakk.api.route import Route
from sakk.core.case import CaseKind, Opening, Priority, Settings, opening_of
from sakk.core.event import EVENT_TYPES
from sakk.core.payin import PayInStatus
from sakk.flow.case import open_cases
from sakk.flow.payin import declined_events, payin_event
from sakk.store import event as events
from sakk.store.case import put_settings
from sakk.store.database import update_records
from sakk.store.identity import now
from sakk.store.payin import find, payins
from sakk.store.screening import find_screening
from tests.api.objects import Objects
from tests.api.world import Api
from tests.core.test_goaml import check

# What would tell a merchant, or whoever reads over its shoulder, why something is looked at.
TRACES = (
    "case_",
    "cnote_",
    "catt_",
    "scr_",
    "sanction",
    "ofac",
    "screening_block",
    "screening_review",
    "direct_",
    "compliance",
    "seize",
    "quarantine",
    "tipped",
)
# A merchant's own words for what is on offer to it say nothing of any case.
HARMLESS = re.compile(r'"screening":null|"screenings?[:.]|"cases?:(read|write)"')


def operator(api: Api, method: str, path: str, **options: Any) -> Any:
    answer = api.call(method, path, key=api.world.operator.key, **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_case_is_worked_over_the_api(api: Api, objects: Objects) -> None:
    case = objects["case"]
    listed = operator(api, "GET", "/v1/cases?status=in_progress&kind=payin&order=queue")["data"]
    shown = operator(api, "GET", f"/v1/cases/{case}")
    assert shown["subject"] == objects["payin"]
    assert shown["screenings"][0]["reasons"][0]["list"] == "ofac"
    assert "looked at" in [each["text"] for each in shown["notes"]]
    assert [each["act"] for each in shown["history"]][:3] == ["opened", "noted", "attached"]
    assert shown["one_person"] is True
    assert (case in [each["id"] for each in listed]) == (shown["status"] == "in_progress")
    by_subject = operator(api, "GET", f"/v1/cases?subject={objects['payin']}")["data"]
    assert [each["id"] for each in by_subject] == [case]
    for query in ("order=queue&created[gte]=1", "order=queue&ending_before=case_1", "status=x"):
        assert api.call("GET", f"/v1/cases?{query}", key=api.world.operator.key).status_code == 400
    gone = api.call(
        "GET", "/v1/cases?order=queue&starting_after=case_0", key=api.world.operator.key
    )
    assert (gone.status_code, gone.json()["error"]["param"]) == (400, "starting_after")


def test_a_file_is_only_ever_saved(api: Api, objects: Objects) -> None:
    path = f"/v1/cases/{objects['case']}/attachments"
    content = b"%PDF-1.7 <script>alert(1)</script>"
    kept = operator(
        api,
        "POST",
        path,
        json={
            "file": base64.b64encode(content).decode(),
            "name": '../"x\r\nSet-Cookie: a=1\u202e.pdf',
            "media_type": "application/pdf",
        },
    )
    assert kept["name"] == "_xSet-Cookie_ a=1.pdf"
    answer = api.call("GET", f"{path}/{kept['id']}/content", key=api.world.operator.key)
    assert (answer.status_code, answer.content) == (200, content)
    headers = answer.headers
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"].startswith('attachment; filename="_xSet-Cookie_ a=1.pdf"')
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "set-cookie" not in headers
    # As a part of a form it is sent as it is.
    sent = api.call(
        "POST",
        path,
        key=api.world.operator.key,
        files={"file": ("x.csv", b"a,b\n")},
        data={"name": "x.csv", "media_type": "text/csv"},
    )
    assert (sent.status_code, sent.json()["size_bytes"]) == (200, 4)
    for body, param in (
        ({"file": "*", "name": "x", "media_type": "text/plain"}, "file"),
        ({"file": "É", "name": "x", "media_type": "text/plain"}, "file"),
        ({"file": "PGh0bWw+", "name": "x", "media_type": "text/html"}, "media_type"),
    ):
        refused = api.call("POST", path, key=api.world.operator.key, json=body)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
    other = f"/v1/cases/{objects['case']}/attachments/catt_1/content"
    assert api.call("GET", other, key=api.world.operator.key).status_code == 404


def traces(text: str, *more: str) -> list[str]:
    plain = HARMLESS.sub("", text.lower())
    return [each for each in (*TRACES, *more) if each.lower() in plain]


@pytest.fixture
def under_way(api: Api, objects: Objects) -> list[str]:
    """A held pay-in of Alice's with a case that is being worked on; what nobody may hear of it."""
    case = objects["case"]
    with api.database.begin() as connection:
        row = find(connection, objects["payin"], account_id=None, livemode=False)
        assert row is not None
        held = {
            "id": row.id,
            "status": PayInStatus.held.value,
            "reason": "screening_block",
            "screening": objects["screening"],
        }
        update_records(connection, payins, [held])
        found = find_screening(connection, objects["screening"])
        assert found is not None
        open_cases(connection, [opening_of(found, CaseKind.payin)], now=now())
    operator(api, "POST", f"/v1/cases/{case}/notes", json={"text": "tipped off by a bank"})
    return [case, objects["screening"], case[5:]]


@pytest.mark.parametrize(
    "status", [PayInStatus.held, PayInStatus.released, PayInStatus.returned, PayInStatus.seized]
)
def test_no_route_tips_a_merchant_off(
    api: Api, objects: Objects, under_way: list[str], status: PayInStatus
) -> None:
    """Every route that a merchant's key can call, while a case is open and after it ended."""
    with api.database.begin() as connection:
        update_records(connection, payins, [{"id": objects["payin"], "status": status.value}])
    asked = 0
    for route in ROUTES:
        path = re.sub(r"{(\w+)}", lambda match: objects.get(match[1], "x"), route.path)
        if route.method != "GET":
            if not route.operator_only:
                continue
            answer = api.call(route.method, path, json={})
        else:
            answer = api.call("GET", path)
        asked += 1
        spoken = without_what_was_asked(answer.text, path, objects)
        assert traces(spoken, *under_way) == [], (route.path, answer.text)
    assert asked > 60
    shown = api.call("GET", f"/v1/payins/{objects['payin']}").json()
    words = {"held": "under_review", "released": "released"}
    assert shown["status"] == words.get(status.value, "declined")
    assert (shown["reason"], shown["screening"]) == (None, None)
    # What each word finds is what bears it.
    found = api.call("GET", f"/v1/payins?status={shown['status']}").json()["data"]
    assert objects["payin"] in [each["id"] for each in found]
    for hidden in ("held", "returned", "seized"):
        assert api.call("GET", f"/v1/payins?status={hidden}").status_code == 400


def without_what_was_asked(text: str, path: str, objects: Objects) -> str:
    """An answer without the words of the request itself: a path that holds an id names it back."""
    for each in {path, *path.split("/")[3:]}:
        text = text.replace(each, "") if each in objects.values() or each == path else text
    return text


def test_no_event_tips_a_merchant_off(api: Api, objects: Objects, under_way: list[str]) -> None:
    """Every type that a merchant may be told of, about a pay-in that is held or seized."""
    with api.database.begin() as connection:
        row = find(connection, objects["payin"], account_id=None, livemode=False)
        assert row is not None
        names = [name for name, kind in EVENT_TYPES.items() if kind.noun == "payin"]
        told = [payin_event(row, name) for name in names]
        told += declined_events(row, "payin.seized")
        events.append(connection, told, now=now())
    page = api.call("GET", "/v1/events?limit=100").json()["data"]
    assert {each["type"] for each in page} & {"payin.under_review", "payin.declined"}
    for each in page:
        assert EVENT_TYPES[each["type"]].audience == "merchant"
        assert traces(json.dumps(each), *under_way) == [], each
    for name, kind in EVENT_TYPES.items():
        if kind.noun in ("case", "screening", "list"):
            assert kind.audience == "operator", name
            assert api.call("GET", f"/v1/events?type={name}").json()["data"] == []


def test_every_route_of_cases_is_the_operators(api: Api, objects: Objects) -> None:
    routes: list[Route] = [route for route in ROUTES if route.resource == "cases"]
    assert len(routes) >= 10
    assert all(route.operator_only for route in routes)
    for route in routes:
        path = re.sub(r"{(\w+)}", lambda match: objects[match[1]], route.path)
        sent: dict[str, Any] = {} if route.method == "GET" else {"json": {}}
        answer = api.call(route.method, path, **sent)
        assert answer.status_code == 403
        assert "operator" in answer.json()["error"]["message"]


ENTITY = {
    "rentity_id": 4711,
    "name": "Coffee & Coins",
    "swift": "COFFXX22",
    "person": {
        "first_name": "Dora",
        "last_name": "Brien",
        "email": "dora@example.com",
        "occupation": "MLRO",
    },
    "location": {"address": "1 Main Street", "city": "Valletta", "country_code": "MT"},
    "currency": "USD",
}
WORDS = {"reason": "Listed <sender>", "action": "Held.", "indicators": ["SAN"]}


def test_a_report_is_drafted_and_filed(api: Api, objects: Objects) -> None:
    key, case = api.world.operator.key, objects["case"]
    wrong = {"reporting_entity": {**ENTITY, "currency": "euro"}}
    refused = api.call("POST", "/v1/case_settings", key=key, json=wrong)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "currency")
    changed = operator(api, "POST", "/v1/case_settings", json={"reporting_entity": ENTITY})
    assert changed["reporting_entity"]["report_code"] == "STR"
    assert operator(api, "GET", "/v1/case_settings") == changed
    draft = operator(api, "POST", f"/v1/cases/{case}/report", json=WORDS)
    assert (draft["schema_version"], draft["format"]) == ("goAML 4.0", "goaml")
    root = check(draft["xml"].encode())
    assert root.findtext("reason") == "Listed <sender>"
    assert hashlib.sha256(draft["xml"].encode()).hexdigest() == draft["sha256"]
    # Drafting kept nothing.
    before = operator(api, "GET", f"/v1/cases/{case}")
    assert "application/xml" not in [each["media_type"] for each in before["attachments"]]
    # Nor do a note and files make a case that nobody took one in progress.
    assert before["status"] == "open"
    filed = operator(api, "POST", f"/v1/cases/{case}/filings", json=WORDS)
    assert (filed["status"], filed["proposal"]["outcome"]) == ("awaiting_second", "file")
    [kept] = [each for each in filed["attachments"] if each["media_type"] == "application/xml"]
    path = f"/v1/cases/{case}/attachments/{kept['id']}/content"
    content = api.call("GET", path, key=key).content
    assert hashlib.sha256(content).hexdigest() == filed["proposal"]["sha256"]
    done = operator(api, "POST", f"/v1/cases/{case}/confirm", json={"digest": filed["digest"]})
    assert (done["status"], done["proposal"]) == ("in_progress", None)
    again = api.call("POST", f"/v1/cases/{case}/confirm", key=key, json={"digest": filed["digest"]})
    assert again.json()["error"]["code"] == "unexpected_state"


def test_a_merchant_is_asked_and_answers(api: Api) -> None:
    """What it sees of it is the question and the payment; what it sends is the case's."""
    key = api.world.operator.key
    with api.database.begin() as connection:
        opening = Opening(
            subject="pin_asked",
            kind=CaseKind.address,
            account_id=api.world.alice.account,
            livemode=False,
            screening_id=None,
            reason="block: direct_sanctions (sanctions)",
            priority=Priority.high,
        )
        [case] = open_cases(connection, [opening], now=now()).values()
        put_settings(connection, Settings(False, True, None, "test", now()))
    path = f"/v1/cases/{case}/information_requests"
    told = api.call("POST", path, key=key, json={"question": "Is he on the OFAC list?"})
    assert (told.status_code, told.json()["error"]["param"]) == (400, "question")
    asked = operator(api, "POST", path, json={"question": "What was it paid for?"})
    assert operator(api, "GET", f"/v1/cases/{case}")["status"] == "awaiting_answer"
    mine = api.call("GET", "/v1/information_requests?status=open&limit=1")
    assert mine.json()["data"] == [asked]
    assert traces(mine.text, case, case[5:]) == []
    path = f"/v1/information_requests/{asked['id']}"
    pdf = {"name": "a.pdf", "media_type": "application/pdf"}
    for body, param in (
        ({"text": "x", "files": [{"file": "*", **pdf}]}, "files[0].file"),
        ({"text": "x", "files": [{"file": "aGk=", **pdf}]}, "file"),
        ({"text": "\u0007"}, "text"),
    ):
        refused = api.call("POST", f"{path}/answer", json=body)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
    content = b"%PDF-1.7 invoice"
    sent = {"text": "An invoice.", "files": [{"file": base64.b64encode(content).decode(), **pdf}]}
    answered = api.call("POST", f"{path}/answer", json=sent).json()
    assert (answered["status"], answered["answer"]["text"]) == ("answered", "An invoice.")
    assert traces(json.dumps(answered), case, case[5:]) == []
    shown = operator(api, "GET", f"/v1/cases/{case}")
    [kept] = shown["information_requests"][0]["attachments"]
    got = api.call("GET", f"/v1/cases/{case}/attachments/{kept}/content", key=key)
    assert (shown["status"], got.content) == ("in_progress", content)
    heard = api.call("GET", "/v1/events?type=information_request.created").json()["data"]
    assert asked["id"] in [each["data"]["object"]["id"] for each in heard]
    assert traces(json.dumps(heard), case, case[5:]) == []
