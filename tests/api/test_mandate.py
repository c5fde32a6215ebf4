"""Mandates at the door: an owner signs, an agent asks with its own key, a person says yes."""

import asyncio
import time
from typing import Any

import pytest
from eth_account import Account

from mcp import Client
from sakk.client import SakkClient
from sakk.client.agent import AgentClient
from sakk.client.errors import AuthenticationError, PermissionDeniedError
from sakk.client.wallet import Wallet
from sakk.core.ap2 import VCT
from sakk.mcp.server import Agent, build
from tests.api.agent import Signed, register, sign_mandate, signature
from tests.api.world import Api


@pytest.fixture(scope="module", autouse=True)
def funded(api: Api) -> None:
    assert api.call("POST", "/v1/probes/fund", json={"amount": 50_000_000}).status_code == 200


@pytest.fixture(scope="module")
def signed(api: Api) -> Signed:
    return sign_mandate(api, call_max=1_000_000, approval_above=500_000, may_park=True)


def spend(api: Api, **values: Any) -> dict[str, Any]:
    return {
        "reference": f"r{time.monotonic_ns()}",
        "amount": 1_000,
        "payee": {"account": api.world.operator.account},
        **values,
    }


def test_an_agent_needs_no_api_key(api: Api, signed: Signed) -> None:
    path = f"/v1/mandates/{signed.id}"
    before = signed.ask(api, "GET", path).json()
    done = signed.ask(api, "POST", f"{path}/spends", spend(api))
    assert (done.status_code, done.json()["status"]) == (200, "posted")
    after = signed.ask(api, "GET", path).json()
    assert after["budgets"][0]["left"] == before["budgets"][0]["left"] - 1_000
    listed = signed.ask(api, "GET", f"{path}/spends?limit=1").json()
    assert listed["data"][0]["id"] == done.json()["id"]


def test_a_copy_of_a_request_is_the_same_spend(api: Api, signed: Signed) -> None:
    path, body = f"/v1/mandates/{signed.id}/spends", spend(api)
    first, second = (signed.ask(api, "POST", path, body).json() for _ in range(2))
    assert first == second


@pytest.mark.parametrize("seconds", [-400, 400])
def test_a_request_is_good_for_minutes(api: Api, signed: Signed, seconds: int) -> None:
    answer = signed.ask(api, "GET", f"/v1/mandates/{signed.id}", seconds=seconds)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "api_key_invalid")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/mandates"),
        ("GET", "/v1/balance"),
        ("GET", "/v1/mandates/{other}"),
        ("POST", "/v1/mandates/{other}/spends"),
        ("POST", "/v1/mandates/{own}/revoke"),
        ("POST", "/v1/mandates/{own}/spends/spn_1/approve"),
        ("POST", "/v1/mandates/{own}/spends/spn_1/release"),
        ("POST", "/v1/transfers"),
    ],
)
@pytest.mark.parametrize("by_key", [False, True])
def test_an_agent_does_nothing_else(
    api: Api,
    signed: Signed,
    another: Signed,
    bound: str,
    method: str,
    path: str,
    by_key: bool,
) -> None:
    path = path.replace("{own}", signed.id).replace("{other}", another.id)
    body = spend(api) if method == "POST" else None
    if by_key:
        answer = api.call(method, path, key=bound, **({} if body is None else {"json": body}))
    else:
        answer = signed.ask(api, method, path, body)
    assert answer.status_code in (403, 404), answer.text


@pytest.fixture(scope="module")
def another(api: Api) -> Signed:
    return sign_mandate(api)


@pytest.fixture(scope="module")
def bound(api: Api, signed: Signed) -> str:
    made = api.call("POST", "/v1/api_keys", json={"mandate": signed.id}).json()
    assert made["mandate"] == signed.id
    return str(made["secret"])


def test_a_key_that_is_bound_to_a_mandate_spends_under_it(
    api: Api, signed: Signed, bound: str
) -> None:
    path = f"/v1/mandates/{signed.id}"
    done = api.call("POST", f"{path}/spends", key=bound, json=spend(api))
    assert done.json()["status"] == "posted", done.text
    assert api.call("GET", path, key=bound).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"mandate": "mnd_" + "0" * 26}, 404),
        ({"kind": "secret"}, 400),
        ({"scopes": ["payouts:write"]}, 400),
    ],
)
def test_a_bound_key_has_no_more_than_the_agent(
    api: Api, signed: Signed, body: dict[str, Any], status: int
) -> None:
    answer = api.call("POST", "/v1/api_keys", json={"mandate": signed.id, **body})
    assert answer.status_code == status, answer.text


