"""Approvals at the door: whose key may do what, and what a merchant sees of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyotp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sakk.client import PermissionDeniedError, SakkClient
from sakk.client.approval import batch_message
from sakk.core.api_key import token_hash
from sakk.core.person import STEP_SECONDS
from sakk.flow import person as flow
from sakk.flow.context import Parts
from sakk.flow.decide import decide_stage
from sakk.store.identity import new_id
from sakk.store.seed import seed_policy
from sakk.store.vault import KEY_BYTES, Vault
from tests.api.objects import ADDRESS, NETWORK
from tests.api.paying import open_admin
from tests.api.world import Api

LARGE = 10_001 * 10**6


@dataclass
class Colleague:
    """A person with a key and a device, whose codes are those of now."""

    id: str
    key: str
    secret: str
    last: int = 0

    def code(self) -> str:
        """A code that was not used: of the steps that are right now."""
        now = int(datetime.now(UTC).timestamp()) // STEP_SECONDS
        self.last = max(self.last + 1, now - 1)
        assert self.last <= now + 1, "more codes than there are"
        return pyotp.TOTP(self.secret).generate_otp(self.last)


@pytest.fixture(scope="module")
def parts(api: Api) -> Parts:
    with api.database.begin() as connection:
        seed_policy(connection)
    return Parts(api.database, vault=Vault(bytes(KEY_BYTES)))


@pytest.fixture
def admin(api: Api) -> Colleague:
    """An admin of this test's: enough to approve what asks for the operator."""
    person, token, secret = open_admin(api, "Bob")
    return Colleague(person, token, secret)


@pytest.fixture
def waiting(api: Api, parts: Parts) -> Iterator[str]:
    """A payout of Alice's that waits for the operator."""
    yield from [large(api, parts)]


def large(api: Api, parts: Parts) -> str:
    call(api, "POST", "/v1/probes/fund", {"amount": LARGE})
    made = call(
        api,
        "POST",
        "/v1/payouts",
        {
            "amount": LARGE,
            "currency": "usdc",
            "destination": {"network": NETWORK, "address": ADDRESS},
        },
    )
    with api.database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE payouts SET status = 'screened' WHERE id = %s", (made["id"],)
        )
    decide_stage(parts).run()
    return str(made["id"])


def call(
    api: Api, method: str, path: str, body: dict[str, Any] | None = None, key: str | None = None
) -> dict[str, Any]:
    """A request that is answered well."""
    answer = api.call(method, path, key=key, **({} if body is None else {"json": body}))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def refused(api: Api, path: str, body: dict[str, Any], key: str | None = None) -> tuple[int, str]:
    answer = api.call("POST", path, key=key, json=body)
    return answer.status_code, answer.json()["error"]["code"]


def test_a_merchant_sees_that_it_waits_and_no_more(api: Api, waiting: str) -> None:
    shown = call(api, "GET", f"/v1/payouts/{waiting}")
    assert (shown["status"], shown["awaiting_approvals"]) == ("screened", True)
    hidden = ("rule", "policy_version", "approvals_needed", "approver_role", "initiator")
    assert {shown[name] for name in hidden} == {None}
    listed = call(api, "GET", "/v1/payouts?awaiting_approvals=true")["data"]
    assert waiting in [each["id"] for each in listed]
    others = call(api, "GET", "/v1/payouts?awaiting_approvals=false&limit=100")["data"]
    assert waiting not in [each["id"] for each in others]
    for path, method in (("approve", "POST"), ("reject", "POST"), ("explanation", "GET")):
        answer = api.call(method, f"/v1/payouts/{waiting}/{path}")
        assert answer.status_code == 403, answer.text


def test_the_operators_key_approves_in_the_sandbox(api: Api, waiting: str) -> None:
    operator = api.world.operator.key
    shown = call(api, "GET", f"/v1/payouts/{waiting}", key=operator)
    assert (shown["rule"], shown["approvals_needed"]) == ("everything else", 1)
    assert shown["approver_role"] == "operator"
    done = call(api, "POST", f"/v1/payouts/{waiting}/approve", {}, operator)
    assert (done["status"], done["awaiting_approvals"]) == ("approved", False)
    [found] = call(api, "GET", f"/v1/approvals?payout={waiting}", key=operator)["data"]
    assert (found["by"], found["role"], found["method"]) == ("operator", "operator", "key")


def test_a_person_reads_it_and_approves_with_a_code(
    api: Api, waiting: str, admin: Colleague
) -> None:
    path = f"/v1/payouts/{waiting}/approve"
    explained = call(api, "GET", f"/v1/payouts/{waiting}/explanation", key=admin.key)
    assert explained["text"].startswith("Send 10,001.00 USDC (token 0x036C")
    assert "'everything else' asks for 1 approval of operator, 0 given" in explained["text"]
    digest = explained["digest"]
    assert refused(api, path, {"digest": digest}, admin.key) == (403, "step_up_required")
    enrolled = f"/v1/persons/{admin.id}/second_factor/confirm"
    shown = call(api, "POST", enrolled, {"code": admin.code()}, admin.key)
    assert shown["second_factor"] is True
    code = admin.code()
    assert refused(api, path, {"code": code, "digest": "00" * 32}, admin.key) == (
        400,
        "approval_stale",
    )
    assert refused(api, path, {"code": "000000", "digest": digest}, admin.key) == (
        403,
        "step_up_failed",
    )
    done = call(api, "POST", path, {"code": code, "digest": digest}, admin.key)
    assert done["status"] == "approved"


