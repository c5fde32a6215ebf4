"""Closed days: the API's objects, and the check of a report without asking anybody.

A report is canonical JSON (sorted keys, no spaces, amounts as text). The installation signs
``sakk day v1``, a line feed, and the SHA-256 of its bytes, with Ed25519. It names the hash of the
report of the day before it.
"""

import hashlib
from typing import Any, Unpack

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sakk.client.endpoint import ListOptions, Retrievable, join, present
from sakk.client.objects import Resource
from sakk.client.page import Page

WORDS = b"sakk day v1\n"


class DayReportError(ValueError):
    """A report that is not what the installation signed, or whose sums do not hold."""


class VerifiedDay(msgspec.Struct, frozen=True):
    """A report that holds, and the key that signed it: compare it with the one that you know."""

    report: dict[str, Any]
    sha256: str
    authority: str


class Day(Resource, frozen=True, kw_only=True):
    """A closed day; ``report`` is there where one is retrieved."""

    date: str
    number: int
    authority: str | None = None
    closed_by: str | None = None
    cutoff: str | None = None
    ends_at: int | None = None
    from_ns: str = "0"
    previous: str | None = None
    report: dict[str, Any] | None = None
    sha256: str | None = None
    signature: str | None = None
    timezone: str | None = None
    to_ns: str = "0"


class DayOutlook(msgspec.Struct, frozen=True, kw_only=True):
    """The day that would be closed next, and what stands in its way."""

    date: str
    object: str = "day_outlook"
    accepted: list[dict[str, Any]] = msgspec.field(default_factory=list)
    blockers: list[str] = msgspec.field(default_factory=list)
    breaks: list[str] = msgspec.field(default_factory=list)
    cutoff: str | None = None
    digest: str | None = None
    ends_at: int | None = None
    livemode: bool = False
    ready: bool = False
    timezone: str | None = None
    waits_for: str | None = None


class Days(Retrievable[Day]):
    """The ledger's closed days; the operator's."""

    root = "/v1/days"
    kind = Day

    def next(self) -> DayOutlook:
        """The day that would be closed next, and what stands in its way."""
        return self._get(DayOutlook, join(self.root, "next"))

    def accept(
        self,
        *,
        date: str,
        digest: str,
        reason: str,
        code: str | None = None,
        idempotency_key: str | None = None,
    ) -> DayOutlook:
        """Say, as one of two people, that the day is closed although breaks stand unexplained."""
        body = present({"date": date, "digest": digest, "reason": reason, "code": code})
        return self._post(DayOutlook, join(self.root, "acceptances"), body, idempotency_key)

    def close(
        self,
        *,
        date: str | None = None,
        timezone: str | None = None,
        cutoff: str | None = None,
        code: str | None = None,
        idempotency_key: str | None = None,
    ) -> Day:
        """Close a day (the next one), for good."""
        body = present({"date": date, "timezone": timezone, "cutoff": cutoff, "code": code})
        return self._post(Day, self.root, body, idempotency_key)

    def list(self, **options: Unpack[ListOptions]) -> Page[Day]:
        """Closed days, newest first."""
        return self._list(self.root, Day, {**options})

    def file(self, id: str) -> bytes:
        """The report as it was signed, for `verify_day` and for auditors."""
        return self._transport.request("GET", join(self.root, id, "file"), query={})


def verify_day(
    content: bytes, *, previous: bytes | None = None, authority: str | None = None
) -> VerifiedDay:
    """Check a report's file: hash, signature, sums; DayReportError says what does not hold.

    ``previous``: the file of the day before, whose hash the report must name. ``authority``: the
    installation's key, in hexadecimal; without it any key's signature will do, and is told.
    """
    found = _signed(content)
    if authority is not None and found.authority != authority.lower():
        raise DayReportError("it is signed by another key")
    if previous is not None:
        _check_follows(found.report, _signed(previous))
    _check_sums(found.report)
    return found


def _signed(content: bytes) -> VerifiedDay:
    try:
        document = msgspec.json.decode(content)
        written = document["report"].encode()
        report = msgspec.json.decode(written)
        signature = bytes.fromhex(document["signature"])
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(document["authority"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DayReportError("this is no file of a closed day") from None
    if not isinstance(report, dict):
        raise DayReportError("this is no file of a closed day")
    digest = hashlib.sha256(written)
    if document.get("sha256") != digest.hexdigest():
        raise DayReportError("the report is not what its hash says")
    try:
        key.verify(signature, WORDS + digest.digest())
    except InvalidSignature:
        raise DayReportError("the signature is not of this report") from None
    return VerifiedDay(report, digest.hexdigest(), str(document["authority"]).lower())


def _check_follows(report: dict[str, Any], before: VerifiedDay) -> None:
    if report.get("previous") != before.sha256:
        raise DayReportError("it does not follow the day before that was given")
    if report.get("from_ns") != before.report.get("to_ns"):
        raise DayReportError("it does not begin where the day before ended")
    if report.get("number") != before.report.get("number", 0) + 1:
        raise DayReportError("its number does not follow the day before")


def _check_sums(report: dict[str, Any]) -> None:
    """Every account leads from one balance to the next, and every unit balances."""
    totals: dict[str, list[int]] = {}
    try:
        for each in report["accounts"]:
            opening, debits, credits_, closing = (
                int(each[name]) for name in ("opening", "debits", "credits", "closing")
            )
            if opening + credits_ - debits != closing:
                raise DayReportError(f"{each['account']} does not lead to its balance")
            unit = totals.setdefault(each["unit"], [0, 0])
            unit[0] += debits
            unit[1] += credits_
        told = {
            each["unit"]: [int(each["debits"]), int(each["credits"])] for each in report["units"]
        }
    except (KeyError, TypeError) as error:
        raise DayReportError("the report lacks its sums") from error
    if told != totals or any(debits != credits_ for debits, credits_ in totals.values()):
        raise DayReportError("the sums of its units do not hold")
