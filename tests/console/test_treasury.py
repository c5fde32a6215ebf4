"""What went out and what stops it: the treasury, transactions, sweeps, freezes, and the rules."""

import re

import pytest
from sqlalchemy import text

from sakk.core import chart
from sakk.core.chart import TransferCode
from sakk.core.posting import Posting
from sakk.core.treasury import Tier
from sakk.flow import treasury
from sakk.flow.book import PostingSet
from sakk.store import withdrawal as withdrawals
from sakk.store.database import update_records
from sakk.store.identity import new_id, now
from tests.console.browser import Browser
from tests.console.desk import ASSET, NETWORK, configure
from tests.console.objects import payout_of
from tests.console.office import Office
from tests.console.risk import Outgoing, outgoing

AMOUNT = "250,000.01"


@pytest.fixture(scope="module")
def sent(office: Office) -> Outgoing:
    with office.parts.database.begin() as connection:
        configure(connection)
        connection.execute(
            text(
                "INSERT INTO gas_tanks (network, wei, low, checked)"
                " VALUES ('eip155:84532', 5, true, now())"
            )
        )
        connection.execute(
            text(
                "INSERT INTO label_lists (id, name, kind, format, version, row_count, sha256,"
                " imported_at) VALUES ('lst_1', 'ofac', 'sanctions', 'ofac', 1, 12345, 'aa',"
                " now() - interval '2 days')"
            )
        )
    return outgoing(office, payout_of(office, office.alice))


@pytest.fixture(scope="module")
def owner(office: Office, sent: Outgoing) -> Browser:
    return office.browser(office.person("owner", "finance"))


def test_every_page_shows_what_is_there_and_says_nothing_hostile(
    owner: Browser, sent: Outgoing
) -> None:
    for path, told in {
        "/console/treasury": ("Runs low", "Base Sepolia", "USDC"),
        "/console/sweeps": ("1.25", "Due"),
        "/console/transactions": (AMOUNT, "Sent"),
        f"/console/transactions/{sent.transaction}": (AMOUNT, "Use its nonce up"),
        "/console/freezes?state=in_force": ("By itself, after a breach", sent.freeze),
        f"/console/freezes/{sent.freeze}": ("In force", "Propose to end it"),
        "/console/breaches": ("Coins left", "0.000007", sent.freeze),
        "/console/travel_rules?due=late": (AMOUNT, "Late", sent.travel_rule),
        f"/console/travel_rules/{sent.travel_rule}": (AMOUNT, "Let it go on"),
        "/console/lists": ("ofac", "12,345", "Too old"),
        "/console/rules": ("came with this version",),
        "/console/rules/in_force?last=100": ("transfers were judged again", "direct"),
        "/console/rules/0": ("What they say",),
    }.items():
        got = owner.get(path)
        assert got.status == 200, (path, got.text)
        for each in told:
            assert each in got.text, (path, each)
        assert ("<script>alert" in got.text, "\u202e" in got.text) == (False, False), path
    for path in ("sweeps", "transactions", "breaches", "travel_rules"):
        assert owner.get(f"/console/{path}?format=csv").body.startswith(b"\xef\xbb\xbfid,"), path


def test_lists_find_by_what_is_known(owner: Browser, sent: Outgoing) -> None:
    for path, here, away in (
        ("transactions", f"q={sent.transaction}&purpose=payout", "q=0x12"),
        ("transactions", "status=broadcast&network=eip155:84532", "status=failed"),
        ("sweeps", f"q={sent.sweep}&method=key", "status=posted"),
        ("breaches", "kind=transfer&where=deposit", "where=treasury"),
        ("travel_rules", f"q={sent.travel_rule}&direction=outgoing", "direction=incoming"),
        ("freezes", "state=in_force", "state=lifted"),
    ):
        assert "<tbody>" in owner.get(f"/console/{path}?{here}").text, (path, here)
        assert "Nothing fits." in owner.get(f"/console/{path}?{away}").text, (path, away)


