"""Fees, asked for by the client."""

from sakk.client import SakkClient

from .conftest import Reply, Script

FEE_SIMULATION = {
    "object": "fee_simulation",
    "amount": 5,
    "currency": "usdc",
    "fee": 1,
    "kind": "payin",
    "net": 4,
}


def test_a_simulation_is_no_object_of_its_own(client: SakkClient, script: Script) -> None:
    script.will(Reply(FEE_SIMULATION))
    found = client.fee_simulations.create(
        kind="payin", amount=5, currency="usdc", fee_schedule="fsch_1"
    )
    (asked,) = script.asked
    assert f"{asked.method} {asked.path}" == "POST /v1/fee_simulations"
    assert asked.document == {
        "kind": "payin",
        "amount": 5,
        "currency": "usdc",
        "fee_schedule": "fsch_1",
    }
    assert (found.fee, found.net) == (1, 4)
