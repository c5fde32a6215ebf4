"""Connected accounts: a platform acts for a merchant, as far as both of them have said.

A platform asks, and the merchant agrees, by a key of its own: nothing counts before. What it agrees
to is what the platform may do, and the most that it takes of a payment. Either side ends it at any
time, at once. What was paid or asked for before keeps the terms that it was made under.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sakk.core.errors import ParameterInvalid, PermissionDenied, UnexpectedState

PREFIX: Final = "cac"
MILLION: Final = 1_000_000
# So many that wait for a merchant's word may a platform have.
PENDING_MAX: Final = 100


class ConnectionStatus(StrEnum):
    """``ended``: refused, withdrawn or revoked; another one can be asked for."""

    pending = "pending"
    active = "active"
    ended = "ended"


class Permission(StrEnum):
    """What a platform may do for an account that is connected to it."""

    payments = "payments"
    payouts = "payouts"


# What the words stand for. Nothing else is a platform's: no keys, no settings, no address book.
SCOPES: Final[dict[Permission, frozenset[str]]] = {
    Permission.payments: frozenset(
        {
            "balance:read",
            "balance_transactions:read",
            "checkout_sessions:read",
            "checkout_sessions:write",
            "payins:read",
            "payment_intents:read",
            "payment_intents:write",
            "payment_links:read",
            "payment_links:write",
            "refunds:read",
            "refunds:write",
        }
    ),
    Permission.payouts: frozenset(
        {
            "balance:read",
            "balance_transactions:read",
            "payout_batches:read",
            "payout_batches:write",
            "payouts:read",
            "payouts:write",
        }
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectedAccount:
    """``account_id`` is the merchant's, ``platform`` who acts for it.

    ``fee_ppm_max``: of each payment or payout the platform takes so many parts per million at most.
    ``ended_by``: the account that ended it.
    """

    id: str
    account_id: str
    platform: str
    livemode: bool
    status: str
    permissions: list[str]
    fee_ppm_max: int
    metadata: dict[str, str]
    accepted_at: datetime | None = None
    ended_at: datetime | None = None
    ended_by: str | None = None
    created: datetime


def scopes_of(permissions: Sequence[str]) -> frozenset[str]:
    """The scopes that a merchant's words give."""
    return frozenset[str]().union(*(SCOPES[Permission(each)] for each in permissions))


def check_acts(connected: ConnectedAccount, scope: str) -> None:
    """PermissionDenied where the merchant did not agree that its platform does this."""
    if scope not in scopes_of(connected.permissions):
        raise PermissionDenied(
            "The account agreed that its platform does {permissions}, and {scope} is none of that.",
            permissions=", ".join(connected.permissions),
            scope=scope,
        )


def check_terms(
    *, platform: str, account_id: str, permissions: Sequence[str], fee_ppm_max: int
) -> list[str]:
    """The permissions, each once; ParameterInvalid for what nobody could agree to."""
    if account_id == platform:
        raise ParameterInvalid("An account is not its own platform.", param="account")
    if not permissions:
        raise ParameterInvalid(
            "Say what is asked for: {known}.",
            param="permissions",
            known=", ".join(each.value for each in Permission),
        )
    if not 0 <= fee_ppm_max <= MILLION:
        raise ParameterInvalid(
            "A platform takes at most 1000000 parts per million, which is all of it.",
            param="application_fee_ppm_max",
        )
    return sorted({Permission(each).value for each in permissions})


def require(connected: ConnectedAccount, *statuses: ConnectionStatus) -> None:
    """UnexpectedState unless a connection stands so."""
    if connected.status not in statuses:
        raise UnexpectedState("This connection is {status}.", status=connected.status)


def public(connected: ConnectedAccount, rules: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The API's object ``connected_account``; both sides see the same."""
    return {
        "id": connected.id,
        "object": "connected_account",
        "accepted_at": _seconds(connected.accepted_at),
        "account": connected.account_id,
        "application_fee_ppm_max": connected.fee_ppm_max,
        "application_fee_rules": list(rules),
        "created": int(connected.created.timestamp()),
        "ended_at": _seconds(connected.ended_at),
        "ended_by": connected.ended_by,
        "livemode": connected.livemode,
        "metadata": connected.metadata,
        "permissions": connected.permissions,
        "platform": connected.platform,
        "status": connected.status,
    }


def _seconds(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp())
