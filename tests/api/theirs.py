"""What Bob has of his own, and bodies that are whole but for one id: so a sweep meets that id."""

import time
from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

from sakk.core.api_key import KeyKind
from sakk.core.role import Role
from sakk.flow import api_key as api_keys
from sakk.flow.person import new_person
from sakk.store import freeze as freezes
from sakk.store import person as persons
from sakk.store.identity import new_id, now
from tests.api.checkout_objects import line
from tests.api.paying import call
from tests.api.world import ADDRESS, NETWORK, Api

ID: Final = "{id}"
# A channel by which Bob is paid, where a route is for payees.
PAID: Final = "create_charge_refund"
_PAYOUT: Final = {"amount": 1_000_000, "currency": "usdc"}
_PLACE: Final = {"network": NETWORK, "address": ADDRESS}
_SOON: Final = int(time.time()) + 86_400
_SIGNED: Final = {"owner": ADDRESS, "agent": ADDRESS, "currency": "usdc"}

# Bodies with which an id in the path is looked for at all.
BODIES: Final[dict[str, dict[str, Any]]] = {
    "replay_webhooks": {"since": 0},
    "answer_information_request": {"text": "An invoice."},
    "verify_alias": {"code": "guess"},
    "apply_gift_card": {"code": "guess"},
    "update_connected_account": {"application_fee_rules": []},
    "reassign_bill_share": {"money_request": "mreq_none"},
    "top_up_channel": {"amount": 1},
    "create_mandate_spend": {"reference": "1", "amount": 1, "payee": {}},
    "create_mandate_invoice": {"reference": "1", "amount": 1},
    "park_under_mandate": {"reference": "1", "amount": 1},
    "unpark_under_mandate": {"reference": "1", "amount": 1},
    "create_charge_refund": {"session": "ses_1", "nonce": "1"},
    "create_channel_dispute": {"session": "ses_1", "nonce": "1", "reason": "empty"},
    "resolve_channel_dispute": {"outcome": "withdraw"},
    "resolve_escrow_dispute": {"outcome": "refund"},
    "release_bank_file": {"sha256": "00" * 32},
    "confirm_bank_account": {"digest": "00" * 32},
    "confirm_bank_line": {"digest": "00" * 32},
    "confirm_bank_return": {"digest": "00" * 32},
    "confirm_hedge_policy": {"digest": "00" * 32},
    "create_party_link": {"party": "pty_none", "relation": "director"},
    "create_party_document": {
        "kind": "other",
        "name": "a.pdf",
        "media_type": "application/pdf",
        "content": "JVBERi0=",
    },
}
# By the name of a field that is an id: of which of the sweep's objects. Those that are called as
# the object need no line.
NAMED: Final = {
    "destination": "beneficiary",
    "file": "bank_file",
    "statement": "bank_statement",
    "related_object": "payment_intent",
    "replaces": "mandate",
    "session": "session",
    "source": "payout",
}
# Names of fields that are of the type of ids, and name nothing that anybody owns.
NO_ONES: Final = frozenset(
    {
        # Of a chain, or said by whoever asks.
        *("address", "agent", "asset", "category", "media_type", "network", "networks", "nonce"),
        *("currencies", "name", "owner", "reference", "salt", "scheme", "schemes", "signer"),
        *("tx_hash", "type", "types", "enabled_events", "scopes", "allowed_addresses"),
        # Accounts are named to be paid; that one is there is no secret.
        *("account", "payee"),
        # Of an account at a bank.
        *("iban", "bic", "country", "number", "bank_code", "calendar"),
        # Of the house's list of institutions.
        "id",
        # An answer's own word, given back.
        "confirmed_unlike",
    }
)
# What the mall shows is everybody's to buy.
PUBLIC: Final = frozenset({("create_purchase", "shop"), ("create_purchase", "line_items.product")})
# A body for each field that names an object, by operation and place; ``ID`` stands for the id.
REFERENCES: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("create_api_key", "mandate"): {"kind": "restricted", "scopes": ["mandates:read"]},
    ("update_account", "fee_schedule"): {"fee_schedule": ID},
    ("create_payment_intent", "customer"): {"amount": 1, "currency": "usd"},
    ("create_checkout_session", "customer"): {"line_items": [line()]},
    ("create_payout", "destination.beneficiary"): {**_PAYOUT, "destination": {"beneficiary": ID}},
    ("create_payout", "quote"): {**_PAYOUT, "destination": _PLACE},
    ("create_payout", "destination.bank_account"): {
        **_PAYOUT,
        "destination": {"bank_account": ID},
    },
    ("create_bank_reference", "bank_account"): {"currency": "eur", "bank_account": ID},
    ("create_conversion", "quote"): {},
    ("create_product", "shop"): {"name": "A lamp", "price": 1},
    **{
        (f"{verb}_payout_batch", f"lines.{field}"): {
            "lines": [{**_PAYOUT, "destination": _PLACE, **given}]
        }
        for verb in ("preview", "create")
        for field, given in (
            ("destination.beneficiary", {"destination": {"beneficiary": ID}}),
            ("destination.bank_account", {"destination": {"bank_account": ID}}),
            ("quote", {"quote": ID}),
        )
    },
    **{
        (f"{verb}_payout_batch", "quote"): {"lines": [{**_PAYOUT, "destination": _PLACE}]}
        for verb in ("preview", "create")
    },
    ("create_refund", "payment_intent"): {},
    ("create_refund", "payin"): {},
    ("reassign_bill_share", "money_request"): {},
    ("draft_ap2_mandate", "mandate"): _SIGNED,
    **{
        (operation, "terms.replaces"): {
            "terms": {**_SIGNED, "total": 1, "expires_at": _SOON, "replaces": ID},
            **more,
        }
        for operation, more in (
            ("draft_mandate", {}),
            ("create_mandate", {"signature": "0x" + "11" * 65}),
        )
    },
    ("create_refill", "channel"): {"below": 1, "up_to": 2},
    ("create_charge_refund", "session"): {"nonce": "0"},
    ("create_channel_dispute", "session"): {"nonce": "0", "reason": "empty"},
    ("create_party", "customer"): {"kind": "individual", "details": {"full_name": "Ann"}},
    ("create_party_link", "party"): {"relation": "director"},
    ("charge", "operations.session"): {
        "operations": [
            {
                "op": "reserve",
                "session": ID,
                "nonce": "0",
                "amount": "1",
                "currency": "usdc",
                "request_hash": "00" * 32,
                "mac": "00" * 32,
            }
        ]
    },
}


