"""A price that was promised, and a conversion by another one, as an account's screens show them."""

from dataclasses import replace
from datetime import timedelta

from sakk.core import chart
from sakk.core import conversion as rules
from sakk.core.chart import TransferCode
from sakk.core.conversion import Conversion, ConversionQuote
from sakk.core.network import Currency
from sakk.core.posting import Posting
from sakk.core.rate import SCALE
from sakk.flow.book import PostingSet
from sakk.ledger.projection import catch_up
from sakk.store import conversion as store
from sakk.store import network as networks
from sakk.store.identity import new_id, now
from tests.api.ordering import HOSTILE
from tests.console.desk import configure
from tests.console.office import Office


def earn(office: Office, account: str, units: int, currency: str = "usdc") -> None:
    """An account has so much of a currency from now on."""
    unit = chart.currency_unit(currency, livemode=False)
    taken_in = Posting(
        chart.equity_operator(unit),
        chart.merchant(account, "available", unit),
        units,
        TransferCode.payin,
    )
    [outcome] = office.parts.books.post([PostingSet(new_id("pin"), "post", 0, [taken_in])])
    assert outcome.booked


def two_coins(office: Office) -> None:
    """USDC and USDT are known, a dollar each."""
    with office.parts.database.begin() as connection:
        if not networks.list_currencies(connection):
            configure(connection)
        networks.put_currency(connection, Currency("usdt", "Tether", "coin", 6, 1, 1, now()))


def conversions_of(office: Office, account: str) -> dict[str, str]:
    """A price that holds, and a conversion that was booked, with a spread and a fee."""
    two_coins(office)
    quote = ConversionQuote(
        id=new_id(rules.QUOTE_PREFIX),
        account_id=account,
        livemode=False,
        source_currency="usdc",
        source_decimals=6,
        target_currency="usdt",
        target_decimals=6,
        source_amount=10_000_001,
        target_amount=9_940_060,
        spread=49_950,
        service_fee=100_001,
        fee_terms=None,
        bid=SCALE * 999 // 1_000,
        ask=SCALE * 1_001 // 1_000,
        price=SCALE * 994_006 // 1_000_000,
        sources=["configured", HOSTILE],
        path=["usdc", "usd", "usdt"],
        rated_at=now(),
        usd_cents=1_000,
        metadata={},
        expires_at=now() + timedelta(hours=1),
        created=now(),
    )
    used = replace(quote, id=new_id(rules.QUOTE_PREFIX))
    shared = {
        name: getattr(used, name) for name in Conversion.__dataclass_fields__ if hasattr(used, name)
    }
    made = Conversion(
        **{**shared, "id": new_id(rules.PREFIX)},
        quote=used.id,
        status="posted",
        failure_code=None,
    )
    earn(office, account, 11_000_000)
    [outcome] = office.parts.books.post([PostingSet(made.id, "post", 0, rules.postings(made))])
    assert outcome.booked
    with office.parts.database.begin() as connection:
        store.insert_quote(connection, quote)
        store.insert_quote(connection, used)
        store.insert(connection, made)
    catch_up(office.parts.database.url)
    return {"conversion_quote": quote.id, "conversion": made.id}