def test_a_refusal_says_which_limit_for_a_machine(api: Api, signed: Signed) -> None:
    answer = signed.ask(
        api, "POST", f"/v1/mandates/{signed.id}/spends", spend(api, amount=1_000_001)
    )
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "mandate_refused")
    assert error["details"] == {"limit": "call_max", "amount": 1_000_000}


def test_a_person_says_yes_and_the_agent_comes_back(api: Api, signed: Signed) -> None:
    path, body = f"/v1/mandates/{signed.id}/spends", spend(api, amount=500_001)
    waiting = signed.ask(api, "POST", path, body).json()
    assert waiting["status"] == "waiting"
    assert signed.ask(api, "POST", path, body).json()["status"] == "waiting"
    where = f"{path}/{waiting['id']}"
    # A key alone is no person, and neither is a signature of another's.
    assert api.call("POST", f"{where}/approve", json={}).status_code == 403
    wrong = signature(signed.agent, waiting["approval_typed_data"])
    refused = api.call("POST", f"{where}/approve", json={"owner_signature": wrong})
    assert refused.json()["error"]["param"] == "owner_signature"
    right = signature(signed.owner, waiting["approval_typed_data"])
    yes = api.call("POST", f"{where}/approve", json={"owner_signature": right})
    assert (yes.json()["status"], yes.json()["approved_by"]) == ("approved", signed.owner_key)
    again = api.call("POST", f"{where}/approve", json={"owner_signature": right})
    assert again.json()["error"]["code"] == "unexpected_state"
    done = [signed.ask(api, "POST", path, body).json() for _ in range(2)]
    assert [each["status"] for each in done] == ["posted", "posted"]
    assert done[0]["id"] == waiting["id"]


def test_a_no_ends_it(api: Api, signed: Signed) -> None:
    path, body = f"/v1/mandates/{signed.id}/spends", spend(api, amount=600_000)
    waiting = signed.ask(api, "POST", path, body).json()
    no = api.call("POST", f"{path}/{waiting['id']}/reject", json={"comment": "Too much."})
    assert no.json()["status"] == "rejected", no.text
    assert signed.ask(api, "POST", path, body).json()["status"] == "rejected"


def test_an_agent_parks_and_takes_back(api: Api, signed: Signed) -> None:
    path = f"/v1/mandates/{signed.id}"
    for way in ("park", "unpark"):
        moved = signed.ask(api, "POST", f"{path}/{way}", {"reference": way, "amount": 7})
        assert moved.json()["status"] == "posted", moved.text
        assert moved.json()["direction"] == way


def test_the_client_of_an_agent_signs_what_it_asks(api: Api, signed: Signed) -> None:
    """Reads, queries and movements, by the agent's key alone; another key is nobody."""
    with AgentClient(signed.id, bytes(signed.agent.key), api.url) as sakk:
        [total] = [each for each in sakk.budgets() if each.name == "total"]
        payee = {"account": api.world.operator.account}
        spent = sakk.spend("by client", 3, payee)
        assert (spent.status, sakk.spend("by client", 3, payee).id) == ("posted", spent.id)
        [found] = sakk.mandates.spends(signed.id, reference="by client", limit=5).data
        assert found.id == spent.id
        assert next(each.left for each in sakk.budgets() if each.name == "total") == total.left - 3
        assert sakk.park("client parks", 9).direction == "park"
        assert sakk.unpark("client takes back", 9).status == "posted"
        # A download is signed too: it is known who asks, and that it is no agent's to read.
        with pytest.raises(PermissionDeniedError, match="files:read"):
            next(sakk.files.contents("file_x"))
    stranger = AgentClient(signed.id, bytes(signed.owner.key), api.url)
    with stranger, pytest.raises(AuthenticationError):
        stranger.budgets()


