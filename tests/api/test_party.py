"""Parties over the wire: what a merchant writes, what it sees, and what it can not do."""

import hashlib
from base64 import b64decode, b64encode
from typing import Any

import pytest

from sakk.core.profile import DOCUMENT_BYTES_MAX
from tests.api.world import Api

FIRM = {
    "legal_name": "Harbour Trading Ltd",
    "native_names": ["港貿易有限公司"],
    "registration": {"number": "0815", "country": "HK"},
    "incorporated_on": "2019-02-28",
    "registered_address": {"line1": "1 Queen's Road", "city": "Hong Kong", "country": "HK"},
}
ANN = {
    "full_name": "Ann Ómarsdóttir",
    "birth_date": "1980-02-29",
    "nationalities": ["IS"],
    "address": {"line1": "Bankastræti 1", "city": "Reykjavík", "country": "IS"},
}
PDF = b"%PDF-1.7 something that is kept"


def post(api: Api, path: str, body: dict[str, Any], **options: Any) -> Any:
    answer = api.call("POST", path, json=body, **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


def firm(api: Api, **changes: Any) -> str:
    body = {"kind": "legal_entity", "details": FIRM | changes}
    return str(post(api, "/v1/parties", body)["id"])


def person(api: Api, **changes: Any) -> str:
    body = {"kind": "individual", "details": ANN | changes}
    return str(post(api, "/v1/parties", body)["id"])


def paper(kind: str, content: bytes = PDF, **changes: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "name": "scan.pdf",
        "media_type": "application/pdf",
        "content": b64encode(content).decode(),
    } | changes


def refused(api: Api, path: str, body: dict[str, Any], **options: Any) -> tuple[int, Any]:
    answer = api.call("POST", path, json=body, **options)
    return answer.status_code, answer.json()["error"].get("param")


def test_a_merchant_writes_a_party_down_and_hands_it_in(api: Api) -> None:
    mine = firm(api)
    refusal = api.call("POST", f"/v1/parties/{mine}/submit").json()["error"]
    assert refusal["code"] == "unexpected_state"
    assert "owners of the remaining 100 %" in refusal["message"]
    assert "a document of kind incorporation" in refusal["message"]
    owner = person(api)
    post(api, f"/v1/parties/{mine}/links", {"party": owner, "relation": "director"})
    post(
        api,
        f"/v1/parties/{mine}/links",
        {"party": owner, "relation": "owner", "share_ppm": 1_000_000},
    )
    post(api, f"/v1/parties/{mine}/documents", paper("incorporation"))
    submitted = post(api, f"/v1/parties/{mine}/submit", {})
    assert submitted["status"] == "under_review"
    assert not {"rating", "open_hits", "digest"} & submitted.keys()
    full = api.call("GET", f"/v1/parties/{mine}", key=api.world.operator.key).json()
    assert (full["status"], full["rating"], full["open_hits"]) == ("submitted", "medium", 0)
    assert len(full["digest"]) == 64
    owned = api.call("GET", f"/v1/parties/{mine}/ownership").json()
    assert [(each["party"], each["beneficial"]) for each in owned["owners"]] == [(owner, True)]
    assert owned["unattributed_ppm"] == 0
    listed = api.call("GET", "/v1/parties", params={"status": "under_review", "limit": 100})
    assert mine in [each["id"] for each in listed.json()["data"]]
    events = api.call("GET", "/v1/events", params={"type": "party.submitted"}).json()["data"]
    assert events[0]["data"]["object"]["status"] == "under_review"


def test_a_change_is_a_revision(api: Api) -> None:
    mine = firm(api)
    changed = post(api, f"/v1/parties/{mine}", {"details": FIRM | {"legal_name": "Harbour BV"}})
    assert (changed["name"], changed["revision"]) == ("Harbour BV", 2)
    same = post(api, f"/v1/parties/{mine}", {"details": changed["details"], "metadata": {"a": "b"}})
    assert (same["revision"], same["metadata"]) == (2, {"a": "b"})


def test_a_document_comes_back_as_it_was_and_is_sealed_at_rest(api: Api) -> None:
    mine = firm(api)
    made = post(api, f"/v1/parties/{mine}/documents", paper("incorporation", country="HK"))
    assert made["sha256"] == hashlib.sha256(PDF).hexdigest()
    path = f"/v1/parties/{mine}/documents/{made['id']}"
    assert b64decode(api.call("GET", path).json()["content"]) == PDF
    with api.database.begin() as connection:
        stored = connection.exec_driver_sql(
            "SELECT sealed FROM party_contents WHERE document_id = %s", (made["id"],)
        ).scalar_one()
    assert PDF not in bytes(stored)
    assert api.call("DELETE", path).json()["removed"] is True
    assert api.call("GET", f"/v1/parties/{mine}/documents").json()["data"] == []
    assert api.call("GET", path).json()["removed"] is True


def test_links_are_removed_and_never_make_more_than_the_whole(api: Api) -> None:
    mine, one, other = firm(api), person(api), person(api)
    path = f"/v1/parties/{mine}/links"
    most = {"party": one, "relation": "owner", "share_ppm": 600_000}
    link = post(api, path, most)["id"]
    assert refused(api, path, most | {"share_ppm": 1}) == (400, "party")
    more = {"party": other, "relation": "owner", "share_ppm": 400_001}
    assert refused(api, path, more) == (400, "share_ppm")
    assert api.call("DELETE", f"{path}/{link}").json()["removed"] is True
    assert api.call("DELETE", f"{path}/{link}").status_code == 404
    post(api, path, more)
    listed = api.call("GET", path).json()["data"]
    assert [each["party"] for each in listed] == [other]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"kind": "club", "details": {}}, "kind"),
        ({"kind": "individual", "details": {}}, "details"),
        ({"kind": "individual", "details": {"full_name": "A", "nick": "B"}}, "details[nick]"),
        ({"kind": "individual", "details": {"full_name": "A"}, "customer": "cus_0"}, "customer"),
        (
            {"kind": "legal_entity", "details": {"legal_name": "A", "lei": "1"}},
            "details[lei]",
        ),
    ],
)
def test_what_is_no_party(api: Api, body: dict[str, Any], param: str) -> None:
    assert refused(api, "/v1/parties", body) == (400, param)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"content": "%%%"}, "content"),
        ({"content": "É"}, "content"),
        ({"content": b64encode(b"<html>").decode()}, "content"),
        ({"media_type": "text/html"}, "media_type"),
        ({"expires_on": "2020-02-30"}, "expires_on"),
        ({"issued_on": "2020-02-30"}, "issued_on"),
        ({"country": "XX"}, "country"),
    ],
)
def test_what_is_no_document(api: Api, changes: dict[str, Any], param: str) -> None:
    mine = firm(api)
    assert refused(api, f"/v1/parties/{mine}/documents", paper("other") | changes) == (400, param)


