"""Styles, scripts and pictures of pages: read once, named by their content, kept for ever.

All files of one version share one hash in their path, ``/static/HASH/sakk.css``, so that modules
find one another by relative addresses and a browser never mixes two versions. Shared files are in
``pages/static``, a door's own in ``DOOR/static`` and served below the door's name.
"""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

PATH: Final = "/static/{digest}/{name:path}"
DOORS: Final = ("checkout", "console")
DIGEST_LENGTH: Final = 16
# Below this the header costs more than it saves.
COMPRESSED_BYTES_MIN: Final = 512
FOREVER: Final = "public, max-age=31536000, immutable"
_ROOT: Final = Path(__file__).parent.parent
# Never asked of the machine, whose tables differ.
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".LICENSE": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file as it is sent."""

    media_type: str
    body: bytes
    compressed: bytes | None
    etag: str


@dataclass(frozen=True, slots=True)
class StaticAnswer:
    """Status, headers and body of an answer."""

    status: int
    headers: dict[str, str]
    body: bytes


def address(name: str) -> str:
    """The path of a file of this version; KeyError for one that is not there."""
    _files()[name]
    return f"/static/{digest()}/{name}"


def answer(asked: str, name: str, *, encodings: str = "", etag: str | None = None) -> StaticAnswer:
    """The answer for a digest and a name.

    Another version's digest is answered with what is here, not to be kept: while two versions
    serve side by side a page of one may ask the other.
    """
    file = _files().get(name)
    if file is None:
        return StaticAnswer(404, {"cache-control": "no-store"}, b"")
    headers = {
        "content-type": file.media_type,
        "cache-control": FOREVER if asked == digest() else "no-cache",
        "etag": file.etag,
        "vary": "accept-encoding",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
        "cross-origin-resource-policy": "same-origin",
    }
    if etag is not None and file.etag in etag:
        return StaticAnswer(304, headers, b"")
    if file.compressed is not None and "gzip" in encodings:
        headers["content-encoding"] = "gzip"
        return StaticAnswer(200, headers, file.compressed)
    return StaticAnswer(200, headers, file.body)


@cache
def digest() -> str:
    """The hash of all files, which stands in their paths."""
    whole = hashlib.sha256()
    for name, file in sorted(_files().items()):
        whole.update(f"{name}\0{len(file.body)}\0".encode() + file.body)
    return whole.hexdigest()[:DIGEST_LENGTH]


@cache
def _files() -> dict[str, StaticFile]:
    found: dict[str, StaticFile] = {}
    for door in ("pages", *DOORS):
        folder = _ROOT / door / "static"
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                name = path.relative_to(folder).as_posix()
                found[name if door == "pages" else f"{door}/{name}"] = _read(path)
    return found


def _read(path: Path) -> StaticFile:
    body = path.read_bytes()
    guessed = _TYPES.get(path.suffix) or mimetypes.types_map.get(path.suffix)
    packed = gzip.compress(body, 9, mtime=0) if len(body) >= COMPRESSED_BYTES_MIN else body
    return StaticFile(
        media_type=guessed or "application/octet-stream",
        body=body,
        compressed=packed if len(packed) < len(body) else None,
        etag=f'"{hashlib.sha256(body).hexdigest()[:DIGEST_LENGTH]}"',
    )