def test_a_batch_is_approved_by_one_signature_of_what_was_read(
    api: Api, parts: Parts, admin: Colleague
) -> None:
    """The message that is signed is made on the approver's machine, from the lines."""
    call(api, "POST", "/v1/probes/fund", {"amount": 2 * LARGE})
    line = {
        "amount": LARGE,
        "currency": "usdc",
        "destination": {"network": NETWORK, "address": ADDRESS},
    }
    lines = [{**line, "reference": new_id("inv")} for _ in range(2)]
    batch = call(api, "POST", "/v1/payout_batches", {"lines": lines})["id"]
    key = Ed25519PrivateKey.generate()
    with api.database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE payouts SET status = 'screened' WHERE batch = %s", (batch,)
        )
        connection.exec_driver_sql(
            "UPDATE persons SET public_key = %s WHERE id = %s",
            (key.public_key().public_bytes_raw().hex(), admin.id),
        )
    decide_stage(parts).run()
    with SakkClient(admin.key, api.url) as sakk:
        shown = sakk.payout_batches.explain(batch)
        assert (shown.count, shown.waiting, len(shown.lines)) == (2, 2, 2)
        assert shown.lines[0].text.startswith("10,001.00 USDC to 0x")
        message = batch_message(batch, [each.message for each in shown.lines])
        assert message == shown.message
        with pytest.raises(PermissionDeniedError) as caught:
            sakk.payout_batches.approve(batch, signature="00" * 64)
        assert caught.value.code == "step_up_failed"
        signature = key.sign(message.encode()).hex()
        done = sakk.payout_batches.approve(batch, signature=signature, comment="May")
        assert (done.approvals, done.approved) == (2, 2)
        assert sakk.payout_batches.explain(batch).count == 0
    [found] = call(
        api, "GET", f"/v1/approvals?payout={shown.lines[0].payout}", key=api.world.operator.key
    )["data"]
    assert (found["method"], found["payout_batch"], found["comment"]) == ("signature", batch, "May")
    assert api.call("GET", f"/v1/payout_batches/{batch}/explanation").status_code == 403


def test_whose_key_it_is_stands_in_what_it_makes(api: Api, parts: Parts, admin: Colleague) -> None:
    made = call(
        api,
        "POST",
        "/v1/api_keys",
        {"kind": "restricted", "scopes": ["persons:read"]},
        admin.key,
    )
    assert made["person"] == admin.id
    # A key of the person's is held to their roles and to its scopes.
    listed = call(api, "GET", "/v1/persons", key=made["secret"])["data"]
    assert admin.id in [each["id"] for each in listed]
    assert "totp_secret" not in repr(listed)


def test_an_admin_proposes_a_person_and_cannot_approve_them(api: Api, admin: Colleague) -> None:
    _, hashed = flow.new_token(livemode=False)
    body = {
        "name": "Carl",
        "email": f"{new_id('carl')}@example.com",
        "roles": ["approver", "viewer"],
        "key_hash": hashed,
        "key_last4": "abcd",
    }
    assert refused(api, "/v1/persons", body, api.world.operator.key) == (403, "permission_denied")
    made = call(api, "POST", "/v1/persons", body, admin.key)
    assert (made["state"], made["roles"]) == ("proposed", [])
    assert made["proposal"] == {
        "by": admin.id,
        "roles": ["approver", "viewer"],
        "new_key": True,
        "public_key": None,
        "resets": False,
        "digest": made["proposal"]["digest"],
    }
    path = f"/v1/persons/{made['id']}"
    yes = {"digest": made["proposal"]["digest"], "code": "000000"}
    assert refused(api, f"{path}/approve", yes, admin.key) == (403, "same_person")
    assert refused(api, path, {"roles": ["admin"]}, admin.key) == (400, "unexpected_state")
    assert call(api, "POST", f"{path}/suspend", {}, admin.key)["state"] == "suspended"


def test_roles_limit_what_a_persons_key_may_write(api: Api, admin: Colleague) -> None:
    with api.database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE persons SET roles = '{viewer}' WHERE id = %s", (admin.id,)
        )
    # Another key of the same person: what a process remembers of a key it remembers for a second.
    token, hashed = flow.new_token(livemode=False)
    with api.database.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO api_keys SELECT %s, account_id, livemode, kind, name, %s, prefix, last4,"
            " scopes, allowed_addresses, expires_at, revoked_at, created, person"
            " FROM api_keys WHERE person = %s LIMIT 1",
            (new_id("key"), bytes.fromhex(hashed), admin.id),
        )
    assert call(api, "GET", "/v1/persons", key=token)["data"]
    answer = api.call("POST", "/v1/customers", key=token, json={})
    assert answer.status_code == 403
    assert "Your roles (viewer) do not include customers:write" in answer.text
    with api.database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE persons SET state = 'suspended' WHERE id = %s", (admin.id,)
        )
        connection.exec_driver_sql(
            "UPDATE api_keys SET token_hash = %s WHERE token_hash = %s",
            (token_hash("sk_test_" + "0" * 52), bytes.fromhex(hashed)),
        )
    answer = api.call("GET", "/v1/persons", key="sk_test_" + "0" * 52)
    assert answer.status_code == 401
    assert "is suspended" in answer.text
