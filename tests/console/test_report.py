"""Reports at the console: asked for, followed, saved with their proof, and nobody else's."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from sakk.client.file_proof import check_file
from sakk.flow.report import report_stage
from tests.console.browser import Browser
from tests.console.desk import configure
from tests.console.office import Office
from tests.flow.policing import VAULT


@pytest.fixture(scope="module", autouse=True)
def configured(office: Office) -> None:
    with office.parts.database.begin() as connection:
        configure(connection)


def test_a_report_is_asked_for_followed_and_saved(office: Office) -> None:
    owner = office.browser(office.person("owner"))
    assert "No report was asked for yet" in owner.get("/console/reports").said
    asked = owner.post("/console/reports", {"kind": "fees", "tax_percent": "19", "form": "csv"})
    place = asked.location
    page = owner.get(place).said
    assert "Waiting" in page
    assert "0 %" in owner.get(f"{place}/progress").said
    assert owner.get(f"{place}/file").status == 404
    later = office.parts.clock() + timedelta(minutes=1)
    parts = replace(office.parts, vault=VAULT, clock=lambda: later)
    while report_stage(parts).run():
        pass
    page = owner.get(place).said
    assert "Written" in page
    assert "Signed by the key" in page
    file, proof = owner.get(f"{place}/file"), owner.get(f"{place}/proof")
    assert check_file([file.body], json.loads(proof.body))
    assert file.headers["content-type"].startswith("text/csv")
    again = owner.post(
        "/console/reports", {"kind": "large_values", "threshold": "x", "form": "csv"}
    )
    assert again.status == 400
    assert "That is no amount" in again.said
    asked = owner.post("/console/reports", {"kind": "volumes", "form": "jsonl"})
    place = asked.location
    assert owner.post(f"{place}/cancel", {}).status == 303
    assert "Canceled" in owner.get(place).said


def test_a_merchant_sees_its_own_alone(office: Office) -> None:
    alice: Browser = office.browser(office.person(alice=["owner"]))
    page = alice.get("/console/reports").said
    assert "Trial balance" not in page
    refused = alice.post("/console/reports", {"kind": "trial_balance", "form": "csv"})
    assert refused.status in (400, 403)
