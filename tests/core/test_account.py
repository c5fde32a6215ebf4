"""Payment policies: what an account may choose."""

from datetime import UTC, datetime
from typing import Any

import pytest

from sakk.core.account import (
    BASIS_POINTS,
    Account,
    AccountKind,
    NetworkFee,
    Payer,
    PaymentPolicy,
    PayoutSettings,
    change_payout_settings,
    change_policy,
    public_account,
    read_policy,
)
from sakk.core.errors import ParameterInvalid, PermissionDenied


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
        payouts={"destinations": "address_book"},
        metadata={"a": "b"},
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )
    shown = public_account(account, livemode=True)
    assert shown["livemode"] is True
    assert shown["business_profile"] == {"name": "Shop"}
    assert shown["settings"]["payments"]["late"] == "credit"
    assert shown["settings"]["payments"]["over"] == "accept"
    assert shown["settings"]["payouts"] == {
        "destinations": "address_book",
        "beneficiary_delay_seconds": None,
        "network_fee": "default",
        "verification": "optional",
        "refund_fee": "waive",
        "refund_fee_fixed": {},
    }
    assert shown["created"] == 1_767_225_600


def test_live_money_waits_a_day_unless_the_operator_says_otherwise() -> None:
    plain = PayoutSettings()
    assert (plain.delay_seconds(livemode=True), plain.delay_seconds(livemode=False)) == (86_400, 0)
    changed = change_payout_settings(
        plain,
        {
            "destinations": "address_book",
            "beneficiary_delay_seconds": 60,
            "network_fee": "charge",
        },
        by_operator=True,
    )
    assert changed == PayoutSettings("address_book", 60, "charge")
    assert changed.delay_seconds(livemode=True) == changed.delay_seconds(livemode=False) == 60
    back = change_payout_settings(changed, {"beneficiary_delay_seconds": None}, by_operator=True)
    assert back == PayoutSettings("address_book", None, "charge")
    fees = {"refund_fee": "payer", "refund_fee_fixed": {"usdc": 500_000}}
    charged = change_payout_settings(plain, fees, by_operator=True)
    assert (charged.refund_fee, charged.refund_fee_fixed) == ("payer", {"usdc": 500_000})


@pytest.mark.parametrize(
    ("own", "operator", "charged"),
    [
        ("default", "default", False),
        ("default", "charge", True),
        ("default", "waive", False),
        ("charge", "waive", True),
        ("waive", "charge", False),
    ],
)
def test_an_account_without_a_setting_bears_what_the_operator_says(
    own: NetworkFee, operator: NetworkFee, charged: bool
) -> None:
    payer = Payer(PayoutSettings(network_fee=own), PayoutSettings(network_fee=operator))
    assert payer.is_charged_network_fee() is charged


@pytest.mark.parametrize(
    "changes",
    [
        {"destinations": "anyone"},
        {"destinations": None},
        {"network_fee": "free"},
        {"refund_fee": "charge"},
        {"refund_fee_fixed": {"usdc": -1}},
        {"refund_fee_fixed": {"usdc": True}},
        {"refund_fee_fixed": 5},
        {"beneficiary_delay_seconds": -1},
        {"beneficiary_delay_seconds": True},
        {"beneficiary_delay_seconds": 31 * 86_400},
        {"unknown": 1},
    ],
)
def test_payout_settings_that_can_not_be(changes: dict[str, Any]) -> None:
    with pytest.raises(ParameterInvalid) as caught:
        change_payout_settings(PayoutSettings(), changes, by_operator=True)
    assert caught.value.param == f"settings[payouts][{next(iter(changes))}]"


def test_a_merchant_does_not_widen_whom_it_may_pay() -> None:
    with pytest.raises(PermissionDenied):
        change_payout_settings(PayoutSettings(), {"destinations": "any"}, by_operator=False)
