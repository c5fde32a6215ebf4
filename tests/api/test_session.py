"""The door for agents: what is signed is done once, what is not is refused."""

import json
import os
import time
from typing import Any

import httpx2
import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount

from sakk.client.session import TYPES, typed_data
from sakk.core.charge import Reason
from sakk.flow import audit
from sakk.store.identity import now
from tests.api.agent import Signed, sign_mandate
from tests.api.paying import Path, call, open_path, open_tenant, read_key
from tests.api.world import Api, Tenant, http

STEP = 50_000
PATHS = {
    "OpenSession": "/x402/sessions",
    "Voucher": "/x402/vouchers",
    "Query": "/x402/sessions/query",
    "Close": "/x402/sessions/close",
    "Revoke": "/x402/sessions/revoke",
}


def network(api: Api) -> str:
    return str(http().get(f"{api.url}/x402/sessions").json()["network"])


def send(
    api: Api, key: LocalAccount, kind: str, message: dict[str, Any], **changed: Any
) -> httpx2.Response:
    """A message as the agent signs it; ``changed`` after it was signed."""
    signed = encode_typed_data(full_message=typed_data(kind, message))
    body = {
        name: value.hex()
        if isinstance(value, bytes)
        else str(value)
        if dict(TYPES[kind])[name] == "uint256"
        else value
        for name, value in message.items()
    }
    body["signature"] = key.sign_message(signed).signature.hex()
    return http().post(api.url + PATHS[kind], json=body | changed)


def opening(api: Api, signed: Signed, payee: str, **changed: Any) -> dict[str, Any]:
    return {
        "network": network(api),
        "signer": signed.agent.address,
        "mandate": signed.id,
        "channel": "",
        "payee": payee,
        "currency": "usdc",
        "ceiling": STEP,
        "salt": os.urandom(32),
        "deadline": int(time.time()) + 300,
    } | changed


def voucher(told: dict[str, Any], where: str, ceiling: int) -> dict[str, Any]:
    return {
        "network": where,
        "channel": told["channel"],
        "ceiling": ceiling,
        "spent": int(told["spent"]),
        "charges": told["charges"],
        "head": bytes.fromhex(told["head"]),
    }


def opened(api: Api, **terms: Any) -> tuple[Signed, Tenant, dict[str, Any]]:
    """A mandate, a payee, and what the door told of a fresh channel."""
    call(api, api.world.alice, "POST", "/v1/probes/fund", {"amount": 10_000_000})
    signed, payee = sign_mandate(api, **terms), open_tenant(api, "seller")
    answer = send(api, signed.agent, "OpenSession", opening(api, signed, payee.account))
    assert answer.status_code == 200, answer.text
    return signed, payee, answer.json()


def test_an_agent_opens_pays_raises_asks_and_closes(api: Api) -> None:
    open_path(api)
    signed, payee, told = opened(api)
    assert (told["status"], told["funded"], told["available"]) == ("open", "50000", "50000")
    path = Path(
        api,
        api.world.alice,
        payee,
        told["channel"],
        told["session"],
        read_key(told["key"]),
    )
    paid = path.reserve(40_000)
    assert [each.reason for each in path.ask(paid, path.end(paid))] == [0, 0]
    where = network(api)
    raised = send(api, signed.agent, "Voucher", voucher(told, where, 2 * STEP)).json()
    assert (raised["ceiling"], raised["available"]) == ("100000", "60000")
    # Sent again, and out of order, it raises nothing.
    for ceiling in (2 * STEP, STEP):
        again = send(api, signed.agent, "Voucher", voucher(told, where, ceiling)).json()
        assert (again["funded"], again["available"]) == ("100000", "60000")
    # Who lost its state asks for all of its channels, and opens another session on one.
    query: dict[str, Any] = {"network": where, "signer": signed.agent.address, "channel": ""}
    query |= {"deadline": int(time.time()) + 300}
    [found] = send(api, signed.agent, "Query", query).json()["channels"]
    assert (found["channel"], found["ceiling"]) == (told["channel"], "100000")
    more = opening(api, signed, payee.account, channel=told["channel"], ceiling=0)
    another = send(api, signed.agent, "OpenSession", more).json()
    assert another["session"] != told["session"]
    assert another["key"] != told["key"]
    closing = voucher(found, where, 0) | {"deadline": int(time.time()) + 300}
    del closing["ceiling"]
    closed = send(api, signed.agent, "Close", closing).json()
    assert (closed["status"], closed["returned"]) == ("closed", "60000")
    assert [each.reason for each in path.ask(path.reserve(1))] == [Reason.channel_closed]


