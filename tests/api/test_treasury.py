"""The treasury over HTTP: the operator's alone."""

from tests.api.world import Api


def test_the_operator_sees_the_treasury_and_a_merchant_does_not(api: Api) -> None:
    answer = api.call("GET", "/v1/treasury", key=api.world.operator.key)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert (document["object"], document["livemode"]) == ("treasury", False)
    for asset in document["assets"]:
        assert set(asset["balances"]) == {"hot", "warm", "cold"}
        assert asset["proposals"] == []
    refused = api.call("GET", "/v1/treasury", key=api.world.alice.key)
    assert refused.status_code == 403
