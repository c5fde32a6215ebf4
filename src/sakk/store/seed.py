"""What every Sakk has from its first start: the currencies that people know."""

from sqlalchemy import Connection

from sakk.core.network import Currency, CurrencyKind
from sakk.store.identity import now
from sakk.store.network import list_currencies, put_currency

# (code, name, kind, decimals, worth one US dollar by default)
_CURRENCIES: tuple[tuple[str, str, CurrencyKind, int, bool], ...] = (
    ("usd", "US dollar", CurrencyKind.fiat, 2, True),
    ("eur", "Euro", CurrencyKind.fiat, 2, False),
    ("cny", "Renminbi", CurrencyKind.fiat, 2, False),
    ("hkd", "Hong Kong dollar", CurrencyKind.fiat, 2, False),
    ("aed", "UAE dirham", CurrencyKind.fiat, 2, False),
    ("sar", "Saudi riyal", CurrencyKind.fiat, 2, False),
    ("usdc", "USD Coin", CurrencyKind.coin, 6, True),
    ("usdt", "Tether USD", CurrencyKind.coin, 6, True),
    ("eth", "Ether", CurrencyKind.coin, 18, False),
    ("btc", "Bitcoin", CurrencyKind.coin, 8, False),
)


def seed_currencies(connection: Connection) -> None:
    """Put in the currencies that are missing; what an operator has changed stays."""
    known = {currency.currency for currency in list_currencies(connection)}
    for code, name, kind, decimals, is_dollar in _CURRENCIES:
        if code not in known:
            put_currency(
                connection,
                Currency(
                    currency=code,
                    name=name,
                    kind=kind.value,
                    decimals=decimals,
                    usd_numerator=1 if is_dollar else None,
                    usd_denominator=1 if is_dollar else None,
                    updated=now(),
                ),
            )
