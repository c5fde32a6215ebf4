"""The API's aliases: names by which an account is paid, and whom a name stands for."""

from collections.abc import Mapping
from typing import Literal, Unpack

import msgspec

from sakk.client.endpoint import ListOptions, Retrievable, present
from sakk.client.objects import Resource
from sakk.client.page import Page


class Alias(Resource, frozen=True, kw_only=True):
    """A name by which an account is paid."""

    kind: str
    value: str
    status: str
    account: str | None = None
    activated_at: int | None = None


class AliasCode(Resource, frozen=True, kw_only=True):
    """What proves an e-mail address; the operator's mailer sends it there."""

    alias: str
    code: str
    value: str


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """Who would be paid; `name` is shown before anything is sent."""

    object: str
    kind: str
    to: str
    amount: int | None = None
    currency: str | None = None
    livemode: bool = False
    name: str | None = None
    note: str | None = None


class ReceiveCode(msgspec.Struct, frozen=True, kw_only=True):
    """A code by which others pay this account."""

    object: str
    uri: str
    svg: str
    livemode: bool = False


class Aliases(Retrievable[Alias]):
    """By which names the account is paid."""

    root = "/v1/aliases"
    kind = Alias

    def create(
        self,
        *,
        kind: Literal["email", "handle"],
        value: str,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Alias:
        """Ask for a name: a handle counts at once, an e-mail address when it is proved."""
        body = present({"kind": kind, "value": value, "metadata": metadata})
        return self._post(Alias, self.root, body, idempotency_key)

    def code(self, id: str, *, idempotency_key: str | None = None) -> AliasCode:
        """Make the code that proves an e-mail address; the operator's."""
        return self._post(AliasCode, self._path(id, "code"), {}, idempotency_key)

    def verify(self, id: str, *, code: str, idempotency_key: str | None = None) -> Alias:
        """Prove an e-mail address by the code that came there."""
        return self._post(Alias, self._path(id, "verify"), {"code": code}, idempotency_key)

    def release(self, id: str, *, idempotency_key: str | None = None) -> Alias:
        """Give a name up."""
        return self._post(Alias, self._path(id, "release"), {}, idempotency_key)

    def free(self, id: str, *, idempotency_key: str | None = None) -> Alias:
        """Let another account ask for a name that was given up; the operator's."""
        return self._post(Alias, self._path(id, "free"), {}, idempotency_key)

    def list(self, *, status: str | None = None, **options: Unpack[ListOptions]) -> Page[Alias]:
        """The account's names, newest first."""
        return self._list(self.root, Alias, {"status": status, **options})

    def recipient(self, to: str) -> Recipient:
        """Who would be paid, as a payer wrote or scanned it."""
        return self._post(Recipient, "/v1/recipients/lookup", {"to": to}, None)

    def receive_code(
        self, *, amount: int | None = None, currency: str | None = None, note: str | None = None
    ) -> ReceiveCode:
        """A code by which others pay this account."""
        path = "/v1/receive_code"
        return self._get(ReceiveCode, path, amount=amount, currency=currency, note=note)
