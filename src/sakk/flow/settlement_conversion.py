"""A settlement that is paid in another currency: what is payable is converted when it is paid.

The conversion's number follows from the settlement's, so that it happens once, whoever dies
meanwhile. The account's limits and its schedule's fee are not its business: the operator settles,
at the account's spread.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sakk.core import rate, settlement
from sakk.core.conversion import QUOTE_PREFIX, Conversion, ConversionQuote
from sakk.core.errors import Unavailable, UnexpectedState
from sakk.core.settlement import Settlement
from sakk.flow import conversion as flow
from sakk.flow.context import Parts
from sakk.store import conversion as store
from sakk.store.identity import new_id


def find(parts: Parts, row: Settlement) -> Conversion | None:
    """The conversion of a settlement, if it was asked for before."""
    with parts.database.begin() as connection:
        return store.find(
            connection,
            settlement.conversion_id(row),
            account_id=row.account_id,
            livemode=row.livemode,
        )


def quote(parts: Parts, row: Settlement, amount: int) -> ConversionQuote:
    """What so much of a settlement comes to now. Unavailable while a rate is not known or stopped:
    the settlement waits."""
    wish = flow.Wish(row.currency, settlement.pays_in(row), amount)
    with _waits(), parts.database.begin() as connection:
        return flow.quote(
            connection,
            wish,
            identifier=new_id(QUOTE_PREFIX),
            account_id=row.account_id,
            livemode=row.livemode,
            now=parts.clock(),
            of_operator=True,
        )


def convert(parts: Parts, row: Settlement, quote_id: str) -> Conversion:
    """Convert a settlement by a quote, once; the one that was asked for before is carried out.
    Unavailable as in `quote`; BalanceInsufficient."""
    with _waits():
        return flow.create(
            parts,
            quote_id,
            identifier=settlement.conversion_id(row),
            account_id=row.account_id,
            livemode=row.livemode,
            metadata={"settlement": row.id},
            of_operator=True,
        )


@contextmanager
def _waits() -> Iterator[None]:
    """What is stopped is no reason to give a settlement up."""
    try:
        yield
    except UnexpectedState as stopped:
        raise Unavailable(stopped.message) from stopped


def document(made: Conversion) -> dict[str, Any]:
    """What a settlement and its statement say of their conversion."""
    return {
        "amount": made.target_amount,
        "conversion": made.id,
        "currency": made.target_currency,
        "decimals": made.target_decimals,
        "price": rate.write_price(made.price),
        "spread": made.spread,
    }
