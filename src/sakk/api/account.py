"""Accounts: the operator's tenants, with their policies."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import (
    CurrencyCode,
    Identifier,
    ListParameters,
    Metadata,
    Parameters,
    ShortText,
    Strict,
)
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core.account import (
    BASIS_POINTS,
    BENEFICIARY_DELAY_SECONDS_MAX,
    PREFIX,
    Destinations,
    Finished,
    Late,
    NetworkFee,
    Over,
    RefundFee,
    Verification,
    WrongAsset,
    public_account,
)
from sakk.core.errors import ResourceMissing
from sakk.core.money import UNITS_MAX
from sakk.flow import account as flow
from sakk.store import account as store

resource = Resource("accounts")

Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]


class PolicyParameters(Strict):
    """What becomes of payments that depart from their intent; what is left out stays."""

    late: Late | None = None
    over: Over | None = None
    wrong_asset: WrongAsset | None = None
    finished: Finished | None = None
    tolerance_under_units: Annotated[int, Field(ge=0, le=UNITS_MAX)] | None = None
    tolerance_percent_bps: Annotated[int, Field(ge=0, le=BASIS_POINTS)] | None = None


class PayoutSettingsParameters(Strict):
    """Whom the account may pay, and what it bears; the operator's to change, what is left out
    stays."""

    destinations: Destinations | None = None
    network_fee: NetworkFee | None = None
    verification: Verification | None = None
    refund_fee: RefundFee | None = None
    refund_fee_fixed: dict[CurrencyCode, Annotated[int, Field(ge=0, le=UNITS_MAX)]] | None = None
    beneficiary_delay_seconds: (
        Annotated[int, Field(ge=0, le=BENEFICIARY_DELAY_SECONDS_MAX)] | None
    ) = None


class SettingsParameters(Strict):
    """An account's settings."""

    payments: PolicyParameters | None = None
    payouts: PayoutSettingsParameters | None = None


class ProfileParameters(Strict):
    """Who the account is."""

    name: ShortText | None = None


class AccountParameters(Parameters):
    """The details of an account."""

    business_profile: ProfileParameters | None = None
    email: ShortText | None = None
    country: Country | None = None
    settings: SettingsParameters | None = None
    fee_schedule: Annotated[
        Identifier | None, Field(description="By which it is charged; the operator's to set.")
    ] = None
    metadata: Metadata | None = None


class AccountListParameters(ListParameters):
    """Which accounts."""


class Policy(Shape):
    """What becomes of payments that depart from their intent."""

    late: Late
    over: Over
    wrong_asset: WrongAsset
    finished: Finished
    tolerance_under_units: int
    tolerance_percent_bps: int


class PayoutSettingsShape(Shape):
    """Whom the account may pay; a delay of null is the mode's own (a day for live money).

    ``network_fee``: is it charged what the network takes? ``default`` is what the operator's own
    account says. ``verification``: must a party of its own be approved before it pays?
    ``refund_fee``: who bears it for a refund, and ``refund_fee_fixed`` is added, by currency in its
    smallest unit.
    """

    destinations: Destinations
    network_fee: NetworkFee
    verification: Verification
    refund_fee: RefundFee
    refund_fee_fixed: dict[str, int]
    beneficiary_delay_seconds: int | None


class AccountSettings(Shape):
    """An account's settings."""

    payments: Policy
    payouts: PayoutSettingsShape


class Profile(Shape):
    """Who the account is."""

    name: str | None


class AccountShape(Shape):
    """A tenant."""

    id: str
    object: Literal["account"]
    kind: Literal["operator", "merchant"]
    business_profile: Profile
    email: str | None
    country: str | None
    fee_schedule: str | None
    settings: AccountSettings
    metadata: ObjectMetadata
    created: Created
    livemode: Livemode


@resource.post("/v1/accounts", returns=AccountShape, operation="create_account", operator_only=True)
def create(context: Context, body: AccountParameters) -> Document:
    """Open an account."""
    changes = _changes(body)
    account = flow.create(
        context.connection,
        account_id=context.object_id(PREFIX),
        livemode=context.livemode,
        now=context.now,
        request_id=context.request_id,
        details={name: changes.get(name) for name in flow.DETAILS},
        policy=changes.get("policy"),
        payouts=changes.get("payouts"),
        fee_schedule=changes.get("fee_schedule"),
        metadata=changes.get("metadata"),
    )
    return public_account(account, livemode=context.livemode)


@resource.get(
    "/v1/accounts",
    returns=Page[AccountShape],
    operation="list_accounts",
    operator_only=True,
)
def list_accounts(context: Context, query: AccountListParameters) -> Listing:
    """List the accounts, newest first."""
    rows, has_more = store.list_accounts(context.connection, query.page())
    return Listing(
        data=[public_account(row, livemode=context.livemode) for row in rows], has_more=has_more
    )


@resource.get("/v1/account", returns=AccountShape, operation="retrieve_current_account")
def retrieve_current(context: Context) -> Document:
    """Retrieve the account that the key acts for."""
    return _shown(context, context.account_id)


@resource.get("/v1/accounts/{account}", returns=AccountShape, operation="retrieve_account")
def retrieve(context: Context, account: str) -> Document:
    """Retrieve an account: the operator any, a merchant its own."""
    return _shown(context, _visible(context, account))


@resource.post("/v1/accounts/{account}", returns=AccountShape, operation="update_account")
def update(context: Context, account: str, body: AccountParameters) -> Document:
    """Change an account's details or policy: the operator any, a merchant its own."""
    changed = flow.update(
        context.connection,
        _visible(context, account),
        _changes(body),
        livemode=context.livemode,
        by_operator=context.is_operator,
        now=context.now,
        request_id=context.request_id,
    )
    return public_account(changed, livemode=context.livemode)


def _visible(context: Context, account: str) -> str:
    if account != context.account_id and not context.is_operator:
        raise _missing(account)
    return account


def _shown(context: Context, account_id: str) -> Document:
    account = store.find_account(context.connection, account_id)
    if account is None:
        raise _missing(account_id)
    return public_account(account, livemode=context.livemode)


def _missing(account: str) -> ResourceMissing:
    return ResourceMissing(f"No such account: {account!r}", param="account")


def _changes(body: AccountParameters) -> dict[str, Any]:
    """What the caller sent, under the names that the flow knows."""
    changes = body.given("email", "country", "fee_schedule", "metadata")
    if body.business_profile is not None and "name" in body.business_profile.model_fields_set:
        changes["name"] = body.business_profile.name
    if body.settings is not None and body.settings.payments is not None:
        changes["policy"] = body.settings.payments.model_dump(exclude_none=True)
    if body.settings is not None and body.settings.payouts is not None:
        changes["payouts"] = body.settings.payouts.model_dump(exclude_unset=True)
    return changes
