"""Quotes: what a transfer costs now, and what of it an account is charged.

The worker looks at the networks every few seconds and writes down what it saw, so that neither a
quote nor a payout waits for a node.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from sakk.core import quote as rules
from sakk.core.account import Payer
from sakk.core.errors import ResourceMissing, SakkError
from sakk.core.network import Asset, Currency, Network
from sakk.core.payout import PayoutRequest, Terms, payable
from sakk.core.quote import Quote, TransferCost
from sakk.flow import gas_price
from sakk.flow.context import Parts
from sakk.flow.stage import Stage
from sakk.store import network, transaction
from sakk.store import quote as store

MEASURE_SECONDS = 15

log = structlog.get_logger(__name__)


def measure_stage(parts: Parts) -> Stage:
    """The stage that writes down what a transfer of each token costs; it has no rows to move."""
    looked: dict[str, datetime] = {}

    def run() -> int:
        now = parts.clock()
        with parts.database.read() as connection:
            found = network.list_networks(connection)
            assets = network.list_assets(connection)
        for each in found:
            tokens = [
                asset
                for asset in assets
                if asset.network == each.network and asset.payout_enabled and asset.contract
            ]
            if each.enabled and tokens and _is_due(looked.get(each.network), now):
                looked[each.network] = now
                _measure(parts, each, tokens)
        return 0

    return Stage("quote.measure", run, idle_seconds=float(MEASURE_SECONDS))


def create(
    connection: Connection,
    *,
    network_name: str,
    currency: str,
    terms: Terms,
    identifier: str,
    account_id: str,
    livemode: bool,
    metadata: dict[str, str],
    now: datetime,
    amount: int | None = None,
) -> Quote:
    """Promise a fee for payouts of a currency on a network, for a while.

    With an ``amount``, the fee schedule's price of it too. Raises ParameterInvalid where nothing
    is paid out, and Unavailable while the cost is not known.
    """
    asset = payable(terms, network=network_name, currency=currency)
    costs = store.list_costs(connection)
    known = rules.network_fees(costs, network.list_assets(connection), terms.currencies, now=now)
    if asset.asset not in known:
        raise rules.unknown_fee(asset)
    priced = None
    if amount is not None and terms.pricing is not None:
        priced = terms.pricing.price(amount, currency=asset.currency, network=asset.network)
    made = Quote(
        id=identifier,
        account_id=account_id,
        livemode=livemode,
        kind="payout",
        network=asset.network,
        asset=asset.asset,
        currency=asset.currency,
        decimals=terms.currencies[asset.currency].decimals,
        fee=0 if terms.fees is None else terms.fees[asset.asset],
        network_fee=known[asset.asset],
        gas=costs[asset.asset].gas,
        gas_price=costs[asset.asset].gas_price,
        metadata=metadata,
        expires_at=now + rules.QUOTE_LENGTH,
        created=now,
        amount=amount,
        service_fee=None if amount is None else 0 if priced is None else priced.fee,
        fee_terms=None if priced is None else priced.document(),
    )
    store.insert(connection, made)
    return made


def fees_now(
    connection: Connection,
    payer: Payer,
    assets: Sequence[Asset],
    currencies: Mapping[str, Currency],
    *,
    now: datetime,
) -> dict[str, int] | None:
    """What an account is charged for a payout of each token; None where it is charged nothing."""
    if not payer.is_charged_network_fee():
        return None
    return rules.network_fees(store.list_costs(connection), assets, currencies, now=now)


def costs_now(connection: Connection, *, now: datetime) -> dict[str, int]:
    """What the network takes for a transfer of each token, in its currency, where it is known."""
    currencies = {each.currency: each for each in network.list_currencies(connection)}
    assets = network.list_assets(connection)
    return rules.network_fees(store.list_costs(connection), assets, currencies, now=now)


def named(
    connection: Connection,
    requests: Iterable[PayoutRequest],
    *,
    account_id: str,
    livemode: bool,
) -> dict[str, Quote]:
    """The quotes of an account that requests for payouts name and that there are, by id."""
    wanted = {each.quote for each in requests if each.quote is not None}
    if not wanted:
        return {}
    found = store.find_many(connection, wanted, account_id=account_id, livemode=livemode)
    return {each.id: each for each in found}


def retrieve(
    connection: Connection, identifier: str, *, account_id: str | None, livemode: bool
) -> Quote:
    """One quote; ResourceMissing."""
    found = store.find(connection, identifier, account_id=account_id, livemode=livemode)
    if found is None:
        raise ResourceMissing(f"No such quote: {identifier!r}", param="id")
    return found


def _is_due(looked: datetime | None, now: datetime) -> bool:
    return looked is None or now - looked >= timedelta(seconds=MEASURE_SECONDS)


def _measure(parts: Parts, found: Network, tokens: Sequence[Asset]) -> None:
    """A network that can not be asked, or asks more than its cap, has no fresh cost then."""
    try:
        price = gas_price.price(parts, found).needed
    except SakkError as error:
        log.info("quote.not_measured", network=found.network, reason=error.message)
        return
    with parts.database.begin() as connection:
        for asset in tokens:
            limits = transaction.recent_payout_gas(connection, asset.asset)
            cost = TransferCost(
                asset=asset.asset,
                network=found.network,
                gas=rules.typical_gas(limits),
                gas_price=price,
                measured=parts.clock(),
            )
            store.put_cost(connection, cost)
