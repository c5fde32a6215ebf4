"""What every Sakk has from its first start: known currencies, and a policy for test money."""

from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from sakk.core.network import Currency, CurrencyKind
from sakk.core.policy import (
    PREFIX,
    PolicyVersion,
    VersionState,
    rules_digest,
    rules_document,
    seed_rules,
)
from sakk.store.database import as_json, insert_given, row_of
from sakk.store.identity import new_id, now
from sakk.store.network import currencies, list_currencies
from sakk.store.policy import policies

# (code, name, kind, decimals, worth one US dollar by default)
_CURRENCIES: tuple[tuple[str, str, CurrencyKind, int, bool], ...] = (
    ("usd", "US dollar", CurrencyKind.fiat, 2, True),
    ("eur", "Euro", CurrencyKind.fiat, 2, False),
    ("gbp", "Pound sterling", CurrencyKind.fiat, 2, False),
    ("chf", "Swiss franc", CurrencyKind.fiat, 2, False),
    ("jpy", "Yen", CurrencyKind.fiat, 0, False),
    ("cny", "Renminbi", CurrencyKind.fiat, 2, False),
    ("hkd", "Hong Kong dollar", CurrencyKind.fiat, 2, False),
    ("aed", "UAE dirham", CurrencyKind.fiat, 2, False),
    ("kwd", "Kuwaiti dinar", CurrencyKind.fiat, 3, False),
    ("sar", "Saudi riyal", CurrencyKind.fiat, 2, False),
    ("usdc", "USD Coin", CurrencyKind.coin, 6, True),
    ("usdt", "Tether USD", CurrencyKind.coin, 6, True),
    ("eth", "Ether", CurrencyKind.coin, 18, False),
    ("btc", "Bitcoin", CurrencyKind.coin, 8, False),
)


def seed_currencies(connection: Connection) -> None:
    """Put in the currencies that are missing; what an operator has changed stays."""
    known = {currency.currency for currency in list_currencies(connection)}
    rows = [
        row_of(
            Currency(
                currency=code,
                name=name,
                kind=kind.value,
                decimals=decimals,
                usd_numerator=1 if is_dollar else None,
                usd_denominator=1 if is_dollar else None,
                updated=now(),
            )
        )
        for code, name, kind, decimals, is_dollar in _CURRENCIES
        if code not in known
    ]
    if rows:
        statement = insert_given(currencies, Currency.__slots__).on_conflict_do_nothing()
        connection.execute(statement, {"rows": as_json(currencies, rows)})


def seed_policy(connection: Connection) -> None:
    """The first version for test money; real money waits for approvals until people write one."""
    rules, moment = seed_rules(), now()
    version = PolicyVersion(
        id=new_id(PREFIX),
        livemode=False,
        number=1,
        state=VersionState.active.value,
        rules=rules_document(rules),
        digest=rules_digest(rules),
        note="test money",
        base=None,
        proposed_by=None,
        decided_by=None,
        created=moment,
        activated_at=moment,
        closed_at=None,
    )
    connection.execute(insert(policies).values(row_of(version)).on_conflict_do_nothing())
