"""The API's fees: schedules, what they would charge, and what was charged."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack

import msgspec

from sakk.client.endpoint import Endpoint, ListOptions, Retrievable, present
from sakk.client.objects import Resource
from sakk.client.page import Page

FeeKind = Literal["payin", "payout", "refund", "conversion"]


class FeePart(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a fee; a cap's is below zero."""

    label: str
    amount: int


class Fee(Resource, frozen=True, kw_only=True):
    """What was charged, or went back (below zero), by which rule of which version."""

    amount: int
    currency: str
    source: str
    account: str | None = None
    amount_decimal: str | None = None
    basis: int | None = None
    fee_schedule: str | None = None
    kind: str | None = None
    parts: list[FeePart] = msgspec.field(default_factory=list)
    reason: str | None = None
    rule: int | None = None
    version: int | None = None


class FeeVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a schedule's rules."""

    version: int
    rules: list[dict[str, Any]]
    effective_at: int
    created: int
    created_by: str | None = None


class FeeSchedule(Resource, frozen=True, kw_only=True):
    """Rules by which accounts are charged; versions newest first."""

    name: str
    version_in_force: int | None = None
    versions: list[FeeVersion] = msgspec.field(default_factory=list)


class FeeSimulation(msgspec.Struct, frozen=True, kw_only=True):
    """What a movement would cost. ``net``: what is left of a pay-in, or what a payout takes."""

    object: str
    amount: int
    currency: str
    fee: int
    kind: str
    net: int
    application_fee: int = 0
    application_fee_parts: list[FeePart] = msgspec.field(default_factory=list)
    fee_decimal: str | None = None
    net_decimal: str | None = None
    network: str | None = None
    on_refund: str | None = None
    parts: list[FeePart] = msgspec.field(default_factory=list)
    rule: int | None = None
    volume: int = 0


class Fees(Retrievable[Fee]):
    """What the account was charged."""

    root = "/v1/fees"
    kind = Fee

    def list(
        self,
        *,
        source: str | None = None,
        fee_schedule: str | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[Fee]:
        """Fees, newest first."""
        query = {"source": source, "fee_schedule": fee_schedule, **options}
        return self._list(self.root, Fee, query)


class FeeSchedules(Retrievable[FeeSchedule]):
    """By which rules accounts are charged; the operator's alone."""

    root = "/v1/fee_schedules"
    kind = FeeSchedule

    def create(
        self,
        *,
        name: str,
        rules: Sequence[Mapping[str, Any]],
        effective_at: int | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> FeeSchedule:
        """Write a schedule down; it charges nobody until an account has it."""
        body = present(
            {"name": name, "rules": rules, "effective_at": effective_at, "metadata": metadata}
        )
        return self._post(FeeSchedule, self.root, body, idempotency_key)

    def update(
        self,
        id: str,
        *,
        rules: Sequence[Mapping[str, Any]],
        effective_at: int | None = None,
        idempotency_key: str | None = None,
    ) -> FeeSchedule:
        """Add a version; what was charged stays charged."""
        body = present({"rules": rules, "effective_at": effective_at})
        return self._post(FeeSchedule, self._path(id), body, idempotency_key)

    def list(self, **options: Unpack[ListOptions]) -> Page[FeeSchedule]:
        """Schedules, newest first."""
        return self._list(self.root, FeeSchedule, {**options})


class FeeSimulations(Endpoint[Resource]):
    """What movements would cost; the operator's alone."""

    root = "/v1/fee_simulations"

    def create(
        self,
        *,
        kind: FeeKind,
        amount: int,
        currency: str,
        network: str | None = None,
        volume: int | None = None,
        fee_schedule: str | None = None,
        at: int | None = None,
        rules: Sequence[Mapping[str, Any]] | None = None,
        application_fee_amount: int | None = None,
        connected_account: str | None = None,
        idempotency_key: str | None = None,
    ) -> FeeSimulation:
        """By a schedule, as it is in force at a time, or by rules that are in force nowhere."""
        body = present(
            {
                "kind": kind,
                "amount": amount,
                "currency": currency,
                "network": network,
                "volume": volume,
                "fee_schedule": fee_schedule,
                "at": at,
                "rules": rules,
                "application_fee_amount": application_fee_amount,
                "connected_account": connected_account,
            }
        )
        return self._post(FeeSimulation, self.root, body, idempotency_key)
