"""The reference in the documents, generated from the code: one page a subject.

``pages()`` gives every page but that of the command line, which stands above this floor. The same
code gives the same bytes, so a test can hold the committed pages against it.
"""

__all__ = ["pages"]


def pages() -> dict[str, str]:
    """File name to contents."""
    # Imported here: every command of the command line imports this file, and only one needs these.
    from sakk.runtime.reference.api import api_page
    from sakk.runtime.reference.errors import errors_page
    from sakk.runtime.reference.events import events_page
    from sakk.runtime.reference.ledger import ledger_page
    from sakk.runtime.reference.records import records_page
    from sakk.runtime.reference.settings import settings_page

    return {
        "api.md": api_page(),
        "errors.md": errors_page(),
        "events.md": events_page(),
        "ledger.md": ledger_page(),
        "ledger-records.md": records_page(),
        "settings.md": settings_page(),
    }