def test_a_large_document_is_taken_and_a_larger_one_is_not(api: Api) -> None:
    mine = firm(api)
    largest = b"%PDF-" + bytes(DOCUMENT_BYTES_MAX - 5)
    made = post(api, f"/v1/parties/{mine}/documents", paper("other", largest))
    assert made["size"] == DOCUMENT_BYTES_MAX
    status, _ = refused(api, f"/v1/parties/{mine}/documents", paper("other", largest + b"1"))
    assert status in (400, 413)


def test_a_merchant_decides_nothing_and_sees_no_hit(api: Api) -> None:
    mine = firm(api)
    for act in ("approve", "reject", "suspend", "rate"):
        assert api.call("POST", f"/v1/parties/{mine}/{act}", json={}).status_code in (400, 403)
    assert api.call("GET", f"/v1/parties/{mine}/hits").status_code == 403
    # And nothing of another's.
    for path in ("", "/links", "/documents", "/ownership"):
        answer = api.call("GET", f"/v1/parties/{mine}{path}", key=api.world.bob.key)
        assert answer.status_code == 404
    theirs = post(
        api,
        "/v1/parties",
        {"kind": "individual", "details": ANN},
        key=api.world.bob.key,
    )["id"]
    link = {"party": theirs, "relation": "director"}
    assert refused(api, f"/v1/parties/{mine}/links", link) == (404, "party")
