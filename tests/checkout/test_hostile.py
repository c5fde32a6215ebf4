"""Nothing that a merchant or a payer writes becomes more than text on a payer's page.

Every field that such a page may show is filled, each with a mark of its own, and every page of the
table is opened in every language. A field that no page shows is found too: it would prove nothing.
"""

import json
import re
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from sakk.checkout.app import PAGES
from sakk.pages.language import LANGUAGES
from sakk.store.database import Database
from tests.checkout.objects import Opened, pages_of
from tests.checkout.till import Counter
from tests.hostile import HOSTILE, TURNING, Reader

# What people write, by where it stands, and whether a payer's page shows it.
FIELDS = {
    ("accounts", "name"): True,
    ("checkout_sessions", "lines"): True,
    ("checkout_sessions", "success_url"): True,
    ("checkout_sessions", "cancel_url"): True,
    ("checkout_sessions", "client_reference_id"): True,
    ("payment_links", "lines"): True,
    ("payment_links", "message"): True,
    ("payment_links", "inactive_message"): True,
    ("payment_links", "success_url"): False,
    ("pos_devices", "name"): True,
    ("brandings", "support_email"): True,
    ("brandings", "support_url"): True,
    ("brandings", "support_phone"): True,
    ("shops", "name"): True,
    ("shops", "description"): True,
    ("products", "name"): True,
    ("products", "description"): True,
    ("products", "tax_text"): True,
    ("payment_intents", "description"): False,
    ("customers", "name"): False,
    ("customers", "email"): False,
}


@pytest.fixture(scope="module")
def counter(module_database: Database) -> Iterator[Counter]:
    made = Counter(module_database)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def opened(counter: Counter) -> Opened:
    """What is opened once words are hostile."""
    return pages_of(counter)


def fill(counter: Counter) -> dict[str, tuple[str, str]]:
    """Write into columns what no door would have let in; by its mark, where each stands."""
    marks = {}
    with counter.database.begin() as connection:
        for number, (table, column) in enumerate(FIELDS):
            mark = f"F{number:02d}"
            marks[mark] = (table, column)
            value, written = f"{mark}{HOSTILE}", ":value"
            if column.endswith("_url"):
                value = f"https://shop.example/{value}"
            elif column == "lines":
                value = json.dumps([{"name": value, "amount": 900, "quantity": 1}])
                written = "CAST(:value AS jsonb)"
            connection.execute(text(f"UPDATE {table} SET {column} = {written}"), {"value": value})
    return marks


def test_every_page_of_the_table_is_opened(opened: Opened) -> None:
    """But for logos, pictures and colours, which are made by us."""
    wanted = [
        pattern
        for method, pattern, _ in PAGES
        if method == "GET" and not re.search("/(brand|pictures)/", pattern.pattern)
    ]
    assert [each for each in wanted if not any(each.fullmatch(path) for path in opened.paths)] == []


def test_what_anybody_writes_stays_text_in_every_language(counter: Counter, opened: Opened) -> None:
    marks = fill(counter)
    seen: set[str] = set()
    for path in opened.paths:
        for language in LANGUAGES:
            got = counter.ask("GET", f"{path}?lang={language}", cookie=opened.cookie)
            assert got.status in (200, 303, 410), (path, got.status)
            reader = Reader()
            reader.feed(got.text)
            assert reader.found == [], path
            assert not TURNING.search(got.text), path
            seen.update(mark for mark in marks if mark in got.text)
    # It was there to be seen, and what is nobody's business was not.
    assert {marks[mark] for mark in seen} == {
        place for place, is_shown in FIELDS.items() if is_shown
    }
