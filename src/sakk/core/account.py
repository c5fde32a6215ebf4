"""Accounts: the tenants, and what each wants done with money that does not fit."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, get_args

from sakk.core.errors import ParameterInvalid, PermissionDenied
from sakk.core.money import UNITS_MAX

PREFIX = "acct"
BASIS_POINTS = 10_000
BENEFICIARY_DELAY_SECONDS = 86_400
BENEFICIARY_DELAY_SECONDS_MAX = 30 * 86_400

Late = Literal["accept", "credit", "refund_due", "suspense"]
Over = Literal["accept", "credit", "refund_due"]
WrongAsset = Literal["credit", "refund_due", "suspense"]
NetworkFee = Literal["default", "charge", "waive"]
RefundFee = Literal["waive", "merchant", "payer"]
Destinations = Literal["any", "address_book"]
Finished = Literal["credit", "refund_due", "suspense"]
Verification = Literal["optional", "required"]


class AccountKind(StrEnum):
    """The operator runs this Sakk and acts for merchants; a merchant sees only itself."""

    operator = "operator"
    merchant = "merchant"


@dataclass(frozen=True, slots=True)
class PaymentPolicy:
    """What becomes of a payment that departs from its intent.

    ``late``: after the expiry. ``over``: the part above the amount. ``wrong_asset``: a listed token
    that was not asked for. ``finished``: to the address of an intent that is over. A payment may
    fall short by ``tolerance_under_units`` (the intent's smallest units) or
    ``tolerance_percent_bps`` (hundredths of a percent), whichever is more, and still be enough.
    """

    late: Late = "accept"
    over: Over = "accept"
    wrong_asset: WrongAsset = "credit"
    finished: Finished = "credit"
    tolerance_under_units: int = 0
    tolerance_percent_bps: int = 0

    def document(self) -> dict[str, Any]:
        """The policy as it is stored and shown."""
        return asdict(self)


_CHOICES: dict[str, tuple[str, ...]] = {
    "late": get_args(Late),
    "over": get_args(Over),
    "wrong_asset": get_args(WrongAsset),
    "finished": get_args(Finished),
}
_NAMES = frozenset(field.name for field in fields(PaymentPolicy))


def read_policy(document: Mapping[str, Any]) -> PaymentPolicy:
    """The policy in a stored document; what it does not name has the default."""
    return change_policy(PaymentPolicy(), document)


def change_policy(policy: PaymentPolicy, changes: Mapping[str, Any]) -> PaymentPolicy:
    """Apply named changes; ParameterInvalid for a name or value that does not exist."""
    for name, value in changes.items():
        param = f"settings[payments][{name}]"
        if name not in _NAMES:
            raise ParameterInvalid(
                "There is no payment policy {name}.", param=param, name=repr(name)
            )
        choices = _CHOICES.get(name)
        if choices is not None and value not in choices:
            raise ParameterInvalid(
                "{field} is one of {choices}.", param=param, field=param, choices=", ".join(choices)
            )
        if choices is None and (type(value) is not int or value < 0):
            raise ParameterInvalid(
                "{field} is a whole number of 0 or more.", param=param, field=param
            )
    changed = replace(policy, **changes)
    if changed.tolerance_percent_bps > BASIS_POINTS:
        raise ParameterInvalid(
            "A tolerance is at most {limit} basis points.",
            param="settings[payments][tolerance_percent_bps]",
            limit=BASIS_POINTS,
        )
    return changed


@dataclass(frozen=True, slots=True)
class AccountTerms:
    """What an account's pay-ins are bound to: its policy, and the schedule of its fees."""

    policy: PaymentPolicy
    fee_schedule: str | None = None


@dataclass(frozen=True, slots=True)
class PayoutSettings:
    """Whom an account may pay and what it bears; set by the operator alone, so that a stolen key
    can not widen it.

    ``destinations``: any address, or only those of its address book. A new entry of the book waits
    ``beneficiary_delay_seconds``; None is the mode's own: a day for live money, none for test.
    ``network_fee``: is it charged what the network takes for its payouts? ``default`` is what the
    operator's own account says, and there ``waive``. ``verification``: where it is ``required``,
    the account pays only while due diligence on a party of its own stands approved.
    ``refund_fee``: who bears what the network takes for a refund, and ``refund_fee_fixed``, which
    is added to it: by currency, in its smallest unit. A refund is charged what stood here when it
    was asked for.
    """

    destinations: Destinations = "any"
    beneficiary_delay_seconds: int | None = None
    network_fee: NetworkFee = "default"
    verification: Verification = "optional"
    refund_fee: RefundFee = "waive"
    refund_fee_fixed: dict[str, int] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The settings as they are stored and shown."""
        return asdict(self)

    def delay_seconds(self, *, livemode: bool) -> int:
        """How long a new entry of the address book waits."""
        if self.beneficiary_delay_seconds is not None:
            return self.beneficiary_delay_seconds
        return BENEFICIARY_DELAY_SECONDS if livemode else 0


@dataclass(frozen=True, slots=True)
class Payer:
    """An account that pays: its own settings, and the operator's, to which they may defer."""

    settings: PayoutSettings
    operator: PayoutSettings
    fee_schedule: str | None = None

    def is_charged_network_fee(self) -> bool:
        """Is it charged what the network takes?"""
        own = self.settings.network_fee
        return (self.operator.network_fee if own == "default" else own) == "charge"


_PAYOUT_CHOICES: dict[str, tuple[str, ...]] = {
    "destinations": get_args(Destinations),
    "network_fee": get_args(NetworkFee),
    "refund_fee": get_args(RefundFee),
    "verification": get_args(Verification),
}


def change_payout_settings(
    settings: PayoutSettings, changes: Mapping[str, Any], *, by_operator: bool
) -> PayoutSettings:
    """Apply named changes; PermissionDenied for anybody but the operator, ParameterInvalid."""
    if not by_operator:
        raise PermissionDenied(
            "settings[payouts] is the operator's to change: ask whoever runs this Sakk.",
            param="settings[payouts]",
        )
    for name, value in changes.items():
        param = f"settings[payouts][{name}]"
        choices = _PAYOUT_CHOICES.get(name)
        if choices is not None:
            if value not in choices:
                raise ParameterInvalid(
                    "{name} is one of {choices}.",
                    param=param,
                    name=param,
                    choices=", ".join(choices),
                )
        elif name == "refund_fee_fixed":
            _check_fixed(value, param)
        elif name == "beneficiary_delay_seconds":
            if value is not None and (
                type(value) is not int or not 0 <= value <= BENEFICIARY_DELAY_SECONDS_MAX
            ):
                raise ParameterInvalid(
                    "{name} is 0 to {most} seconds.",
                    param=param,
                    name=param,
                    most=BENEFICIARY_DELAY_SECONDS_MAX,
                )
        else:
            raise ParameterInvalid(
                "There is no setting {name} of payouts.", param=param, name=repr(name)
            )
    return replace(settings, **changes)


def _check_fixed(value: object, param: str) -> None:
    if not isinstance(value, Mapping) or any(
        type(units) is not int or not 0 <= units <= UNITS_MAX for units in value.values()
    ):
        raise ParameterInvalid(
            "{name} is whole numbers of currencies' smallest units, by currency.",
            param=param,
            name=param,
        )


@dataclass(frozen=True, slots=True)
class Account:
    """A tenant of this Sakk."""

    id: str
    kind: str
    name: str | None
    email: str | None
    country: str | None
    policy: dict[str, Any]
    payouts: dict[str, Any]
    metadata: dict[str, str]
    created: datetime
    # By which its movements are charged; None: no fee.
    fee_schedule: str | None = None


def public_account(account: Account, *, livemode: bool) -> dict[str, Any]:
    """The API's object ``account``. One account serves both modes; ``livemode`` is the key's."""
    return {
        "id": account.id,
        "object": "account",
        "kind": account.kind,
        "business_profile": {"name": account.name},
        "email": account.email,
        "country": account.country,
        "fee_schedule": account.fee_schedule,
        "settings": {
            "payments": read_policy(account.policy).document(),
            "payouts": PayoutSettings(**account.payouts).document(),
        },
        "metadata": account.metadata,
        "created": int(account.created.timestamp()),
        "livemode": livemode,
    }
