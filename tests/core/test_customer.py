"""The public customer."""

from dataclasses import replace
from datetime import UTC, datetime

from sakk.core.customer import Customer, public_customer

CUSTOMER = Customer(
    id="cus_1",
    account_id="acct_1",
    livemode=False,
    name="Ada",
    email=None,
    description=None,
    metadata={},
    deleted=False,
    created=datetime(2026, 1, 1, tzinfo=UTC),
)


def test_the_account_is_not_shown() -> None:
    shown = public_customer(CUSTOMER, {"eip155:1": {}})
    assert shown["crypto_deposit_addresses"] == {"eip155:1": {}}
    assert "acct_1" not in repr(shown)


def test_nothing_of_a_deleted_one_is_shown() -> None:
    shown = public_customer(replace(CUSTOMER, deleted=True), {})
    assert shown == {"id": "cus_1", "object": "customer", "deleted": True}
