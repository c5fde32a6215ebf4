"""Balances: answered by the ledger itself; what is on its way, by the pay-ins not yet final."""

from typing import Any

from sakk.core import balance as rules
from sakk.core import chart
from sakk.flow.context import Parts
from sakk.store import balance as store
from sakk.store import network, payin


def read(parts: Parts, *, account_id: str, livemode: bool) -> dict[str, Any]:
    """The API's object ``balance`` of an account."""
    with parts.database.begin() as connection:
        units = store.balance_units(connection, account_id=account_id, livemode=livemode)
        pending = payin.pending_totals(connection, account_id=account_id, livemode=livemode)
        decimals = {each.currency: each.decimals for each in network.list_currencies(connection)}
    amounts = parts.books.balances(
        [chart.merchant(account_id, "available", unit) for unit in units]
    )
    available = {
        chart.currency_of_unit(unit)[0]: amount for unit, amount in zip(units, amounts, strict=True)
    }
    return rules.public_balance(available, pending, decimals, livemode=livemode)
