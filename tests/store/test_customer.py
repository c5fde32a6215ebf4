"""The rows of customers."""

from sakk.core.customer import Customer
from sakk.store import customer as store
from sakk.store.database import Database
from sakk.store.identity import new_id, now
from sakk.store.page import PageRequest


def create(database: Database, account_id: str, **values: object) -> Customer:
    customer = Customer(
        **{
            "id": new_id("cus"),
            "account_id": account_id,
            "livemode": False,
            "name": "Ada",
            "email": None,
            "description": None,
            "metadata": {"a": "b"},
            "deleted": False,
            "created": now(),
            **values,
        }  # type: ignore[arg-type]
    )
    with database.begin() as connection:
        store.insert_customer(connection, customer)
    return customer


def test_rows_are_an_accounts_own_in_one_mode(database: Database) -> None:
    one = create(database, "acct_1")
    with database.begin() as connection:
        for account_id, livemode, expected in (
            ("acct_1", False, one),
            ("acct_1", True, None),
            ("acct_2", False, None),
        ):
            found = store.find_customer(
                connection, one.id, account_id=account_id, livemode=livemode, for_update=True
            )
            assert found == expected
            many = store.find_customers(
                connection, [one.id, "cus_x"], account_id=account_id, livemode=livemode
            )
            assert many == ([one] if expected else [])


def test_a_change_reaches_no_other_account(database: Database) -> None:
    one = create(database, "acct_1")
    with database.begin() as connection:
        store.update_customer(connection, one.id, {"name": "Eve"}, account_id="acct_2")
        store.update_customer(connection, one.id, {}, account_id="acct_1")
        assert store.find_customer(connection, one.id, account_id="acct_1", livemode=False) == one


def test_lists_leave_deleted_ones_out(database: Database) -> None:
    kept = create(database, "acct_1", email="a@b.c")
    create(database, "acct_1", deleted=True)
    other = create(database, "acct_1")
    with database.begin() as connection:
        rows, has_more = store.list_customers(
            connection, PageRequest(), account_id="acct_1", livemode=False
        )
        assert {row.id for row in rows} == {kept.id, other.id}
        assert not has_more
        rows, _ = store.list_customers(
            connection, PageRequest(), account_id="acct_1", livemode=False, email="a@b.c"
        )
        assert rows == [kept]
