"""The API's resources: a class for each, with a method for each thing that can be done.

In methods that create, what is None is not sent. In methods that update, what is not given is not
sent and stays as it is, and None unsets it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack

from sakk.client.endpoint import (
    UNSET,
    Endpoint,
    ListOptions,
    Retrievable,
    Unset,
    given,
    join,
    present,
)
from sakk.client.objects import (
    Account,
    Balance,
    BalanceTransaction,
    Currency,
    Customer,
    Deleted,
    Event,
    LiabilityEpoch,
    LiabilityProof,
    Network,
    PayIn,
    PaymentIntent,
    Resource,
    Screening,
    Transfer,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookReplay,
)
from sakk.client.page import Page


class Accounts(Retrievable[Account]):
    """Tenants. Creating and listing them is the operator's."""

    root = "/v1/accounts"
    kind = Account

    def create(
        self,
        *,
        name: str | None = None,
        email: str | None = None,
        country: str | None = None,
        payments: Mapping[str, Any] | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Account:
        """Open an account; ``payments`` is its policy for payments that do not fit."""
        body = present(
            {
                "business_profile": None if name is None else {"name": name},
                "email": email,
                "country": country,
                "settings": None if payments is None else {"payments": dict(payments)},
                "metadata": metadata,
            }
        )
        return self._post(Account, self.root, body, idempotency_key)

    def update(
        self,
        id: str,
        *,
        name: str | Unset | None = UNSET,
        email: str | Unset | None = UNSET,
        country: str | Unset | None = UNSET,
        payments: Mapping[str, Any] | Unset = UNSET,
        metadata: Mapping[str, str | None] | Unset = UNSET,
        idempotency_key: str | None = None,
    ) -> Account:
        """Change an account's details or policy."""
        body = given(
            {
                "business_profile": UNSET if name is UNSET else {"name": name},
                "email": email,
                "country": country,
                "settings": UNSET if payments is UNSET else {"payments": dict(payments)},
                "metadata": metadata,
            }
        )
        return self._post(Account, self._path(id), body, idempotency_key)

    def retrieve_current(self) -> Account:
        """The account that the key acts for."""
        return self._get(Account, "/v1/account")

    def list(self, **options: Unpack[ListOptions]) -> Page[Account]:
        """Accounts, newest first."""
        return self._list(self.root, Account, options)


class Customers(Retrievable[Customer]):
    """Payers that come back, each with a permanent deposit address."""

    root = "/v1/customers"
    kind = Customer

    def create(
        self,
        *,
        name: str | None = None,
        email: str | None = None,
        description: str | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Customer:
        """Create a customer; ``crypto_deposit_addresses`` says where it pays."""
        body = present(
            {"name": name, "email": email, "description": description, "metadata": metadata}
        )
        return self._post(Customer, self.root, body, idempotency_key)

    def update(
        self,
        id: str,
        *,
        name: str | Unset | None = UNSET,
        email: str | Unset | None = UNSET,
        description: str | Unset | None = UNSET,
        metadata: Mapping[str, str | None] | Unset = UNSET,
        idempotency_key: str | None = None,
    ) -> Customer:
        """Change a customer's details."""
        body = given(
            {"name": name, "email": email, "description": description, "metadata": metadata}
        )
        return self._post(Customer, self._path(id), body, idempotency_key)

    def delete(self, id: str, *, idempotency_key: str | None = None) -> Deleted:
        """Delete a customer; money that arrives at its address is still credited."""
        return self._delete(Deleted, self._path(id), idempotency_key)

    def list(self, *, email: str | None = None, **options: Unpack[ListOptions]) -> Page[Customer]:
        """Customers, newest first."""
        return self._list(self.root, Customer, {"email": email, **options})


class PaymentIntents(Retrievable[PaymentIntent]):
    """Requests to be paid."""

    root = "/v1/payment_intents"
    kind = PaymentIntent

    def create(
        self,
        *,
        amount: int,
        currency: str,
        networks: Sequence[str] | None = None,
        currencies: Sequence[str] | None = None,
        customer: str | None = None,
        description: str | None = None,
        expires_at: int | None = None,
        application_fee_amount: int | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> PaymentIntent:
        """Ask to be paid ``amount`` smallest units; payable in coins on networks, or in all.

        ``application_fee_amount``: what the platform that asks takes of it.
        """
        crypto = present({"networks": networks, "currencies": currencies})
        body = present(
            {
                "amount": amount,
                "currency": currency,
                "payment_method_types": ["crypto"],
                "payment_method_options": {"crypto": crypto} if crypto else None,
                "customer": customer,
                "description": description,
                "expires_at": expires_at,
                "application_fee_amount": application_fee_amount,
                "metadata": metadata,
            }
        )
        return self._post(PaymentIntent, self.root, body, idempotency_key)

    def update(
        self,
        id: str,
        *,
        description: str | Unset | None = UNSET,
        metadata: Mapping[str, str | None] | Unset = UNSET,
        idempotency_key: str | None = None,
    ) -> PaymentIntent:
        """Change an intent's description or metadata."""
        body = given({"description": description, "metadata": metadata})
        return self._post(PaymentIntent, self._path(id), body, idempotency_key)

    def cancel(
        self,
        id: str,
        *,
        cancellation_reason: str | None = None,
        idempotency_key: str | None = None,
    ) -> PaymentIntent:
        """Call a payment off; what still arrives is kept by the account's policy."""
        body = present({"cancellation_reason": cancellation_reason})
        return self._post(PaymentIntent, self._path(id, "cancel"), body, idempotency_key)

    def list(
        self,
        *,
        customer: str | None = None,
        status: str | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[PaymentIntent]:
        """Payment intents, newest first."""
        query = {"customer": customer, "status": status, **options}
        return self._list(self.root, PaymentIntent, query)


class PayIns(Retrievable[PayIn]):
    """Transfers seen on chains."""

    root = "/v1/payins"
    kind = PayIn

    def list(
        self,
        *,
        payment_intent: str | None = None,
        customer: str | None = None,
        network: str | None = None,
        asset: str | None = None,
        address: str | None = None,
        tx_hash: str | None = None,
        status: str | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[PayIn]:
        """Pay-ins, newest first. A merchant finds held ones under ``under_review``."""
        filters = {
            "payment_intent": payment_intent,
            "customer": customer,
            "network": network,
            "asset": asset,
            "address": address,
            "tx_hash": tx_hash,
            "status": status,
        }
        return self._list(self.root, PayIn, {**filters, **options})

    def release(self, id: str, *, idempotency_key: str | None = None) -> PayIn:
        """Let a held pay-in go on to where it would have gone; the operator's."""
        return self._post(PayIn, self._path(id, "release"), {}, idempotency_key)


class Transfers(Retrievable[Transfer]):
    """Book transfers between accounts here."""

    root = "/v1/transfers"
    kind = Transfer

    def create(
        self,
        *,
        amount: int,
        currency: str,
        destination: str,
        description: str | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Transfer:
        """Move money to an account, an e-mail address or `@handle`, at once."""
        body = present(
            {
                "amount": amount,
                "currency": currency,
                "destination": destination,
                "description": description,
                "metadata": metadata,
            }
        )
        return self._post(Transfer, self.root, body, idempotency_key)

    def pay_checkout(
        self, *, session: str, currency: str | None = None, idempotency_key: str | None = None
    ) -> Transfer:
        """Pay a page of another account here from the balance: its address, or the token in it."""
        body = present({"session": session, "currency": currency})
        return self._post(Transfer, "/v1/checkout_payments", body, idempotency_key)

    def cancel(self, id: str, *, idempotency_key: str | None = None) -> Transfer:
        """Call off what nobody has claimed."""
        return self._post(Transfer, self._path(id, "cancel"), {}, idempotency_key)

    def list(
        self,
        *,
        destination: str | None = None,
        direction: Literal["outgoing", "incoming"] | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[Transfer]:
        """Transfers that the account has sent, or received, newest first."""
        filters = {"destination": destination, "direction": direction}
        return self._list(self.root, Transfer, {**filters, **options})


class Balances(Endpoint[Resource]):
    """What an account has."""

    root = "/v1/balance"

    def retrieve(self) -> Balance:
        """What may be used and what is on its way, by currency."""
        return self._get(Balance, self.root)


class BalanceTransactions(Retrievable[BalanceTransaction]):
    """The statement."""

    root = "/v1/balance_transactions"
    kind = BalanceTransaction

    def list(
        self,
        *,
        currency: str | None = None,
        source: str | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[BalanceTransaction]:
        """Lines of the statement, newest first."""
        return self._list(
            self.root, BalanceTransaction, {"currency": currency, "source": source, **options}
        )


class LiabilityEpochs(Retrievable[LiabilityEpoch]):
    """What the operator owed in one currency at one time, for everybody the same."""

    root = "/v1/liability_epochs"
    kind = LiabilityEpoch

    def list(
        self, *, currency: str | None = None, **options: Unpack[ListOptions]
    ) -> Page[LiabilityEpoch]:
        """Epochs, newest first."""
        return self._list(self.root, LiabilityEpoch, {"currency": currency, **options})


class LiabilityProofs(Retrievable[LiabilityProof]):
    """The account's own place in an epoch, by the epoch's id; see `sakk.client.liability`."""

    root = "/v1/liability_proofs"
    kind = LiabilityProof


class Events(Retrievable[Event]):
    """What happened."""

    root = "/v1/events"
    kind = Event

    def list(
        self,
        *,
        type: str | None = None,
        types: Sequence[str] | None = None,
        related_object: str | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[Event]:
        """Events, newest first; ``payout.*`` is every type of the noun."""
        query = {"type": type, "types": types, "related_object": related_object, **options}
        return self._list(self.root, Event, query)


class WebhookEndpoints(Retrievable[WebhookEndpoint]):
    """Who is told of events."""

    root = "/v1/webhook_endpoints"
    deliveries_root = "/v1/webhook_deliveries"
    kind = WebhookEndpoint

    def create(
        self,
        *,
        url: str,
        enabled_events: Sequence[str] = ("*",),
        description: str | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> WebhookEndpoint:
        """Create an endpoint; keep its ``secret``, it is not shown again."""
        body = present(
            {
                "url": url,
                "enabled_events": list(enabled_events),
                "description": description,
                "metadata": metadata,
            }
        )
        return self._post(WebhookEndpoint, self.root, body, idempotency_key)

    def update(
        self,
        id: str,
        *,
        url: str | Unset = UNSET,
        enabled_events: Sequence[str] | Unset = UNSET,
        description: str | Unset | None = UNSET,
        disabled: bool | Unset = UNSET,
        metadata: Mapping[str, str | None] | Unset = UNSET,
        idempotency_key: str | None = None,
    ) -> WebhookEndpoint:
        """Change an endpoint, switch it off, or on again."""
        body = given(
            {
                "url": url,
                "enabled_events": enabled_events,
                "description": description,
                "disabled": disabled,
                "metadata": metadata,
            }
        )
        return self._post(WebhookEndpoint, self._path(id), body, idempotency_key)

    def delete(self, id: str, *, idempotency_key: str | None = None) -> Deleted:
        """Remove an endpoint; what was still due to it is abandoned."""
        return self._delete(Deleted, self._path(id), idempotency_key)

    def list(self, **options: Unpack[ListOptions]) -> Page[WebhookEndpoint]:
        """Endpoints, newest first."""
        return self._list(self.root, WebhookEndpoint, options)

    def rotate_secret(
        self,
        id: str,
        *,
        overlap_seconds: int | None = None,
        idempotency_key: str | None = None,
    ) -> WebhookEndpoint:
        """Give an endpoint a new secret; both sign until the overlap ends."""
        body = present({"overlap_seconds": overlap_seconds})
        return self._post(WebhookEndpoint, self._path(id, "rotate_secret"), body, idempotency_key)

    def deliveries(
        self,
        id: str,
        *,
        status: str | None = None,
        event: str | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[WebhookDelivery]:
        """An endpoint's deliveries, newest first."""
        query = {"status": status, "event": event, **options}
        return self._list(self._path(id, "deliveries"), WebhookDelivery, query)

    def retrieve_delivery(self, delivery: str) -> WebhookDelivery:
        """A delivery with all its tries."""
        return self._get(WebhookDelivery, join(self.deliveries_root, delivery))

    def redeliver(self, delivery: str, *, idempotency_key: str | None = None) -> WebhookDelivery:
        """Send one delivery again at once: same id, same bytes."""
        path = join(self.deliveries_root, delivery, "redeliver")
        return self._post(WebhookDelivery, path, {}, idempotency_key)

    def test(self, id: str, *, idempotency_key: str | None = None) -> WebhookDelivery:
        """Send a test to an endpoint, once; ask for the delivery to see what came of it."""
        return self._post(WebhookDelivery, self._path(id, "test"), {}, idempotency_key)

    def replay(self, id: str, *, since: int, idempotency_key: str | None = None) -> WebhookReplay:
        """Send again all that an endpoint did not take since a time."""
        return self._post(
            WebhookReplay, self._path(id, "replay"), {"since": since}, idempotency_key
        )


class Networks(Retrievable[Network]):
    """Chains, by CAIP-2 name."""

    root = "/v1/networks"
    kind = Network

    def list(self, **options: Unpack[ListOptions]) -> Page[Network]:
        """The networks of the key's mode."""
        return self._list(self.root, Network, options)


class Currencies(Retrievable[Currency]):
    """Units of account."""

    root = "/v1/currencies"
    kind = Currency

    def list(self, **options: Unpack[ListOptions]) -> Page[Currency]:
        """The currencies."""
        return self._list(self.root, Currency, options)


class Screenings(Retrievable[Screening]):
    """Verdicts on transfers; the operator's alone."""

    root = "/v1/screenings"
    kind = Screening

    def list(
        self,
        *,
        subject: str | None = None,
        verdict: Literal["clear", "review", "block"] | None = None,
        account: str | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[Screening]:
        """Screenings, newest first."""
        query = {"subject": subject, "verdict": verdict, "account": account, **options}
        return self._list(self.root, Screening, query)