def make_theirs(api: Api) -> dict[str, str]:
    """What Bob needs for ids in a body or a query to be looked for; by the paths' parameters."""
    bob = api.world.bob
    with api.database.begin() as connection:
        # Other tests stop everything, and leave it so.
        standing = [each.id for each in freezes.list_in_force(connection)]
        freezes.lift(connection, standing, reason="a test begins", now=now())
    for each in (bob, api.world.operator):
        call(api, each, "POST", "/v1/probes/fund", {"amount": 1_000_000})
    hook = {"url": "http://127.0.0.1:9/hook", "enabled_events": ["*"]}
    person = {"kind": "individual", "details": {"full_name": "Ann"}}
    paying = {"payee": api.world.operator.account, "currency": "usdc", "amount": 1_000}
    paid = {**paying, "payee": bob.account}
    bill = {"amount": 10, "currency": "usdc", "shares": [{"payer": api.world.operator.account}]}
    return {
        "account": bob.account,
        PAID: call(api, api.world.operator, "POST", "/v1/channels", paid)["id"],
        "bill": call(api, bob, "POST", "/v1/bills", bill)["id"],
        "webhook_endpoint": call(api, bob, "POST", "/v1/webhook_endpoints", hook)["id"],
        "party": call(api, bob, "POST", "/v1/parties", person)["id"],
        "channel": call(api, bob, "POST", "/v1/channels", paying)["id"],
    }


def keys_of_roles(api: Api) -> dict[Role, str]:
    """Somebody of each role, with a secret key of the operator's account of their own."""
    found = {}
    with api.database.begin() as connection:
        for role in Role:
            address = f"{uuid4().hex}@example.com"
            person = new_person(new_id("per"), role, address, livemode=False, now=now())
            persons.insert(connection, replace(person, roles=[role.value], state="active"))
            found[role] = api_keys.create(
                connection,
                key_id=new_id("key"),
                account_id=api.world.operator.account,
                livemode=False,
                now=now(),
                kind=KeyKind.secret,
                person=person.id,
            )[1]
    return found
