"""Words as an attacker writes them, and who finds what a browser would make of them."""

import re
from html.parser import HTMLParser

MARKUP = "<x-evil>\"'><img src=x onerror=x-evil()>&lt;x-evil&gt;{{7*7}}\u202egnp.exe\u2066"
HOSTILE = f"=cmd|'/C calc'!A0 {MARKUP} " + "W" * 500
# Marks that turn what follows them round.
TURNING = re.compile("[\u202a-\u202e]")


class Reader(HTMLParser):
    """Finds what a browser would take for an element or an attribute of the attacker's."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.shown: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "x-evil" or (tag == "script" and not given.get("src")):
            self.found.append(self.get_starttag_text() or tag)
        for name, value in attrs:
            if name.startswith("on") or "evil" in name or name == "style":
                self.found.append(f"{tag} {name}")
            where = (value or "").strip().lower()
            if name in ("href", "src", "action", "formaction") and where.startswith(
                ("javascript:", "data:text", "vbscript:")
            ):
                self.found.append(f"{tag} {name}={value}")

    def handle_data(self, data: str) -> None:
        self.shown.append(data)
