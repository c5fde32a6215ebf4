"""The client: one object per key, with every resource on it."""

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal, Self

from sakk.client.alias import Aliases
from sakk.client.bank import (
    BankAccounts,
    BankFiles,
    BankLines,
    BankPayments,
    BankReferences,
    BankReturns,
    BankStatements,
)
from sakk.client.beneficiary import Beneficiaries
from sakk.client.channel import Channels
from sakk.client.checkout import Brandings, CheckoutSessions, PaymentLinks, PosDevices
from sakk.client.connected_account import ApplicationFees, ConnectedAccounts
from sakk.client.conversion import ConversionQuotes, Conversions, FxPositions
from sakk.client.day import Days
from sakk.client.errors import ApiError
from sakk.client.escrow_channel import EscrowChannels
from sakk.client.fee import Fees, FeeSchedules, FeeSimulations
from sakk.client.gift_card import GiftCardBatches, GiftCardMovements, GiftCards
from sakk.client.information_request import InformationRequests
from sakk.client.ledger import Ledger
from sakk.client.mandate import Mandates, OwnerKeys, PoolMovements, Refills
from sakk.client.money_request import Bills, MoneyRequests
from sakk.client.order import HedgePolicies, Orders
from sakk.client.payout import Payouts
from sakk.client.payout_batch import PayoutBatches
from sakk.client.provider_order import ProviderOrders
from sakk.client.quote import Quotes
from sakk.client.rate import Rates
from sakk.client.receiving_address import ReceivingAddresses
from sakk.client.reconciliation import Breaks, Reconciliations
from sakk.client.recovery import Recoveries
from sakk.client.refund import Refunds
from sakk.client.report import Files, Reports
from sakk.client.resources import (
    Accounts,
    Balances,
    BalanceTransactions,
    Currencies,
    Customers,
    Events,
    LiabilityEpochs,
    LiabilityProofs,
    Networks,
    PayIns,
    PaymentIntents,
    Screenings,
    Transfers,
    WebhookEndpoints,
)
from sakk.client.settlement import Settlements, SettlementSchedules
from sakk.client.shop import Products, Purchases, Shops
from sakk.client.transport import TIMEOUT_SECONDS, RetryPolicy, Transport

BASE_URL = "http://127.0.0.1:8402"


class SakkClient:
    """Talks to one Sakk with one key; synchronous, and safe to share between threads.

        with SakkClient("sk_test_…", "https://pay.example") as sakk:
            intent = sakk.payment_intents.create(amount=2500, currency="usd")

    ``account`` acts for an account (``acct_…``) with the operator's key, or its platform's.
    ``timeout_seconds`` is for each step of a request (connect, send, receive), before it is tried
    again.
    """

    def __init__(
        self,
        api_key: str,
        base_url: str = BASE_URL,
        *,
        account: str | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._use(
            Transport(
                api_key, base_url, account=account, timeout_seconds=timeout_seconds, retry=retry
            )
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._transport.base_url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, also those of what `for_account` returned."""
        self._transport.close()

    def for_account(self, account: str | None) -> "SakkClient":
        """A client that acts for an account, over the same connections."""
        other = object.__new__(SakkClient)
        other._use(self._transport.for_account(account))
        return other

    def request(
        self,
        method: Literal["GET", "POST", "DELETE"],
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:
        """Call any path, for what has no method here: the answer as it came."""
        posts = method == "POST"
        body = self._transport.request(
            method,
            path,
            query=None if posts else params,
            body=params if posts else None,
            idempotency_key=idempotency_key,
        )
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ApiError(f"The server's answer cannot be read: {error}.") from error
        if not isinstance(document, dict):
            raise ApiError("The server's answer is not an object.")
        return document

    def _use(self, transport: Transport) -> None:
        self._transport = transport
        self.accounts = Accounts(transport)
        self.application_fees = ApplicationFees(transport)
        self.connected_accounts = ConnectedAccounts(transport)
        self.aliases = Aliases(transport)
        self.balance = Balances(transport)
        self.balance_transactions = BalanceTransactions(transport)
        self.beneficiaries = Beneficiaries(transport)
        self.bills = Bills(transport)
        self.branding = Brandings(transport)
        self.checkout_sessions = CheckoutSessions(transport)
        self.payment_links = PaymentLinks(transport)
        self.pos_devices = PosDevices(transport)
        self.currencies = Currencies(transport)
        self.customers = Customers(transport)
        self.events = Events(transport)
        self.fee_schedules = FeeSchedules(transport)
        self.fee_simulations = FeeSimulations(transport)
        self.fees = Fees(transport)
        self.files = Files(transport)
        self.gift_card_batches = GiftCardBatches(transport)
        self.gift_card_movements = GiftCardMovements(transport)
        self.gift_cards = GiftCards(transport)
        self.hedge_policies = HedgePolicies(transport)
        self.information_requests = InformationRequests(transport)
        self.ledger = Ledger(transport)
        self.liability_epochs = LiabilityEpochs(transport)
        self.liability_proofs = LiabilityProofs(transport)
        self.mandates = Mandates(transport)
        self.money_requests = MoneyRequests(transport)
        self.networks = Networks(transport)
        self.orders = Orders(transport)
        self.owner_keys = OwnerKeys(transport)
        self.payins = PayIns(transport)
        self.payment_intents = PaymentIntents(transport)
        self.payout_batches = PayoutBatches(transport)
        self.payouts = Payouts(transport)
        self.pool_movements = PoolMovements(transport)
        self.products = Products(transport)
        self.purchases = Purchases(transport)
        self.shops = Shops(transport)
        self.quotes = Quotes(transport)
        self.receiving_addresses = ReceivingAddresses(transport)
        self.recoveries = Recoveries(transport)
        self.refills = Refills(transport)
        self.refunds = Refunds(transport)
        self.reports = Reports(transport)
        self.screenings = Screenings(transport)
        self.conversion_quotes = ConversionQuotes(transport)
        self.conversions = Conversions(transport)
        self.fx_positions = FxPositions(transport)
        self.rates = Rates(transport)
        self.reconciliations = Reconciliations(transport)
        self.breaks = Breaks(transport)
        self.days = Days(transport)
        self.bank_accounts = BankAccounts(transport)
        self.bank_files = BankFiles(transport)
        self.bank_lines = BankLines(transport)
        self.bank_payments = BankPayments(transport)
        self.bank_references = BankReferences(transport)
        self.bank_returns = BankReturns(transport)
        self.bank_statements = BankStatements(transport)
        self.provider_orders = ProviderOrders(transport)
        self.settlement_schedules = SettlementSchedules(transport)
        self.settlements = Settlements(transport)
        self.transfers = Transfers(transport)
        self.channels = Channels(transport)
        self.escrow_channels = EscrowChannels(transport)
        self.webhook_endpoints = WebhookEndpoints(transport)
