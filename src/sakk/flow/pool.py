"""The pool: balance is parked, and taken back, at once, in the ledger alone."""

from dataclasses import dataclass, replace
from typing import Any, Final

from sakk.core import chart, event, money
from sakk.core import pool as rules
from sakk.core.errors import BalanceInsufficient, ParameterInvalid
from sakk.core.event import NewEvent
from sakk.core.mandate import Mandate
from sakk.core.pool import Direction, PoolMovement
from sakk.core.spend import Limit, refused
from sakk.flow.book import PostingSet
from sakk.flow.context import Parts
from sakk.flow.mandate import require_standing
from sakk.flow.stage import Stage
from sakk.store import balance, network
from sakk.store import event as events
from sakk.store import pool as store
from sakk.store.database import fetch
from sakk.store.failpoint import failpoint

LEFT_BEHIND_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class PoolRequest:
    """What is to be moved; ``reference`` is an agent's own name of it, with its mandate."""

    direction: Direction
    amount: int
    currency: str
    reference: str | None = None


def move(
    parts: Parts,
    request: PoolRequest,
    *,
    identifier: str,
    account_id: str,
    livemode: bool,
    under: Mandate | None = None,
    request_id: str | None = None,
) -> PoolMovement:
    """Park or take back; repeat under the same identifier, or an agent's same reference.

    ``under``: the mandate of an agent, which must say that it may. To take back is always allowed
    while the mandate holds. Raises MandateRefused, BalanceInsufficient.
    """
    with parts.database.begin() as connection:
        movement = None
        if under is not None and request.reference is not None:
            movement = store.find_reference(connection, under.id, request.reference)
        if movement is None:
            movement = store.find(connection, identifier, account_id=account_id, livemode=livemode)
        if movement is None:
            if under is not None:
                terms = require_standing(under, request.currency, now=parts.clock())
                if not terms.may_park:
                    raise refused(Limit.park, "The mandate does not let its agent use the pool.")
            currencies = {each.currency: each for each in network.list_currencies(connection)}
            if request.currency not in currencies:
                raise ParameterInvalid(
                    f"There is no currency {request.currency!r}. GET /v1/currencies lists them.",
                    param="currency",
                )
            movement = PoolMovement(
                id=identifier,
                account_id=account_id,
                livemode=livemode,
                mandate=None if under is None else under.id,
                reference=request.reference,
                direction=request.direction.value,
                amount=request.amount,
                currency=request.currency,
                decimals=currencies[request.currency].decimals,
                status="requested",
                failure_code=None,
                created=parts.clock(),
            )
            store.insert(connection, movement)
            if under is not None and request.reference is not None:
                # Whoever was first under this reference, it is one movement.
                movement = store.find_reference(connection, under.id, request.reference)
                assert movement is not None
        if (movement.direction, movement.amount, movement.currency) != (
            request.direction.value,
            request.amount,
            request.currency,
        ):
            raise ParameterInvalid(
                f"The reference {movement.reference!r} is that of another movement. Use a new one.",
                param="reference",
            )
    if movement.status == "requested":
        failpoint("pool.post.before")
        movement = _post(parts, movement, request_id)
    if movement.status == "rejected":
        needed = money.format_decimal(movement.amount, movement.decimals)
        where = "available balance" if movement.direction == Direction.park else "pool"
        raise BalanceInsufficient(
            f"The {where} does not hold {needed} {movement.currency}.", param="amount"
        )
    return movement


def read(parts: Parts, *, account_id: str, livemode: bool) -> dict[str, Any]:
    """The API's object ``pool``: by currency, what the account has parked."""
    with parts.database.begin() as connection:
        units = balance.balance_units(connection, account_id=account_id, livemode=livemode)
        decimals = {each.currency: each.decimals for each in network.list_currencies(connection)}
    amounts = parts.books.balances([chart.pool(account_id, unit) for unit in units])
    parked = {
        chart.currency_of_unit(unit)[0]: amount
        for unit, amount in zip(units, amounts, strict=True)
        if amount
    }
    return rules.public_pool(parked, decimals, livemode=livemode)


def left_behind_stage(parts: Parts) -> Stage:
    """The stage that finishes movements whose request did not live to see the ledger's answer."""

    def run() -> int:
        with parts.database.begin() as connection:
            rows = fetch(connection, store.left_behind, now=parts.clock(), limit=LEFT_BEHIND_MAX)
        for row in rows:
            _post(parts, row, None)
        return len(rows)

    return Stage("pool.post", run, idle_seconds=5.0, due=(store.left_behind,))


def _post(parts: Parts, movement: PoolMovement, request_id: str | None) -> PoolMovement:
    [outcome] = parts.books.post([PostingSet(movement.id, "move", 0, rules.postings(movement))])
    failpoint("pool.post.after")
    posted = replace(
        movement,
        status="posted" if outcome.booked else "rejected",
        failure_code=None if outcome.booked else BalanceInsufficient.code,
    )
    with parts.database.begin() as connection:
        # Only who takes the row out of `requested` tells of it.
        if store.finish(connection, posted) and outcome.booked:
            told = NewEvent(
                account_id=posted.account_id,
                livemode=posted.livemode,
                type=event.POOL_MOVEMENT_POSTED,
                object_id=posted.id,
                object=rules.public_movement(posted),
                request_id=request_id,
            )
            events.append(connection, [told], now=parts.clock())
    return posted
