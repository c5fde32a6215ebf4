"""The API's objects, typed. Fields that a newer server adds are ignored.

Amounts are whole numbers of the currency's smallest unit; ``*_decimal`` is the same as an exact
decimal string; ``token_amount`` and ``suspense_units`` are atomic units of the token, as strings.
Times are seconds since 1970.
"""

from typing import Any

import msgspec

# The id of another object, or that object whole where ``expand`` asked for it.
Reference = str | dict[str, Any] | None


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """What every object has."""

    id: str
    object: str
    created: int = 0
    livemode: bool = False
    metadata: dict[str, str] = {}


class BusinessProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Who an account is."""

    name: str | None = None


class PaymentPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a payment that departs from its intent."""

    late: str = "accept"
    over: str = "accept"
    wrong_asset: str = "credit"
    finished: str = "credit"
    tolerance_under_units: int = 0
    tolerance_percent_bps: int = 0


class AccountSettings(msgspec.Struct, frozen=True, kw_only=True):
    """An account's settings."""

    payments: PaymentPolicy = PaymentPolicy()


class Account(Resource, frozen=True, kw_only=True):
    """A tenant."""

    kind: str = "merchant"
    business_profile: BusinessProfile = BusinessProfile()
    email: str | None = None
    country: str | None = None
    fee_schedule: Reference = None
    settings: AccountSettings = AccountSettings()


class SupportedToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token that an address takes; ``amount`` (atomic units) and ``uri`` for an intent."""

    token_currency: str
    token_contract_address: str
    asset: str | None = None
    decimals: int | None = None
    amount: str | None = None
    amount_decimal: str | None = None
    uri: str | None = None


class DepositAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where to pay on one network."""

    address: str
    supported_tokens: list[SupportedToken] = []


class Customer(Resource, frozen=True, kw_only=True):
    """A payer that comes back; a ``deleted`` one has nothing but its id."""

    name: str | None = None
    email: str | None = None
    description: str | None = None
    crypto_deposit_addresses: dict[str, DepositAddress] = {}
    deleted: bool = False


class CryptoDisplayDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What to show to the payer: an address per CAIP-2 network."""

    deposit_addresses: dict[str, DepositAddress] = {}


class NextAction(msgspec.Struct, frozen=True, kw_only=True):
    """What must happen next for the payment."""

    type: str
    crypto_display_details: CryptoDisplayDetails = CryptoDisplayDetails()


class PaymentIntent(Resource, frozen=True, kw_only=True):
    """A request to be paid."""

    amount: int
    currency: str
    status: str
    amount_decimal: str | None = None
    amount_received: int = 0
    amount_received_decimal: str | None = None
    amount_refunded: int = 0
    amount_refunded_decimal: str | None = None
    amount_credited: int = 0
    amount_credited_decimal: str | None = None
    amount_status: str | None = None
    application: str | None = None
    application_fee_amount: int | None = None
    timing: str | None = None
    customer: Reference = None
    description: str | None = None
    next_action: NextAction | None = None
    payment_method_types: list[str] = []
    cancellation_reason: str | None = None
    expires_at: int | None = None
    canceled_at: int | None = None
    succeeded_at: int | None = None

    @property
    def deposit_addresses(self) -> dict[str, DepositAddress]:
        """Where the payer may pay, by network; empty when nothing is awaited any more."""
        if self.next_action is None:
            return {}
        return self.next_action.crypto_display_details.deposit_addresses


class PayIn(Resource, frozen=True, kw_only=True):
    """One transfer seen on a chain."""

    network: str
    asset: str
    token_amount: str
    address: str
    tx_hash: str
    status: str
    log_index: int | None = None
    block_number: int | None = None
    block_hash: str | None = None
    block_timestamp: int | None = None
    account: str | None = None
    amount: int | None = None
    amount_decimal: str | None = None
    application_fee: int = 0
    currency: str | None = None
    customer: Reference = None
    fee: int = 0
    fee_returned: int = 0
    payment_intent: Reference = None
    sender: str | None = None
    role: str | None = None
    reason: str | None = None
    screening: Reference = None
    suspense_units: str | None = None


class Transfer(Resource, frozen=True, kw_only=True):
    """A book transfer between two accounts here."""

    amount: int
    currency: str
    destination: Reference = None
    source: Reference = None
    status: str | None = None
    amount_decimal: str | None = None
    amount_reversed: int = 0
    reversed: bool = False
    description: str | None = None
    expires_at: int | None = None
    failure_code: str | None = None
    reason: str | None = None
    recipient: str | None = None


class BalanceAmount(msgspec.Struct, frozen=True, kw_only=True):
    """An amount of one currency."""

    currency: str
    amount: int
    amount_decimal: str | None = None


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """What an account may use, and what is on its way."""

    object: str
    available: list[BalanceAmount] = []
    pending: list[BalanceAmount] = []
    livemode: bool = False

    def available_units(self, currency: str) -> int:
        """What may be used of a currency, in its smallest unit; 0 if there is none."""
        return sum(each.amount for each in self.available if each.currency == currency)

    def pending_units(self, currency: str) -> int:
        """What is on its way in a currency, in its smallest unit; 0 if there is none."""
        return sum(each.amount for each in self.pending if each.currency == currency)


class BalanceTransaction(Resource, frozen=True, kw_only=True):
    """One line of an account's statement; ``amount`` is signed."""

    amount: int
    currency: str
    type: str
    net: int
    fee: int = 0
    amount_decimal: str | None = None
    balance_after: int | None = None
    available_on: int | None = None
    description: str | None = None
    reporting_category: str | None = None
    source: Reference = None
    status: str | None = None


