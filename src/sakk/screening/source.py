"""A list file, read in a stream within limits; what is wrong is said with file and line.

List files come from strangers. Nothing here holds a whole file, follows a reference, or believes a
length: a line, a file and a row have a maximum, text is UTF-8 without NUL, and the file is regular.
"""

import codecs
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from sakk.core.errors import ParameterInvalid

FILE_BYTES_MAX = 1 << 30
LINE_BYTES_MAX = 1 << 16
HEAD_BYTES = 4096
CHUNK_BYTES = 1 << 16

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")


class Source:
    """An open list file. Use as a context; read it once, by `lines`, `read` or `chunks`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.line = 0
        self._file: BinaryIO | None = None
        self._hash = hashlib.sha256()
        self._size = 0
        self._bytes_max = FILE_BYTES_MAX

    def __enter__(self) -> Self:
        try:
            # Without O_NONBLOCK, opening a FIFO would wait for a writer for ever.
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise ParameterInvalid(
                "{path}: cannot be opened: {why}", param="file", path=self.path, why=error.strerror
            ) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise self.refusal("is not a regular file")
        self._file = os.fdopen(descriptor, "rb")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def refusal(self, problem: str, *, line: int | None = None) -> ParameterInvalid:
        """The error for a problem in this file, at a line if there is one."""
        where = f"{self.path}:{line}" if line else f"{self.path}"
        return ParameterInvalid("{where}: {problem}", param="file", where=where, problem=problem)

    def head(self) -> str:
        """The beginning of the file, to tell its format by; nothing counts as read."""
        start = self._open().read(HEAD_BYTES)
        self._open().seek(0)
        if start.startswith(_WIDE_MARKS):
            raise self.refusal("is UTF-16; save it as UTF-8", line=1)
        return start.removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "replace")

    def starts_with(self, magic: bytes) -> bool:
        """Does the file begin with these bytes? Nothing counts as read."""
        file = self._open()
        start = file.read(len(magic))
        file.seek(0)
        return start == magic

    def descriptor(self) -> int:
        """The open file, for a reader that is not ours; what it reads is not counted."""
        return self._open().fileno()

    def sha256_of_bytes(self) -> str:
        """The digest of a file that is no text, in hex; within the limit on its size."""
        file = self._open()
        file.seek(0)
        while raw := file.read(CHUNK_BYTES):
            self._count(raw)
        return self._hash.hexdigest()

    def limit(self, bytes_max: int) -> None:
        """Set a lower limit on the file's size: for formats that cannot be cut into lines."""
        self._bytes_max = min(self._bytes_max, bytes_max)

    def lines(self) -> Iterator[str]:
        """The lines, each with its end; ``line`` is the number of the last one, from 1."""
        file = self._open()
        while raw := file.readline(LINE_BYTES_MAX + 1):
            self.line += 1
            if len(raw) > LINE_BYTES_MAX:
                raise self.refusal(f"line is longer than {LINE_BYTES_MAX} bytes", line=self.line)
            yield self._decode(raw)

    def read(self, size: int = -1) -> str:
        """Like a text file's `read`, a line at a time, whatever ``size`` is; empty at the end."""
        return next(self.lines(), "")

    def chunks(self) -> Iterator[bytes]:
        """The bytes, proven to be UTF-8 without NUL, for a format whose lines have no end."""
        file = self._open()
        decoder = codecs.getincrementaldecoder("utf-8")()
        self.line = 1
        while True:
            raw = file.read(CHUNK_BYTES)
            self._count(raw)
            if b"\0" in raw:
                raise self.refusal(
                    "contains a NUL byte; this is not a text list",
                    line=self.line + raw[: raw.index(b"\0")].count(b"\n"),
                )
            try:
                decoder.decode(raw, not raw)
            except UnicodeDecodeError as error:
                line = self.line + error.object[: error.start].count(b"\n")
                raise self.refusal("is not UTF-8; save it as UTF-8", line=line) from error
            if not raw:
                return
            is_first = self._size == len(raw)
            yield raw.removeprefix(_BYTE_ORDER_MARK) if is_first else raw
            self.line += raw.count(b"\n")

    def rewind(self) -> None:
        """Read the file once more from its beginning: for a format that refers forward."""
        self._open().seek(0)
        self._hash = hashlib.sha256()
        self._size = self.line = 0

    def sha256(self) -> str:
        """The digest of the whole file, in hex; reads what is left of it."""
        while raw := self._open().read(CHUNK_BYTES):
            self._count(raw)
        return self._hash.hexdigest()

    def _decode(self, raw: bytes) -> str:
        self._count(raw)
        if self.line == 1:
            raw = raw.removeprefix(_BYTE_ORDER_MARK)
        if b"\0" in raw:
            raise self.refusal("contains a NUL byte; this is not a text list", line=self.line)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.refusal(
                f"is not UTF-8 at byte {error.start + 1}; save it as UTF-8", line=self.line
            ) from error

    def _count(self, raw: bytes) -> None:
        self._hash.update(raw)
        self._size += len(raw)
        if self._size > self._bytes_max:
            raise self.refusal(f"file is larger than {self._bytes_max} bytes", line=self.line)

    def _open(self) -> BinaryIO:
        assert self._file is not None, "use the source as a context"
        return self._file
