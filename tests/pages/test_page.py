"""Pages load nothing from elsewhere and print nothing unescaped; their files are kept for ever."""

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from jinja2 import DictLoader, Environment, UndefinedError
from markupsafe import Markup

from sakk.pages import page, static_files
from sakk.pages.language import LANGUAGES
from sakk.pages.moment import moment
from sakk.pages.qr import TEXT_LENGTH_MAX, qr

HOSTILE = '"><script>alert(1)</script>\u202e' + "x" * 500


def _rendered(source: str, language: str = "en", **values: object) -> str:
    around: Environment = page.environment(language).overlay()
    shared = around.loader
    around.loader = DictLoader({"it.html": source})
    assert shared is not None
    return around.get_template("it.html").render(values)


def test_a_name_that_was_made_to_harm_is_shown_as_text() -> None:
    for language in LANGUAGES:
        shown = _rendered('{{ _("from {merchant}", merchant=name) }}', language, name=HOSTILE)
        assert "<script" not in shown
        assert "\u202e" not in shown
        assert "x" * 500 in shown
    kept = _rendered('{{ _("from {merchant}", merchant=name) }}', name=Markup("<b>x</b>"))
    assert "<b>x</b>" in kept


def test_braces_in_a_value_are_not_placeholders() -> None:
    assert "{0.__class__}" in _rendered(
        '{{ _("from {merchant}", merchant=name) }}', name="{0.__class__}"
    )


def test_a_value_that_is_missing_is_a_fault() -> None:
    with pytest.raises(UndefinedError):
        _rendered("{{ forgotten }}")


def test_every_language_says_its_direction() -> None:
    for language in LANGUAGES:
        shown = page.render(
            "api/claim.html",
            language=language,
            claim=None,
            symbol="",
            until="",
            fault=None,
            path="/",
            step="unknown",
            network="",
            network_name="",
            address="",
        ).decode()
        direction = "rtl" if language == "ar" else "ltr"
        assert f'<html lang="{language}" dir="{direction}">' in shown


def test_the_policy_lets_nothing_in_from_elsewhere() -> None:
    given = page.headers("ar", ancestors=["https://shop.example"], more={"vary": "cookie"})
    policy = given["content-security-policy"]
    assert "unsafe" not in policy
    assert "https://shop.example" in policy.split("frame-ancestors")[1]
    assert policy.count("https://") == 1
    assert given["content-language"] == "ar"
    assert given["vary"] == "cookie"
    assert "frame-ancestors 'none'" in page.headers("en")["content-security-policy"]


def _templates() -> Iterator[Path]:
    for door in page.DOORS:
        yield from Path(page.__file__).parents[1].joinpath(door).glob("templates/**/*.html")


def test_no_template_has_inline_script_or_style() -> None:
    found = [
        path.name
        for path in _templates()
        for text in [path.read_text("utf-8").lower()]
        if "<style" in text or " style=" in text or "|safe" in text or " onclick" in text
        or "hx-on" in text or "javascript:" in text or "<script>" in text or "http://" in text
    ]  # fmt: skip
    assert found == []


def test_files_are_named_by_their_content_and_kept() -> None:
    address = static_files.address("sakk.css")
    _, _, digest, name = address.split("/")
    given = static_files.answer(digest, name, encodings="gzip, br")
    assert given.status == 200
    assert given.headers["cache-control"].endswith("immutable")
    assert given.headers["content-type"] == "text/css; charset=utf-8"
    plain = static_files.answer(digest, name)
    assert gzip.decompress(given.body) == plain.body
    again = static_files.answer(digest, name, etag=f"W/{given.headers['etag']}")
    assert (again.status, again.body) == (304, b"")
    other = static_files.answer("0" * 16, name)
    assert (other.status, other.headers["cache-control"]) == (200, "no-cache")
    assert static_files.answer(digest, "../page.py").status == 404


def test_all_that_a_page_shares_is_small() -> None:
    digest = static_files.digest()
    for name, bytes_max in {"sakk.css": 5_000, "copy.js": 1_000, "htmx.js": 20_000}.items():
        body = static_files.answer(digest, name, encodings="gzip").body
        assert len(body) < bytes_max, name


def test_a_moment_says_its_zone() -> None:
    at = datetime(2026, 5, 4, 13, 7, 9, tzinfo=UTC)
    assert '<bdi dir="ltr">2026-05-04 13:07\u00a0UTC</bdi>' in moment(at)
    assert "2026-05-04 21:07:09\u00a0UTC+08:00" in moment(at, "Asia/Shanghai", seconds=True)
    assert "UTC" in moment(at, "No/Where")
    assert "time" not in moment(None)


def test_a_code_holds_its_text_and_says_what_it_is() -> None:
    drawn = qr("ethereum:0x0000000000000000000000000000000000000001", label='the "address"')
    assert drawn.startswith("<svg")
    assert 'aria-label="the &#34;address&#34;"' in drawn
    assert "style" not in drawn
    for text in ("", "x" * (TEXT_LENGTH_MAX + 1)):
        with pytest.raises(ValueError, match="QR"):
            qr(text, label="x")
