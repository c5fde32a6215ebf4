"""The API's reports and files: what is asked for, how far it has come, and the signed result."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Unpack

import msgspec

from sakk.client.endpoint import ListOptions, Retrievable, decode, join, present
from sakk.client.file_proof import check_file, pieces_of, proof_path
from sakk.client.objects import Resource
from sakk.client.page import Page

ReportType = Literal[
    "general_ledger",
    "trial_balance",
    "merchant_statement",
    "fees",
    "volumes",
    "travel_rule",
    "large_values",
]
Format = Literal["csv", "jsonl", "beancount"]


class File(Resource, frozen=True, kw_only=True):
    """A file, and the proof of its bytes: `signature` is by `authority`, the installation's key."""

    account: str
    authority: str
    filename: str
    kind: str
    sha256: str
    signature: str
    size: int
    type: str
    expires_at: int | None = None
    purpose: str | None = None
    rows: int = 0
    title: str | None = None
    url: str | None = None


class DeletedFile(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a deleted file."""

    id: str
    deleted: bool = False


class RunParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Of what a report is."""

    account: str | None = None
    currency: str | None = None
    detail: bool = False
    interval_end: int | None = None
    interval_start: int | None = None
    tax_ppm: int = 0
    threshold: int | None = None


class Report(Resource, frozen=True, kw_only=True):
    """A report, and how far it has come; `result` while its file is kept."""

    report_type: str
    status: str
    ended_at: int | None = None
    failure_code: str | None = None
    failure_message: str | None = None
    format: str | None = None
    mapping: int | None = None
    parameters: RunParameters | None = None
    progress_percent: int = 0
    result: File | None = None
    rows: int = 0
    rows_total: int | None = None


class Reports(Retrievable[Report]):
    """What is asked for of the books and lists."""

    root = "/v1/reports"
    kind = Report

    def create(
        self,
        *,
        report_type: ReportType,
        format: Format | None = None,
        parameters: Mapping[str, Any] | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Report:
        """Ask for a report; `retrieve` says how far it has come."""
        body = {
            "report_type": report_type,
            "format": format,
            "parameters": parameters,
            "metadata": metadata,
        }
        return self._post(Report, self.root, present(body), idempotency_key)

    def cancel(self, id: str, *, idempotency_key: str | None = None) -> Report:
        """Write it no further."""
        return self._post(Report, self._path(id, "cancel"), {}, idempotency_key)

    def list(
        self,
        *,
        report_type: ReportType | None = None,
        status: str | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[Report]:
        """Reports, newest first."""
        query = {"report_type": report_type, "status": status, **options}
        return self._list(self.root, Report, query)


class Files(Retrievable[File]):
    """What the installation made and signed."""

    root = "/v1/files"
    kind = File

    def list(self, **options: Unpack[ListOptions]) -> Page[File]:
        """Files, newest first."""
        return self._list(self.root, File, {**options})

    def delete(self, id: str, *, idempotency_key: str | None = None) -> DeletedFile:
        """Delete a file before its time is over."""
        return self._delete(DeletedFile, self._path(id), idempotency_key)

    def contents(self, id: str) -> Iterator[bytes]:
        """A file's bytes as they come."""
        return self._transport.stream(join(self.root, id, "contents"))

    def download(self, id: str, path: Path, *, authority: str | None = None) -> File:
        """Save a file, its proof beside it (`….proof.json`), and check one against the other.

        Raises `FileProofError`; ``authority``: the installation's key as it was known before.
        """
        body = self._transport.request("GET", self._path(id))
        with path.open("wb") as file:
            for piece in self.contents(id):
                file.write(piece)
        proof_path(path).write_bytes(body)
        check_file(pieces_of(path), msgspec.json.decode(body), authority=authority)
        return decode(body, File)