class LiabilityEpoch(Resource, frozen=True, kw_only=True):
    """What was owed in one currency after one row of the operator's journal."""

    as_of: int
    currency: str
    epoch: int
    journal_hash: str
    journal_sequence: int
    leaves: int
    root: str
    shard: int
    total: str
    unit: str
    total_decimal: str | None = None


class LiabilityStep(msgspec.Struct, frozen=True, kw_only=True):
    """A sibling on the way from a leaf to the root."""

    hash: str
    side: str
    sum: str


class LiabilityLeaf(msgspec.Struct, frozen=True, kw_only=True):
    """One ledger account of the account, and its way to the root."""

    balance: str
    index: int
    ledger_account: str
    path: list[LiabilityStep]
    salt: str


class LiabilityProof(Resource, frozen=True, kw_only=True):
    """That an account's balance stands under an epoch's root; `sakk.client.liability` checks it."""

    account: str
    balance: str
    currency: str
    epoch: int
    leaves: list[LiabilityLeaf]
    root: str
    unit: str


class EventData(msgspec.Struct, frozen=True, kw_only=True):
    """The object as it was when the event happened."""

    object: dict[str, Any]
    previous_attributes: dict[str, Any] | None = None


class Event(Resource, frozen=True, kw_only=True):
    """What happened."""

    type: str
    data: EventData
    account: str | None = None
    api_version: str | None = None
    pending_webhooks: int = 0
    request: dict[str, Any] | None = None


class WebhookEndpoint(Resource, frozen=True, kw_only=True):
    """Who is told; ``secret`` only in the answer to its creation and rotation."""

    url: str
    status: str
    enabled_events: list[str] = []
    description: str | None = None
    disabled_reason: str | None = None
    previous_secret_until: int | None = None
    secret: str | None = None
    deleted: bool = False


class WebhookAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try to deliver."""

    attempt: int
    started_at: int | None = None
    milliseconds: int | None = None
    response_status: int | None = None
    response_excerpt: str | None = None
    error: str | None = None


class WebhookDelivery(Resource, frozen=True, kw_only=True):
    """An event on its way to an endpoint."""

    event: Reference
    webhook_endpoint: Reference
    status: str
    attempt_count: int = 0
    next_attempt_at: int | None = None
    response_status: int | None = None
    response_milliseconds: int | None = None
    response_excerpt: str | None = None
    error: str | None = None
    attempts: list[WebhookAttempt] | None = None


class WebhookReplay(msgspec.Struct, frozen=True, kw_only=True):
    """How many deliveries are due again."""

    object: str
    webhook_endpoint: str
    deliveries: int


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token on a network's allow-list."""

    asset: str
    currency: str
    symbol: str
    contract: str
    decimals: int
    payin_enabled: bool = True
    payout_enabled: bool = True
    payout_minimum: str = "0"


class Network(Resource, frozen=True, kw_only=True):
    """A chain, by its CAIP-2 name."""

    network: str
    name: str
    family: str
    enabled: bool = True
    confirmations: int = 0
    block_seconds: int = 0
    deposit_factory: str | None = None
    deposit_method: str | None = None
    head_block_number: int | None = None
    native_asset: str | None = None
    tokens: list[Token] = []


class UsdRate(msgspec.Struct, frozen=True, kw_only=True):
    """US dollars for one whole unit, as an exact ratio."""

    numerator: str
    denominator: str


class Currency(Resource, frozen=True, kw_only=True):
    """A unit of account."""

    name: str
    kind: str
    decimals: int
    usd_rate: UsdRate | None = None
    assets: list[str] = []


class ScreeningReason(msgspec.Struct, frozen=True, kw_only=True):
    """Why: the rule, and the entry of a list that met it."""

    verdict: str
    rule: str
    side: str
    address: str
    category: str
    list: str
    version: int
    confidence: int = 0
    entity: str | None = None
    path: tuple[str, ...] = ()


class Screening(Resource, frozen=True, kw_only=True):
    """A verdict on a transfer; the operator's alone."""

    subject: str
    verdict: str
    network: str
    asset: str
    direction: str
    sender: str
    receiver: str
    token_amount: str
    reasons: list[ScreeningReason] = []
    lists_version: int = 0
    rules_version: str | None = None
    input_hash: str | None = None
    inputs: dict[str, Any] | None = None
    account: str | None = None


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a deleted object."""

    id: str
    object: str
    deleted: bool = True
