"""What money between accounts is made of, as objects of the API."""

from tests.api.world import Api


def create_closed_loop(api: Api) -> dict[str, str]:
    """A handle of Alice's, and an e-mail address that she has not proved."""
    made(api, "/v1/aliases", {"kind": "handle", "value": "alice"})
    email = made(api, "/v1/aliases", {"kind": "email", "value": "alice@example.com"})
    return {"alias": email}


def made(api: Api, path: str, body: dict[str, object]) -> str:
    answer = api.call("POST", path, json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])
