"""Settlements: what accounts are paid for periods, line by line, and by which schedule."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from sakk.api.balance import BalanceTransactionShape
from sakk.api.context import Context, Document, Download, Listing
from sakk.api.parameters import (
    CurrencyCode,
    Identifier,
    ListParameters,
    Parameters,
    ShortText,
    Strict,
)
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import balance
from sakk.core import settlement as rules
from sakk.core.errors import CursorMissing, ParameterInvalid, ResourceMissing
from sakk.core.money import UNITS_MAX
from sakk.core.payout import Initiator
from sakk.flow import settlement as flow
from sakk.flow import statement
from sakk.store import settlement as store
from sakk.store.page import fetch_page

resource = Resource("settlements")
schedules = Resource("settlement_schedules")

Units = Annotated[int, Field(ge=0, le=UNITS_MAX)]
ByCurrency = dict[CurrencyCode, Units]


class DestinationParameters(Strict):
    """Where settlements go: an entry of the address book on a network, or a bank account."""

    beneficiary: Identifier | None = None
    network: Identifier | None = None
    bank_account: Identifier | None = None

    def told(self) -> dict[str, str]:
        """As terms have it; ParameterInvalid for any other set of fields."""
        given = self.model_dump(exclude_none=True)
        if set(given) not in rules.DESTINATIONS:
            raise ParameterInvalid(
                "Give a beneficiary and a network, or a bank_account.", param="destination"
            )
        return given


class SettlementSchedulePut(Parameters):
    """How the account is settled from now on, whole: what is left out has its default.

    ``calendar``: a country by ISO 3166, or ``ECB``; every day is a business day without one.
    ``delay_days``: business days from the end of a period until it is paid. ``held``: nothing is
    paid meanwhile. ``currency``: what is paid, by a conversion; left out: what was received.
    """

    interval: Literal["daily", "weekly", "manual", "threshold"]
    cutoff: Annotated[str, StringConstraints(pattern=r"^[0-2][0-9]:[0-5][0-9]$")] = "00:00"
    timezone: ShortText = "UTC"
    weekday: Annotated[int, Field(ge=0, le=6)] = 0
    delay_days: Annotated[int, Field(ge=0, le=rules.DELAY_DAYS_MAX)] = 0
    calendar: Identifier | None = None
    minimum: ByCurrency | None = None
    threshold: ByCurrency | None = None
    reserve_ppm: Annotated[int, Field(ge=0, le=rules.MILLION)] = 0
    reserve_days: Annotated[int, Field(ge=0, le=rules.RESERVE_DAYS_MAX)] = 0
    reserve_fixed: ByCurrency | None = None
    destination: DestinationParameters | None = None
    currency: CurrencyCode | None = None
    held: bool = False


class SettlementCreate(Parameters):
    """Which currency's period ends now."""

    currency: CurrencyCode


class SettlementListParameters(ListParameters):
    """Which settlements."""

    currency: CurrencyCode | None = None
    status: rules.SettlementStatus | None = None


class SettlementLineParameters(ListParameters):
    """Which lines; oldest first."""


class StatementParameters(Parameters):
    """As what a statement is wanted."""

    form: Literal["csv", "camt.053"] = "csv"


class DestinationShape(Shape):
    """Where settlements go."""

    bank_account: str | None
    beneficiary: str | None
    network: str | None


class SettlementScheduleShape(Shape):
    """How an account is settled; amounts by currency, in its smallest unit."""

    id: str
    object: Literal["settlement_schedule"]
    account: str
    calendar: str | None
    created: Created
    currency: str | None
    cutoff: str
    delay_days: int
    destination: DestinationShape | None
    held: bool
    interval: rules.Interval
    livemode: Livemode
    metadata: ObjectMetadata
    minimum: dict[str, int]
    next_at: Annotated[int | None, Field(description="When the period that runs ends.")]
    reserve_days: int
    reserve_fixed: dict[str, int]
    reserve_ppm: int
    threshold: dict[str, int]
    timezone: str
    weekday: Annotated[int, Field(description="0 is Monday.")]


class SettlementExchangeShape(Shape):
    """What was paid in another currency, and at which price."""

    amount: int
    conversion: str
    currency: str
    decimals: int
    price: str
    spread: int


class SettlementShape(Shape):
    """One period of one currency: `opening + credits - debits == closing`.

    `payable` is decided at the close; `amount` is what the payout takes from the balance.
    """

    id: str
    object: Literal["settlement"]
    account: str
    amount: int
    amount_decimal: str
    closing: int
    created: Created
    credits: int
    currency: str
    debits: int
    destination: DestinationShape | None
    exchange: SettlementExchangeShape | None
    failure_code: str | None
    fees: Annotated[int, Field(description="Charged on pay-ins, less what refunds gave back.")]
    first_line: Annotated[int, Field(description="Lines are numbered on, without a gap.")]
    lines: int
    livemode: Livemode
    metadata: ObjectMetadata
    number: Annotated[int, Field(description="The account's own, without a gap.")]
    opening: int
    paid_at: int | None
    pay_at: int
    payable: int
    payout: str | None
    period_end: int
    received: Annotated[int, Field(description="Pay-ins, less what was reversed.")]
    recovered: Annotated[int, Field(description="Taken back for what the account owed.")]
    reserve_release_at: int | None
    reserve_released: bool
    reserve_returned: Annotated[int, Field(description="What came back of it so far.")]
    reserved: int
    reserved_fixed: Annotated[int, Field(description="Below zero: given back.")]
    status: rules.SettlementStatus


class SettlementLineShape(BalanceTransactionShape):
    """A line of the statement, with its number."""

    number: int
    settlement: str


