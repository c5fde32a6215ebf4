"""What money between accounts is made of, as objects of the API."""

from tests.api.world import Api


def create_closed_loop(api: Api) -> dict[str, str]:
    """A handle of Alice's, an e-mail address that she has not proved, and what she asks for."""
    made(api, "/v1/aliases", {"kind": "handle", "value": "alice"})
    email = made(api, "/v1/aliases", {"kind": "email", "value": "alice@example.com"})
    asked = {"payer": api.world.operator.account, "currency": "usdc", "amount": 5}
    bill = {
        "amount": 10,
        "currency": "usdc",
        "shares": [{"payer": api.world.operator.account}],
    }
    return {
        "alias": email,
        "money_request": made(api, "/v1/money_requests", asked),
        "bill": made(api, "/v1/bills", bill),
        "gift_card": made(api, "/v1/gift_cards", {"amount": 1_000, "currency": "usdc"}),
        "gift_card_batch": made(
            api,
            "/v1/gift_card_batches",
            {"cards": [{"amount": 10, "count": 3}, {"amount": 20}], "currency": "usdc"},
        ),
        "gift_card_movement": _moved(api),
    }


def _moved(api: Api) -> str:
    answer = api.call("GET", "/v1/gift_card_movements")
    return str(answer.json()["data"][0]["id"])


def made(api: Api, path: str, body: dict[str, object]) -> str:
    answer = api.call("POST", path, json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])
