"""The API's reconciliations and breaks; the operator's."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import msgspec

from sakk.client.endpoint import ListOptions, Retrievable, present
from sakk.client.objects import Resource
from sakk.client.page import Page


class Reconciliation(Resource, frozen=True, kw_only=True):
    """One run; ``document`` is everything that it saw, where one is retrieved."""

    status: str
    breaks: int = 0
    document: dict[str, Any] | None = None
    journal_sequence: int = 0
    scopes: list[str] = msgspec.field(default_factory=list)
    sha256: str | None = None
    started: int | None = None
    why: str | None = None


class Break(Resource, frozen=True, kw_only=True):
    """What the books do not agree on; ``units`` is what the other side has beyond the ledger."""

    kind: str
    status: str
    units: str
    age_seconds: int = 0
    corrected_at: int | None = None
    corrections: int = 0
    detail: str | None = None
    digest: str | None = None
    explained: bool = False
    first_reconciliation: str | None = None
    history: list[dict[str, Any]] = msgspec.field(default_factory=list)
    last_reconciliation: str | None = None
    notes: int = 0
    owner: str | None = None
    proposal: dict[str, Any] | None = None
    resolved_at: int | None = None
    subject: str | None = None
    unit: str | None = None


class Reconciliations(Retrievable[Reconciliation]):
    """Runs of the proof that were kept."""

    root = "/v1/reconciliations"
    kind = Reconciliation

    def create(
        self, *, networks: Sequence[str], idempotency_key: str | None = None
    ) -> Reconciliation:
        """Reconcile now, with these networks."""
        return self._post(Reconciliation, self.root, {"networks": networks}, idempotency_key)

    def list(
        self, *, status: str | None = None, **options: Unpack[ListOptions]
    ) -> Page[Reconciliation]:
        """Runs, newest first."""
        return self._list(self.root, Reconciliation, {"status": status, **options})


class Breaks(Retrievable[Break]):
    """What the books do not agree on."""

    root = "/v1/breaks"
    kind = Break

    def list(
        self,
        *,
        status: str | None = None,
        kind: str | None = None,
        owner: str | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[Break]:
        """Breaks, newest first."""
        filters = {"status": status, "kind": kind, "owner": owner}
        return self._list(self.root, Break, {**filters, **options})

    def assign(
        self, id: str, *, owner: str | None = None, idempotency_key: str | None = None
    ) -> Break:
        """Take a break, or give it to a person."""
        return self._post(
            Break, self._path(id, "assign"), present({"owner": owner}), idempotency_key
        )

    def note(self, id: str, *, text: str, idempotency_key: str | None = None) -> Break:
        """Write down what a break is, for good."""
        return self._post(Break, self._path(id, "notes"), {"text": text}, idempotency_key)

    def propose(
        self,
        id: str,
        *,
        transfers: Sequence[Mapping[str, str]],
        note: str | None = None,
        idempotency_key: str | None = None,
    ) -> Break:
        """Propose the transfers (debit, credit, units) that correct it; another person confirms."""
        body = present({"transfers": transfers, "note": note})
        return self._post(Break, self._path(id, "propose"), body, idempotency_key)

    def decline(
        self, id: str, *, reason: str | None = None, idempotency_key: str | None = None
    ) -> Break:
        """Refuse what was proposed, or take it back."""
        return self._post(
            Break, self._path(id, "decline"), present({"reason": reason}), idempotency_key
        )

    def confirm(
        self,
        id: str,
        *,
        digest: str,
        code: str | None = None,
        idempotency_key: str | None = None,
    ) -> Break:
        """Confirm what another person proposed, as it was shown."""
        body = present({"digest": digest, "code": code})
        return self._post(Break, self._path(id, "confirm"), body, idempotency_key)
