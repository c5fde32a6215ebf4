"""The committed reference is what the code says."""

import re
from pathlib import Path

import pytest

from sakk.api.app import ROUTES
from sakk.cli.docs import FOLDER, all_pages
from sakk.core.errors import SakkError
from sakk.core.event import EVENT_TYPES
from sakk.runtime.reference.errors import error_classes
from sakk.runtime.reference.events import sent_types
from sakk.runtime.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"|srcset=\"([^\"]+)\"")
HEADING = re.compile(r"^#+ (.*)$|<a id=\"([^\"]+)\"></a>", re.MULTILINE)


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return all_pages()


# By hand: its vectors are held by tests/client/test_scheme.py.
WRITTEN = {"session-scheme.md"}


def test_the_committed_pages_are_what_the_code_says(pages: dict[str, str]) -> None:
    committed = {path.name: path.read_text("utf-8") for path in (ROOT / FOLDER).glob("*.md")}
    stale = sorted(name for name in pages if committed.get(name) != pages[name])
    assert stale == [], "run `make docs` and commit what it wrote"
    assert sorted(set(committed) - set(pages)) == sorted(WRITTEN), "a page that nothing generates"


def test_nothing_is_left_out(pages: dict[str, str]) -> None:
    assert [r.path for r in ROUTES if f"`{r.method} {r.path}`" not in pages["api.md"]] == []
    assert [name for name in EVENT_TYPES if f"`{name}`" not in pages["events.md"]] == []
    codes = {error.code for error in error_classes()}
    assert [code for code in codes if f"`{code}`" not in pages["errors.md"]] == []
    assert pages["settings.md"].count("\n| `") == len(Settings.model_fields)


def test_every_error_of_the_api_says_what_to_do() -> None:
    silent = [
        error.__name__
        for error in error_classes()
        if error.__module__ == SakkError.__module__
        and error is not SakkError
        and "\n\n" not in (error.__doc__ or "").strip()
    ]
    assert silent == []


def test_types_that_stages_send_are_told_apart_from_reserved_ones() -> None:
    sent = sent_types()
    assert {"payment_intent.succeeded", "payin.held", "payout.posted"} <= sent
    # Of every module in which types are registered.
    assert {"channel.opened", "bank_return.created", "settlement.paid", "report.failed"} <= sent
    assert sent <= set(EVENT_TYPES)


def test_links_lead_somewhere() -> None:
    broken = []
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for groups in LINK.findall(path.read_text("utf-8")):
            target = next(filter(None, groups))
            if "://" in target or target.startswith("mailto:"):
                continue
            name, _, anchor = target.partition("#")
            found = (path.parent / name).resolve() if name else path
            if not found.exists() or (anchor and anchor not in _anchors(found)):
                broken.append(f"{path.relative_to(ROOT)}: {target}")
    assert broken == []


def _anchors(path: Path) -> set[str]:
    """The anchors of a page: GitHub's of its headings, and those set by hand."""
    found = set()
    for heading, own in HEADING.findall(path.read_text("utf-8")):
        words = re.sub(r"[^\w\- ]", "", heading.lower().replace("`", ""))
        found |= {words.replace(" ", "-"), own}
    return found
