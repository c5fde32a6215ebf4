"""Roles: what each of them may read and write, in one table for the API and the console.

A role is held everywhere, as one of the operator's people, or in named accounts alone. What is the
operator's own (cases, policies, the chain) is nobody's who stands in an account: a payer or a
merchant must not learn that a payment is under review.
"""

from collections.abc import Collection
from enum import StrEnum
from typing import Final, Literal

from sakk.core.errors import ParameterInvalid, PermissionDenied

Access = Literal["read", "write"]


class Role(StrEnum):
    """What a person is there for; one may have several."""

    owner = "owner"
    admin = "admin"
    finance = "finance"
    approver = "approver"
    compliance = "compliance"
    developer = "developer"
    support = "support"
    viewer = "viewer"


# What a role was called once. Policies in force and clients may still say it.
FORMER: Final = {"treasurer": Role.finance}
ROLES_THAT_APPROVE: Final = (
    Role.owner,
    Role.admin,
    Role.finance,
    Role.approver,
    Role.compliance,
)
# What may be held in one account. Approving payouts and deciding cases are the operator's.
ACCOUNT_ROLES: Final = (
    Role.owner,
    Role.admin,
    Role.finance,
    Role.developer,
    Role.support,
    Role.viewer,
)
# Everybody's, whatever their roles: their own second factor, devices, keys to sign in with.
OWN: Final = "second_factors"
HOME: Final = "home"

RESOURCES: Final = frozenset(
    {
        "accounts",
        "aliases",
        "application_fees",
        "api_keys",
        "approvals",
        "audit_log",
        "balance",
        "balance_transactions",
        "bank_accounts",
        "bank_files",
        "bank_lines",
        "bank_payments",
        "bank_references",
        "bank_returns",
        "bank_statements",
        "beneficiaries",
        "bills",
        "branding",
        "breaks",
        "cases",
        "chain_transactions",
        "channels",
        "charges",
        "chart_mappings",
        "checkout_sessions",
        "connected_accounts",
        "conversion_quotes",
        "conversions",
        "currencies",
        "customers",
        "days",
        "events",
        "exposures",
        "fee_schedules",
        "fees",
        "files",
        "freezes",
        "fx_positions",
        "gift_cards",
        "hedge_policies",
        HOME,
        "information_requests",
        "ledger",
        "liability_epochs",
        "liability_proofs",
        "lists",
        "mandate_spends",
        "mandates",
        "money_requests",
        "name_screenings",
        "networks",
        "orders",
        "owner_keys",
        "parties",
        "payins",
        "payment_intents",
        "payment_links",
        "payout_batches",
        "payouts",
        "persons",
        "policies",
        "pool",
        "pos_devices",
        "provider_orders",
        "quotes",
        "rates",
        "receiving_addresses",
        "reconciliations",
        "recoveries",
        "refills",
        "refunds",
        "reports",
        "requests",
        "screening_rules",
        "screenings",
        OWN,
        "settings",
        "settlement_schedules",
        "settlements",
        "shops",
        "transfers",
        "travel_rule",
        "treasury",
        "vasps",
        "wallet_proofs",
        "webhook_endpoints",
        "withdrawals",
        "x402_payments",
    }
)
# What nobody sees who stands in an account alone, whatever their role there.
OPERATORS: Final = frozenset(
    {
        "approvals",
        "audit_log",
        "breaks",
        "bank_files",
        "bank_returns",
        "bank_statements",
        "cases",
        "chain_transactions",
        "chart_mappings",
        "days",
        "exposures",
        "fee_schedules",
        "freezes",
        "fx_positions",
        "hedge_policies",
        "ledger",
        "lists",
        "name_screenings",
        "orders",
        "parties",
        "policies",
        "provider_orders",
        "reconciliations",
        "recoveries",
        "screening_rules",
        "screenings",
        "travel_rule",
        "treasury",
        "vasps",
        "withdrawals",
    }
)
# What may hold who stands behind a payment, or that somebody looks at it.
_REVIEWED: Final = frozenset(
    {
        "cases",
        "exposures",
        "information_requests",
        "lists",
        "name_screenings",
        "parties",
        "screening_rules",
        "screenings",
        "travel_rule",
    }
)
_KEYS: Final = frozenset({"api_keys", "requests", "webhook_endpoints"})
# Among them are lists of what is looked at.
_WRITTEN: Final = frozenset({"files", "reports"})
_PEOPLE: Final = frozenset({"audit_log", "persons"})
_DAILY: Final = frozenset(
    {
        "checkout_sessions",
        "customers",
        "payment_intents",
        "payment_links",
        "pos_devices",
        "receiving_addresses",
        "shops",
    }
)
_EVERYTHING: Final = RESOURCES
_READS: Final[dict[Role, frozenset[str]]] = {
    Role.owner: _EVERYTHING,
    Role.admin: _EVERYTHING,
    Role.finance: _EVERYTHING,
    Role.approver: _EVERYTHING,
    Role.compliance: _EVERYTHING,
    Role.developer: _EVERYTHING - _REVIEWED - _PEOPLE - _WRITTEN,
    Role.support: _EVERYTHING - _REVIEWED - _PEOPLE - _WRITTEN - _KEYS,
    Role.viewer: _EVERYTHING,
}
_WRITES: Final[dict[Role, frozenset[str]]] = {
    Role.owner: _EVERYTHING,
    Role.admin: _EVERYTHING,
    Role.finance: _DAILY
    | {
        "aliases",
        "approvals",
        "bank_accounts",
        "bank_files",
        "bank_lines",
        "bank_references",
        "bank_returns",
        "beneficiaries",
        "bills",
        "chart_mappings",
        "conversion_quotes",
        "conversions",
        "breaks",
        "days",
        "fee_schedules",
        "files",
        "freezes",
        "gift_cards",
        "hedge_policies",
        "information_requests",
        "mandate_spends",
        "mandates",
        "money_requests",
        "orders",
        "owner_keys",
        "payout_batches",
        "payouts",
        "policies",
        "pool",
        "provider_orders",
        "quotes",
        "rates",
        "reconciliations",
        "recoveries",
        "refills",
        "refunds",
        "reports",
        "settlement_schedules",
        "settlements",
        "transfers",
        "withdrawals",
    },
    Role.approver: frozenset({"approvals", "freezes", "hedge_policies", "orders", "policies"}),
    Role.compliance: frozenset(
        {
            "approvals",
            "cases",
            "files",
            "information_requests",
            "lists",
            "name_screenings",
            "parties",
            "payins",
            "provider_orders",
            "reports",
            "screening_rules",
            "screenings",
            "travel_rule",
            "vasps",
        }
    ),
    Role.developer: _DAILY | _KEYS | {"quotes"},
    Role.support: _DAILY,
    Role.viewer: frozenset(),
}


