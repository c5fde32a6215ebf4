"""Requests for money: asked for, paid in parts or whole, declined, called off, and over in time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from sakk.core import closed_loop_event as event
from sakk.core import money_request as rules
from sakk.core.alias import check_note, read_recipient
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.money_request import MoneyRequest, MoneyRequestStatus
from sakk.core.person import Actor
from sakk.core.transfer import BookTransfer
from sakk.flow.alias import resolve
from sakk.flow.context import Parts
from sakk.flow.money_request_news import tell
from sakk.flow.stage import Stage
from sakk.flow.transfer import TransferRequest, carry_out, intend
from sakk.store import money_request as store
from sakk.store import network
from sakk.store import transfer as transfers
from sakk.store.database import fetch

EXPIRE_MAX = 500


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of whom; ``payer`` as a transfer's destination is written."""

    payer: str
    amount: int | None
    currency: str
    note: str | None = None
    expires_at: datetime | None = None
    metadata: dict[str, str] | None = None


def create(
    connection: Connection,
    asked: Asked,
    *,
    identifier: str,
    account_id: str,
    livemode: bool,
    now: datetime,
    bill: str | None = None,
    place: int = 0,
    param: str = "payer",
) -> MoneyRequest:
    """Ask for money; ParameterInvalid and ResourceMissing name ``param`` for who is asked."""
    to = read_recipient(asked.payer, param=param)
    # Of an e-mail address nobody learns by asking whether an account has it.
    payer = None
    if to.kind != "email":
        payer = resolve(connection, to, livemode=livemode, param=param)
    if payer == account_id:
        raise ParameterInvalid("Ask another account than your own.", param=param)
    if store.count_open(connection, account_id=account_id, livemode=livemode) >= rules.OPEN_MAX:
        raise ParameterInvalid(
            "{most} requests of this account are open. Cancel some of them.",
            param=param,
            most=rules.OPEN_MAX,
        )
    made = MoneyRequest(
        id=identifier,
        account_id=account_id,
        livemode=livemode,
        payer=payer,
        recipient=to.value if to.kind == "email" else None,
        amount=asked.amount,
        amount_paid=0,
        released=0,
        currency=asked.currency,
        decimals=decimals_of(connection, asked.currency),
        note=None if asked.note is None else check_note(asked.note),
        status=MoneyRequestStatus.open.value,
        bill=bill,
        place=place,
        reminders=0,
        reminded_at=None,
        expires_at=rules.expiry(asked.expires_at, now=now),
        metadata=asked.metadata or {},
        created=now,
    )
    store.insert(connection, [made])
    tell(connection, [made], event.MONEY_REQUEST_CREATED, now=now)
    return made


def ask_many(
    connection: Connection,
    asked: Asked,
    payers: Sequence[str],
    *,
    identifiers: Sequence[str],
    account_id: str,
    livemode: bool,
    now: datetime,
) -> list[MoneyRequest]:
    """Ask each of many for the same; all of them or none. Errors name who of them it is about."""
    seen: set[tuple[str, str]] = set()
    made = []
    for place, (payer, identifier) in enumerate(zip(payers, identifiers, strict=True)):
        param = f"payers[{place}]"
        request = create(
            connection,
            replace(asked, payer=payer),
            identifier=identifier,
            account_id=account_id,
            livemode=livemode,
            now=now,
            param=param,
        )
        # However they are named, nobody is asked twice at once.
        whom = ("account", request.payer or "") if request.payer else ("", request.recipient or "")
        if whom in seen:
            raise ParameterInvalid("This one is named twice.", param=param)
        seen.add(whom)
        made.append(request)
    return made


def decimals_of(connection: Connection, currency: str) -> int:
    """A currency's decimals; ParameterInvalid where there is none of the name."""
    for each in network.list_currencies(connection):
        if each.currency == currency:
            return each.decimals
    raise ParameterInvalid(
        "There is no currency {currency}. GET /v1/currencies lists them.",
        param="currency",
        currency=repr(currency),
    )


