"""Chart mappings: which account of an accountant's chart each account of the ledger is.

A mapping is a list of rules in order; the first whose pattern fits decides. A pattern is the path
of a ledger account (`sakk.core.chart`) in which ``*`` stands for any characters. An account has a
code, a name and a type, which say its place in a trial balance and its name in Beancount
(``Liabilities:2100-Merchant-balances``). A mapping that does not know every kind of account of the
chart is refused, so that no export meets one that it can not place.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Final

from sakk.core.errors import ParameterInvalid, UnexpectedState

RULES_MAX: Final = 500
TEXT_LENGTH_MAX: Final = 100
PATTERN_LENGTH_MAX: Final = 200
COMMODITY_LENGTH_MAX: Final = 24
_CODE = re.compile(r"[0-9A-Z][0-9A-Za-z.-]{0,19}")


class AccountType(StrEnum):
    """The five types of accounts in a chart."""

    asset = "asset"
    liability = "liability"
    equity = "equity"
    income = "income"
    expense = "expense"


_ROOTS: Final = {
    AccountType.asset: "Assets",
    AccountType.liability: "Liabilities",
    AccountType.equity: "Equity",
    AccountType.income: "Income",
    AccountType.expense: "Expenses",
}


@dataclass(frozen=True, slots=True)
class MappingRule:
    """Ledger accounts of this pattern are this account."""

    pattern: str
    code: str
    name: str
    type: AccountType

    @property
    def beancount(self) -> str:
        """The account's name in Beancount: letters, digits and dashes, after the type's root."""
        plain = unicodedata.normalize("NFKD", f"{self.code}-{self.name}")
        words = "".join(each if each.isascii() and each.isalnum() else " " for each in plain)
        return f"{_ROOTS[self.type]}:{'-'.join(words.split())}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartMapping:
    """One version of an operator's mapping; it never changes, the next one is in force."""

    version: int
    rules: list[dict[str, str]]
    created: datetime
    created_by: str | None


BUILT_IN: Final = (
    MappingRule("custody:*:hot", "1010", "Coins in hot wallets", AccountType.asset),
    MappingRule("custody:*:cold", "1020", "Coins in vaults", AccountType.asset),
    MappingRule("custody:*", "1030", "Coins at deposit addresses", AccountType.asset),
    MappingRule("escrow:*", "1040", "Coins in escrow contracts", AccountType.asset),
    MappingRule("gas:*", "1050", "Coins for network fees", AccountType.asset),
    MappingRule("dust:*", "1060", "Remainders of coins", AccountType.asset),
    MappingRule("suspense:ba_*", "2400", "Bank money whose owner is open", AccountType.liability),
    MappingRule("suspense:*", "1070", "Coins whose owner is open", AccountType.asset),
    MappingRule("quarantine:*", "1071", "Coins held back", AccountType.asset),
    MappingRule("seized:*", "1072", "Coins kept for authorities", AccountType.asset),
    MappingRule("receivable:*", "1200", "Owed by merchants", AccountType.asset),
    MappingRule("bank:*", "1300", "Bank accounts", AccountType.asset),
    MappingRule("venue:*", "1310", "Held at venues", AccountType.asset),
    MappingRule("merchant:*:available", "2100", "Merchant balances", AccountType.liability),
    MappingRule("merchant:*:incoming", "2110", "Merchant balances incoming", AccountType.liability),
    MappingRule("merchant:*:reserved", "2120", "Merchant reserves", AccountType.liability),
    MappingRule("payout:*", "2200", "Payouts in flight", AccountType.liability),
    MappingRule("channel:*", "2300", "Prepaid in channels", AccountType.liability),
    MappingRule("pool:*", "2310", "Parked balances", AccountType.liability),
    MappingRule("unclaimed:*", "2320", "Sent and not claimed", AccountType.liability),
    MappingRule("gift:*", "2330", "Gift cards", AccountType.liability),
    MappingRule("equity:*", "3000", "Own funds", AccountType.equity),
    MappingRule("conversion:*", "3900", "Coins against money owed", AccountType.equity),
    MappingRule("fx:*", "3910", "Currency positions", AccountType.equity),
    MappingRule("fee:revenue", "4000", "Fees", AccountType.income),
    MappingRule("fee:venue", "5010", "Venue fees", AccountType.expense),
    MappingRule("fee:*", "5000", "Network fees", AccountType.expense),
    MappingRule("loss:*", "5900", "Losses", AccountType.expense),
)
# One path of every kind of account that the chart has, which every mapping must place.
KINDS: Final = (
    "custody:eip155:1/erc20:0x00:hot",
    "custody:eip155:1/erc20:0x00:cold",
    "custody:eip155:1/erc20:0x00:deposit",
    "dust:eip155:1/erc20:0x00",
    "suspense:eip155:1/erc20:0x00",
    "quarantine:eip155:1/erc20:0x00",
    "seized:eip155:1/erc20:0x00",
    "escrow:eip155:1/erc20:0x00",
    "gas:tank:eip155:1",
    "conversion:eip155:1/erc20:0x00",
    "merchant:acct_0:incoming",
    "merchant:acct_0:available",
    "merchant:acct_0:reserved",
    "receivable:acct_0",
    "payout:in_flight",
    "channel:ch_0",
    "pool:acct_0",
    "unclaimed:acct_0",
    "gift:gc_0",
    "fx:eur-usd",
    "venue:north",
    "fee:revenue",
    "fee:network",
    "bank:ba_0",
    "suspense:ba_0",
    "fee:venue",
    "equity:operator",
    "loss:transfer_fee",
)