def current(role: str) -> str:
    """A role as it is called now; what is none stays what it is."""
    return FORMER.get(role, role)


def may(roles: Collection[str], resource: str, access: Access, *, everywhere: bool = True) -> bool:
    """May a person with these roles do this? ``everywhere``: or in one account alone.

    A word that the table does not have is nobody's: KeyError, so that a new one is put there.
    """
    if resource not in RESOURCES:
        raise KeyError(resource)
    if resource == OWN:
        return True
    if not everywhere and resource in OPERATORS:
        return False
    if resource == HOME:
        return bool(roles)
    table = _READS if access == "read" else _WRITES
    return any(resource in table[Role(role)] for role in roles)


def powers(roles: Collection[str]) -> frozenset[str]:
    """The roles in which one may act: an owner is an admin too."""
    return frozenset(roles) | ({Role.admin.value} if Role.owner in roles else set())


def read_roles(roles: Collection[str]) -> list[str]:
    """Roles as they are stored; ParameterInvalid names what is none."""
    return _read(roles, tuple(Role))


def read_account_roles(roles: Collection[str]) -> list[str]:
    """Roles in one account, as they are stored; ParameterInvalid names what is none there."""
    return _read(roles, ACCOUNT_ROLES)


def check_grant(by: Collection[str], before: Collection[str], after: Collection[str]) -> None:
    """Only an owner makes an owner or ends one, where there are any; PermissionDenied.

    ``by``: the roles of who asks for it.
    """
    if (Role.owner in before) != (Role.owner in after) and Role.owner not in by:
        raise PermissionDenied("Only an owner makes an owner, or ends one.")


def check_gift(by: Collection[str], scopes: Collection[str]) -> None:
    """Nobody makes a key for others that may do what they may not; PermissionDenied.

    ``scopes``: what the key may do, as ``customers:write``.
    """
    for scope in scopes:
        resource, _, access = scope.partition(":")
        if not may(by, resource, "write" if access == "write" else "read"):
            raise PermissionDenied(
                f"Your roles ({', '.join(by)}) do not include {scope}, so a key that you make may"
                " not either. Name fewer scopes, or ask an admin."
            )


def _read(roles: Collection[str], known: tuple[Role, ...]) -> list[str]:
    for index, role in enumerate(roles):
        if current(role) not in known:
            raise ParameterInvalid(
                "There is no role {role}: use {known}.",
                param=f"roles[{index}]",
                role=repr(role),
                known=", ".join(known),
            )
    if not roles:
        raise ParameterInvalid("A person has at least one role.", param="roles")
    return sorted({current(role) for role in roles})
