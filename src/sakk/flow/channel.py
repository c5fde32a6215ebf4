"""Channels: opened, funded step by step, and closed; each step is a row before it is a transfer."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from sakk.core import channel as rules
from sakk.core import channel_event, receipt
from sakk.core.channel import (
    Channel,
    ChannelKind,
    ChannelStatus,
    Funding,
    FundingStatus,
    Voucher,
)
from sakk.core.errors import (
    BalanceInsufficient,
    MandateRefused,
    ParameterInvalid,
    ResourceMissing,
    SakkError,
    Unavailable,
    UnexpectedState,
)
from sakk.core.event import NewEvent
from sakk.core.ledger import account_id
from sakk.core.session import SCHEME, uuid_bytes
from sakk.core.spend import Payee
from sakk.flow import mandate
from sakk.flow.book import AMOUNT_WHOLE, PostingSet
from sakk.flow.context import Parts
from sakk.flow.mandate import MandateLegs
from sakk.flow.stage import Stage, wake
from sakk.ledger.types import TransferFlags
from sakk.store import account, network
from sakk.store import channel as store
from sakk.store import event as events
from sakk.store import freeze as freezes
from sakk.store.database import fetch
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.receipt import last_used

BATCH_MAX: Final = 100
FUNDINGS_MAX: Final = 100_000
CLOSE_STAGE: Final = "channel.close"
_NEVER: Final = datetime.max.replace(tzinfo=UTC)
# What was reserved when a channel began to close is looked at again after so long.
LOOK_AGAIN: Final = timedelta(seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRequest:
    """What a payer asks for; ``ceiling`` in the currency's smallest unit, funded at once."""

    payee: str
    currency: str
    ceiling: int
    signer: str | None = None
    mandate: str | None = None
    amount_min: int | None = None
    amount_max: int | None = None
    expires_at: datetime | None = None
    expires_in: int | None = None
    metadata: dict[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Countersigned:
    """What a payer signed with a raise: the ceiling, and what it had seen of the charges."""

    ceiling: int
    spent: int = 0
    charges: int = 0
    head: bytes = bytes(32)
    signature: bytes | None = None


def open_channel(
    parts: Parts,
    request: ChannelRequest,
    *,
    identifier: str,
    payer: str,
    livemode: bool,
    signature: bytes | None = None,
) -> Channel:
    """Commit and fund; repeat under the same identifier. Raises BalanceInsufficient."""
    now = parts.clock()
    with parts.database.begin() as connection:
        channel = store.find(connection, identifier)
        if channel is None:
            channel = _new(connection, request, identifier, payer, livemode=livemode, now=now)
            store.insert(connection, channel)
        elif (channel.account_id, channel.payee) != (payer, request.payee):
            raise UnexpectedState("There is a channel with this id. Choose another.", param="id")
    parts.books.open([channel.ledger_account, channel.payee_account])
    said = Countersigned(ceiling=request.ceiling, head=channel.head, signature=signature)
    return raise_ceiling(parts, channel.id, said)


def raise_ceiling(parts: Parts, channel_id: str, said: Countersigned) -> Channel:
    """Keep what the payer signed, and put in all that it signed for; safe to repeat.

    Raises UnexpectedState for a channel that ends, BalanceInsufficient where the payer's balance
    does not cover the step: the signature is kept, and the same voucher can be sent again later.
    """
    now = parts.clock()
    with parts.database.begin() as connection:
        channel = _locked(connection, channel_id)
        if said.ceiling > channel.ceiling:
            rules.check_raise(channel, said.ceiling, now=now)
            store.insert_voucher(connection, _voucher(channel, said, now=now))
            store.change(connection, channel.id, {"ceiling": said.ceiling})
    return fund(parts, channel_id, said.ceiling)


def top_up(parts: Parts, channel_id: str, amount: int, *, key: str) -> Channel:
    """Sign for ``amount`` more with the payer's API key, and put it in; once for one key."""
    now = parts.clock()
    with parts.database.begin() as connection:
        channel = _locked(connection, channel_id)
        known = store.find_voucher(connection, key)
        if known is None:
            ceiling = channel.ceiling + amount
            rules.check_raise(channel, ceiling, now=now)
            said = Countersigned(ceiling=ceiling, head=channel.head)
            store.insert_voucher(connection, _voucher(channel, said, now=now, identifier=key))
            store.change(connection, channel.id, {"ceiling": ceiling})
    return fund(parts, channel_id, ceiling if known is None else known.ceiling)


def fund(parts: Parts, channel_id: str, to: int) -> Channel:
    """Put money in until ``to`` was put in altogether, at most up to what the payer signed.

    Raises as `raise_ceiling` does. Money that is in already is not put in again.
    """
    _finish_requested(parts, channel_id)
    now = parts.clock()
    with parts.database.begin() as connection:
        channel = _locked(connection, channel_id)
        amount = min(to, channel.ceiling) - channel.funded
        if amount <= 0:
            return channel
        rules.check_raise(channel, channel.ceiling, now=now)
        _check_standing(connection, channel)
        if store.find_requested(connection, channel_id) is not None:
            raise Unavailable("Another raise of this channel is under way. Send it again.")
        funding = Funding(
            id=new_id(rules.FUNDING_PREFIX),
            channel_id=channel.id,
            amount=amount,
            funded=channel.funded + amount,
            status=FundingStatus.requested.value,
            attempt=0,
            created=now,
        )
        # What the mandate does not allow is not even asked for.
        _legs(connection, channel, funding)
        store.insert_funding(connection, funding)
    return _post(parts, channel, funding)


def close(parts: Parts, channel_id: str) -> Channel:
    """Give back at once what is not reserved; the rest follows when it is known. Safe to repeat."""
    now = parts.clock()
    with parts.database.begin() as connection:
        channel = _locked(connection, channel_id)
        if channel.kind != ChannelKind.balance:
            raise UnexpectedState("This channel ends on its chain.", param="channel")
        if channel.status in (ChannelStatus.opening, ChannelStatus.open):
            begin_closing(connection, [channel], now=now)
    return _finish_closing(parts, channel_id)


def begin_closing(connection: Connection, channels: Sequence[Channel], *, now: datetime) -> None:
    """Nothing more is put in from here on, and the stage empties them."""
    for channel in channels:
        values = {"status": ChannelStatus.closing.value, "used_at": now}
        store.change(connection, channel.id, values)
    wake(connection, CLOSE_STAGE)


def available(parts: Parts, channels: Sequence[Channel]) -> list[int]:
    """What may still be charged on each, by the ledger, which is not asked about none."""
    return parts.books.balances([each.ledger_account for each in channels]) if channels else []


# Stages


def left_behind_stage(parts: Parts) -> Stage:
    """The stage that finishes fundings whose request did not live to see the ledger's answer."""

    def run() -> int:
        with parts.database.begin() as connection:
            rows = fetch(connection, store.left_behind, now=parts.clock(), limit=BATCH_MAX)
        for row in rows:
            _finish_requested(parts, row.channel_id)
        return len(rows)

    return Stage("channel.fund", run, idle_seconds=5.0, due=(store.left_behind,))


def expire_stage(parts: Parts) -> Stage:
    """The stage that closes channels whose time is over, or that nobody uses."""

    def run() -> int:
        now = parts.clock()
        with parts.database.begin() as connection:
            rows = fetch(connection, store.over, now=now, limit=BATCH_MAX)
            for row in rows:
                last = last_used(connection, account_id(row.ledger_account.name))
                used = max(row.used_at, last or row.used_at)
                if rules.is_over(row, used_at=used, now=now):
                    begin_closing(connection, [row], now=now)
                else:
                    store.change(connection, row.id, {"used_at": used})
        return len(rows)

    return Stage("channel.expire", run, idle_seconds=5.0, due=(store.over,))


def close_stage(parts: Parts) -> Stage:
    """The stage that gives back what is left of channels that close, and ends them."""

    def run() -> int:
        now = parts.clock()
        with parts.database.begin() as connection:
            rows = fetch(connection, store.closing, now=now, limit=BATCH_MAX)
        ended = 0
        for row in rows:
            ended += _finish_closing(parts, row.id).status == ChannelStatus.closed
        return ended

    return Stage(CLOSE_STAGE, run, due=(store.closing,))


# Their parts


def _new(
    connection: Connection,
    request: ChannelRequest,
    identifier: str,
    payer: str,
    *,
    livemode: bool,
    now: datetime,
) -> Channel:
    if request.payee == payer:
        raise ParameterInvalid("A channel pays another account than its own.", param="payee")
    if account.find_account(connection, request.payee) is None:
        raise ResourceMissing(f"No such account: {request.payee!r}.", param="payee")
    currencies = {each.currency: each for each in network.list_currencies(connection)}
    currency = currencies.get(request.currency)
    if currency is None:
        raise ParameterInvalid(
            f"There is no currency {request.currency!r}. GET /v1/currencies lists them.",
            param="currency",
        )
    begin = receipt.start(uuid_bytes(identifier), uuid_bytes(request.payee), request.currency)
    return Channel(
        id=identifier,
        account_id=payer,
        payee=request.payee,
        livemode=livemode,
        kind=ChannelKind.balance.value,
        status=ChannelStatus.opening.value,
        currency=request.currency,
        decimals=currency.decimals,
        signer=request.signer,
        mandate=request.mandate,
        amount_min=request.amount_min,
        amount_max=request.amount_max,
        ceiling=0,
        funded=0,
        returned=0,
        spent=0,
        charges=0,
        head=begin,
        head_ns=0,
        drains=0,
        expires_at=min(now + rules.life_of(request.expires_in), request.expires_at or _NEVER),
        used_at=now,
        closed_at=None,
        metadata=request.metadata or {},
        created=now,
    )


def _voucher(
    channel: Channel, said: Countersigned, *, now: datetime, identifier: str | None = None
) -> Voucher:
    return Voucher(
        id=identifier or new_id(rules.VOUCHER_PREFIX),
        channel_id=channel.id,
        ceiling=said.ceiling,
        spent=said.spent,
        charges=said.charges,
        head=said.head,
        signature=said.signature,
        created=now,
    )


def _locked(connection: Connection, channel_id: str) -> Channel:
    channel = store.lock(connection, channel_id)
    if channel is None:
        raise ResourceMissing(
            "No such channel: {channel}.", param="channel", channel=repr(channel_id)
        )
    return channel


def _check_standing(connection: Connection, channel: Channel) -> None:
    """A payer that the operator has stopped puts nothing more in."""
    assert channel.account_id is not None
    if freezes.is_account_stopped(connection, channel.account_id):
        raise UnexpectedState(
            "This account can not pay at the moment. Ask whoever runs this Sakk.", param="account"
        )


def _finish_requested(parts: Parts, channel_id: str) -> None:
    """Finish what another request, or a process that died, has begun."""
    with parts.database.begin() as connection:
        funding = store.find_requested(connection, channel_id)
        channel = None if funding is None else store.find(connection, channel_id)
    if funding is not None and channel is not None:
        # What the ledger refuses was the other one's answer.
        with suppress(BalanceInsufficient, MandateRefused):
            _post(parts, channel, funding)


def _legs(connection: Connection, channel: Channel, funding: Funding) -> MandateLegs | None:
    """What binds a step to the channel's mandate, at the time that stands in the step's row."""
    if channel.mandate is None:
        return None
    return mandate.step_legs(
        connection,
        channel.mandate,
        units=funding.amount,
        payee=Payee(account=channel.payee),
        currency=channel.currency,
        scheme=SCHEME,
        at=funding.created,
    )


def _post(parts: Parts, channel: Channel, funding: Funding) -> Channel:
    """Put one step in, and write down what the ledger said."""
    refusal = _booked(parts, channel, funding)
    now = parts.clock()
    status = FundingStatus.posted if refusal is None else FundingStatus.rejected
    with parts.database.begin() as connection:
        locked = _locked(connection, channel.id)
        # Only who takes the row out of `requested` tells of it.
        if store.finish_funding(connection, funding, status) and refusal is None:
            is_first = locked.status == ChannelStatus.opening
            values = {"funded": funding.funded, "used_at": now}
            if is_first:
                values["status"] = ChannelStatus.open.value
            store.change(connection, channel.id, values)
            locked = _locked(connection, channel.id)
            type = channel_event.CHANNEL_OPENED if is_first else channel_event.CHANNEL_RAISED
            _tell(connection, locked, type, now)
    if refusal is not None:
        raise refusal
    return locked


def _booked(parts: Parts, channel: Channel, funding: Funding) -> SakkError | None:
    """None when the step is in the ledger, else why it is not and will not be."""
    money = rules.funding(channel, funding.amount)
    bare = PostingSet(funding.id, rules.STEP_FUND, funding.attempt, [money])
    try:
        with parts.database.begin() as connection:
            legs = _legs(connection, channel, funding)
    except MandateRefused as error:
        # Revoked since; its accounts are frozen, so what is not there by now can not come.
        [moved] = parts.books.amounts_moved([bare.transfer_id(0)])
        return None if moved else error
    opening = [] if legs is None else legs.opening
    bound = [] if legs is None else legs.postings
    failpoint("channel.fund.before")
    *_, outcome = parts.books.post([*opening, replace(bare, postings=[money, *bound])])
    failpoint("channel.fund.after")
    if outcome.booked:
        return None
    if legs is not None:
        return mandate.explain(parts, legs, outcome)
    return BalanceInsufficient(
        "The available balance does not cover what is to be put into the channel.", param="ceiling"
    )


def _finish_closing(parts: Parts, channel_id: str) -> Channel:
    """Give back what is free; end the channel when nothing is reserved any more."""
    with parts.database.begin() as connection:
        channel = _locked(connection, channel_id)
        if channel.status != ChannelStatus.closing:
            return channel
        store.change(connection, channel_id, {"used_at": parts.clock() + LOOK_AGAIN})
    _finish_requested(parts, channel_id)
    [standing] = parts.books.standings([channel.ledger_account])
    if standing.free:
        _drain(parts, channel)
        [standing] = parts.books.standings([channel.ledger_account])
    if standing.free or standing.held:
        return channel
    failpoint("channel.freeze.before")
    parts.books.freeze(
        channel.ledger_account, channel.payee_account, row_id=channel.id, step=rules.STEP_FREEZE
    )
    failpoint("channel.freeze.after")
    return _end(parts, channel.id)


def _drain(parts: Parts, channel: Channel) -> None:
    """All that is not reserved goes back, whatever that is when the ledger comes to it."""
    with parts.database.begin() as connection:
        locked = _locked(connection, channel.id)
        attempt = locked.drains
        store.change(connection, channel.id, {"drains": attempt + 1})
    failpoint("channel.drain.before")
    parts.books.post(
        [
            PostingSet(
                channel.id,
                rules.STEP_DRAIN,
                attempt,
                [rules.returning(channel, AMOUNT_WHOLE)],
                flags=TransferFlags.balancing_debit,
            )
        ]
    )
    failpoint("channel.drain.after")


def _end(parts: Parts, channel_id: str) -> Channel:
    with parts.database.begin() as connection:
        drains = _locked(connection, channel_id).drains
    # Nothing is put in or taken out any more, so this does not change until it is written down.
    returned = sum(parts.books.amounts_moved(rules.drain_ids(channel_id, drains)))
    _restore(parts, channel_id, returned)
    now = parts.clock()
    with parts.database.begin() as connection:
        channel = _locked(connection, channel_id)
        if channel.status != ChannelStatus.closing:
            return channel
        values = {
            "status": ChannelStatus.closed.value,
            "returned": returned,
            "closed_at": now,
            "used_at": now,
        }
        store.change(connection, channel_id, values)
        found = _locked(connection, channel_id)
        if found.funded:
            _tell(connection, found, channel_event.CHANNEL_CLOSED, now)
    return found


def _restore(parts: Parts, channel_id: str, returned: int) -> None:
    """What went back may be spent under the mandate again, in the periods that it came from."""
    with parts.database.begin() as connection:
        channel = _locked(connection, channel_id)
        if channel.mandate is None or not returned:
            return
        fundings = store.list_fundings(connection, channel_id, limit=FUNDINGS_MAX)
        postings = mandate.returned_postings(
            connection,
            channel.mandate,
            payee=Payee(account=channel.payee),
            currency=channel.currency,
            taken=[(each.created, each.amount) for each in fundings],
            units=returned,
        )
    if postings:
        failpoint("channel.restore.before")
        # Refused where the mandate was revoked in this moment: then nothing of it is spent again.
        parts.books.post([PostingSet(channel_id, rules.STEP_RESTORE, 0, postings)])
        failpoint("channel.restore.after")


def _tell(connection: Connection, channel: Channel, type: str, now: datetime) -> None:
    """Payer and payee, each as far as it is an account here."""
    events.append(
        connection,
        [
            NewEvent(
                account_id=who,
                livemode=channel.livemode,
                type=type,
                object_id=channel.id,
                object=rules.public_channel(channel),
            )
            for who in (channel.account_id, channel.payee)
            if who is not None
        ],
        now=now,
    )
