"""The API's mandates: owners' keys, what agents may spend, what they spend, and the pool.

    draft = sakk.mandates.draft(owner=…, agent=…, currency="usdc", total=5_000_000, expires_at=…)
    signature = …  # eth_signTypedData_v4 over draft.typed_data, by the owner's wallet
    mandate = sakk.mandates.create(terms=draft.terms, signature=signature)
    sakk.mandates.spend(mandate.id, reference="order 7", amount=1_000, payee={"account": "acct_…"})

An agent asks with an API key that is bound to its mandate, or signs each request itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack

import msgspec

from sakk.client.endpoint import ListOptions, Retrievable, present
from sakk.client.objects import PaymentIntent, Resource
from sakk.client.page import Page


class OwnerKey(Resource, frozen=True, kw_only=True):
    """A key that may sign mandates, until it is revoked."""

    address: str
    account: str | None = None
    name: str | None = None
    revoked_at: int | None = None


class OwnerKeyDraft(msgspec.Struct, frozen=True, kw_only=True):
    """What the key's holder signs to register it."""

    address: str
    typed_data: dict[str, Any]


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """One limit of a mandate, and what is left of it. ``resets_at``: of a period."""

    name: str
    limit: str
    amount: int
    left: int
    resets_at: int | None = None


class MandateDraft(msgspec.Struct, frozen=True, kw_only=True):
    """What an owner would sign: ``terms`` are sent back unchanged with the signature."""

    terms: dict[str, Any]
    statement: str
    typed_data: dict[str, Any]
    digest: str
    unenforced: list[str] | None = None


class Mandate(Resource, frozen=True, kw_only=True):
    """What an agent may spend. ``budgets`` are there when one is retrieved."""

    agent: str
    status: str
    currency: str
    terms: dict[str, Any]
    statement: str
    account: str | None = None
    owner: str | None = None
    owner_key: str | None = None
    typed_data: dict[str, Any] | None = None
    digest: str | None = None
    signature: str | None = None
    budgets: list[Budget] | None = None
    replaces: str | None = None
    replaced_by: str | None = None
    revoked_at: int | None = None
    starts_at: int | None = None
    expires_at: int | None = None
    description: str | None = None


class Payee(msgspec.Struct, frozen=True, kw_only=True):
    """Who is paid."""

    account: str | None = None
    network: str | None = None
    address: str | None = None
    host: str | None = None


class MandateSpend(Resource, frozen=True, kw_only=True):
    """A spend: `posted` here, `reserved` for the agent's key, or `waiting` for a person."""

    mandate: str
    reference: str
    amount: int
    currency: str
    status: str
    payee: Payee
    account: str | None = None
    amount_decimal: str | None = None
    scheme: str | None = None
    failure_code: str | None = None
    failure: dict[str, Any] | None = None
    approval_digest: str | None = None
    approval_typed_data: dict[str, Any] | None = None
    approve_by: int | None = None
    approved_by: str | None = None
    description: str | None = None


class PoolMovement(Resource, frozen=True, kw_only=True):
    """Balance that was parked, or taken back."""

    direction: str
    amount: int
    currency: str
    status: str
    account: str | None = None
    amount_decimal: str | None = None
    mandate: str | None = None
    reference: str | None = None
    failure_code: str | None = None


class Refill(Resource, frozen=True, kw_only=True):
    """A rule that keeps a channel funded."""

    channel: str
    mandate: str
    below: int
    up_to: int
    status: str
    account: str | None = None
    failure_code: str | None = None


class OwnerKeys(Retrievable[OwnerKey]):
    """Keys whose holders sign mandates."""

    root = "/v1/owner_keys"
    kind = OwnerKey

    def draft(self, address: str) -> OwnerKeyDraft:
        """What the holder of a key signs to register it."""
        return self._post(OwnerKeyDraft, self._path("draft"), {"address": address}, None)

    def create(
        self,
        *,
        address: str,
        signature: str,
        name: str | None = None,
        idempotency_key: str | None = None,
    ) -> OwnerKey:
        """Register a key, by its own signature over the draft's typed data."""
        body = present({"address": address, "signature": signature, "name": name})
        return self._post(OwnerKey, self.root, body, idempotency_key)

    def revoke(self, id: str, *, idempotency_key: str | None = None) -> OwnerKey:
        """End a key, and every mandate that it signed."""
        return self._post(OwnerKey, self._path(id, "revoke"), {}, idempotency_key)

    def list(self, **options: Unpack[ListOptions]) -> Page[OwnerKey]:
        """Owner keys, newest first."""
        return self._list(self.root, OwnerKey, options)