def test_one_session_is_revoked_and_the_others_go_on(api: Api) -> None:
    """By the payer's API key, then by the agent's signature; every door remembers it meanwhile."""
    path = open_path(api)
    signed, payee, told = opened(api)
    key = read_key(told["key"])
    theirs = Path(api, api.world.alice, payee, told["channel"], told["session"], key)
    revoke: dict[str, Any] = {"network": network(api), "session": told["session"]}
    revoke |= {"deadline": int(time.time()) + 300}

    def by_key() -> int | None:
        where = f"/v1/channels/{path.channel}/sessions"
        listed = call(api, path.payer, "GET", where)["data"]
        assert (len(listed), {each["key"] for each in listed}) == (2, {None})
        ended = call(api, path.payer, "POST", f"{where}/{path.session}/revoke")
        again = call(api, path.payer, "POST", f"{where}/{path.session}/revoke")
        assert again["revoked_at"] == ended["revoked_at"]
        moment: int | None = ended["revoked_at"]
        return moment

    def by_signature() -> int | None:
        stranger = Account.create()
        for changed, signer in ((revoke, stranger), (revoke | {"deadline": 1}, signed.agent)):
            assert send(api, signer, "Revoke", changed).status_code in (400, 401)
        answer = send(api, signed.agent, "Revoke", revoke)
        assert answer.json()["channel"] == told["channel"], answer.text
        moment: int | None = answer.json()["revoked_at"]
        return moment

    for each, ends in ((path, by_key), (theirs, by_signature)):
        other = each.another_session()
        doors = (api.door, api.url)
        served = [each.reserve() for _ in doors]
        for door, one in zip(doors, served, strict=True):
            assert [said.reason for said in each.ask(one, door=door)] == [Reason.done]
        assert ends() is not None
        for door, one in zip(doors, served, strict=True):
            refused, kept = each.ask(each.reserve(), each.end(one), door=door)
            assert (refused.reason, kept.reason) == (Reason.session_expired, Reason.done)
            assert [said.reason for said in other.ask(other.reserve(), door=door)] == [Reason.done]
    # The opening that made it does not bring it back.
    more = opening(api, signed, payee.account, channel=told["channel"], ceiling=0)
    fresh = send(api, signed.agent, "OpenSession", more).json()["session"]
    assert send(api, signed.agent, "Revoke", revoke | {"session": fresh}).status_code == 200
    assert send(api, signed.agent, "OpenSession", more).status_code == 400
    [by_payer] = _said(api, path.channel)
    assert by_payer["actor"].startswith("key_")
    assert by_payer["request"].startswith("req_")
    assert {each["actor"] for each in _said(api, told["channel"])} == {signed.agent.address.lower()}


def _said(api: Api, channel: str) -> list[dict[str, Any]]:
    """What the log says of a channel's sessions."""
    with api.database.begin() as connection:
        while audit.seal(connection, now=now()):
            pass
        bodies = connection.exec_driver_sql(
            "SELECT body FROM audit_entries WHERE source = 'sessions' AND subject = %s", (channel,)
        )
        return [json.loads(body) for body in bodies.scalars()]


def test_the_same_opening_is_the_same_session(api: Api) -> None:
    open_path(api)
    call(api, api.world.alice, "POST", "/v1/probes/fund", {"amount": 1_000_000})
    signed, payee = sign_mandate(api), open_tenant(api, "seller")
    message = opening(api, signed, payee.account)
    first, second = (send(api, signed.agent, "OpenSession", message).json() for _ in range(2))
    assert first == second
    assert first["funded"] == "50000"


def test_a_mandate_is_not_passed_by_one_unit(api: Api) -> None:
    open_path(api)
    signed, _, told = opened(api, total=2 * STEP)
    where = network(api)
    over = send(api, signed.agent, "Voucher", voucher(told, where, 2 * STEP + 1))
    assert (over.status_code, over.json()["error"]["code"]) == (400, "mandate_exceeded")
    exact = send(api, signed.agent, "Voucher", voucher(told, where, 2 * STEP))
    # What was signed stands, and so much of it as the mandate allows is put in.
    assert exact.status_code == 200, exact.text
    assert exact.json()["funded"] == str(2 * STEP)


@pytest.mark.parametrize(
    ("changed", "status", "param"),
    [
        ({"ceiling": "60000"}, 401, None),
        ({"payee": "acct_" + "0" * 26}, 401, None),
        ({"signature": "00" * 65}, 401, None),
        ({"signature": "00"}, 400, "signature"),
        ({"network": "sakk:another"}, 400, "network"),
        ({"ceiling": "-1"}, 400, "ceiling"),
        ({"salt": "zz"}, 400, "salt"),
        ({"signer": "0x1"}, 400, "signer"),
        ({"color": "red"}, 400, "color"),
    ],
)
def test_what_is_changed_after_it_was_signed(
    api: Api, changed: dict[str, Any], status: int, param: str | None
) -> None:
    signed = sign_mandate(api)
    message = opening(api, signed, api.world.bob.account)
    answer = send(api, signed.agent, "OpenSession", message, **changed)
    assert (answer.status_code, answer.json()["error"].get("param")) == (
        status,
        param if status == 400 else "signature",
    )


@pytest.mark.parametrize("seconds", [-1, 601 + 60])
def test_a_deadline_is_near(api: Api, seconds: int) -> None:
    signed = sign_mandate(api)
    message = opening(api, signed, api.world.bob.account, deadline=int(time.time()) + seconds)
    answer = send(api, signed.agent, "OpenSession", message)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "deadline")


def test_another_key_has_no_say(api: Api) -> None:
    open_path(api)
    signed, payee, told = opened(api)
    thief = Account.create()
    where = network(api)
    refused = send(api, thief, "Voucher", voucher(told, where, 2 * STEP))
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "signature_invalid")
    own: dict[str, Any] = {"network": where, "signer": thief.address, "channel": told["channel"]}
    own |= {"deadline": int(time.time()) + 300}
    assert send(api, thief, "Query", own).status_code == 404
    stolen = opening(api, signed, payee.account, signer=thief.address)
    assert send(api, thief, "OpenSession", stolen).status_code == 404
    stolen["channel"] = told["channel"]
    assert send(api, thief, "OpenSession", stolen).status_code == 404


def test_other_methods_and_bodies(api: Api) -> None:
    assert http().get(f"{api.url}/x402/vouchers").status_code == 405
    for path in PATHS.values():
        for content in (b"", b"[]", b"{", b"\xff", b"[" * 5_000):
            answer = http().post(
                api.url + path, content=content, headers={"Content-Type": "application/json"}
            )
            assert answer.status_code == 400
        assert http().post(api.url + path, content=bytes(9_000)).status_code == 413
