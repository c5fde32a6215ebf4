"""Who changes something is in the audit log, whichever route of the API or screen it was.

Generated from both tables: a noun that can be written has tables whose changes are noted, or is
named among those of which the acts are.
"""

import json
from typing import Any, Final

from sqlalchemy import text

from sakk.api.app import ROUTES
from sakk.console.table import SCREENS
from sakk.core.audit import UNKEPT
from sakk.core.role import Role
from sakk.flow import audit
from sakk.store.audited import AUDITED
from sakk.store.identity import now
from tests.api.checkout_objects import line
from tests.api.objects import Objects
from tests.api.theirs import keys_of_roles, make_theirs
from tests.api.world import Api

# The tables that a noun's routes write, each of which is audited.
TABLES: Final[dict[str, tuple[str, ...]]] = {
    "accounts": ("accounts",),
    "aliases": ("aliases",),
    "api_keys": ("api_keys",),
    "approvals": ("approvals",),
    "bank_accounts": ("bank_accounts", "bank_account_changes"),
    "bank_references": ("bank_references",),
    "bank_returns": ("bank_returns",),
    "beneficiaries": ("beneficiaries",),
    "branding": ("brandings",),
    "breaks": ("breaks", "break_acts"),
    "chart_mappings": ("chart_mappings",),
    "cases": ("cases", "case_acts", "case_notes", "case_attachments", "case_settings"),
    "connected_accounts": ("connected_accounts", "fee_versions"),
    "days": ("day_acceptances",),
    "fee_schedules": ("fee_schedules", "fee_versions"),
    "freezes": ("freezes", "freeze_lifts"),
    "gift_cards": ("gift_cards", "gift_card_batches", "gift_card_breakages"),
    "hedge_policies": ("hedge_policies", "hedge_proposals"),
    "information_requests": ("information_requests", "information_ends"),
    "lists": ("label_lists",),
    "mandates": ("mandates",),
    "name_screenings": ("name_screenings", "name_exemptions"),
    "orders": ("orders",),
    "owner_keys": ("owner_keys",),
    "parties": ("parties", "party_acts", "party_documents", "party_links", "party_revisions"),
    "payment_links": ("payment_links",),
    "persons": ("persons", "person_accounts", "invitations"),
    "policies": ("policies",),
    "pos_devices": ("pos_devices",),
    "rates": ("rate_pegs",),
    "provider_orders": ("provider_answers",),
    "refills": ("refills",),
    "reconciliations": ("breaks", "break_acts"),
    "screening_rules": ("screening_rules", "rules_in_force"),
    "screenings": ("screenings",),
    "settlement_schedules": ("settlement_schedules",),
    "shops": ("shops", "products"),
    "second_factors": ("persons", "passkeys", "recovery_codes", "sign_ins"),
    "travel_rule": ("travel_rules", "travel_parties", "regimes"),
    "treasury": ("treasury_targets", "vaults"),
    "vasps": ("vasps",),
    "webhook_endpoints": ("webhook_endpoints",),
}
# A person's own: how pages look to them, and which lists they keep.
NOBODY_ELSES: Final = frozenset({"home"})
# What making one object of every kind writes over the API, as Alice and as the operator.
WRITTEN: Final = frozenset(
    {
        *("api_keys", "beneficiaries", "brandings", "case_notes", "freezes", "mandates"),
        "connected_accounts",
        *("owner_keys", "parties", "party_documents", "party_links", "payment_links"),
        *("pos_devices", "regimes", "travel_parties", "vasps", "webhook_endpoints"),
    }
)


def test_every_noun_that_can_be_written_leaves_a_trail() -> None:
    written = {each.resource for each in ROUTES if each.access == "write"}
    written |= {each.resource for each in SCREENS if each.access == "write"}
    assert written - NOBODY_ELSES <= {*TABLES, *UNKEPT}
    assert not UNKEPT & {*TABLES}
    assert {table for tables in TABLES.values() for table in tables} <= {*AUDITED}


def _log(api: Api) -> list[dict[str, Any]]:
    """All that was noted on this server, whichever tests did it, sealed in blocks that hold."""
    with api.database.begin() as connection:
        while audit.seal(connection, now=now()):
            pass
    assert audit.verify(api.database).breaks == ()
    with api.database.begin() as connection:
        bodies = connection.execute(text("SELECT body FROM audit_entries ORDER BY seq")).scalars()
        return [json.loads(body) for body in bodies]


def test_every_change_says_who_asked_for_it(api: Api, objects: Objects) -> None:
    """By which key, in which request, with what was before and after; and the chain holds."""
    make_theirs(api)
    made = api.call("POST", "/v1/payment_links", json={"line_items": [line()]}).json()["id"]
    for path, body in (
        (f"/v1/payment_links/{made}", {"active": False}),
        ("/v1/travel_rule/originator", {"type": "legal", "name": "Shop Ltd", "country": "CH"}),
    ):
        assert api.call("POST", path, json=body).status_code == 200
    # Which both modes share.
    branded = {"support_email": "help@shop.example"}
    shop = api.newcomer("branded").key
    assert api.call("POST", "/v1/branding", key=shop, json=branded).status_code == 200
    entries = _log(api)
    # What no request says who did would be the process's.
    assert [each for each in entries if each["actor"] == "role:api"] == []
    asked = [each for each in entries if each["request"] is not None]
    assert {each["source"] for each in asked} >= WRITTEN
    for each in asked:
        assert each["request"].startswith("req_")
        assert "key_" in each["actor"]
        changed = {"insert": (None, dict), "update": (dict, dict), "delete": (dict, None)}
        for document, kind in zip(
            (each["before"], each["after"]), changed.get(each["act"], (None, dict)), strict=True
        ):
            assert (document is None) if kind is None else isinstance(document, kind), each
    [_, switched] = [each for each in asked if each["subject"] == made]
    assert (switched["source"], switched["act"]) == ("payment_links", "update")
    assert (switched["before"]["active"], switched["after"]["active"]) == (True, False)


def test_what_a_person_does_to_money_on_its_way_is_noted(api: Api, objects: Objects) -> None:
    """Rows of money are no part of the log: the act is, with the hash of what was sent."""
    people, transaction = keys_of_roles(api), objects["chain_transaction"]
    path = f"/v1/chain_transactions/{transaction}/replace"
    assert api.call("POST", path, key=people[Role.viewer], json={}).status_code == 403
    replaced = api.call("POST", path, key=people[Role.admin], json={})
    assert (replaced.status_code, replaced.json()["id"]) == (200, transaction)
    said = replaced.headers["Request-Id"]
    [noted] = [each for each in _log(api) if each["request"] == said]
    assert (noted["source"], noted["subject"]) == ("acts", transaction)
    assert (noted["act"], noted["actor"][:4]) == ("replace_chain_transaction", "per_")
    assert len(noted["after"]["sha256"]) == 64
