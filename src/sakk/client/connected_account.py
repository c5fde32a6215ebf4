"""The API's platforms: accounts that are connected to them, and what they take."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack

import msgspec

from sakk.client.endpoint import ListOptions, Retrievable, present
from sakk.client.fee import FeePart
from sakk.client.objects import Resource
from sakk.client.page import Page

Permission = Literal["payments", "payouts"]


class ConnectedAccount(Resource, frozen=True, kw_only=True):
    """A platform that acts for an account, or asks to."""

    account: str
    platform: str
    status: str
    accepted_at: int | None = None
    application_fee_ppm_max: int = 0
    application_fee_rules: list[dict[str, Any]] = msgspec.field(default_factory=list)
    ended_at: int | None = None
    ended_by: str | None = None
    permissions: list[str] = msgspec.field(default_factory=list)


class ApplicationFee(Resource, frozen=True, kw_only=True):
    """What a platform took, or what went back (below zero)."""

    account: str
    amount: int
    application: str
    currency: str
    source: str
    amount_decimal: str | None = None
    basis: int | None = None
    connected_account: str | None = None
    kind: str | None = None
    parts: list[FeePart] = msgspec.field(default_factory=list)
    payment_intent: str | None = None
    reason: str | None = None
    rule: int | None = None
    status: str | None = None
    version: int | None = None


class ConnectedAccounts(Retrievable[ConnectedAccount]):
    """Who acts for whom."""

    root = "/v1/connected_accounts"
    kind = ConnectedAccount

    def create(
        self,
        *,
        account: str,
        permissions: Sequence[Permission],
        application_fee_ppm_max: int,
        application_fee_rules: Sequence[Mapping[str, Any]] | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> ConnectedAccount:
        """Ask an account to act for it; nothing counts before it agrees."""
        body = present(
            {
                "account": account,
                "permissions": permissions,
                "application_fee_ppm_max": application_fee_ppm_max,
                "application_fee_rules": application_fee_rules,
                "metadata": metadata,
            }
        )
        return self._post(ConnectedAccount, self.root, body, idempotency_key)

    def update(
        self,
        id: str,
        *,
        application_fee_rules: Sequence[Mapping[str, Any]],
        idempotency_key: str | None = None,
    ) -> ConnectedAccount:
        """Change by which rules the platform takes its fee."""
        body = present({"application_fee_rules": application_fee_rules})
        return self._post(ConnectedAccount, self._path(id), body, idempotency_key)

    def accept(self, id: str, *, idempotency_key: str | None = None) -> ConnectedAccount:
        """Agree, as the account that is asked."""
        return self._post(ConnectedAccount, self._path(id, "accept"), {}, idempotency_key)

    def revoke(self, id: str, *, idempotency_key: str | None = None) -> ConnectedAccount:
        """End it, as either side."""
        return self._post(ConnectedAccount, self._path(id, "revoke"), {}, idempotency_key)

    def list(
        self, *, status: str | None = None, **options: Unpack[ListOptions]
    ) -> Page[ConnectedAccount]:
        """Connections, newest first."""
        return self._list(self.root, ConnectedAccount, {"status": status, **options})


class ApplicationFees(Retrievable[ApplicationFee]):
    """What platforms took."""

    root = "/v1/application_fees"
    kind = ApplicationFee

    def list(
        self,
        *,
        source: str | None = None,
        payment_intent: str | None = None,
        connected_account: str | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[ApplicationFee]:
        """Application fees, newest first."""
        query = {
            "source": source,
            "payment_intent": payment_intent,
            "connected_account": connected_account,
        }
        return self._list(self.root, ApplicationFee, {**query, **options})
