"""The API's requests for information: what an account is asked about a payment."""

from base64 import b64encode
from collections.abc import Sequence
from typing import Any, NamedTuple, Unpack

import msgspec

from sakk.client.endpoint import ListOptions, Retrievable
from sakk.client.objects import Resource
from sakk.client.page import Page


class AnswerFile(NamedTuple):
    """A file to send: a PDF, a picture, text, CSV or JSON, which its first bytes bear out."""

    name: str
    media_type: str
    content: bytes


class InformationFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was sent; ``sha256`` over its bytes, in hexadecimal."""

    name: str
    media_type: str
    size_bytes: int
    sha256: str


class InformationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What was answered, when, and by whom."""

    text: str
    by: str
    created: int
    files: list[InformationFile]


class InformationRequest(Resource, frozen=True, kw_only=True):
    """A question about a payment, to be answered until ``due_at``."""

    account: str
    question: str
    status: str
    due_at: int
    about: dict[str, Any] | None = None
    answer: InformationAnswer | None = None
    ended_at: int | None = None
    overdue: bool = False
    reminders: int = 0


class InformationRequests(Retrievable[InformationRequest]):
    """What the account is asked."""

    root = "/v1/information_requests"
    kind = InformationRequest

    def answer(
        self,
        id: str,
        *,
        text: str,
        files: Sequence[AnswerFile] = (),
        idempotency_key: str | None = None,
    ) -> InformationRequest:
        """Answer, once; at most five files of ten megabytes together."""
        sent = [
            {"file": b64encode(content).decode(), "name": name, "media_type": media_type}
            for name, media_type, content in files
        ]
        body = {"text": text, "files": sent}
        return self._post(InformationRequest, self._path(id, "answer"), body, idempotency_key)

    def list(
        self, *, status: str | None = None, **options: Unpack[ListOptions]
    ) -> Page[InformationRequest]:
        """Questions, newest first."""
        return self._list(self.root, InformationRequest, {"status": status, **options})
