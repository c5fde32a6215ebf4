"""Policies: which payouts may go, which may not, and which need people's approval first.

A policy is a list of rules. The first rule that fits a payout decides it; one that none fits needs
an approval, so a forgotten case waits for a person. The same code judges at the server, in the
simulator and in the signer, over the facts that each of them knows for itself.

Amounts are whole numbers, written as digits: of the currency's smallest unit, or with ``unit``
``whole`` of whole units of whatever currency the payout is in. The signer counts in the token's
atomic units.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal, NamedTuple

import msgspec

from sakk.core import caip, ids
from sakk.core.errors import ParameterInvalid
from sakk.core.evm import parse_address
from sakk.core.person import OPERATOR
from sakk.core.role import ROLES_THAT_APPROVE, Role, current

PREFIX: Final = "pol"
RULES_MAX: Final = 200
ENTRIES_MAX: Final = 1_000
NAME_LENGTH_MAX: Final = 80
APPROVALS_MAX: Final = 16
PERIOD_SECONDS_MAX: Final = 31 * 86_400
DIGITS_MAX: Final = 78
# A destination that stands in the account's address book, whichever.
ADDRESS_BOOK: Final = "address_book"
# A destination that is a vault of the operator's, whichever.
VAULT: Final = "vault"
# Between accounts here: judged by the rules alone that name it, and free where none fits.
TRANSFER: Final = "transfer"
PURPOSES: Final = ("payout", "refund", "withdrawal", "recovery", TRANSFER)
ROLE_ENTRY: Final = "role:"
_INDEX = re.compile(r"\$?\[(\d+)\]|\.?(\w+)")

Unit = Literal["smallest", "whole"]
Per = Literal["account", "initiator", "destination", "all"]


class VersionState(StrEnum):
    """A version is proposed by one person and takes effect when another approves it."""

    proposed = "proposed"
    active = "active"
    superseded = "superseded"
    rejected = "rejected"


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """One version of the policy of a mode. Its rules never change.

    ``base``: the number of the version that it was written against. ``proposed_by`` None: it came
    with the house.
    """

    id: str
    livemode: bool
    number: int
    state: str
    rules: list[dict[str, Any]]
    digest: str
    note: str | None
    base: int | None
    proposed_by: str | None
    decided_by: str | None
    created: datetime
    activated_at: datetime | None
    closed_at: datetime | None


class Action(StrEnum):
    """What a rule does with a payout that it fits."""

    allow = "allow"
    approve = "approve"
    block = "block"


class Amount(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A range: more than ``above``, and no more than ``up_to``."""

    above: str | None = None
    up_to: str | None = None
    unit: Unit = "smallest"