def test_a_freeze_stands_at_once_and_ends_by_two_people(office: Office, sent: Outgoing) -> None:
    first = office.browser(office.person("finance"))
    second = office.browser(office.person("approver"))
    first.get("/console/freezes")
    wrong = first.post("/console/freezes", {"reason": "Look", "network": "eip155:999"})
    assert (wrong.status, 'value="Look"' in wrong.text) == (400, True)
    office.unprove()
    first.get("/console/freezes")
    # Who stops it proves nothing more; who ends it does.
    path = first.post("/console/freezes", {"reason": "Look", "network": "eip155:84532"}).location
    assert re.fullmatch(r"/console/freezes/frz_\w+", path)
    first.get(path)
    assert first.post(f"{path}/lift", {"reason": "Looked"}).status == 403
    office.prove()
    first.get(path)
    assert first.post(f"{path}/lift", {"reason": "Looked"}).status == 303
    page = first.get(path)
    assert ("another person confirms it" in page.text, f"{path}/confirm" in page.text) == (
        True,
        False,
    )
    [digest] = re.findall(r'name="digest" value="(\w+)"', second.get(path).text)
    assert first.post(f"{path}/confirm", {"digest": digest}).status == 403
    second.get(path)
    assert second.post(f"{path}/confirm", {"digest": "0" * 64}).status == 400
    second.get(path)
    assert second.post(f"{path}/confirm", {"digest": digest}).status == 303
    assert "Ended" in second.get(path).text


def test_a_transaction_that_hangs_is_signed_anew(office: Office, sent: Outgoing) -> None:
    viewer = office.browser(office.person("viewer"))
    path = f"/console/transactions/{sent.transaction}"
    assert f"{path}/replace" not in viewer.get(path).text
    owner = office.browser(office.person("owner"))
    office.prove()
    owner.get(path)
    assert owner.post(f"{path}/replace").status == 303
    with office.parts.database.read() as connection:
        asked = connection.execute(
            text("SELECT asked FROM transactions WHERE id = :id"), {"id": sent.transaction}
        ).scalar_one()
    assert asked == "replace"


def test_an_officer_completes_a_record_with_a_reason(office: Office, sent: Outgoing) -> None:
    officer = office.browser(office.person("compliance"))
    path = f"/console/travel_rules/{sent.travel_rule}"
    office.prove()
    officer.get(path)
    assert officer.post(f"{path}/complete").status == 422
    officer.get(path)
    assert officer.post(f"{path}/complete", {"reason": "By letter."}).status == 303
    page = officer.get(path).text
    assert ("By letter." in page, "Complete" in page, "Let it go on" in page) == (
        True,
        True,
        False,
    )


def test_coins_go_to_a_vault_when_another_person_approved_it(
    office: Office, sent: Outgoing
) -> None:
    database = office.parts.database
    vault = "0x" + "7d" * 20
    with database.begin() as connection:
        treasury.put_vault(
            connection, name=NETWORK, place=vault, tier=Tier.cold, label="Safe <b>", now=now()
        )
    coins = Posting(
        chart.custody(ASSET, "hot"), chart.suspense(ASSET), 5_000_000, TransferCode.adopted
    )
    assert office.parts.books.post([PostingSet(new_id("pin"), "post", 0, [coins])])[0].booked
    ann, ben = (office.browser(office.person("finance")) for _ in range(2))
    office.prove()
    page = ann.get("/console/withdrawals").said
    assert "USDC · Base Sepolia → Safe &lt;b&gt; (Cold)" in page
    wish = {"vault": f"{ASSET} {vault}", "amount": "9999999999"}
    wrong = ann.post("/console/withdrawals", wish)
    assert (wrong.status, "units are hot" in wrong.said) == (400, True)
    path = ann.post("/console/withdrawals", wish | {"amount": "1.25"}).location
    identifier = path.rpartition("/")[2]
    with database.begin() as connection:
        waits = {"id": identifier, "status": "screened", "approvals_needed": 1}
        update_records(connection, withdrawals.withdrawals, [waits | {"approver_role": "finance"}])
    assert "Moves to vaults to approve" in ben.get("/console").said
    assert "another person approves it" in ann.get(path).said
    page = ben.get(path).said
    assert ("1.25" in page, "Safe &lt;b&gt;" in page) == (True, True)
    [digest] = re.findall(r'name="digest" value="(\w+)"', page)
    assert ben.post(f"{path}/approve", {"digest": "0" * 64}).status == 400
    ben.get(path)
    assert ben.post(f"{path}/approve", {"digest": digest}).status == 303
    with database.read() as connection:
        row = withdrawals.find(connection, identifier)
    assert row is not None
    assert (row.status, row.token_amount, row.destination) == ("approved", 1_250_000, vault)
    # Nothing carries it yet, so it is still stopped; and then nothing is to be decided.
    assert "/reject" in ben.get(path).said
    assert [ben.post(f"{path}/reject", {}).status for _ in range(2)] == [303, 400]
    assert "rejected" in ben.get("/console/withdrawals?format=csv").text
