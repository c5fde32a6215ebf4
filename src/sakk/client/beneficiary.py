"""Beneficiaries: an account's address book."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from sakk.client.endpoint import UNSET, ListOptions, Retrievable, Unset, given, present
from sakk.client.objects import Deleted, Resource
from sakk.client.page import Page


class Beneficiary(Resource, frozen=True, kw_only=True):
    """One entry; ``waiting`` until ``usable_at`` (seconds since 1970), when it may be paid."""

    name: str | None = None
    address: str | None = None
    networks: tuple[str, ...] = ()
    status: str | None = None
    usable_at: int | None = None
    ownership: dict[str, Any] | None = None
    ownership_message: str | None = None
    ownership_typed_data: dict[str, Any] | None = None
    travel_rule: dict[str, Any] | None = None
    confirmed_unlike: str | None = None
    description: str | None = None
    deleted: bool = False


class Beneficiaries(Retrievable[Beneficiary]):
    """Whom an account pays."""

    root = "/v1/beneficiaries"
    kind = Beneficiary

    def create(
        self,
        *,
        name: str,
        address: str,
        networks: Sequence[str],
        ownership: Mapping[str, Any] | None = None,
        travel_rule: Mapping[str, Any] | None = None,
        confirmed_unlike: str | None = None,
        description: str | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Beneficiary:
        """Add an address; raises `InvalidRequestError` for one that looks like a known one."""
        body = present(
            {
                "name": name,
                "address": address,
                "networks": list(networks),
                "ownership": ownership,
                "travel_rule": travel_rule,
                "confirmed_unlike": confirmed_unlike,
                "description": description,
                "metadata": metadata,
            }
        )
        return self._post(Beneficiary, self.root, body, idempotency_key)

    def update(
        self,
        id: str,
        *,
        name: str | Unset = UNSET,
        ownership: Mapping[str, Any] | Unset | None = UNSET,
        travel_rule: Mapping[str, Any] | Unset | None = UNSET,
        description: str | Unset | None = UNSET,
        metadata: Mapping[str, str | None] | Unset = UNSET,
        idempotency_key: str | None = None,
    ) -> Beneficiary:
        """Change what does not decide where money goes."""
        body = given(
            {
                "name": name,
                "ownership": ownership,
                "travel_rule": travel_rule,
                "description": description,
                "metadata": metadata,
            }
        )
        return self._post(Beneficiary, self._path(id), body, idempotency_key)

    def delete(self, id: str, *, idempotency_key: str | None = None) -> Deleted:
        """Take an entry out of the book."""
        return self._delete(Deleted, self._path(id), idempotency_key)

    def list(
        self,
        *,
        address: str | None = None,
        name: str | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[Beneficiary]:
        """The entries, newest first."""
        return self._list(self.root, Beneficiary, {"address": address, "name": name, **options})
