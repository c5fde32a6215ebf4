"""The page of settings."""

from sakk.runtime.reference.markdown import code, page, table
from sakk.runtime.settings import reference


def settings_page() -> str:
    """Every environment variable that Sakk reads."""
    return page(
        "Settings",
        "Each setting is one environment variable. Networks, tokens, prices and policies are rows "
        "in the database, not settings: see [chains](../operating/chains.md). A variable that "
        "begins with `SAKK_` and is not listed here is reported by `sakk doctor`.",
        table(
            ["variable", "default", "meaning"],
            [
                [code(each.variable), code(each.default), each.description]
                for each in sorted(reference(), key=lambda each: each.variable)
            ],
        ),
    )