class Period(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """A range for what went before in ``seconds``, and this payout, added up.

    What is added up are the payouts, refunds and withdrawals in the same currency that the rule's
    networks, assets and purposes fit, ``per`` the account, the initiator or the destination of
    this one, or all.
    """

    seconds: int
    per: Per
    above: str | None = None
    up_to: str | None = None
    unit: Unit = "smallest"


class Rule(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """One rule; a list that is empty fits anything.

    ``destinations``: addresses, ids of beneficiaries and (for transfers) of accounts,
    ``address_book`` or ``vault``.
    ``initiators``: ids of persons, API keys and accounts, or ``role:finance``. With the action
    ``approve``, ``approvals`` persons who have ``role`` must approve. A period adds up no
    recoveries, so a rule with one fits none.
    """

    name: str
    action: Action
    approvals: int | None = None
    role: str | None = None
    currencies: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    initiators: tuple[str, ...] = ()
    amount: Amount | None = None
    period: Period | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a payout when it is judged. ``amount`` in the currency's smallest unit.

    ``key`` and ``person``: the API key that asked for it, and whose it is; ``roles`` that
    person's. ``beneficiary``: the entry of the address book that it goes to. ``is_vault``: it goes
    to a vault of the operator's.
    """

    account: str
    currency: str
    decimals: int
    network: str
    asset: str
    destination: str
    amount: int
    purpose: str = "payout"
    beneficiary: str | None = None
    key: str | None = None
    person: str | None = None
    roles: frozenset[str] = frozenset()
    is_vault: bool = False


class PeriodKey(NamedTuple):
    """What a period adds up: the payouts of these in the last ``seconds``; empty is any."""

    seconds: int
    per: Per
    value: str
    currency: str
    assets: tuple[str, ...]
    networks: tuple[str, ...]
    purposes: tuple[str, ...]


class Passed(NamedTuple):
    """A rule that did not fit, and why; ``by_period``: all but its period fitted."""

    rule: str
    reason: str
    by_period: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a policy says. ``rule`` None: none fitted. ``passed``: those before it, in order."""

    action: Action
    rule: str | None
    index: int | None
    approvals: int
    role: str | None
    passed: tuple[Passed, ...]


def evaluate(
    rules: Sequence[Rule], facts: Facts, sums: Mapping[PeriodKey, int], *, role_default: str
) -> Decision:
    """The first rule that fits decides; none: one approval of ``role_default``.

    ``sums`` has what went before for every key of `period_keys`.
    """
    passed: list[Passed] = []
    for index, rule in enumerate(rules):
        reason = _mismatch(rule, facts)
        by_period = reason is None
        if reason is None:
            reason = _period_mismatch(rule, facts, sums)
        if reason is None:
            return Decision(
                action=rule.action,
                rule=rule.name,
                index=index,
                approvals=rule.approvals or 0,
                role=rule.role,
                passed=tuple(passed),
            )
        passed.append(Passed(rule.name, reason, by_period))
    return Decision(
        action=Action.approve,
        rule=None,
        index=None,
        approvals=1,
        role=role_default,
        passed=tuple(passed),
    )


def is_transfer_blocked(rules: Sequence[Rule], facts: Facts, sums: Mapping[PeriodKey, int]) -> bool:
    """Do the rules that name transfers stop this one? ``sums`` as for `evaluate`."""
    decision = evaluate(rules_for_transfers(rules), facts, sums, role_default="")
    return decision.action is Action.block


def rules_for_transfers(rules: Sequence[Rule]) -> list[Rule]:
    """The rules that name transfers: the others are of money that leaves."""
    return [rule for rule in rules if TRANSFER in rule.purposes]


def period_keys(rules: Sequence[Rule], facts: Facts) -> list[PeriodKey]:
    """Which sums must be known before these rules judge: of those that fit otherwise."""
    return [
        period_key(rule, rule.period, facts)
        for rule in rules
        if rule.period is not None and _mismatch(rule, facts) is None
    ]


def period_key(rule: Rule, period: Period, facts: Facts) -> PeriodKey:
    """What a rule's period adds up for this payout."""
    match period.per:
        case "account":
            value = facts.account
        case "initiator":
            value = facts.person or facts.key or ""
        case "destination":
            value = facts.destination
        case "all":
            value = ""
    return PeriodKey(
        period.seconds,
        period.per,
        value,
        facts.currency,
        rule.assets,
        rule.networks,
        rule.purposes,
    )


def counted_keys(rules: Sequence[Rule], facts: Facts) -> set[PeriodKey]:
    """The sums that a payout with these facts adds to, once it is let through."""
    return {
        period_key(rule, rule.period, facts)
        for rule in rules
        if rule.period is not None
        and (not rule.assets or facts.asset in rule.assets)
        and (not rule.networks or facts.network in rule.networks)
        and (not rule.purposes or facts.purpose in rule.purposes)
    }


def public_version(version: PolicyVersion) -> dict[str, Any]:
    """The API's object ``policy``: one version, its rules as they were written."""
    return {
        "id": version.id,
        "object": "policy",
        "number": version.number,
        "state": version.state,
        "rules": version.rules,
        "digest": version.digest,
        "note": version.note,
        "base": version.base,
        "proposed_by": version.proposed_by,
        "decided_by": version.decided_by,
        "activated_at": _seconds(version.activated_at),
        "closed_at": _seconds(version.closed_at),
        "metadata": {},
        "created": _seconds(version.created),
        "livemode": version.livemode,
    }


def public_decision(decision: Decision) -> dict[str, Any]:
    """A decision as the simulator shows it: the rule, and why those before it did not fit."""
    return {
        "action": decision.action.value,
        "rule": decision.rule,
        "approvals": decision.approvals,
        "role": decision.role,
        "passed": [{"rule": each.rule, "reason": each.reason} for each in decision.passed],
    }


def role_default(*, livemode: bool) -> str:
    """Who approves what no rule fits: a person, where money is real."""
    return Role.approver.value if livemode else OPERATOR


def seed_rules() -> tuple[Rule, ...]:
    """What test money begins with: 10,000 whole units of a currency go, more is approved."""
    return (
        Rule(
            name="up to 10,000",
            action=Action.allow,
            amount=Amount(up_to="10000", unit="whole"),
        ),
        Rule(name="everything else", action=Action.approve, approvals=1, role=OPERATOR),
    )


def read_rules(document: object, *, livemode: bool) -> tuple[Rule, ...]:
    """Rules as a caller wrote them; ParameterInvalid names the field that is wrong."""
    try:
        rules = msgspec.convert(_digits(document), tuple[Rule, ...])
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at ")
        raise ParameterInvalid(
            "The rules can not be read: {why}.", param=_param(path.strip("`")), why=said
        ) from None
    check_rules(rules)
    for index, rule in enumerate(rules):
        _check_action(rule, index, livemode=livemode)
    return rules


def load_rules(document: object) -> tuple[Rule, ...]:
    """Rules as the database holds them, which were checked before they were stored."""
    return msgspec.convert(document, tuple[Rule, ...])


def rules_document(rules: Sequence[Rule]) -> list[dict[str, Any]]:
    """Rules as they are stored and shown: what has its default is left out."""
    document: list[dict[str, Any]] = msgspec.to_builtins(list(rules))
    return document


def rules_digest(rules: Sequence[Rule]) -> str:
    """SHA-256 over the rules as they are shown, keys in order: what an approver approves."""
    return hashlib.sha256(msgspec.json.encode(rules_document(rules), order="sorted")).hexdigest()


def check_rules(rules: Sequence[Rule]) -> None:
    """Check what types cannot say; ParameterInvalid names the rule and the field."""
    if len(rules) > RULES_MAX:
        raise ParameterInvalid("A policy has at most {most} rules.", param="rules", most=RULES_MAX)
    names: set[str] = set()
    for index, rule in enumerate(rules):
        at = f"rules[{index}]"
        if not (1 <= len(rule.name) <= NAME_LENGTH_MAX and rule.name.isprintable()):
            raise ParameterInvalid(
                "A rule's name has 1 to {most} characters.",
                param=f"{at}[name]",
                most=NAME_LENGTH_MAX,
            )
        if rule.name in names:
            raise ParameterInvalid(
                "Two rules have the name {name}.", param=f"{at}[name]", name=repr(rule.name)
            )
        names.add(rule.name)
        _check_lists(rule, at)
        one_currency = len(rule.currencies) == 1 or len(rule.assets) == 1
        if rule.amount is not None:
            _check_range(rule.amount, f"{at}[amount]", one_currency=one_currency)
        if TRANSFER in rule.purposes and rule.action is Action.approve:
            raise ParameterInvalid(
                "A transfer goes at once or not: allow or block it.", param=f"{at}[action]"
            )
        if rule.period is not None:
            if "recovery" in rule.purposes:
                raise ParameterInvalid("A period adds up no recoveries.", param=f"{at}[purposes]")
            _check_range(rule.period, f"{at}[period]", one_currency=one_currency)
            if not 1 <= rule.period.seconds <= PERIOD_SECONDS_MAX:
                raise ParameterInvalid(
                    "A period has 1 to {most} seconds.",
                    param=f"{at}[period][seconds]",
                    most=PERIOD_SECONDS_MAX,
                )


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())


def _check_action(rule: Rule, index: int, *, livemode: bool) -> None:
    """Approvals and a role where they are needed, and nowhere else."""
    at = f"rules[{index}]"
    if rule.action is not Action.approve:
        if rule.approvals is not None or rule.role is not None:
            raise ParameterInvalid(
                "approvals and role belong to the action approve alone.", param=f"{at}[approvals]"
            )
        return
    if rule.approvals is None or not 1 <= rule.approvals <= APPROVALS_MAX:
        raise ParameterInvalid(
            "The action approve needs approvals: 1 to {most}.",
            param=f"{at}[approvals]",
            most=APPROVALS_MAX,
        )
    known = {role.value for role in ROLES_THAT_APPROVE} | (set() if livemode else {OPERATOR})
    if rule.role is None or current(rule.role) not in known:
        raise ParameterInvalid(
            "The action approve needs a role: one of {known}.",
            param=f"{at}[role]",
            known=", ".join(sorted(known)),
        )
    if rule.role == OPERATOR and rule.approvals != 1:
        raise ParameterInvalid(
            "The operator's key is one approver: name a role of persons for more approvals.",
            param=f"{at}[approvals]",
        )


def _check_lists(rule: Rule, at: str) -> None:
    checks = {
        "currencies": _is_word,
        "assets": _is_asset,
        "networks": _is_network,
        "purposes": lambda text: text in PURPOSES,
        "destinations": _is_destination,
        "initiators": _is_initiator,
    }
    for name, is_right in checks.items():
        entries = getattr(rule, name)
        if len(entries) > ENTRIES_MAX:
            raise ParameterInvalid(
                "A list has at most {most} entries.", param=f"{at}[{name}]", most=ENTRIES_MAX
            )
        for place, entry in enumerate(entries):
            if not is_right(entry):
                raise ParameterInvalid(
                    "{entry} can not stand in {list}.",
                    param=f"{at}[{name}][{place}]",
                    entry=repr(entry),
                    list=name,
                )


def _check_range(found: Amount | Period, at: str, *, one_currency: bool) -> None:
    for name in ("above", "up_to"):
        text = getattr(found, name)
        if text is not None and not (text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX):
            raise ParameterInvalid(
                "{text} is not a whole number in digits.", param=f"{at}[{name}]", text=repr(text)
            )
    if found.above is None and found.up_to is None:
        raise ParameterInvalid("A range needs above or up_to.", param=at)
    if found.above is not None and found.up_to is not None and int(found.above) >= int(found.up_to):
        raise ParameterInvalid("above must be less than up_to.", param=f"{at}[above]")
    if found.unit == "smallest" and not one_currency:
        raise ParameterInvalid(
            'Name one currency or one asset whose smallest unit is meant, or set unit to "whole".',
            param=f"{at}[unit]",
        )


def _mismatch(rule: Rule, facts: Facts) -> str | None:
    """Why a rule does not fit, its period aside; None when it does."""
    for name, entries, value in (
        ("currency", rule.currencies, facts.currency),
        ("asset", rule.assets, facts.asset),
        ("network", rule.networks, facts.network),
        ("purpose", rule.purposes, facts.purpose),
    ):
        if entries and value not in entries:
            return f"{name} {value} is not {_one_of(entries)}"
    if rule.destinations and not _is_sent_to(rule.destinations, facts):
        return f"destination {facts.destination} is not {_one_of(rule.destinations)}"
    if rule.initiators and not _is_asked_by(rule.initiators, facts):
        asker = facts.person or facts.key or facts.account
        return f"initiator {asker} is not {_one_of(rule.initiators)}"
    if rule.period is not None and facts.purpose == "recovery":
        return "a period adds up no recoveries"
    if rule.amount is not None:
        return _outside(rule.amount, facts.amount, facts, "amount")
    return None


def _period_mismatch(rule: Rule, facts: Facts, sums: Mapping[PeriodKey, int]) -> str | None:
    if rule.period is None:
        return None
    before = sums[period_key(rule, rule.period, facts)]
    name = f"sum of {rule.period.seconds} s per {rule.period.per}"
    return _outside(rule.period, before + facts.amount, facts, name)


def _outside(found: Amount | Period, units: int, facts: Facts, name: str) -> str | None:
    scale = 10**facts.decimals if found.unit == "whole" else 1
    if found.above is not None and units <= int(found.above) * scale:
        return f"{name} {units} is not above {int(found.above) * scale}"
    if found.up_to is not None and units > int(found.up_to) * scale:
        return f"{name} {units} is above {int(found.up_to) * scale}"
    return None


def _is_sent_to(entries: Sequence[str], facts: Facts) -> bool:
    if facts.beneficiary is not None and (ADDRESS_BOOK in entries or facts.beneficiary in entries):
        return True
    if facts.is_vault and VAULT in entries:
        return True
    return facts.destination in {entry.lower() for entry in entries}


def _is_asked_by(entries: Sequence[str], facts: Facts) -> bool:
    asked = {facts.account, facts.key, facts.person}
    return any(
        entry in asked
        or (entry.startswith(ROLE_ENTRY) and current(entry.removeprefix(ROLE_ENTRY)) in facts.roles)
        for entry in entries
    )


def _one_of(entries: Sequence[str]) -> str:
    shown = ", ".join(entries[:3])
    return shown if len(entries) <= 3 else f"{shown} or {len(entries) - 3} more"


def _is_word(text: str) -> bool:
    return text.isascii() and text.isalnum() and text == text.lower()


def _is_network(text: str) -> bool:
    try:
        caip.parse_network(text)
    except ValueError:
        return False
    return True


def _is_asset(text: str) -> bool:
    try:
        return str(caip.parse_asset(text)) == text
    except ValueError:
        return False


def _is_destination(text: str) -> bool:
    if text in (ADDRESS_BOOK, VAULT) or any(_has_prefix(text, each) for each in ("ben", "acct")):
        return True
    try:
        parse_address(text)
    except ValueError:
        return False
    return True


def _is_initiator(text: str) -> bool:
    if text.startswith(ROLE_ENTRY):
        return current(text.removeprefix(ROLE_ENTRY)) in set(Role)
    return any(_has_prefix(text, prefix) for prefix in ("acct", "key", "per"))


def _has_prefix(text: str, prefix: str) -> bool:
    try:
        return ids.decode(text)[0] == prefix
    except ValueError:
        return False


def _digits(document: Any) -> Any:
    """Amounts may come as whole numbers too: digits are what is kept."""
    if isinstance(document, Mapping):
        return {
            key: str(value) if key in ("above", "up_to") and type(value) is int else _digits(value)
            for key, value in document.items()
        }
    if isinstance(document, Sequence) and not isinstance(document, str):
        return [_digits(each) for each in document]
    return document


def _param(path: str) -> str:
    """``$[0].amount.above`` as the API names it: ``rules[0][amount][above]``."""
    parts = [index or name for index, name in _INDEX.findall(path.removeprefix("$"))]
    return "rules" + "".join(f"[{part}]" for part in parts)