def pay(
    parts: Parts,
    identifier: str,
    amount: int | None,
    *,
    transfer_id: str,
    account_id: str,
    livemode: bool,
    actor: Actor | None = None,
    request_id: str | None = None,
) -> tuple[MoneyRequest, BookTransfer]:
    """Pay a request, or a part of it; repeat under the same ``transfer_id``.

    Of two payments at once the second pays at most what the first leaves: both are written down
    under the request's lock before either moves.
    """
    with parts.database.begin() as connection:
        transfer = transfers.find(connection, transfer_id, account_id=account_id, livemode=livemode)
        if transfer is None:
            request = _asked(connection, identifier, account_id=account_id, livemode=livemode)
            rules.check_open(request, now=parts.clock())
            promised = store.promised(connection, request.id)
            transfer = intend(
                parts,
                connection,
                TransferRequest(
                    amount=rules.amount_to_pay(request, amount, promised=promised),
                    currency=request.currency,
                    destination=request.account_id,
                    description=request.note,
                ),
                identifier=transfer_id,
                account_id=account_id,
                livemode=livemode,
                actor=actor,
                reason=request.id,
            )
    moved = carry_out(parts, transfer, request_id=request_id)
    with parts.database.begin() as connection:
        found = store.find_asked(connection, identifier, account_id=account_id, livemode=livemode)
    assert found is not None
    return found, moved


def decline(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool, now: datetime
) -> MoneyRequest:
    """Who is asked does not pay; what they paid before stays paid."""
    request = _asked(connection, identifier, account_id=account_id, livemode=livemode)
    return _end(connection, request, MoneyRequestStatus.declined, now=now)


def cancel(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool, now: datetime
) -> MoneyRequest:
    """Who asked calls it off."""
    request = own(connection, identifier, account_id=account_id, livemode=livemode)
    return _end(connection, request, MoneyRequestStatus.canceled, now=now)


def remind(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool, now: datetime
) -> MoneyRequest:
    """Remind who is asked, a few times, a day apart."""
    request = own(connection, identifier, account_id=account_id, livemode=livemode)
    rules.check_reminder(request, now=now)
    after = replace(request, reminders=request.reminders + 1, reminded_at=now)
    store.change(connection, request.id, {"reminders": after.reminders, "reminded_at": now})
    tell(connection, [after], event.MONEY_REQUEST_REMINDED, now=now)
    return after


def expire_stage(parts: Parts) -> Stage:
    """The stage that ends requests whose time is over."""

    def run() -> int:
        now = parts.clock()
        with parts.database.begin() as connection:
            due = fetch(connection, store.over, now=now, limit=EXPIRE_MAX)
            after = [replace(each, status=MoneyRequestStatus.expired.value) for each in due]
            for each in after:
                store.change(connection, each.id, {"status": each.status})
            tell(connection, after, event.MONEY_REQUEST_EXPIRED, now=now)
        return len(due)

    return Stage("money_request.expire", run, idle_seconds=5.0, due=(store.over,))


def own(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool
) -> MoneyRequest:
    """A request that the account made, locked; ResourceMissing."""
    found = store.find(connection, identifier, account_id=account_id, livemode=livemode, lock=True)
    return _found(found, identifier)


def _asked(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool
) -> MoneyRequest:
    found = store.find_asked(
        connection, identifier, account_id=account_id, livemode=livemode, lock=True
    )
    return _found(found, identifier)


def _found(request: MoneyRequest | None, identifier: str) -> MoneyRequest:
    if request is None:
        raise ResourceMissing(
            "No such request for money: {identifier}", param="id", identifier=repr(identifier)
        )
    return request


def _end(
    connection: Connection, request: MoneyRequest, status: MoneyRequestStatus, *, now: datetime
) -> MoneyRequest:
    if request.status == status:
        return request
    rules.check_open(request, now=now)
    after = replace(request, status=status.value)
    store.change(connection, request.id, {"status": status.value})
    is_declined = status is MoneyRequestStatus.declined
    name = event.MONEY_REQUEST_DECLINED if is_declined else event.MONEY_REQUEST_CANCELED
    tell(connection, [after], name, now=now)
    return after
