"""Names at the door: the operator's alone, refused by field, decided and found again."""

from typing import Any

import pytest

from tests.api.world import Api

PATH = "/v1/screenings/names"


@pytest.fixture
def operator(api: Api) -> str:
    return api.world.operator.key


def test_a_name_is_screened_and_the_decision_found_again(api: Api, operator: str) -> None:
    body = {"name": "Ivan  Petrov", "kind": "person", "birth": "3 May 1962", "countries": ["RU"]}
    answer = api.call("POST", PATH, key=operator, json=body)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    assert (made["name"], made["birth"], made["subject"]) == (
        "Ivan Petrov",
        "1962-05-03",
        "enquiry",
    )
    assert (made["verdict"], made["hits"], made["matcher"]) == ("clear", [], "names-1")
    assert api.call("GET", f"{PATH}/{made['id']}", key=operator).json() == made
    assert api.call("GET", PATH, key=operator).json()["data"][0] == made
    named = api.call("GET", f"{PATH}?subject=nobody", key=operator).json()
    assert named["data"] == []
    assert api.call("GET", f"{PATH}/nsc_1", key=operator).status_code == 404


def test_it_is_the_operators_alone(api: Api) -> None:
    assert api.call("POST", PATH, json={"name": "Ivan"}).status_code == 403
    assert api.call("GET", PATH).status_code == 403
    assert api.call("GET", f"{PATH}/exemptions").status_code == 403


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a\tb"}, "name"),
        ({"name": "Ivan", "kind": "horse"}, "kind"),
        ({"name": "Ivan", "birth": "soon"}, "birth"),
        ({"name": "Ivan", "countries": ["ZZ"]}, "countries"),
        ({"name": "Ivan", "subject": "x" * 200}, "subject"),
        ({"name": "Ivan", "subject": " "}, "subject"),
        ({"name": "Ivan", "colour": "red"}, "colour"),
    ],
)
def test_what_can_not_be_is_refused_by_its_field(
    api: Api, operator: str, body: dict[str, Any], param: str
) -> None:
    answer = api.call("POST", PATH, key=operator, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_an_exemption_is_a_persons_word(api: Api, operator: str) -> None:
    body = {"subject": "a note", "entity": "ent_1", "reason": "another birth date"}
    answer = api.call("POST", f"{PATH}/exemptions", key=operator, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "permission_denied")
    ended = api.call("POST", f"{PATH}/exemptions/nex_1/end", key=operator)
    assert ended.status_code == 404