@schedules.post(
    "/v1/settlement_schedules",
    returns=SettlementScheduleShape,
    operation="put_settlement_schedule",
    operator_only=True,
)
def put(context: Context, body: SettlementSchedulePut) -> Document:
    """Say how the account (`Stripe-Account`) is settled from now on; there is one schedule each."""
    terms = rules.SettlementTerms(
        interval=rules.Interval(body.interval),
        cutoff=body.cutoff,
        timezone=body.timezone,
        weekday=body.weekday,
        delay_days=body.delay_days,
        calendar=body.calendar,
        minimum=_lower(body.minimum),
        threshold=_lower(body.threshold),
        reserve_ppm=body.reserve_ppm,
        reserve_days=body.reserve_days,
        reserve_fixed=_lower(body.reserve_fixed),
        destination=None if body.destination is None else body.destination.told(),
        currency=None if body.currency is None else body.currency.lower(),
    )
    schedule = flow.put_schedule(
        context.connection,
        terms,
        identifier=context.object_id(rules.SCHEDULE_PREFIX),
        account_id=context.account_id,
        livemode=context.livemode,
        held=body.held,
        now=context.now,
        initiator=Initiator(context.caller.key.id, context.caller.key.person),
    )
    return rules.public_schedule(schedule)


@schedules.get(
    "/v1/settlement_schedules",
    returns=Page[SettlementScheduleShape],
    operation="list_settlement_schedules",
)
def list_schedules(context: Context, query: ListParameters) -> Listing:
    """List the account's schedule, of which there is one at most; the operator's key: all."""
    rows, has_more = fetch_page(
        context.connection,
        store.settlement_schedules,
        rules.SettlementSchedule,
        account_id=context.visible_account_id,
        livemode=context.livemode,
        page=query.page(),
    )
    return Listing(data=[rules.public_schedule(row) for row in rows], has_more=has_more)


@resource.post(
    "/v1/settlements", returns=SettlementShape, operation="create_settlement", two_steps=True
)
def create(context: Context, body: SettlementCreate) -> Document:
    """End a currency's period now, on demand; it is paid after its delay, as any other."""
    settlement = flow.create(
        context.parts,
        identifier=context.object_id(rules.PREFIX),
        account_id=context.account_id,
        livemode=context.livemode,
        currency=body.currency.lower(),
        request_id=context.request_id,
    )
    return rules.public(settlement)


@resource.get("/v1/settlements", returns=Page[SettlementShape], operation="list_settlements")
def list_settlements(context: Context, query: SettlementListParameters) -> Listing:
    """List settlements, newest first; the operator's key: of all accounts."""
    c = store.settlements.c
    filters = []
    if query.currency is not None:
        filters.append(c.currency == query.currency.lower())
    if query.status is not None:
        filters.append(c.status == query.status.value)
    rows, has_more = fetch_page(
        context.connection,
        store.settlements,
        rules.Settlement,
        account_id=context.visible_account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    return Listing(data=[rules.public(row) for row in rows], has_more=has_more)


@resource.get(
    "/v1/settlements/{settlement}", returns=SettlementShape, operation="retrieve_settlement"
)
def retrieve(context: Context, settlement: str) -> Document:
    """Retrieve a settlement."""
    return rules.public(_found(context, settlement))


@resource.get(
    "/v1/settlements/{settlement}/lines",
    returns=Page[SettlementLineShape],
    operation="list_settlement_lines",
)
def list_lines(context: Context, settlement: str, query: SettlementLineParameters) -> Listing:
    """List the lines of a settlement, oldest first, each with its number."""
    if query.ending_before is not None or query.created is not None:
        raise ParameterInvalid(
            "Lines of a settlement are read onwards: use starting_after.", param="ending_before"
        )
    found = _found(context, settlement)
    after_ns = found.from_ns
    if query.starting_after is not None:
        after_ns = _moment(query.starting_after)
    before = store.count_before(context.connection, found, after_ns)
    lines = store.lines_of(context.connection, found, after_ns=after_ns, limit=query.limit + 1)
    shown: list[dict[str, Any]] = [
        statement.line(found, found.first_line + before + place, line)
        for place, line in enumerate(lines[: query.limit])
    ]
    return Listing(data=shown, has_more=len(lines) > query.limit)


@resource.get(
    "/v1/settlements/{settlement}/statement",
    returns=SettlementShape,
    operation="download_settlement_statement",
    is_download=True,
)
def download(context: Context, settlement: str, query: StatementParameters) -> Download:
    """Download the statement: every line with its number, and the sums.

    As CSV, or of a fiat currency as banks write it (camt.053.001.08).
    """
    found = _found(context, settlement)
    if query.form == "camt.053":
        name = f"settlement-{found.number}.xml"
        return Download(
            statement.camt053_of(context.connection, found), f'attachment; filename="{name}"'
        )
    content = statement.csv_of(context.connection, found)
    return Download(content, f'attachment; filename="settlement-{found.number}.csv"')


def _found(context: Context, identifier: str) -> rules.Settlement:
    found = store.find(
        context.connection,
        identifier,
        account_id=context.visible_account_id,
        livemode=context.livemode,
    )
    if found is None:
        raise ResourceMissing(f"No such settlement: {identifier!r}", param="id")
    return found


def _moment(identifier: str) -> int:
    try:
        return balance.timestamp_of(identifier)
    except ValueError:
        raise CursorMissing(
            f"No such object in this list: {identifier!r}. Use an id that the list returned.",
            param="starting_after",
        ) from None


def _lower(amounts: dict[str, int] | None) -> dict[str, int]:
    return {currency.lower(): units for currency, units in (amounts or {}).items()}
