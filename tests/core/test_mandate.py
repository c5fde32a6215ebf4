"""Mandates: what terms may say, in words and as typed data that any wallet signs."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from sakk.core import eip712
from sakk.core import mandate as rules
from sakk.core.errors import ParameterInvalid
from sakk.core.evm import keccak256
from sakk.core.mandate import CategoryRule, Mandate, PayeeRule, Period, Terms

OWNER = Account.from_key("0x" + "46" * 32)
AGENT = Account.from_key("0x" + "47" * 32)
START = 1_780_000_000
SELLER = "acct_" + "0" * 25 + "1"
TERMS = Terms(
    account_id="acct_" + "0" * 26,
    livemode=False,
    owner=OWNER.address.lower(),
    agent=AGENT.address.lower(),
    currency="usdc",
    decimals=6,
    total=50_000_000,
    starts_at=START,
    expires_at=START + 30 * 86_400,
    salt="0x" + "07" * 32,
)
FULL = replace(
    TERMS,
    livemode=True,
    count=1_000,
    call_min=1,
    call_max=2_000_000,
    payee_max=10_000_000,
    approval_above=0,
    may_park=True,
    periods=(Period(86_400, 5_000_000, 100), Period(3_600, 1_000_000), Period(60, None, 5)),
    payees=(
        PayeeRule(account=SELLER, category="search", limit=9),
        PayeeRule(host="*.example.com", category="models"),
        PayeeRule(address="0x" + "11" * 20, network="eip155:8453", category="models"),
    ),
    categories=(CategoryRule("search"), CategoryRule("models", 3_000_000)),
    networks=("sakk", "eip155:8453"),
    schemes=("session", "exact"),
    replaces="mnd_" + "0" * 26,
)


def mandate(terms: Terms = TERMS, **values: Any) -> Mandate:
    fields: dict[str, Any] = {
        "id": "mnd_" + "0" * 26,
        "account_id": terms.account_id,
        "livemode": terms.livemode,
        "owner_key": "ok_1",
        "agent": terms.agent,
        "currency": terms.currency,
        "terms": rules.document(terms),
        "signed": b"{}",
        "digest": bytes(32),
        "signature": bytes(65),
        "status": "active",
        "replaces": terms.replaces,
        "replaced_by": None,
        "revoked_at": None,
        "revoked_by": None,
        "description": None,
        "metadata": {},
        "starts_at": datetime.fromtimestamp(terms.starts_at, UTC),
        "expires_at": datetime.fromtimestamp(terms.expires_at, UTC),
        "created": datetime.fromtimestamp(terms.starts_at, UTC),
    }
    return Mandate(**{**fields, **values})


@pytest.mark.parametrize("terms", [TERMS, FULL])
def test_terms_that_are_right_are_left(terms: Terms) -> None:
    assert rules.check_terms(terms) == terms
    assert rules.read_document(rules.document(terms)) == terms


def test_addresses_are_put_in_lower_case() -> None:
    written = replace(
        TERMS,
        owner=OWNER.address,
        agent=AGENT.address,
        payees=(PayeeRule(address=OWNER.address),),
    )
    checked = rules.check_terms(written)
    assert (checked.owner, checked.agent) == (TERMS.owner, TERMS.agent)
    assert checked.payees == (PayeeRule(address=TERMS.owner),)


@pytest.mark.parametrize(
    ("values", "param"),
    [
        ({"total": 0}, "total"),
        ({"total": 1 << 128}, "total"),
        ({"count": 0}, "count"),
        ({"count": 1 << 63}, "count"),
        ({"call_min": 0}, "call_min"),
        ({"call_max": 0}, "call_max"),
        ({"payee_max": 0}, "payee_max"),
        ({"approval_above": -1}, "approval_above"),
        ({"call_min": 3, "call_max": 2}, "call_min"),
        ({"expires_at": START}, "expires_at"),
        ({"expires_at": START + rules.LIFE_SECONDS_MAX + 1}, "expires_at"),
        ({"salt": "0x07"}, "salt"),
        ({"owner": "0x12"}, "owner"),
        ({"agent": "0x" + "0" * 40}, "agent"),
        ({"periods": (Period(0, 1),)}, "periods[0][seconds]"),
        ({"periods": (Period(60),)}, "periods[0]"),
        ({"periods": (Period(60, 0),)}, "periods[0][amount]"),
        ({"periods": (Period(60, None, 0),)}, "periods[0][count]"),
        ({"periods": (Period(60, 1), Period(60, None, 1))}, "periods[0][seconds]"),
        ({"periods": tuple(Period(1 + n, 1) for n in range(9))}, "periods"),
        ({"payees": (PayeeRule(),)}, "payees[0]"),
        ({"payees": (PayeeRule(account="acct_1"),)}, "payees[0][account]"),
        ({"payees": (PayeeRule(account=SELLER, network="eip155:1"),)}, "payees[0][network]"),
        (
            {"payees": (PayeeRule(address="0x" + "11" * 20, network="sakk"),)},
            "payees[0][network]",
        ),
        ({"payees": (PayeeRule(address="0x11"),)}, "payees[0][address]"),
        ({"payees": (PayeeRule(host="API.example.com"),)}, "payees[0][host]"),
        ({"payees": (PayeeRule(host="https://example.com"),)}, "payees[0][host]"),
        ({"payees": (PayeeRule(account=SELLER, limit=0),)}, "payees[0][limit]"),
        ({"payees": (PayeeRule(account=SELLER), PayeeRule(account=SELLER))}, "payees[1]"),
        ({"payees": (PayeeRule(account=SELLER, category="x"),)}, "payees[0][category]"),
        (
            {
                "payees": (PayeeRule(account=SELLER, category="x"), PayeeRule(host="a.com")),
                "categories": (CategoryRule("x"),),
            },
            "payees[1][category]",
        ),
        ({"categories": (CategoryRule("x"),)}, "categories[0]"),
        ({"categories": (CategoryRule("X"),)}, "categories[0][name]"),
        ({"categories": (CategoryRule("x"), CategoryRule("x", 1))}, "categories[0][name]"),
        (
            {
                "payees": (PayeeRule(account=SELLER, category="x"),),
                "categories": (CategoryRule("x", 0),),
            },
            "categories[0][limit]",
        ),
        ({"networks": ("base",)}, "networks[0]"),
        ({"networks": ("eip155:1", "eip155:1")}, "networks[1]"),
        ({"schemes": ("Exact!",)}, "schemes[0]"),
    ],
)
def test_terms_that_can_not_be_meant_are_refused(values: dict[str, Any], param: str) -> None:
    with pytest.raises(ParameterInvalid) as caught:
        rules.check_terms(replace(TERMS, **values))
    assert caught.value.param == param


@pytest.mark.parametrize("terms", [TERMS, FULL])
def test_a_wallet_signs_what_is_hashed_here(terms: Terms) -> None:
    """The public library reads the typed data as JSON carries it, and finds the same digest."""
    typed = rules.typed_data(terms)
    signable = encode_typed_data(full_message=numbers(typed))
    digest = eip712.digest(typed)
    assert digest == keccak256(b"\x19" + signable.version + signable.header + signable.body)
    signature = OWNER.sign_typed_data(full_message=numbers(typed)).signature.hex()
    assert eip712.signer(typed, signature) == terms.owner


def numbers(typed: dict[str, Any]) -> dict[str, Any]:
    """With numbers instead of decimal text, as this library alone wants it."""

    def read(value: Any, kind: str) -> Any:
        if kind.endswith("[]"):
            return [read(each, kind[:-2]) for each in value]
        if kind in typed["types"]:
            fields = {each["name"]: each["type"] for each in typed["types"][kind]}
            return {name: read(each, fields[name]) for name, each in value.items()}
        return int(value) if kind.startswith("uint") else value

    return {**typed, "message": read(typed["message"], typed["primaryType"])}


def test_every_limit_is_said_in_words() -> None:
    assert rules.statement(TERMS) == (
        f"The agent {AGENT.address} may spend 50.000000 usdc of the money of the Sakk account "
        "acct_00000000000000000000000000 in test mode, from 2026-05-28T20:26:40Z until "
        "2026-06-27T20:26:40Z. To anybody."
    )
    assert rules.statement(FULL).partition(". ")[2] == (
        "In every 86400 seconds at most 5.000000 usdc and 100 payments. In every 3600 seconds at "
        "most 1.000000 usdc. In every 60 seconds at most 5 payments. At most 1000 payments in all."
        " At most 2.000000 usdc at a time. At least 0.000001 usdc at a time. At most 10.000000"
        " usdc to one payee. A payment of more than 0.000000 usdc waits for a person. For search."
        " For models, at most 3.000000 usdc. Only to acct_00000000000000000000000001 for search"
        " (at most 0.000009 usdc), *.example.com for models, 0x1111111111111111111111111111111111"
        "111111 on eip155:8453 for models. Only on sakk, eip155:8453. Only by session, exact. It"
        " may move idle balance into the pool and back. This replaces"
        " mnd_00000000000000000000000000."
    )


@pytest.mark.parametrize(
    "change",
    [
        {"total": 50_000_001},
        {"count": 1},
        {"call_min": 1},
        {"call_max": 1},
        {"payee_max": 1},
        {"approval_above": 0},
        {"may_park": True},
        {"may_invoice": True},
        {"periods": (Period(60, 1),)},
        {"payees": (PayeeRule(account=SELLER),)},
        {"networks": ("sakk",)},
        {"schemes": ("exact",)},
        {"starts_at": START + 1},
        {"expires_at": START + 60},
        {"livemode": True},
        {"account_id": SELLER},
        {"currency": "usdt"},
        {"decimals": 18},
        {"replaces": "mnd_" + "0" * 26},
        {"salt": "0x" + "08" * 32},
    ],
)
def test_every_term_is_signed(change: dict[str, Any]) -> None:
    changed = rules.typed_data(replace(TERMS, **change))
    assert eip712.digest(changed) != eip712.digest(rules.typed_data(TERMS))


@pytest.mark.parametrize(
    ("values", "seconds", "status"),
    [
        ({}, -1, "waiting"),
        ({}, 0, "active"),
        ({}, 30 * 86_400, "expired"),
        ({"status": "revoking"}, 0, "revoked"),
        ({"status": "revoked", "revoked_at": datetime.fromtimestamp(START, UTC)}, 0, "revoked"),
    ],
)
def test_it_is_shown(values: dict[str, Any], seconds: int, status: str) -> None:
    row = mandate(**values)
    shown = rules.public_mandate(row, now=datetime.fromtimestamp(START + seconds, UTC))
    assert shown["status"] == status
    assert shown["terms"]["total"] == 50_000_000
    assert shown["terms"]["agent"] == AGENT.address
    assert shown["revoked_at"] == (START if row.revoked_at else None)
