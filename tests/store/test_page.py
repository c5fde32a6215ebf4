"""Pages by keyset."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sakk.core.customer import Customer
from sakk.core.errors import CursorMissing
from sakk.store.customer import customers, insert_customer, update_customer
from sakk.store.database import Database
from sakk.store.page import PageRequest, fetch_page, page_of

START = datetime(2026, 1, 1, tzinfo=UTC)


def create(database: Database, account_id: str, count: int, *, livemode: bool = False) -> None:
    with database.begin() as connection:
        for number in range(count):
            insert_customer(
                connection,
                Customer(
                    id=f"cus_{account_id}_{int(livemode)}_{number:03}",
                    account_id=account_id,
                    livemode=livemode,
                    name=None,
                    email=None,
                    description=None,
                    metadata={},
                    deleted=False,
                    created=START + timedelta(seconds=number),
                ),
            )


def numbers(
    database: Database, page: PageRequest, *, account_id: str | None = "a", **options: Any
) -> tuple[list[int], bool]:
    with database.begin() as connection:
        rows, has_more = fetch_page(
            connection,
            customers,
            Customer,
            account_id=account_id,
            livemode=False,
            page=page,
            **options,
        )
    return [int(row.id[-3:]) for row in rows], has_more


def cursor(number: int, account_id: str = "a") -> str:
    return f"cus_{account_id}_0_{number:03}"


def test_pages_in_both_directions(database: Database) -> None:
    create(database, "a", 5)
    create(database, "b", 3)
    create(database, "a", 2, livemode=True)
    assert numbers(database, PageRequest(limit=2)) == ([4, 3], True)
    assert numbers(database, PageRequest(limit=5)) == ([4, 3, 2, 1, 0], False)
    assert numbers(database, PageRequest(limit=2, starting_after=cursor(3))) == ([2, 1], True)
    assert numbers(database, PageRequest(limit=2, starting_after=cursor(1))) == ([0], False)
    assert numbers(database, PageRequest(limit=2, ending_before=cursor(0))) == ([2, 1], True)
    assert numbers(database, PageRequest(limit=2, ending_before=cursor(3))) == ([4], False)
    assert numbers(database, PageRequest(limit=9), account_id=None) == (
        [2, 1, 0, 4, 3, 2, 1, 0],
        False,
    )


def test_bounds_and_filters(database: Database) -> None:
    create(database, "a", 5)
    bounds = PageRequest(
        created_gte=START + timedelta(seconds=1), created_lt=START + timedelta(seconds=3)
    )
    assert numbers(database, bounds) == ([2, 1], False)
    with database.begin() as connection:
        update_customer(connection, cursor(2), {"email": "x"}, account_id="a")
    assert numbers(database, PageRequest(), filters=[customers.c.email == "x"]) == ([2], False)


@pytest.mark.parametrize("param", ["starting_after", "ending_before"])
def test_a_cursor_of_another_list(database: Database, param: str) -> None:
    create(database, "a", 1)
    create(database, "b", 1)
    for wrong in (cursor(0, "b"), "nobody"):
        with pytest.raises(CursorMissing) as caught:
            numbers(database, PageRequest(**{param: wrong}))  # type: ignore[arg-type]
        assert (caught.value.status, caught.value.param) == (400, param)


def test_short_lists() -> None:
    documents = [
        {"id": name, "created": int(START.timestamp()) + index}
        for index, name in enumerate("abcde")
    ]

    def names(**options: Any) -> tuple[str, bool]:
        found, has_more = page_of(documents, PageRequest(**options))
        return "".join(each["id"] for each in found), has_more

    assert names() == ("abcde", False)
    assert names(limit=2) == ("ab", True)
    assert names(limit=2, starting_after="b") == ("cd", True)
    assert names(limit=2, starting_after="c") == ("de", False)
    assert names(limit=2, ending_before="d") == ("bc", True)
    assert names(limit=2, ending_before="a") == ("", False)
    assert names(created_gte=START + timedelta(seconds=3)) == ("de", False)
    assert names(created_lt=START + timedelta(seconds=1)) == ("a", False)
    with pytest.raises(CursorMissing):
        names(starting_after="z")
