"""Approvals: of which content, and which of them count."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sakk.core.approval import (
    Approvable,
    Approval,
    acting_role,
    approval_message,
    content_digest,
    is_enough,
    public_approval,
    standing,
)
from sakk.core.person import Actor

CONTENT = {
    "intent_id": "po_1",
    "purpose": "payout",
    "network": "eip155:1",
    "asset": "eip155:1/slip44:60",
    "destination": "0xAb",
    "token_amount": "5",
}
DIGEST = content_digest(approval_message(**CONTENT))
GIVEN = Approval(
    id="apr_1",
    account_id="acct_1",
    livemode=False,
    subject="po_1",
    verdict="approve",
    actor="per_1",
    key="key_1",
    role="approver",
    method="totp",
    digest=DIGEST,
    public_key=None,
    signature=None,
    comment=None,
    created=datetime(2026, 1, 1, tzinfo=UTC),
)


@pytest.mark.parametrize("field", [name for name in CONTENT if name != "destination"])
def test_other_content_is_another_digest(field: str) -> None:
    changed = CONTENT | {field: CONTENT[field] + "1"}
    assert content_digest(approval_message(**changed)) != DIGEST


def test_an_address_is_the_same_however_it_is_spelt() -> None:
    assert approval_message(**CONTENT) == approval_message(**CONTENT | {"destination": "0xAB"})
    assert content_digest(approval_message(**CONTENT | {"destination": "0xac"})) != DIGEST


def test_only_approvals_of_this_content_in_this_role_count() -> None:
    others = [
        replace(GIVEN, verdict="reject"),
        replace(GIVEN, digest="00"),
        replace(GIVEN, role="admin"),
    ]
    assert standing([*others, GIVEN], digest=DIGEST, role="approver") == [GIVEN]


@pytest.mark.parametrize(
    ("wanted", "roles", "acts_as"),
    [
        ("approver", ["approver", "viewer"], "approver"),
        ("approver", ["admin"], None),
        ("approver", None, None),
        ("operator", None, "operator"),
        ("operator", ["admin"], "operator"),
        ("operator", ["approver"], "operator"),
        ("operator", ["finance"], None),
        (None, ["approver"], None),
    ],
)
def test_in_which_role_one_approves(
    wanted: str | None, roles: list[str] | None, acts_as: str | None
) -> None:
    assert acting_role(wanted, roles) == acts_as


def test_how_many_are_enough() -> None:
    subject = Approvable(
        id="po_1",
        account_id=None,
        livemode=False,
        noun="payout",
        content=approval_message(**CONTENT),
        rule=None,
        approvals_needed=2,
        approver_role="approver",
        asked_by=Actor("key_0"),
    )
    assert not is_enough(subject, [GIVEN, replace(GIVEN, digest="00")])
    assert is_enough(subject, [GIVEN, replace(GIVEN, actor="per_2")])


def test_what_is_shown() -> None:
    shown = public_approval(GIVEN)
    assert (shown["by"], shown["role"], shown["method"]) == ("per_1", "approver", "totp")
    assert shown["digest"] == DIGEST
    assert (shown["subject"], shown["payout"]) == ("po_1", "po_1")
    assert public_approval(replace(GIVEN, subject="wd_1"))["payout"] is None
