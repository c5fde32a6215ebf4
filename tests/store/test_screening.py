from dataclasses import replace
from datetime import UTC, datetime

from sakk.core.screening import Reason, Screening, Side, Verdict
from sakk.store.database import Database
from sakk.store.page import PageRequest
from sakk.store.screening import (
    find_screening,
    insert_screenings,
    latest_screening,
    list_screenings,
)

REASON = Reason(
    verdict=Verdict.block,
    rule="direct_sanctions",
    side=Side.sender,
    address="0x1",
    category="sanctions",
    list="a list",
    version=2,
    confidence=100,
    entity=None,
    path=("0x1",),
)
SCREENING = Screening(
    id="scr_1",
    account_id="acct_1",
    livemode=False,
    subject="pin_1",
    network="eip155:84532",
    asset="eip155:84532/slip44:60",
    direction="incoming",
    sender="0x1",
    receiver="0x2",
    token_units=2**256 - 1,
    verdict="block",
    reasons=(REASON,),
    lists_version=2,
    rules_version="default-1",
    input_hash="00",
    created=datetime(2026, 1, 1, tzinfo=UTC),
)


def test_a_screening_comes_back_as_it_was(database: Database) -> None:
    with database.begin() as connection:
        insert_screenings(connection, [SCREENING])
        insert_screenings(connection, [])
    with database.begin() as connection:
        assert find_screening(connection, "scr_1") == SCREENING
        assert find_screening(connection, "scr_1", livemode=False) == SCREENING
        assert find_screening(connection, "scr_1", livemode=True) is None
        assert find_screening(connection, "scr_2") is None


def test_a_verdict_is_never_changed(database: Database) -> None:
    with database.begin() as connection:
        insert_screenings(connection, [SCREENING])
        insert_screenings(connection, [replace(SCREENING, verdict="clear", reasons=())])
        assert find_screening(connection, "scr_1") == SCREENING


def test_lists_are_newest_first_in_pages_and_filtered(database: Database) -> None:
    made = [replace(SCREENING, id=f"scr_{number}") for number in range(1, 6)]
    others = [
        replace(SCREENING, id="scr_6", livemode=True),
        replace(SCREENING, id="scr_7", account_id="acct_2"),
        replace(SCREENING, id="scr_8", subject="po_1"),
        replace(SCREENING, id="scr_9", verdict="clear", reasons=()),
    ]
    with database.begin() as connection:
        insert_screenings(connection, [*made, *others])

        def ids(page: PageRequest | None = None, **filters: str) -> list[str]:
            wanted = page or PageRequest(limit=2)
            found, _ = list_screenings(connection, wanted, livemode=False, **filters)
            return [one.id for one in found]

        assert ids() == ["scr_9", "scr_8"]
        assert ids(PageRequest(limit=2, starting_after="scr_5")) == ["scr_4", "scr_3"]
        assert ids(PageRequest(limit=2, ending_before="scr_2")) == ["scr_4", "scr_3"]
        assert ids(account_id="acct_2") == ["scr_7"]
        assert ids(subject="po_1") == ["scr_8"]
        assert ids(verdict="clear") == ["scr_9"]
        live, has_more = list_screenings(connection, PageRequest(), livemode=True)
        assert ([one.id for one in live], has_more) == (["scr_6"], False)
        latest = latest_screening(connection, "pin_1")
        assert latest is not None
        assert latest.id == "scr_9"
        assert latest_screening(connection, "pin_2") is None
