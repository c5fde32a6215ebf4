"""Which revision of the schema this code needs, read without the machinery that makes it so."""

from pathlib import Path

MIGRATIONS = Path(__file__).with_name("migrations")


def expected_revision() -> str | None:
    """The newest migration's number, by its file's name; None while there is none."""
    names = sorted(each.name for each in (MIGRATIONS / "versions").glob("[0-9]*.py"))
    return names[-1].partition("_")[0] if names else None
