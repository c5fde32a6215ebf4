"""The API's settlements: what periods came to, line by line, and how accounts are settled."""

from collections.abc import Mapping
from typing import Literal, Unpack

import msgspec

from sakk.client.endpoint import Endpoint, ListOptions, Retrievable, join, present
from sakk.client.objects import BalanceTransaction, Resource
from sakk.client.page import Page

Interval = Literal["daily", "weekly", "manual", "threshold"]


class SettlementDestination(msgspec.Struct, frozen=True, kw_only=True):
    """Where settlements go: an entry of the address book on a network, or a bank account."""

    bank_account: str | None = None
    beneficiary: str | None = None
    network: str | None = None


class SettlementExchange(msgspec.Struct, frozen=True, kw_only=True):
    """What was paid in another currency, and at which price."""

    amount: int
    conversion: str
    currency: str
    price: str
    decimals: int = 0
    spread: int = 0


class Settlement(Resource, frozen=True, kw_only=True):
    """One period of one currency: `opening + credits - debits == closing`."""

    number: int
    currency: str
    status: str
    account: str | None = None
    amount: int = 0
    amount_decimal: str | None = None
    closing: int = 0
    credits: int = 0
    debits: int = 0
    destination: SettlementDestination | None = None
    exchange: SettlementExchange | None = None
    failure_code: str | None = None
    fees: int = 0
    first_line: int = 1
    lines: int = 0
    opening: int = 0
    paid_at: int | None = None
    pay_at: int | None = None
    payable: int = 0
    payout: str | None = None
    period_end: int | None = None
    received: int = 0
    recovered: int = 0
    reserve_release_at: int | None = None
    reserve_released: bool = False
    reserve_returned: int = 0
    reserved: int = 0
    reserved_fixed: int = 0


class SettlementLine(BalanceTransaction, frozen=True, kw_only=True):
    """A balance transaction with its number among all that were settled."""

    number: int
    settlement: str


class SettlementSchedule(Resource, frozen=True, kw_only=True):
    """How an account is settled; amounts by currency, in its smallest unit."""

    interval: str
    account: str | None = None
    calendar: str | None = None
    currency: str | None = None
    cutoff: str | None = None
    delay_days: int = 0
    destination: SettlementDestination | None = None
    held: bool = False
    minimum: dict[str, int] = msgspec.field(default_factory=dict)
    next_at: int | None = None
    reserve_days: int = 0
    reserve_fixed: dict[str, int] = msgspec.field(default_factory=dict)
    reserve_ppm: int = 0
    threshold: dict[str, int] = msgspec.field(default_factory=dict)
    timezone: str | None = None
    weekday: int = 0


class Settlements(Retrievable[Settlement]):
    """What the account is paid for periods."""

    root = "/v1/settlements"
    kind = Settlement

    def create(self, *, currency: str, idempotency_key: str | None = None) -> Settlement:
        """End a currency's period now, whatever the interval."""
        return self._post(Settlement, self.root, {"currency": currency}, idempotency_key)

    def list(
        self,
        *,
        currency: str | None = None,
        status: str | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[Settlement]:
        """Settlements, newest first."""
        return self._list(
            self.root, Settlement, {"currency": currency, "status": status, **options}
        )

    def lines(self, id: str, **options: Unpack[ListOptions]) -> Page[SettlementLine]:
        """The lines of a settlement, oldest first."""
        return self._list(self._path(id, "lines"), SettlementLine, {**options})

    def statement(self, id: str, *, form: Literal["csv", "camt.053"] = "csv") -> bytes:
        """The statement as CSV, or of a fiat currency as banks write it."""
        return self._transport.request(
            "GET", join(self.root, id, "statement"), query={"form": form}
        )


class SettlementSchedules(Endpoint[SettlementSchedule]):
    """How accounts are settled; the operator's to write."""

    root = "/v1/settlement_schedules"
    kind = SettlementSchedule

    def put(
        self,
        *,
        interval: Interval,
        cutoff: str | None = None,
        timezone: str | None = None,
        weekday: int | None = None,
        delay_days: int | None = None,
        calendar: str | None = None,
        minimum: Mapping[str, int] | None = None,
        threshold: Mapping[str, int] | None = None,
        reserve_ppm: int | None = None,
        reserve_days: int | None = None,
        reserve_fixed: Mapping[str, int] | None = None,
        destination: Mapping[str, str] | None = None,
        currency: str | None = None,
        held: bool | None = None,
        idempotency_key: str | None = None,
    ) -> SettlementSchedule:
        """Settle the client's account so from now on; what is left out has its default."""
        body = present(
            {
                "interval": interval,
                "cutoff": cutoff,
                "timezone": timezone,
                "weekday": weekday,
                "delay_days": delay_days,
                "calendar": calendar,
                "minimum": minimum,
                "threshold": threshold,
                "reserve_ppm": reserve_ppm,
                "reserve_days": reserve_days,
                "reserve_fixed": reserve_fixed,
                "destination": destination,
                "currency": currency,
                "held": held,
            }
        )
        return self._post(SettlementSchedule, self.root, body, idempotency_key)

    def list(self, **options: Unpack[ListOptions]) -> Page[SettlementSchedule]:
        """The account's schedule, of which there is one at most."""
        return self._list(self.root, SettlementSchedule, {**options})