def test_a_model_sees_its_mandate_and_parks_by_the_agents_key(api: Api, signed: Signed) -> None:
    """`sakk mcp --authority URL=mnd_…`: no API key, and what the Sakk refuses is told in words."""
    desk = AgentClient(signed.id, bytes(signed.agent.key), api.url)
    agent = Agent(Wallet(bytes(signed.agent.key)), desk=desk)

    async def run() -> list[Any]:
        async with Client(build(agent)) as client:
            asked = [
                ("budget", {}),
                ("park", {"amount": 5, "reference": "model parks"}),
                ("unpark", {"amount": 5, "reference": "model takes back"}),
                ("unpark", {"amount": 10**15, "reference": "model wants more"}),
            ]
            return [await client.call_tool(tool, arguments) for tool, arguments in asked]

    budget, parked, back, refused = asyncio.run(run())
    desk.close()
    assert budget.structured_content["mandate"]["id"] == signed.id
    for moved in (parked, back):
        assert (moved.structured_content["status"], moved.structured_content["amount"]) == (
            "posted",
            5,
        )
    assert refused.is_error
    assert "The pool does not hold" in refused.content[0].text


def test_an_agent_asks_others_to_pay_where_its_owner_signed_that(api: Api, signed: Signed) -> None:
    """By its own key alone: as `sakk mcp` does, once under a reference, and no other's payments."""
    # It may pay on a network that is not one of the house's, too.
    asking = sign_mandate(api, may_invoice=True, networks=["eip155:84532", "eip155:137"])
    foreign = api.call("POST", "/v1/payment_intents", json={"amount": 100, "currency": "usd"})
    path = f"/v1/mandates/{asking.id}/invoices"
    with AgentClient(asking.id, bytes(asking.agent.key), api.url) as desk:
        agent = Agent(Wallet(bytes(asking.agent.key)), desk=desk)

        async def run() -> list[Any]:
            async with Client(build(agent)) as client:
                made = [
                    await client.call_tool(
                        "create_invoice", {"amount": units, "reference": "order"}
                    )
                    for units in (7, 7, 8)
                ]
                invoice = made[0].structured_content["id"]
                wanted = ("check_invoice", "cancel_invoice", "cancel_invoice")
                asked = [await client.call_tool(each, {"invoice": invoice}) for each in wanted]
                return [*made, *asked]

        made, again, other, checked, canceled, same = asyncio.run(run())
    invoice = made.structured_content
    assert (invoice["amount"], invoice["currency"], invoice["status"]) == (
        7,
        "usdc",
        "requires_action",
    )
    assert again.structured_content["id"] == checked.structured_content["id"] == invoice["id"]
    assert other.is_error
    assert "that of another invoice" in other.content[0].text
    assert canceled.structured_content == same.structured_content
    shown = api.call("GET", f"/v1/payment_intents/{invoice['id']}").json()
    assert (shown["amount"], shown["object"]) == (7, "payment_intent")
    assert shown["status"] == canceled.structured_content["status"] == "canceled"
    # Nothing else of the account's is there for it, nor is what another mandate's agent made.
    for who, wanted in ((asking, foreign.json()["id"]), (signed, invoice["id"])):
        got = who.ask(api, "GET", f"/v1/mandates/{who.id}/invoices/{wanted}")
        assert got.status_code == 404, got.text
    refused = signed.ask(
        api, "POST", f"/v1/mandates/{signed.id}/invoices", {"reference": "1", "amount": 1}
    )
    assert refused.json()["error"]["details"]["limit"] == "invoice", refused.text
    on = {"reference": "2", "amount": 1, "networks": ["eip155:137"]}
    elsewhere = asking.ask(api, "POST", path, on)
    assert elsewhere.json()["error"]["param"] == "networks[0]", elsewhere.text
    assert api.call("POST", f"/v1/mandates/{asking.id}/revoke", json={}).status_code == 200
    gone = asking.ask(api, "POST", path, {"reference": "3", "amount": 1})
    assert gone.json()["error"]["code"] == "mandate_refused", gone.text


def test_an_agent_calls_off_invoices_of_its_own_mandate_alone(api: Api) -> None:
    """Not another mandate's of its account, nor a payment of the account, nor once it is revoked;
    what other accounts may not is in `tests/api/theirs.py`."""
    asking, neighbour = (sign_mandate(api, may_invoice=True) for _ in range(2))
    body = {"reference": "1", "amount": 1}
    mine = asking.ask(api, "POST", f"/v1/mandates/{asking.id}/invoices", body).json()["id"]
    plain = api.call("POST", "/v1/payment_intents", json={"amount": 100, "currency": "usd"})

    def cancel(who: Signed, mandate: str, invoice: str) -> tuple[int, str]:
        path = f"/v1/mandates/{mandate}/invoices/{invoice}/cancel"
        answer = who.ask(api, "POST", path, {})
        return answer.status_code, answer.json().get("error", {}).get("code", "")

    assert cancel(neighbour, neighbour.id, mine) == (404, "resource_missing")
    assert cancel(neighbour, asking.id, mine) == (404, "resource_missing")
    assert cancel(asking, asking.id, plain.json()["id"]) == (404, "resource_missing")
    assert api.call("POST", f"/v1/mandates/{asking.id}/revoke", json={}).status_code == 200
    assert cancel(asking, asking.id, mine) == (400, "mandate_refused")
    for each in (mine, plain.json()["id"]):
        shown = api.call("GET", f"/v1/payment_intents/{each}").json()
        assert shown["status"] == "requires_action"


