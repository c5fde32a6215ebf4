"""Charts: exact in words, mirrored where pages are, harmless whatever the labels say."""

import re
from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from sakk.pages.chart import EDGE, HEIGHT, WIDTH, Point, Words, bars, lines

WORDS = Words("Volume", "By day", "Day", "Amount")
POINTS = [Point("1 March", 0, "0"), Point("2 March", 10**30, "1,000"), Point("3 March", 1, "1")]


def _rectangles(markup: Markup) -> list[dict[str, float]]:
    found = re.findall(
        r'<rect class="bar" x="(.+?)" y="(.+?)" width="(.+?)" height="(.+?)"', markup
    )
    return [dict(zip("xywh", map(float, each), strict=True)) for each in found]


def test_bars_stand_on_one_line_and_fit() -> None:
    drawn = _rectangles(bars(POINTS, WORDS, name="v"))
    assert len(drawn) == 2  # nothing is no bar, and next to nothing is one that is seen
    for each in drawn:
        assert each["y"] + each["h"] == HEIGHT - EDGE
        assert 0 <= each["x"] <= WIDTH - each["w"]
    assert [each["h"] for each in drawn] == [HEIGHT - 2 * EDGE, 1]


def test_time_runs_with_the_page() -> None:
    left, right = _rectangles(bars(POINTS, WORDS, name="v"))
    mirrored = _rectangles(bars(POINTS, WORDS, name="v", direction="rtl"))
    assert [round(WIDTH - each["x"] - each["w"], 1) for each in mirrored] == [left["x"], right["x"]]
    assert re.search(r'class="stroke" d="M0 ', lines(POINTS, WORDS, name="v"))
    assert re.search(
        rf'class="stroke" d="M{WIDTH} ', lines(POINTS, WORDS, name="v", direction="rtl")
    )


@pytest.mark.parametrize("points", [[], POINTS[:1], [Point("a", -5, "-5")], POINTS])
def test_a_chart_is_well_formed_and_has_its_table(points: list[Point]) -> None:
    for markup in (bars(points, WORDS, name="v"), lines(points, WORDS, name="v")):
        tree = ElementTree.fromstring(str(markup))
        assert len(tree.findall(".//tbody/tr")) == len(points)
        assert tree.find(".//title") is not None
        assert "style=" not in markup


def test_labels_are_text() -> None:
    hostile = "<script>alert(1)</script>"
    points = [Point(hostile, 1, hostile)]
    words = Words(hostile, hostile, hostile, hostile)
    for markup in (bars(points, words, name="v"), lines(points, words, name="v")):
        assert "<script" not in markup
