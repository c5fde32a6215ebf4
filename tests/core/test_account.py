"""Payment policies: what an account may choose."""

from datetime import UTC, datetime

import pytest

from sakk.core.account import (
    BASIS_POINTS,
    Account,
    AccountKind,
    PaymentPolicy,
    change_policy,
    public_account,
    read_policy,
)
from sakk.core.errors import ParameterInvalid


def test_defaults() -> None:
    assert read_policy({}) == PaymentPolicy(
        late="accept",
        over="accept",
        wrong_asset="credit",
        finished="credit",
        tolerance_under_units=0,
        tolerance_percent_bps=0,
    )


def test_a_policy_comes_back_from_its_document() -> None:
    policy = PaymentPolicy(late="suspense", over="credit", tolerance_under_units=10**30)
    assert read_policy(policy.document()) == policy


def test_a_change_leaves_the_rest() -> None:
    policy = change_policy(PaymentPolicy(late="credit"), {"over": "refund_due"})
    assert (policy.late, policy.over) == ("credit", "refund_due")


@pytest.mark.parametrize(
    "changes",
    [
        {"late": "never"},
        {"over": "suspense"},
        {"wrong_asset": "accept"},
        {"finished": "accept"},
        {"unknown": "accept"},
        {"tolerance_under_units": -1},
        {"tolerance_under_units": True},
        {"tolerance_percent_bps": 1.5},
        {"tolerance_percent_bps": BASIS_POINTS + 1},
    ],
)
def test_what_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ParameterInvalid) as caught:
        change_policy(PaymentPolicy(), changes)
    assert caught.value.param == f"settings[payments][{next(iter(changes))}]"


def test_the_public_account() -> None:
    account = Account(
        id="acct_1",
        kind=AccountKind.merchant,
        name="Shop",
        email=None,
        country="AT",
        policy={"late": "credit"},
        metadata={"a": "b"},
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )
    shown = public_account(account, livemode=True)
    assert shown["livemode"] is True
    assert shown["business_profile"] == {"name": "Shop"}
    assert shown["settings"]["payments"]["late"] == "credit"
    assert shown["settings"]["payments"]["over"] == "accept"
    assert shown["created"] == 1_767_225_600
