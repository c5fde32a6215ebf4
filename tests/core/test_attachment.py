"""Files of cases: hostile names are neutralised, contents are what they say, headers are safe."""

import hashlib
from datetime import UTC, datetime

import pytest

from sakk.core import attachment as rules
from sakk.core.attachment import Attachment
from sakk.core.errors import ParameterInvalid, UnexpectedState

PDF = b"%PDF-1.7\n"


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("statement.pdf", "statement.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\x\\..\\report.pdf", "report.pdf"),
        ("a\r\nSet-Cookie: x=1.pdf", "aSet-Cookie_ x=1.pdf"),
        ('x"; filename="y.html', "x_; filename=_y.html"),
        # A mark that turns text around would show "exe.pdf" for "fdp.exe".
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("zero\u200bwidth.txt", "zerowidth.txt"),
        ("\x00\x1f", "file"),
        ("", "file"),
        (".htaccess", "htaccess"),
        ("...", "file"),
        ("con.txt", "file_con.txt"),
        ("LPT1", "file_LPT1"),
        ("соглашение.pdf", "соглашение.pdf"),
        ("a   b.pdf", "a b.pdf"),
        ("x" * 300 + ".pdf", "x" * 116 + ".pdf"),
        ("x" * 300, "x" * 120),
        ("x" * 300 + "." + "y" * 20, "x" * 120),
    ],
)
def test_a_name_is_harmless(name: str, safe: str) -> None:
    assert rules.safe_name(name) == safe


@pytest.mark.parametrize(
    ("name", "media_type", "saved"),
    [
        ("invoice.PDF", "application/pdf", "invoice.PDF"),
        ("photo.jpeg", "image/jpeg", "photo.jpeg"),
        ("pass\u202eport.hta", "application/pdf", "passport.hta.pdf"),
        ("answer.html", "text/plain", "answer.html.txt"),
        ("report.xml", "application/xml", "report.xml"),
    ],
)
def test_a_file_is_saved_as_what_it_is(name: str, media_type: str, saved: str) -> None:
    assert rules.saved_as(name, media_type) == saved


def test_a_download_is_named_in_ascii_and_in_utf8() -> None:
    assert rules.disposition("отчёт 1.pdf") == (
        "attachment; filename=\"_____ 1.pdf\"; filename*=UTF-8''"
        "%D0%BE%D1%82%D1%87%D1%91%D1%82%201.pdf"
    )


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (PDF, "application/pdf"),
        (b"\x89PNG\r\n\x1a\n0", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        ("Привет".encode(), "text/plain"),
        (b"a,b\n1,2\n", "text/csv"),
        (b'{"a":1}', "application/json"),
        (b"[1]", "application/json"),
    ],
)
def test_what_may_be_attached(content: bytes, media_type: str) -> None:
    assert rules.check_content(content, media_type) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("content", "media_type", "param"),
    [
        (b"<html>", "text/html", "media_type"),
        (b"<svg>", "image/svg+xml", "media_type"),
        (b"PK\x03\x04", "application/zip", "media_type"),
        (b"<?xml?>", rules.REPORT_MEDIA_TYPE, "media_type"),
        (b"<html>", "application/pdf", "file"),
        (b"", "text/plain", "file"),
        (b"x" * (rules.SIZE_BYTES_MAX + 1), "text/plain", "file"),
        (b"\xff\xfe", "text/plain", "file"),
        (b"a\x00b", "text/csv", "file"),
    ],
)
def test_what_may_not(content: bytes, media_type: str, param: str) -> None:
    with pytest.raises(ParameterInvalid) as error:
        rules.check_content(content, media_type)
    assert error.value.param == param


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("a.PDF", "application/pdf"), ("a.b.jpeg", "image/jpeg"), ("a.html", None), ("pdf", None)],
)
def test_a_files_type_is_told_by_its_name(name: str, media_type: str | None) -> None:
    assert rules.media_type_of(name) == media_type


def test_a_case_has_so_many_files_and_no_more() -> None:
    rules.check_count(rules.ATTACHMENTS_MAX - 1)
    with pytest.raises(UnexpectedState, match="at most"):
        rules.check_count(rules.ATTACHMENTS_MAX)


def test_how_a_file_is_shown() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    row = Attachment(
        "catt_1", "case_1", False, "per_1", "a.pdf", "application/pdf", 9, "0" * 64, now
    )
    shown = rules.public(row)
    assert (shown["object"], shown["name"], shown["size_bytes"]) == ("case_attachment", "a.pdf", 9)