class Mandates(Retrievable[Mandate]):
    """What agents may spend, and what they spend."""

    root = "/v1/mandates"
    kind = Mandate

    def draft(self, **terms: Any) -> MandateDraft:
        """The terms in their canonical form, in words, and as typed data for the owner to sign."""
        return self._post(MandateDraft, self._path("draft"), {"terms": terms}, None)

    def draft_ap2(self, mandate: Mapping[str, Any], **beside: Any) -> MandateDraft:
        """The same from an AP2 open payment mandate; ``beside``: owner, agent, currency, times."""
        body = {"mandate": mandate, **beside}
        return self._post(MandateDraft, self._path("draft_ap2"), body, None)

    def create(
        self,
        *,
        terms: Mapping[str, Any],
        signature: str,
        description: str | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Mandate:
        """Put in force what an owner signed: a draft's terms, unchanged."""
        body = present(
            {
                "terms": terms,
                "signature": signature,
                "description": description,
                "metadata": metadata,
            }
        )
        return self._post(Mandate, self.root, body, idempotency_key)

    def revoke(self, id: str, *, idempotency_key: str | None = None) -> Mandate:
        """End a mandate for ever, at once."""
        return self._post(Mandate, self._path(id, "revoke"), {}, idempotency_key)

    def list(
        self,
        *,
        agent: str | None = None,
        status: Literal["active", "revoked"] | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[Mandate]:
        """Mandates, newest first."""
        return self._list(self.root, Mandate, {"agent": agent, "status": status, **options})

    def spend(
        self,
        id: str,
        *,
        reference: str,
        amount: int,
        payee: Mapping[str, str],
        scheme: str | None = None,
        description: str | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> MandateSpend:
        """Spend; under one ``reference`` it is one spend, whoever asks again."""
        body = present(
            {
                "reference": reference,
                "amount": amount,
                "payee": payee,
                "scheme": scheme,
                "description": description,
                "metadata": metadata,
            }
        )
        return self._post(MandateSpend, self._path(id, "spends"), body, idempotency_key)

    def spends(
        self,
        id: str,
        *,
        status: str | None = None,
        reference: str | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[MandateSpend]:
        """A mandate's spends, newest first."""
        query = {"status": status, "reference": reference, **options}
        return self._list(self._path(id, "spends"), MandateSpend, query)

    def retrieve_spend(self, id: str, spend: str) -> MandateSpend:
        """One spend."""
        return self._get(MandateSpend, self._path(id, "spends", spend))

    def approve(
        self,
        id: str,
        spend: str,
        *,
        owner_signature: str | None = None,
        digest: str | None = None,
        code: str | None = None,
        comment: str | None = None,
        idempotency_key: str | None = None,
    ) -> MandateSpend:
        """A person's yes to a spend that waits: an owner's signature, or a digest and a code."""
        body = present(
            {
                "owner_signature": owner_signature,
                "digest": digest,
                "code": code,
                "comment": comment,
            }
        )
        path = self._path(id, "spends", spend, "approve")
        return self._post(MandateSpend, path, body, idempotency_key)

    def reject(
        self, id: str, spend: str, *, comment: str | None = None, idempotency_key: str | None = None
    ) -> MandateSpend:
        """A no to a spend that waits."""
        path = self._path(id, "spends", spend, "reject")
        return self._post(MandateSpend, path, present({"comment": comment}), idempotency_key)

    def release(self, id: str, spend: str, *, idempotency_key: str | None = None) -> MandateSpend:
        """Say that a reserved spend was never paid; it goes back to its budgets."""
        path = self._path(id, "spends", spend, "release")
        return self._post(MandateSpend, path, {}, idempotency_key)

    def park(
        self, id: str, *, reference: str, amount: int, idempotency_key: str | None = None
    ) -> PoolMovement:
        """Move idle balance into the pool."""
        body = {"reference": reference, "amount": amount}
        return self._post(PoolMovement, self._path(id, "park"), body, idempotency_key)

    def unpark(
        self, id: str, *, reference: str, amount: int, idempotency_key: str | None = None
    ) -> PoolMovement:
        """Take parked balance back, at once."""
        body = {"reference": reference, "amount": amount}
        return self._post(PoolMovement, self._path(id, "unpark"), body, idempotency_key)

    def invoice(
        self,
        id: str,
        *,
        reference: str,
        amount: int,
        networks: Sequence[str] | None = None,
        description: str | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> PaymentIntent:
        """Ask others to pay the account; asked again under the same reference, it is the same."""
        body = {
            "reference": reference,
            "amount": amount,
            "networks": networks,
            "description": description,
            "metadata": metadata,
        }
        path = self._path(id, "invoices")
        return self._post(PaymentIntent, path, present(body), idempotency_key)

    def retrieve_invoice(self, id: str, payment_intent: str) -> PaymentIntent:
        """An invoice of a mandate as it stands."""
        return self._get(PaymentIntent, self._path(id, "invoices", payment_intent))

    def cancel_invoice(
        self, id: str, payment_intent: str, *, idempotency_key: str | None = None
    ) -> PaymentIntent:
        """Call off an invoice of a mandate that nobody has begun to pay; again it is the same."""
        path = self._path(id, "invoices", payment_intent, "cancel")
        return self._post(PaymentIntent, path, {}, idempotency_key)


class PoolMovements(Retrievable[PoolMovement]):
    """Idle balance, parked and taken back with the account's own key."""

    root = "/v1/pool_movements"
    kind = PoolMovement

    def create(
        self,
        *,
        direction: Literal["park", "unpark"],
        amount: int,
        currency: str,
        idempotency_key: str | None = None,
    ) -> PoolMovement:
        """Park, or take back."""
        body = {"direction": direction, "amount": amount, "currency": currency}
        return self._post(PoolMovement, self.root, body, idempotency_key)

    def list(self, **options: Unpack[ListOptions]) -> Page[PoolMovement]:
        """What was parked and taken back, newest first."""
        return self._list(self.root, PoolMovement, options)


class Refills(Retrievable[Refill]):
    """Rules that keep channels funded, within what their agents have signed."""

    root = "/v1/refills"
    kind = Refill

    def create(
        self, *, channel: str, below: int, up_to: int, idempotency_key: str | None = None
    ) -> Refill:
        """Fund a channel up to ``up_to`` left whenever less than ``below`` is."""
        body = {"channel": channel, "below": below, "up_to": up_to}
        return self._post(Refill, self.root, body, idempotency_key)

    def end(self, id: str, *, idempotency_key: str | None = None) -> Refill:
        """End a rule."""
        return self._post(Refill, self._path(id, "end"), {}, idempotency_key)

    def list(self, **options: Unpack[ListOptions]) -> Page[Refill]:
        """Rules, newest first."""
        return self._list(self.root, Refill, options)
