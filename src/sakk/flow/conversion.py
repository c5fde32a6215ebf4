"""Conversions: a price is promised, then kept by one linked set in the ledger.

The row is committed before the ledger is asked, under the quote's lock, while the quote holds: so
a conversion that a crash leaves behind is carried out at its own price, and a quote is used once.
"""

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from sakk.core import conversion as rules
from sakk.core import conversion_event, money
from sakk.core.conversion import (
    Conversion,
    ConversionQuote,
    ConversionTerms,
    Fixed,
    Position,
    default_terms,
)
from sakk.core.errors import (
    BalanceInsufficient,
    ParameterInvalid,
    PermissionDenied,
    ResourceMissing,
    Unavailable,
)
from sakk.core.event import NewEvent
from sakk.core.fee import FeeKind
from sakk.core.network import Currency
from sakk.flow import fee
from sakk.flow.book import PostingSet
from sakk.flow.context import Parts
from sakk.flow.rate import read_market
from sakk.flow.stage import Stage
from sakk.store import account, freeze, network, party
from sakk.store import conversion as store
from sakk.store import event as events
from sakk.store.database import fetch
from sakk.store.failpoint import failpoint

LEFT_BEHIND_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Wish:
    """What an account wants converted; ``amount`` in the smallest unit of the side that is
    ``fixed``."""

    source_currency: str
    target_currency: str
    amount: int
    fixed: Fixed = "source"
    metadata: dict[str, str] | None = None


def terms_of(
    connection: Connection, account_id: str, *, livemode: bool, now: datetime
) -> ConversionTerms:
    """How an account converts now."""
    found = store.find_terms(connection, account_id, livemode=livemode)
    return found or default_terms(livemode=livemode, now=now)


def put_terms(
    connection: Connection, account_id: str, *, livemode: bool, now: datetime, **changes: Any
) -> ConversionTerms:
    """Change how an account converts, or all that have no terms of their own (empty); what is not
    named stays. ParameterInvalid, ResourceMissing."""
    if account_id and account.find_account(connection, account_id) is None:
        raise ResourceMissing(
            "No such account: {account}.", param="account", account=repr(account_id)
        )
    before = terms_of(connection, account_id, livemode=livemode, now=now)
    changed = replace(before, account_id=account_id, updated=now, **changes)
    store.put_terms(connection, rules.check_terms(changed))
    return changed


def quote(
    connection: Connection,
    wish: Wish,
    *,
    identifier: str,
    account_id: str,
    livemode: bool,
    now: datetime,
    of_operator: bool = False,
) -> ConversionQuote:
    """Promise a price for a while. Raises ParameterInvalid for what can not be converted,
    Unavailable while no rate is known, UnexpectedState while a currency is stopped.

    ``of_operator``: the operator converts for the account, without its limits and its fee.
    """
    source, target = _sides(connection, wish)
    terms = _required(connection, account_id, livemode=livemode, now=now)
    market = read_market(connection, now=now)
    rated = market.find(wish.source_currency, wish.target_currency)
    if rated is None:
        raise Unavailable(
            "What {source} is worth in {target} is not known now. Try again, or ask the operator.",
            source=wish.source_currency,
            target=wish.target_currency,
        )
    rules.check_not_stopped(market, rated.path)
    found = rules.exchange(
        rated,
        terms,
        market,
        source=source,
        target=target,
        amount=wish.amount,
        fixed=wish.fixed,
        pricing=None
        if of_operator
        else fee.pricing(
            connection,
            account.find_payer(connection, account_id).fee_schedule,
            account_id=account_id,
            livemode=livemode,
            kind=FeeKind.conversion,
            currencies=[source.currency],
            now=now,
        ),
    )
    if not of_operator:
        rules.check_limits(terms, usd_cents=found.usd_cents, usd_cents_today=0)
    made = ConversionQuote(
        id=identifier,
        account_id=account_id,
        livemode=livemode,
        source_currency=source.currency,
        source_decimals=source.decimals,
        target_currency=target.currency,
        target_decimals=target.decimals,
        **asdict(found),
        metadata=wish.metadata or {},
        of_operator=of_operator,
        expires_at=now + timedelta(seconds=terms.lock_seconds),
        created=now,
    )
    store.insert_quote(connection, made)
    return made


def _sides(connection: Connection, wish: Wish) -> tuple[Currency, Currency]:
    """The two currencies of a wish; ParameterInvalid."""
    currencies = {each.currency: each for each in network.list_currencies(connection)}
    for param, name in (
        ("source_currency", wish.source_currency),
        ("target_currency", wish.target_currency),
    ):
        if name not in currencies:
            raise ParameterInvalid(
                "There is no currency {currency}. GET /v1/currencies lists them.",
                param=param,
                currency=repr(name),
            )
    if wish.source_currency == wish.target_currency:
        raise ParameterInvalid(
            "A conversion is from one currency into another.", param="target_currency"
        )
    return currencies[wish.source_currency], currencies[wish.target_currency]


def create(
    parts: Parts,
    quote_id: str,
    *,
    identifier: str,
    account_id: str,
    livemode: bool,
    metadata: dict[str, str] | None = None,
    request_id: str | None = None,
    of_operator: bool = False,
) -> Conversion:
    """Convert by a quote; repeat under the same identifier. Raises ParameterInvalid for a quote
    that is used or over, UnexpectedState while a currency is stopped, BalanceInsufficient.

    ``of_operator``: see `quote`.
    """
    with parts.database.begin() as connection:
        made = store.find(connection, identifier, account_id=account_id, livemode=livemode)
        if made is None:
            made = _requested(
                connection,
                quote_id,
                identifier=identifier,
                account_id=account_id,
                livemode=livemode,
                metadata=metadata or {},
                now=parts.clock(),
                of_operator=of_operator,
            )
    if made.status == "requested":
        failpoint("conversion.post.before")
        made = _post(parts, made, request_id)
    if made.status == "rejected":
        needed = money.format_decimal(made.source_amount + made.service_fee, made.source_decimals)
        raise BalanceInsufficient(
            "The available balance does not cover {amount} {currency}.",
            param="quote",
            amount=needed,
            currency=made.source_currency,
        )
    return made


