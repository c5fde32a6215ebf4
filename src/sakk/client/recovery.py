"""The API's recoveries: coins that are nobody's payment go back to who sent them."""

from typing import Unpack

from sakk.client.endpoint import ListOptions, Retrievable, present
from sakk.client.objects import Resource
from sakk.client.page import Page


class Recovery(Resource, frozen=True, kw_only=True):
    """Coins on a deposit address that go back; ``token_amount`` in atomic units.

    ``claim_url`` in the answer that made the link alone.
    """

    address: str
    asset: str
    network: str
    status: str
    symbol: str
    token_amount: str
    account: str | None = None
    amount_decimal: str | None = None
    approvals_needed: int = 0
    approver_role: str | None = None
    awaiting_approvals: bool = False
    claim_expires_at: int | None = None
    claim_url: str | None = None
    destination: str | None = None
    failure_reason: str | None = None
    payin: str | None = None
    payment_intent: str | None = None
    rule: str | None = None
    screening: str | None = None
    source: str | None = None
    sweep: str | None = None
    tx_hash: str | None = None
    under_review: bool = False


class Recoveries(Retrievable[Recovery]):
    """What goes back from deposit addresses."""

    root = "/v1/recoveries"
    kind = Recovery

    def create(
        self,
        *,
        payin: str | None = None,
        network: str | None = None,
        address: str | None = None,
        asset: str | None = None,
        claim_expires_at: int | None = None,
        idempotency_key: str | None = None,
    ) -> Recovery:
        """Offer a held ``payin``, or an ``asset`` on an ``address``, to whoever paid it."""
        body = present(
            {
                "payin": payin,
                "network": network,
                "address": address,
                "asset": asset,
                "claim_expires_at": claim_expires_at,
            }
        )
        return self._post(Recovery, self.root, body, idempotency_key)

    def approve(
        self,
        id: str,
        *,
        digest: str | None = None,
        code: str | None = None,
        signature: str | None = None,
        comment: str | None = None,
        idempotency_key: str | None = None,
    ) -> Recovery:
        """One more approval, of the content whose ``digest`` its explanation shows."""
        body = present({"digest": digest, "code": code, "signature": signature, "comment": comment})
        return self._post(Recovery, self._path(id, "approve"), body, idempotency_key)

    def cancel(self, id: str, *, idempotency_key: str | None = None) -> Recovery:
        """Call a recovery off before it is being sent."""
        return self._post(Recovery, self._path(id, "cancel"), {}, idempotency_key)

    def list(
        self,
        *,
        status: str | None = None,
        payin: str | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[Recovery]:
        """Recoveries, newest first."""
        query = {"status": status, "payin": payin, **options}
        return self._list(self.root, Recovery, query)
