"""Agents in the console: what they may spend, what they spent, and how that ends at once."""

import pytest

from sakk.core.x402 import Reason
from sakk.core.x402_payment import X402Status
from sakk.store import mandate as mandates
from sakk.store import x402_payment as store
from tests.console.agents import Agents, agents_of
from tests.console.desk import configure
from tests.console.office import Office


@pytest.fixture(scope="module")
def agents(office: Office) -> Agents:
    with office.parts.database.begin() as connection:
        configure(connection)
    return agents_of(office, office.alice)


def test_a_merchant_sees_their_agents_and_nobody_elses(office: Office, agents: Agents) -> None:
    alice = office.browser(office.person(alice=["viewer"]))
    bob = office.browser(office.person(bob=["owner"]))
    for path, told in {
        "/console/mandates?status=active": agents.mandate,
        f"/console/mandates?q={agents.mandate}": "In force",
        f"/console/mandates/{agents.mandate}": "Budgets",
        "/console/channels": agents.channel,
        f"/console/channels/{agents.channel}": "Receipts as CSV",
        "/console/x402?status=reserved": "Checked",
        f"/console/refills?status=active&q={agents.channel}": "0.05",
    }.items():
        got = alice.get(path)
        assert (got.status, told in got.text) == (200, True), (path, got.text)
        assert ("<script>alert" in got.text, "\u202e" in got.text) == (False, False), path
        assert "/revoke" not in got.text
        other = bob.get(path)
        assert other.status == 404 or told not in other.text or "Nothing fits." in other.text
    for path in ("mandates", "channels", "x402", "refills"):
        assert alice.get(f"/console/{path}?format=csv").body.startswith(b"\xef\xbb\xbfid,")
    file = alice.get(f"/console/channels/{agents.channel}/receipts")
    assert (file.status, file.headers["content-type"]) == (200, "text/csv; charset=utf-8")
    proofs = alice.get(f"/console/channels/{agents.channel}/proofs")
    assert (proofs.status, agents.channel in proofs.text) == (200, True)


def test_why_a_payment_failed_is_said_in_words(office: Office, agents: Agents) -> None:
    code, said = Reason.nonce_used, "The nonce was used."
    with office.parts.database.begin() as connection:
        store.change(
            connection,
            [agents.payment],
            status=X402Status.failed.value,
            failure_code=code.value,
            failure_message=said,
        )
    alice = office.browser(office.person(alice=["viewer"]))
    told = alice.get("/console/x402?status=failed").text
    assert ("Its signature was used before." in told, said in told) == (True, False)
    with office.parts.database.begin() as connection:
        store.change(connection, [agents.payment], failure_code="new_reason")
    assert said in alice.get("/console/x402?status=failed").text


def test_a_mandate_and_a_channel_end_by_one_word(office: Office) -> None:
    made = agents_of(office, office.alice, is_refilled=False)
    bob = office.browser(office.person(bob=["owner"]))
    assert bob.post(f"/console/mandates/{made.mandate}/revoke").status == 404
    alice = office.browser(office.person(alice=["finance"]))
    path = f"/console/mandates/{made.mandate}"
    alice.get(path)
    got = alice.post(f"{path}/revoke")
    assert (got.status, got.headers.get("location")) == (303, path), got.text[:3000]
    assert "Revoked" in alice.get(path).text
    with office.parts.database.read() as connection:
        ended = mandates.find_any(connection, made.mandate)
    assert ended is not None
    assert ended.status != "active"
    # It is gone for good, and so is the button.
    assert f"{path}/revoke" not in alice.get(path).text
    # Who is paid does not end what another pays.
    operator = office.browser(office.person(operator=["owner"]))
    paid_by = operator.get("/console/channels?side=payee").text
    assert (made.channel in paid_by, made.channel in operator.get("/console/channels").text) == (
        True,
        False,
    )
    path = f"/console/channels/{made.channel}"
    assert operator.post(f"{path}/close").status == 404
    assert operator.post(f"{path}/sessions/{made.session}/revoke").status == 404
    owner = office.browser(office.person(alice=["owner"]))
    assert f"{path}/close" in owner.get(path).text
    got = owner.post(f"{path}/sessions/{made.session}/revoke")
    assert (got.status, got.headers.get("location")) == (303, path), got.text[:3000]
    told = owner.get(path).text
    assert ("Revoked" in told, "/revoke" in told, f"{path}/close" in told) == (True, False, True)


def test_a_rule_that_refills_is_ended_and_made_again(office: Office) -> None:
    made = agents_of(office, office.alice)
    bob = office.browser(office.person(bob=["owner"]))
    assert bob.post(f"/console/refills/{made.refill}/end").status == 404
    alice = office.browser(office.person(alice=["finance"]))
    alice.get("/console/refills")
    rule = {"channel": made.channel, "below": "0.01", "up_to": "0.02"}
    assert "This channel has a rule" in alice.post("/console/refills", rule).text
    assert alice.post(f"/console/refills/{made.refill}/end").status == 303
    assert "Ended" in alice.get(f"/console/refills?q={made.refill}").text
    for wrong, told in (
        ({"below": "0.03"}, "refilled below"),
        ({"below": "much"}, "Write an amount"),
        ({"channel": "ch_none"}, "no such channel"),
    ):
        got = alice.post("/console/refills", {**rule, **wrong})
        assert (got.status, told in got.text) == (400, True), got.text
    assert alice.post("/console/refills", rule).status == 303
    assert "0.02" in alice.get("/console/refills?status=active").text
