"""What a freeze stops, in words and in the operator's object."""

import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest

from sakk.core.errors import ParameterInvalid
from sakk.core.freeze import (
    REASON_CHARACTERS_MAX,
    Freeze,
    Lift,
    check_reason,
    lift_digest,
    message_of,
    public,
    public_lift,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
USDC = "eip155:8453/erc20:0x833589fcd6edb6e08f4c7c32d4f71b54bda02913"


def make(**fields: Any) -> Freeze:
    return Freeze(**{"id": "frz_1", "reason": "drill", "origin": "cli", "created": NOW, **fields})


@pytest.mark.parametrize(
    ("fields", "scope", "is_whole", "reaches_signer"),
    [
        ({}, "all", True, True),
        ({"network": "eip155:8453"}, "network eip155:8453", True, True),
        ({"asset": USDC}, f"asset {USDC}", False, True),
        ({"account_id": "acct_1"}, "account acct_1", False, False),
        (
            {"account_id": "acct_1", "network": "eip155:8453"},
            "account acct_1, network eip155:8453",
            False,
            False,
        ),
    ],
)
def test_what_it_stops(
    fields: dict[str, Any], scope: str, is_whole: bool, reaches_signer: bool
) -> None:
    freeze = make(**fields)
    assert (freeze.scope, freeze.is_whole, freeze.reaches_signer) == (
        scope,
        is_whole,
        reaches_signer,
    )


@pytest.mark.parametrize("reason", ["", "  \n", "x" * (REASON_CHARACTERS_MAX + 1)])
def test_a_reason_has_to_be_given(reason: str) -> None:
    with pytest.raises(ParameterInvalid) as caught:
        check_reason(reason)
    assert caught.value.param == "reason"


def test_a_reason_is_kept_without_its_margins() -> None:
    assert check_reason(" a key was seen\n") == "a key was seen"


def test_the_object_says_whether_it_is_in_force_and_whether_the_signer_has_it() -> None:
    shown = public(make(), livemode=False)
    assert (shown["status"], shown["signer_frozen_at"], shown["lifted_at"]) == (
        "in_force",
        None,
        None,
    )
    lifted = public(make(signer_at=NOW, lifted_at=NOW, lift_reason="over"), livemode=True)
    seconds = int(NOW.timestamp())
    assert (lifted["status"], lifted["signer_frozen_at"], lifted["lifted_at"]) == (
        "lifted",
        seconds,
        seconds,
    )
    assert (lifted["lift_reason"], lifted["livemode"]) == ("over", True)


def test_a_lift_is_of_one_freeze_and_one_reason() -> None:
    freeze = make(network="eip155:8453")
    message = "sakk lift v1\nfrz_1\neip155:8453\nevery asset\nlooked at"
    assert message_of(freeze, "looked at").decode() == message
    digest = lift_digest(freeze, "looked at")
    assert digest != lift_digest(freeze, "looked at again")
    assert digest != lift_digest(make(id="frz_2", network="eip155:8453"), "looked at")
    lift = Lift(
        id="frl_1",
        freeze="frz_1",
        livemode=False,
        status="proposed",
        reason="looked at",
        digest=digest,
        approvals=[],
        proposed_by="per_1",
        created=NOW,
    )
    shown = public_lift(lift, freeze)
    assert (shown["object"], shown["message"], shown["signatures"]) == ("freeze_lift", message, 0)
    assert (shown["decided_at"], shown["digest"]) == (None, digest)
    ended = public_lift(dataclasses.replace(lift, decided_at=NOW, decided_by="per_2"), freeze)
    assert ended["decided_at"] == int(NOW.timestamp())