def _requested(
    connection: Connection,
    quote_id: str,
    *,
    identifier: str,
    account_id: str,
    livemode: bool,
    metadata: dict[str, str],
    now: datetime,
    of_operator: bool,
) -> Conversion:
    """The row of a conversion by a quote that holds still; of two at once under one identifier the
    first is the one."""
    store.lock_account(connection, account_id)
    made = store.find(connection, identifier, account_id=account_id, livemode=livemode)
    if made is not None:
        return made
    terms = _required(connection, account_id, livemode=livemode, now=now)
    found = store.find_quote(
        connection, quote_id, account_id=account_id, livemode=livemode, lock=True
    )
    if found is None or found.of_operator != of_operator:
        raise ParameterInvalid(
            "No such quote: {identifier}.", param="quote", identifier=repr(quote_id)
        )
    used = store.find_by_quote(connection, found.id)
    if used is not None:
        raise ParameterInvalid(
            "This quote was used for {conversion}. Ask for another one.",
            param="quote",
            conversion=used,
        )
    if found.expires_at <= now:
        raise ParameterInvalid("This quote has expired. Ask for another one.", param="quote")
    rules.check_not_stopped(read_market(connection, now=now), found.path)
    if not of_operator:
        today = store.usd_cents_since(
            connection, account_id, livemode=livemode, since=now - rules.DAY
        )
        rules.check_limits(terms, usd_cents=found.usd_cents, usd_cents_today=today)
    made = Conversion(
        id=identifier,
        account_id=account_id,
        livemode=livemode,
        quote=found.id,
        source_currency=found.source_currency,
        source_decimals=found.source_decimals,
        target_currency=found.target_currency,
        target_decimals=found.target_decimals,
        source_amount=found.source_amount,
        target_amount=found.target_amount,
        spread=found.spread,
        service_fee=found.service_fee,
        fee_terms=found.fee_terms,
        price=found.price,
        usd_cents=found.usd_cents,
        status="requested",
        failure_code=None,
        metadata=metadata,
        of_operator=of_operator,
        created=now,
    )
    store.insert(connection, made)
    fee.count_conversion(connection, made, now=now)
    return made


def _required(
    connection: Connection, account_id: str, *, livemode: bool, now: datetime
) -> ConversionTerms:
    """The terms of an account that may convert now. PermissionDenied says no more than that."""
    terms = terms_of(connection, account_id, livemode=livemode, now=now)
    frozen = any(
        each.account_id in (None, account_id) and each.network is None and each.asset is None
        for each in freeze.list_in_force(connection)
    )
    if not terms.enabled or frozen:
        raise PermissionDenied("Nothing is converted for this account now. Ask the operator.")
    settings = account.payout_settings(connection, account_id)
    if settings.verification == "required" and not party.is_verified(
        connection, account_id, livemode=livemode
    ):
        raise PermissionDenied(
            "This account is not verified, or is under review: submit its party (/v1/parties), or"
            " ask the operator."
        )
    return terms


def left_behind_stage(parts: Parts) -> Stage:
    """The stage that finishes conversions whose request did not live to see the ledger's answer."""

    def run() -> int:
        with parts.database.begin() as connection:
            rows = fetch(connection, store.left_behind, now=parts.clock(), limit=LEFT_BEHIND_MAX)
        for row in rows:
            _post(parts, row, None)
        return len(rows)

    return Stage("conversion.post", run, idle_seconds=5.0, due=(store.left_behind,))


def _post(parts: Parts, row: Conversion, request_id: str | None) -> Conversion:
    [outcome] = parts.books.post([PostingSet(row.id, "post", 0, rules.postings(row))])
    failpoint("conversion.post.after")
    now = parts.clock()
    ended = replace(
        row,
        status="posted" if outcome.booked else "rejected",
        failure_code=None if outcome.booked else "balance_insufficient",
    )
    with parts.database.begin() as connection:
        # Only who takes the row out of `requested` tells of it.
        if store.finish(connection, ended):
            if outcome.booked:
                fee.book_conversion(connection, ended, now=now)
            else:
                fee.uncount_conversion(connection, ended)
            events.append(connection, [_event(ended, request_id)], now=now)
    return ended


def _event(row: Conversion, request_id: str | None) -> NewEvent:
    posted = row.status == "posted"
    return NewEvent(
        account_id=row.account_id,
        livemode=row.livemode,
        type=(
            conversion_event.CONVERSION_POSTED if posted else conversion_event.CONVERSION_REJECTED
        ),
        object_id=row.id,
        object=rules.public(row),
        request_id=request_id,
    )


def retrieve(
    connection: Connection, identifier: str, *, account_id: str | None, livemode: bool
) -> Conversion:
    """One conversion; ResourceMissing."""
    found = store.find(connection, identifier, account_id=account_id, livemode=livemode)
    if found is None:
        raise ResourceMissing(f"No such conversion: {identifier!r}.", param="id")
    return found


def positions(connection: Connection, *, livemode: bool, now: datetime) -> list[Position]:
    """What exchanges left the operator with in each currency, valued now."""
    return rules.positions(
        store.held(connection, livemode=livemode),
        {each.currency: each for each in network.list_currencies(connection)},
        read_market(connection, now=now),
    )