def test_a_restricted_key_registers_no_owner(api: Api) -> None:
    made = api.call("POST", "/v1/api_keys", json={"scopes": ["owner_keys:write"]}).json()
    answer = api.call(
        "POST",
        "/v1/owner_keys",
        key=made["secret"],
        json={"address": "0x" + "11" * 20, "signature": "0x12"},
    )
    assert answer.status_code == 403


def test_revoked_is_revoked(api: Api) -> None:
    signed = sign_mandate(api)
    ended = api.call("POST", f"/v1/mandates/{signed.id}/revoke").json()
    assert ended["status"] == "revoked"
    answer = signed.ask(api, "POST", f"/v1/mandates/{signed.id}/spends", spend(api))
    assert answer.json()["error"]["details"] == {"limit": "revoked"}
    for status, there in (("revoked", True), ("active", False)):
        found = api.call("GET", f"/v1/mandates?status={status}&limit=100").json()["data"]
        assert (signed.id in {each["id"] for each in found}) is there
    found = api.call("GET", f"/v1/mandates?agent={signed.agent.address}").json()["data"]
    assert [each["id"] for each in found] == [signed.id]


def test_who_loses_an_owners_key_ends_what_it_signed(api: Api) -> None:
    signed = sign_mandate(api)
    assert api.call("POST", f"/v1/owner_keys/{signed.owner_key}/revoke").status_code == 200
    found = api.call("GET", f"/v1/mandates/{signed.id}").json()
    assert found["status"] == "revoked"
    assert register(api, signed.owner) != signed.owner_key


def test_ap2_becomes_a_draft(api: Api) -> None:
    mandate = {
        "vct": VCT,
        "cnf": {"jwk": {}},
        "constraints": [
            {"type": "payment.amount_range", "currency": "USD", "max": 150},
            {"type": "payment.reference", "conditional_transaction_id": "abc"},
        ],
    }
    body = {
        "mandate": mandate,
        "owner": "0x" + "11" * 20,
        "agent": "0x" + "12" * 20,
        "currency": "usdc",
        "expires_at": int(time.time()) + 60,
    }
    draft = api.call("POST", "/v1/mandates/draft_ap2", json=body).json()
    assert (draft["terms"]["total"], draft["terms"]["count"]) == (1_500_000, 1)
    assert draft["unenforced"] == ["payment.reference"]
    assert "may spend 1.500000 usdc" in draft["statement"]


def test_from_an_owners_key_to_an_agents_spend(api: Api) -> None:
    """By the SDK: drafted, signed, spent by a bound key, and revoked."""
    owner, agent = Account.create(), Account.create()
    with SakkClient(api.world.alice.key, api.url) as sakk:
        sakk.request("POST", "/v1/probes/fund", {"amount": 1_000_000})
        key = sakk.owner_keys.draft(owner.address)
        sakk.owner_keys.create(address=owner.address, signature=signature(owner, key.typed_data))
        draft = sakk.mandates.draft(
            owner=owner.address,
            agent=agent.address,
            currency="usdc",
            total=10,
            expires_at=int(time.time()) + 60,
        )
        mandate = sakk.mandates.create(
            terms=draft.terms, signature=signature(owner, draft.typed_data)
        )
        assert mandate.statement == draft.statement
        bound = sakk.request("POST", "/v1/api_keys", {"mandate": mandate.id})["secret"]
        with SakkClient(bound, api.url) as agents:
            payee = {"account": api.world.operator.account}
            spent = agents.mandates.spend(mandate.id, reference="1", amount=4, payee=payee)
            assert (spent.status, spent.payee.account) == ("posted", api.world.operator.account)
            budgets = agents.mandates.retrieve(mandate.id).budgets
            assert budgets is not None
            assert [each.left for each in budgets] == [6]
            assert [each.id for each in agents.mandates.spends(mandate.id)] == [spent.id]
        assert sakk.mandates.revoke(mandate.id).status == "revoked"
