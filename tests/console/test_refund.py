"""Refunds in the console: found by what people know, told step by step, and called off."""

from sakk.store.identity import new_id, now
from tests.console.objects import ADDRESS, refund_of
from tests.console.office import Office
from tests.flow.policing import ASSET, NETWORK


def test_refunds_are_listed_shown_and_called_off(office: Office) -> None:
    intent = new_id("pi")
    waits = refund_of(office, office.alice, payment_intent=intent)
    sent = refund_of(
        office,
        office.alice,
        status="pending",
        destination=ADDRESS,
        network=NETWORK,
        asset=ASSET,
        fee=50_000,
        payout=new_id("po"),
        tx_hash="0x" + "ab" * 32,
        claimed_at=now(),
    )
    failed = refund_of(office, office.alice, status="failed", failure_reason="declined")
    other = refund_of(office, office.bob)
    browser = office.browser(office.person(alice=["finance"]))
    office.prove()

    def shown(query: str) -> set[str]:
        page = browser.get(f"/console/refunds{query}")
        assert page.status == 200, page.text
        return {each for each in (waits, sent, failed, other) if f"/refunds/{each}" in page.text}

    assert shown("") == {waits, sent, failed}
    assert shown("?status=pending") == {sent}
    assert shown(f"?q={intent}") == {waits}
    assert shown(f"?q={waits}") == {waits}
    assert shown(f"?q={ADDRESS}") == {sent}
    assert shown(f"?q=0x{'ab' * 32}") == {sent}
    assert (shown("?q=alert"), shown("?q=nothing")) == ({waits, sent, failed}, set())
    assert "12.500000" in browser.get("/console/refunds?format=csv").text
    page = browser.get(f"/console/refunds/{sent}")
    assert page.text.count('<li class="done">') == 3
    assert ('<li class="current">' in page.text, "0.05" in page.text) == (True, True)
    assert ("/cancel" in page.text, "<script>alert" in page.text) == (False, False)
    page = browser.get(f"/console/refunds/{failed}")
    assert ('<li class="stopped">' in page.text, "was not accepted" in page.text) == (True, True)
    # A fresh link is shown once; the one before is worth nothing more.
    browser.get(f"/console/refunds/{waits}")
    page = browser.post(f"/console/refunds/{waits}/link")
    assert (page.status, "http://localhost:8402/refund_claims/" in page.text) == (200, True), (
        page.text
    )
    browser.get(f"/console/refunds/{waits}")
    office.unprove()
    assert browser.post(f"/console/refunds/{waits}/link").status == 403
    assert browser.get(f"/console/refunds/{other}").status == 404
    assert browser.post(f"/console/refunds/{sent}/link").status in {400, 403}
