"""A payout that another institution is asked about before it is signed."""

import json
from collections.abc import Callable

from sakk.core.evm import checksum_address
from sakk.core.trp import encode_travel_address
from tests.crash.house import House
from tests.crash.job import Merchant
from tests.receiver import Answer, Receiver

PATH, CONFIRMED = "/vasp", "/confirmed"
WANTS = {"originator": [["name"]], "beneficiary": [["name"]]}
REGIME = {"name": "drill", "limits": {}, "basic": WANTS, "full": WANTS}
DESTINATION = "0x" + "7b1d" * 10


def company(name: str) -> dict[str, object]:
    names = [{"legalPersonName": name, "legalPersonNameIdentifierType": "LEGL"}]
    return {"legalPerson": {"name": {"nameIdentifier": names}}}


def told_payout(house: House, merchant: Merchant) -> Callable[[], None]:
    """The worker dies on both sides of the inquiry; the other side agrees, and hears the hash."""
    operator = house.client(house.description["operator_key"])
    regime = {"regime": REGIME, "institution": company("Sakk Pay")}
    operator.post("/v1/travel_rule/regime", regime)
    # What an API process remembers of the configuration is of a second ago at the most.
    house.kill("api")
    house.await_role("api")
    merchant.client.post("/v1/travel_rule/originator", {"type": "legal", "name": "Shop"})
    job = merchant.begin()
    job.beneficiary = DESTINATION
    with Receiver() as other:
        approved = {"address": checksum_address(DESTINATION), "callback": other.url + CONFIRMED}
        other.answers[PATH] = Answer(body=json.dumps({"approved": approved}).encode())
        travel = encode_travel_address(f"{other.url.replace('http:', 'https:')}{PATH}")
        told = {
            "type": "legal",
            "name": "Acme",
            "wallet": "hosted",
            "vasp": {"travel_address": travel},
        }
        body = {**merchant.payout_body(job), "travel_rule": told}
        payout = job.payout = merchant.client.post("/v1/payouts", body)
        merchant.balance_units -= job.payout_units
        merchant.await_end(job)
        [*_, confirmed] = other.wait(CONFIRMED, 1)
        asked = other.at(PATH)
    operator.post("/v1/travel_rule/regime", {"regime": "none"})

    def compare() -> None:
        merchant.compare(job)
        assert len(asked) >= 2
        assert len({each.headers["request-identifier"] for each in asked}) == 1
        assert len({each.body for each in asked}) == 1
        shown = merchant.client.get(f"/v1/payouts/{payout['id']}")
        assert shown["travel_rule"] == "complete"
        assert json.loads(confirmed.body) == {"txid": shown["tx_hash"]}

    return compare
