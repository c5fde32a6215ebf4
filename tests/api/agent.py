"""Agents at the API's door: owners' keys, signed mandates, and requests that agents sign."""

import json
import time
from dataclasses import dataclass
from typing import Any

import httpx2
from eth_account import Account
from eth_account.signers.local import LocalAccount

from sakk.core.agent import typed_data
from sakk.core.refill import Refill
from sakk.store.identity import new_id, now
from sakk.store.refill import insert as insert_refill
from tests.api.world import Api, http
from tests.core.test_mandate import numbers


@dataclass(frozen=True, slots=True)
class Signed:
    """A mandate of Alice's in force, and the keys of its two parties."""

    id: str
    owner: LocalAccount
    agent: LocalAccount
    owner_key: str

    def ask(
        self,
        api: Api,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        seconds: int = 0,
        sent: str | None = None,
    ) -> httpx2.Response:
        """A request as the agent signs it; ``sent``: to another path than was signed."""
        content = b"" if body is None else json.dumps(body).encode()
        moment = int(time.time()) + seconds
        typed = typed_data(mandate=self.id, method=method, path=path, body=content, time=moment)
        return http().request(
            method,
            api.url + (sent or path),
            content=content,
            headers={
                "Authorization": f"Agent {self.id}:{moment}:{signature(self.agent, typed)}",
                "Content-Type": "application/json",
            },
        )


def signature(who: LocalAccount, typed: dict[str, Any]) -> str:
    """What a wallet gives for typed data; it wants numbers where JSON has text."""
    return str(who.sign_typed_data(full_message=numbers(typed)).signature.hex())


def register(api: Api, owner: LocalAccount) -> str:
    """An owner's key of Alice's."""
    draft = _made(api, "/v1/owner_keys/draft", {"address": owner.address})
    key = _made(
        api,
        "/v1/owner_keys",
        {"address": owner.address, "signature": signature(owner, draft["typed_data"])},
    )
    return str(key["id"])


def sign_mandate(api: Api, **terms: Any) -> Signed:
    """A mandate of Alice's, drafted, signed and put in force."""
    owner, agent = Account.create(), Account.create()
    key = register(api, owner)
    draft = _made(
        api,
        "/v1/mandates/draft",
        {
            "terms": {
                "owner": owner.address,
                "agent": agent.address,
                "currency": "usdc",
                "total": 5_000_000,
                "expires_at": int(time.time()) + 86_400,
                **terms,
            }
        },
    )
    made = _made(
        api,
        "/v1/mandates",
        {"terms": draft["terms"], "signature": signature(owner, draft["typed_data"])},
    )
    assert made["digest"] == draft["digest"]
    return Signed(str(made["id"]), owner, agent, key)


def objects_of_agents(api: Api) -> dict[str, str]:
    """One of each kind, by the names of the paths' parameters."""
    signed = sign_mandate(api, may_park=True, may_invoice=True)
    spend = signed.ask(
        api,
        "POST",
        f"/v1/mandates/{signed.id}/spends",
        {"reference": "1", "amount": 1, "payee": {"account": api.world.operator.account}},
    )
    assert spend.status_code == 200, spend.text
    invoice = signed.ask(
        api, "POST", f"/v1/mandates/{signed.id}/invoices", {"reference": "1", "amount": 1}
    )
    assert invoice.status_code == 200, invoice.text
    parked = _made(
        api, "/v1/pool_movements", {"direction": "park", "amount": 1, "currency": "usdc"}
    )
    # A channel under a mandate is opened by its agent: see tests/flow/test_mandate.py.
    rule = Refill(
        id=new_id("rfl"),
        account_id=api.world.alice.account,
        livemode=False,
        channel=new_id("ch"),
        mandate=signed.id,
        below=1,
        up_to=1,
        status="active",
        failure_code=None,
        failures=0,
        retry_at=None,
        created=now(),
    )
    with api.database.begin() as connection:
        insert_refill(connection, rule)
    return {
        "refill": rule.id,
        "mandate": signed.id,
        "owner_key": signed.owner_key,
        "spend": str(spend.json()["id"]),
        "pool_movement": str(parked["id"]),
        "invoice": str(invoice.json()["id"]),
    }


def _made(api: Api, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = api.call("POST", path, json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())
