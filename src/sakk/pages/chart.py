"""Charts: drawn here as SVG, for eyes; the same figures stand in a table for who reads otherwise.

Colours and strokes are the style sheet's (classes ``bar``, ``stroke``, ``area``, ``gridline``), so
that a chart follows the reader's light or dark. Nothing in it is style or script of its own. Where
a page runs from right to left time does too: the drawing is mirrored, its words are not.

Heights are whole thousandths of the highest value: what is drawn is rounded, what is said is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

WIDTH: Final = 600
HEIGHT: Final = 160
EDGE: Final = 4
GRID_LINES: Final = 3
# Of a bar's place, in percent.
BAR_PERCENT: Final = 72
VALUES_MAX: Final = 400


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a chart: what it is of, how much, and how that is written."""

    label: str
    value: int
    shown: str | Markup


@dataclass(frozen=True, slots=True)
class Words:
    """What a chart says: its title, a sentence, and the heads of its table's two columns."""

    title: str
    description: str
    of: str
    how_much: str


def bars(points: Sequence[Point], words: Words, *, name: str, direction: str = "ltr") -> Markup:
    """A bar for each point, and the table behind it. ``name`` is unique on the page."""
    # What is there is seen, however little it is beside the highest.
    tops = [
        max(1.0, top) if each.value > 0 else 0.0
        for each, top in zip(points, _tops(points, HEIGHT - 2 * EDGE), strict=True)
    ]
    step = WIDTH / max(1, len(points))
    width = step * BAR_PERCENT / 100
    drawn = Markup("").join(
        Markup('<rect class="bar" x="{}" y="{}" width="{}" height="{}" rx="2"/>').format(
            _short(_placed(index * step + (step - width) / 2, width, direction)),
            _short(HEIGHT - EDGE - top),
            _short(width),
            _short(top),
        )
        for index, top in enumerate(tops)
        if top
    )
    return _figure(drawn, points, words, name)


def lines(points: Sequence[Point], words: Words, *, name: str, direction: str = "ltr") -> Markup:
    """One line through all points, with the area under it, and the table behind it."""
    path = _path(points, WIDTH, HEIGHT, direction)
    closed = f"{path} V{HEIGHT - EDGE} H{WIDTH if direction == 'rtl' else 0} Z" if path else ""
    drawn = Markup('<path class="area" d="{}"/><path class="stroke" d="{}"/>').format(closed, path)
    return _figure(drawn, points, words, name)


def _figure(drawn: Markup, points: Sequence[Point], words: Words, name: str) -> Markup:
    grid = Markup("").join(
        Markup('<path class="gridline" d="M0 {} H{}"/>').format(
            _short(EDGE + (HEIGHT - 2 * EDGE) * line / GRID_LINES), WIDTH
        )
        for line in range(GRID_LINES + 1)
    )
    rows = Markup("").join(
        Markup('<tr><th scope="row">{}</th><td>{}</td></tr>').format(each.label, each.shown)
        for each in points
    )
    ends = Markup("")
    if points:
        ends = Markup('<p class="chart-ends" aria-hidden="true"><span>{}</span><span>{}</span></p>')
        ends = ends.format(points[0].label, points[-1].label)
    return Markup(
        '<figure class="chart"><svg viewBox="0 0 {} {}" role="img" preserveAspectRatio="none"'
        ' aria-labelledby="{}-title {}-desc"><title id="{}-title">{}</title>'
        '<desc id="{}-desc">{}</desc>{}{}</svg>{}<table class="hidden"><caption>{}</caption>'
        '<thead><tr><th scope="col">{}</th><th scope="col">{}</th></tr></thead>'
        "<tbody>{}</tbody></table></figure>"
    ).format(
        WIDTH,
        HEIGHT,
        name,
        name,
        name,
        words.title,
        name,
        words.description,
        grid,
        drawn,
        ends,
        words.title,
        words.of,
        words.how_much,
        rows,
    )


def _tops(points: Sequence[Point], height: int) -> list[float]:
    """How high each point stands, of ``height``, which the highest fills; below nothing is 0."""
    assert len(points) <= VALUES_MAX, "a chart that nobody can read"
    highest = max((each.value for each in points), default=0)
    if highest <= 0:
        return [0.0] * len(points)
    # Whole numbers of any size first: a float could not hold the value.
    return [max(0, each.value) * 1000 // highest * height / 1000 for each in points]


def _path(points: Sequence[Point], width: int, height: int, direction: str) -> str:
    tops = _tops(points, height - 2 * EDGE)
    step = width / max(1, len(points) - 1)
    return " ".join(
        f"{'L' if index else 'M'}{_short(_placed(index * step, 0, direction, width))}"
        f" {_short(height - EDGE - top)}"
        for index, top in enumerate(tops)
    )


def _placed(x: float, size: float, direction: str, width: int = WIDTH) -> float:
    return width - x - size if direction == "rtl" else x


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
