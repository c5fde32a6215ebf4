"""QR codes (ISO/IEC 18004) as SVG, which every screen and printer draws sharp."""

import segno
from markupsafe import Markup

# The standard's own quiet zone; without it cameras of cheap phones find nothing.
QUIET_MODULES = 4
TEXT_LENGTH_MAX = 1_000


def qr(text: str, *, label: str) -> Markup:
    """An ``<svg>`` of a text; ``label`` tells people who can not see it what it holds.

    Dark on light whatever the page's colours are, because many cameras read nothing else.
    """
    if not 0 < len(text) <= TEXT_LENGTH_MAX:
        raise ValueError(f"a QR code here holds 1 to {TEXT_LENGTH_MAX} characters")
    rows = segno.make(text, micro=False, error="m", boost_error=True).matrix
    side = len(rows) + 2 * QUIET_MODULES
    path = "".join(
        f"M{column + QUIET_MODULES} {line + QUIET_MODULES}h{length}v1h-{length}z"
        for line, row in enumerate(rows)
        for column, length in _runs(row)
    )
    return Markup(
        '<svg class="qr" viewBox="0 0 {0} {0}" role="img" aria-label="{1}" '
        'shape-rendering="crispEdges"><rect width="{0}" height="{0}" fill="#fff"/>'
        '<path d="{2}" fill="#000"/></svg>'
    ).format(side, label, path)


def _runs(row: bytearray) -> list[tuple[int, int]]:
    """Where dark modules begin in a line, and how many stand side by side."""
    runs: list[tuple[int, int]] = []
    for column, is_dark in enumerate(row):
        if not is_dark:
            continue
        if runs and sum(runs[-1]) == column:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((column, 1))
    return runs