def read_rules(document: Iterable[Mapping[str, str]]) -> tuple[MappingRule, ...]:
    """The rules in a stored document."""
    return tuple(
        MappingRule(each["pattern"], each["code"], each["name"], AccountType(each["type"]))
        for each in document
    )


def document_of(rules: Sequence[MappingRule]) -> list[dict[str, str]]:
    """Rules as they are stored and shown."""
    return [
        {"pattern": each.pattern, "code": each.code, "name": each.name, "type": each.type.value}
        for each in rules
    ]


def check(rules: Sequence[MappingRule]) -> None:
    """ParameterInvalid, by its place, for rules that no chart can be made of."""
    if not 0 < len(rules) <= RULES_MAX:
        raise ParameterInvalid(f"A mapping has 1 to {RULES_MAX} rules.", param="rules")
    accounts: dict[str, tuple[str, AccountType]] = {}
    named: dict[str, str] = {}
    for index, rule in enumerate(rules):
        if not _CODE.fullmatch(rule.code):
            raise ParameterInvalid(
                "A code is up to 20 digits, letters, dots and dashes, and begins with a digit or a"
                " capital letter.",
                param=f"rules[{index}][code]",
            )
        for name, length in (("name", TEXT_LENGTH_MAX), ("pattern", PATTERN_LENGTH_MAX)):
            text = getattr(rule, name)
            if not 0 < len(text) <= length or not text.isprintable():
                raise ParameterInvalid(
                    f"Of 1 to {length} characters on one line.", param=f"rules[{index}][{name}]"
                )
        said = accounts.setdefault(rule.code, (rule.name, rule.type))
        if said != (rule.name, rule.type):
            raise ParameterInvalid(
                f"Account {rule.code} has another name or type in a rule before.",
                param=f"rules[{index}][code]",
            )
        if named.setdefault(rule.beancount, rule.code) != rule.code:
            raise ParameterInvalid(
                f"In Beancount account {rule.code} would have the same name as"
                f" {named[rule.beancount]}: {rule.beancount}.",
                param=f"rules[{index}][code]",
            )
    for path in KINDS:
        if find(rules, path) is None:
            raise ParameterInvalid(
                f"No rule fits a ledger account such as {path}. End with the pattern * to have one"
                " account for the rest.",
                param="rules",
            )


def find(rules: Sequence[MappingRule], path: str) -> MappingRule | None:
    """The rule that decides about a ledger account."""
    return next((rule for rule in rules if fits(rule.pattern, path)), None)


def place(rules: Sequence[MappingRule], path: str) -> MappingRule:
    """The same; UnexpectedState for a ledger account that no rule fits."""
    found = find(rules, path)
    if found is None:
        raise UnexpectedState(
            "No rule of the chart's mapping fits the ledger account {path}. Add one and ask for the"
            " report again.",
            path=path,
        )
    return found


def fits(pattern: str, path: str) -> bool:
    """Is a path of this pattern? Each part is looked for once, from the left: however many stars
    there are, it takes no longer than to read them."""
    first, *rest = pattern.split("*")
    if not rest:
        return path == first
    *middle, last = rest
    end = len(path) - len(last)
    if not (path.startswith(first) and path.endswith(last)) or end < len(first):
        return False
    at = len(first)
    for part in middle:
        found = path.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def commodity(unit: str, symbol: str) -> str:
    """A ledger's unit as a commodity of Beancount: capital letters and digits, at most 24.

    A currency is its own name. An asset is its symbol and a digest of its CAIP-19 name, the same in
    every export, since many assets have one symbol.
    """
    name = _letters(symbol)
    if "/" not in unit or unit.startswith("test/"):
        return name
    digest = blake2b(unit.encode(), digest_size=4).hexdigest().upper()
    return f"{name[: COMMODITY_LENGTH_MAX - 9]}.{digest}"


def _letters(symbol: str) -> str:
    kept = "".join(each for each in symbol.upper() if each.isascii() and each.isalnum())
    return kept if kept[:1].isalpha() and len(kept) > 1 else f"X{kept}X"


def public(mapping: ChartMapping | None) -> dict[str, Any]:
    """The API's object ``chart_mapping``; None is the one that is built in, version 0."""
    if mapping is None:
        return {
            "id": "0",
            "object": "chart_mapping",
            "created": 0,
            "created_by": None,
            "livemode": False,
            "metadata": {},
            "rules": document_of(BUILT_IN),
            "version": 0,
        }
    return {
        "id": str(mapping.version),
        "object": "chart_mapping",
        "created": int(mapping.created.timestamp()),
        "created_by": mapping.created_by,
        "livemode": False,
        "metadata": {},
        "rules": mapping.rules,
        "version": mapping.version,
    }
