"""Platforms at the console: asked for, agreed to by the merchant, ended; and what was taken."""

from sakk.console.balance import KINDS
from sakk.console.fee import KINDS as CHARGED
from sakk.core.balance import kind_of
from sakk.core.chart import TransferCode
from sakk.core.connected_account import ConnectedAccount
from sakk.core.fee import FeeKind
from sakk.store import connected_account as store
from tests.console.office import Office
from tests.console.platform import account_of, connected_to, taken

PATH = "/console/connected_accounts"


def found(office: Office, identifier: str) -> ConnectedAccount:
    with office.parts.database.read() as connection:
        row = store.find(connection, identifier, account_id=None, livemode=False)
    assert row is not None
    return row


def test_a_platform_asks_and_the_merchant_alone_agrees(office: Office) -> None:
    shop = account_of(office, "Corner <b>shop</b>")
    platform = office.browser(office.person(alice=["owner"]))
    platform.get(PATH)
    form = {"account": shop, "payments": "true", "most": "5", "percent": "2.5"}
    for name, wrong, status in (
        ("most", "five", 400),
        ("percent", "101", 400),
        ("account", "acct_nobody", 404),
    ):
        refused = platform.post(PATH, {**form, name: wrong})
        assert refused.status == status
        assert f'id="{name}-fault"' in refused.text, name
        platform.get(PATH)
    refused = platform.post(PATH, {"account": shop, "most": "5"})
    assert (refused.status, 'class="fault"' in refused.text) == (400, True)
    platform.get(PATH)
    asked = platform.post(PATH, form)
    assert asked.status == 303, asked.text
    # Sent twice it is one.
    assert platform.post(PATH, form).status in (303, 400)
    row = found(office, asked.location.rpartition("/")[2])
    assert (row.status, row.fee_ppm_max, row.permissions) == ("pending", 50_000, ["payments"])
    page = platform.get(asked.location)
    # Who only asks is told no name, and can not agree for who is asked.
    assert ("Corner" in page.text, "/accept" in page.text) == (False, False)
    assert "2.5 %" in page.text
    assert platform.post(f"{asked.location}/accept").status == 403
    # Bob is no side of it.
    bob = office.browser(office.person(bob=["owner"]))
    bob.get(PATH)
    for path in (asked.location, f"{asked.location}/accept", f"{asked.location}/revoke"):
        assert (bob.get(path) if path == asked.location else bob.post(path)).status == 404
    operator = office.browser(office.person("owner"))
    operator.get("/console/look")
    operator.post("/console/look", {"account": shop})
    assert "Platforms that ask to act for you" in operator.get("/console").text
    assert "Alice" in operator.get(PATH).text
    shown = operator.get(asked.location)
    assert ("Agree to all of this" in shown.text, "5 %" in shown.text) == (True, True)
    office.unprove()
    assert operator.post(f"{asked.location}/accept").status == 403
    assert found(office, row.id).status == "pending"
    office.prove()
    operator.get(asked.location)
    assert operator.post(f"{asked.location}/accept").status == 303
    assert found(office, row.id).status == "active"
    assert "Corner &lt;b&gt;shop" in platform.get(asked.location).text
    platform.get(asked.location)
    changed = '[{"kind": "payin", "percent_ppm": 30000}]'
    assert platform.post(f"{asked.location}/rules", {"rules": changed}).status == 303
    page = platform.get(asked.location)
    assert ("Version 2" in page.said, "3 %" in page.text) == (True, True)
    faulty = platform.post(f"{asked.location}/rules", {"rules": '[{"kind": "gift"}]'})
    assert (faulty.status, 'id="rules-fault"' in faulty.text) == (400, True)
    operator.get(asked.location)
    assert operator.post(f"{asked.location}/rules", {"rules": changed}).status == 403
    operator.get(asked.location)
    assert operator.post(f"{asked.location}/revoke").status == 303
    ended = found(office, row.id)
    assert (ended.status, ended.ended_by) == ("ended", shop)
    # Finance sees them; whom an account lets act for it is its owner's and admin's word.
    finance = office.browser(office.person(alice=["finance"]))
    assert "Ask an account" not in finance.get(PATH).text
    assert finance.post(PATH, form).status == 403


def test_both_sides_see_a_fee_and_what_went_back(office: Office) -> None:
    shop = account_of(office, "Stall")
    connected = connected_to(office, office.alice, shop, accepted=True)
    fee, returned = taken(office, office.alice, shop, connected)
    platform = office.browser(office.person(alice=["finance"]))
    listed = platform.get("/console/application_fees")
    assert fee in listed.text
    assert "Stall" in listed.text
    assert fee not in platform.get("/console/application_fees?side=account").text
    assert returned in platform.get("/console/application_fees?reason=returned").text
    page = platform.get(f"/console/application_fees/{fee}")
    for shown_there in ("0.50", "0.25", "25.00", "2 %", "The platform keeps", returned):
        assert shown_there in page.text, shown_there
    # The payment is the merchant's: a platform's people have no page of it.
    assert "/console/payins/" not in page.text
    operator = office.browser(office.person("finance"))
    operator.get("/console/look")
    operator.post("/console/look", {"account": shop})
    assert "/console/payins/" in operator.get(f"/console/application_fees/{fee}").text
    assert fee in operator.get("/console/application_fees").text
    for query in (f"q={fee}", f"q={connected}", f"q={office.alice}"):
        assert fee in operator.get(f"/console/application_fees?{query}").text
    file = platform.get("/console/application_fees?format=csv").text
    assert ("-0.250000" in file, connected in file) == (True, True)
    stranger = office.browser(office.person(bob=["owner"]))
    assert stranger.get(f"/console/application_fees/{fee}").status == 404


def test_every_line_of_a_statement_and_every_fee_has_a_word() -> None:
    kinds = {kind_of(code, amount) for code in TransferCode for amount in (1, -1)}
    assert kinds <= set(KINDS)
    assert set(CHARGED) == set(FeeKind)
