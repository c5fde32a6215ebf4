"""What people write stays text on every screen, however it was meant.

Every text column and every document that people write is filled with markup, marks that turn text
round, formulas and five hundred letters; then each screen of the table is opened in two languages,
and each list as a file. A column that comes later is filled without a word here.
"""

import csv
import io
import re

import pytest
from sqlalchemy import text

from sakk.console.table import SCREENS
from tests.console.browser import Browser
from tests.console.objects import objects
from tests.console.office import Office
from tests.console.test_table import filled
from tests.hostile import HOSTILE, TURNING, Reader

# As columns are called that people fill in; what a machine writes is called otherwise.
WRITTEN = (
    *("name", "description", "note", "title", "message", "text", "reason", "comment", "reference"),
    "question",
    *("failure_message", "inactive_message", "legal_name", "support_phone", "user_agent", "file"),
    *("client_reference_id", "rule", "symbol", "why", "statement"),
)
DOCUMENTS = ("metadata",)
# A name here is a key that code looks up.
KEYS = {("assets", "symbol"), ("names", "name"), ("label_lists", "name"), ("sign_in_tries", "name")}
FORMULA = re.compile(r"^[=+\-@\t\r]")


def poison(office: Office) -> set[str]:
    """Fill every column that people write; the tables in which something was filled."""
    done = set()
    with office.parts.database.begin() as connection:
        # Of some tables rows are never changed, and triggers see to it: here they rest.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        columns = connection.execute(
            text(
                "SELECT table_name, column_name, data_type FROM information_schema.columns"
                " WHERE table_schema = 'public' AND data_type IN ('text', 'jsonb')"
            )
        ).all()
        for table, column, kind in columns:
            if (table, column) in KEYS or column not in (*WRITTEN, *DOCUMENTS):
                continue
            # Where names must differ, each has its row's place at the end.
            value = (
                "CAST(:hostile || ctid::text AS text)"
                if kind == "text"
                else "jsonb_build_object(left(:hostile, 40), CAST(:hostile AS text))"
            )
            statement = f"UPDATE {table} SET {column} = {value} WHERE {column} IS NOT NULL"
            with connection.begin_nested() as inner:
                changed = connection.execute(text(statement), {"hostile": HOSTILE}).rowcount
                inner.commit()
            if changed:
                done.add(table)
    return done


@pytest.fixture(scope="module")
def theirs(office: Office) -> dict[str, str]:
    """One of everything, of Bob's, and every word of it hostile."""
    made = objects(office)
    tables = {"accounts", "customers", "payouts", "webhook_endpoints", "saved_views"}
    assert tables <= poison(office)
    return made


def pages(theirs: dict[str, str]) -> list[str]:
    return [
        filled(each, theirs)
        for each in SCREENS
        if each.method == "GET" and not each.path.endswith(("/export", "/content"))
    ]


def looked_at(office: Office, browser: Browser, path: str) -> str:
    """A page without anything of the attacker's; what it shows."""
    got = browser.get(path)
    # What needs a proof or another state is not there; nothing breaks.
    assert got.status in (200, 303, 400, 403, 404, 422), (path, got.status)
    if not got.headers.get("content-type", "").startswith("text/html"):
        return ""
    assert "frame-ancestors 'none'" in got.headers["content-security-policy"], path
    assert got.headers["x-frame-options"] == "DENY", path
    reader = Reader()
    reader.feed(got.text)
    assert reader.found == [], path
    assert not TURNING.search(got.text), path
    return "".join(reader.shown)


def test_every_screen_shows_it_as_text(office: Office, theirs: dict[str, str]) -> None:
    operator, merchant = office.person("owner"), office.person(bob=["owner"])
    seen: dict[str, bool] = {}
    for number, path in enumerate(pages(theirs)):
        if number % 40 == 0:
            people = [office.browser(operator), office.browser(merchant)]
        for browser, language in zip(people, ("ar", "en"), strict=True):
            mark = "&" if "?" in path else "?"
            shown = looked_at(office, browser, f"{path}{mark}lang={language}")
            seen[path] = seen.get(path, False) or "<x-evil>" in shown
    # It was there to be seen: on lists, on what they lead to, and in forms.
    assert sum(seen.values()) >= 15, sorted(path for path, is_there in seen.items() if is_there)


def test_every_file_is_safe_in_a_spreadsheet(office: Office, theirs: dict[str, str]) -> None:
    browser = office.browser(office.person("owner"))
    files, hostile = 0, 0
    for path in pages(theirs):
        got = browser.get(f"{path}?format=csv")
        if not got.headers.get("content-type", "").startswith("text/csv"):
            continue
        files += 1
        for row in csv.reader(io.StringIO(got.body.decode("utf-8-sig"))):
            for cell in row:
                assert not FORMULA.match(cell) or re.fullmatch(r"-?[\d.]+", cell), (path, cell)
                assert not TURNING.search(cell), (path, cell)
                hostile += "x-evil" in cell
    assert files >= 5
    assert hostile > 0
