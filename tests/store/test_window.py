"""Windows: pages of a list that are bounded whatever is filtered, in both directions."""

from datetime import timedelta

import pytest
from sqlalchemy import Connection

from sakk.core.customer import Customer
from sakk.store import page
from sakk.store.customer import customers, insert_customer
from sakk.store.database import Database
from sakk.store.identity import now
from sakk.store.page import Window, fetch_window

ROWS = 23


@pytest.fixture
def connection(database: Database) -> Connection:
    moment = now()
    with database.begin() as opened:
        for index in range(ROWS):
            name = "rare" if index in (2, 20) else "common"
            at = moment + timedelta(seconds=index)
            insert_customer(
                opened,
                Customer(f"cus_{index:02}", "acct_a", False, name, None, None, {}, False, at),
            )
        insert_customer(
            opened, Customer("cus_99", "acct_b", False, "rare", None, None, {}, False, moment)
        )
    return database.engine.connect()


def _fetch(
    connection: Connection, *, name: str | None = None, **place: str | None
) -> Window[Customer]:
    c = customers.c
    return fetch_window(
        connection,
        customers,
        Customer,
        bound=[c.account_id == "acct_a", c.livemode.is_(False)],
        filters=[] if name is None else [c.name == name],
        limit=5,
        **place,
    )


def _ids(window: Window[Customer]) -> list[str]:
    return [each.id for each in window.rows]


def test_pages_follow_each_other_without_gap_and_back_again(connection: Connection) -> None:
    with connection:
        there, window = [], _fetch(connection)
        assert window.newer is None
        while True:
            there.append(_ids(window))
            if window.older is None:
                break
            window = _fetch(connection, after=window.older)
        assert [each for ids in there for each in ids] == [
            f"cus_{index:02}" for index in range(ROWS - 1, -1, -1)
        ]
        back = [_ids(window)]
        while window.newer is not None:
            window = _fetch(connection, before=window.newer)
            back.append(_ids(window))
        # The way back ends with the first page as it is now.
        assert back[-1] == there[0]
        assert len(back) == len(there)
        assert _ids(_fetch(connection, after="cus_")) == []
        assert _ids(_fetch(connection, before="zzz")) == there[0]


def test_a_filter_looks_at_a_window_and_goes_on_where_it_ended(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "WINDOW_ROWS_MAX", 10)
    with connection:
        first = _fetch(connection, name="rare")
        assert (_ids(first), first.is_cut, first.older) == (["cus_20"], True, "cus_13")
        second = _fetch(connection, name="rare", after=first.older)
        assert (_ids(second), second.is_cut, second.older) == ([], True, "cus_03")
        third = _fetch(connection, name="rare", after=second.older)
        assert (_ids(third), third.is_cut, third.older) == (["cus_02"], False, None)
        back = _fetch(connection, name="rare", before=third.newer)
        assert (_ids(back), back.newer) == ([], "cus_12")
        # A full page is not cut, and goes on behind its last row.
        common = _fetch(connection, name="common")
        assert (len(common.rows), common.is_cut, common.older) == (5, False, common.rows[-1].id)
