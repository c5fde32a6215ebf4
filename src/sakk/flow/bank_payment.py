"""Order: approved payouts to banks become orders, in a file whose bytes are committed at once.

A file is made for one of the operator's accounts at a time, under its row's lock. What a bank says
of a file (pain.002) is written down here too.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from hashlib import sha256
from zoneinfo import ZoneInfo

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Text,
    bindparam,
    exists,
    select,
)

from sakk.core import bank_payment as rules
from sakk.core import event
from sakk.core import provider_order as provider_rules
from sakk.core.bank_account import (
    Adapter,
    BankAccount,
    batch_due,
    execution_date,
    read_terms,
)
from sakk.core.bank_file import BankFile, FileKind, FileStatus, Way
from sakk.core.bank_payment import BankPayment, BankPaymentStatus, StatusWord
from sakk.core.calendar import business_days
from sakk.core.event import NewEvent
from sakk.core.payout import BANK, HoldStatus, Payout, PayoutStatus
from sakk.core.provider_order import ProviderOrder, ProviderOrderStatus
from sakk.flow.bank_account import pays
from sakk.flow.context import Parts
from sakk.flow.payout import payout_event
from sakk.flow.stage import REST_SECONDS, Stage, wake
from sakk.rails.bank.pain001 import Initiation, Order, Party, write_pain001
from sakk.rails.bank.reader import StatusReport
from sakk.store import bank_account as bank_accounts
from sakk.store import bank_file as bank_files
from sakk.store import bank_payment as store
from sakk.store import bank_return as bank_returns
from sakk.store import event as events
from sakk.store import freeze as freezes
from sakk.store import payout as payouts
from sakk.store import provider_order as provider_orders
from sakk.store.database import among, fetch, fetch_all, query, update_records
from sakk.store.identity import new_id
from sakk.store.lease import NOW, is_free

# Banks take files of so many orders; what is more goes in the next one.
ORDERS_MAX = 5_000


class ReportRefused(Exception):
    """A status report that is about nothing of ours; with why."""


_table = payouts.payouts
_due = query(
    select(_table)
    .where(
        _table.c.network == BANK,
        _table.c.currency == bindparam("currency", type_=Text),
        _table.c.livemode == bindparam("livemode", type_=Boolean),
        _table.c.status == PayoutStatus.approved.value,
        _table.c.hold == HoldStatus.held.value,
        freezes.payout_may_go(),
        payouts.is_due(),
        is_free(_table, NOW),
    )
    .order_by(_table.c.id)
    .limit(ORDERS_MAX)
    .with_for_update(skip_locked=True, of=_table),
    Payout,
)


def order_stage(parts: Parts) -> Stage:
    """The stage that writes files of orders, when a file is due."""

    def run() -> int:
        now = parts.clock()
        ordered = 0
        with parts.database.read() as connection:
            own = bank_accounts.list_approved(connection)
        for account in own:
            with parts.database.begin() as connection:
                # One file of an account is made at a time, by whichever worker.
                locked = bank_accounts.lock_one(connection, account.id)
                assert locked is not None
                if locked.deleted:
                    continue
                ordered += _order(connection, locked, now=now)
        return ordered

    return Stage("bank.order", run, rest_seconds=REST_SECONDS, idle_seconds=2.0)


def _order(connection: Connection, account: BankAccount, *, now: datetime) -> int:
    # Of its currency and mode alone: what another account waits for keeps nothing of this one back.
    found = fetch(connection, _due, now=now, currency=account.currency, livemode=account.livemode)
    places = bank_accounts.list_by_ids(connection, [row.destination for row in found])
    rows = [row for row in found if pays(account, places[row.destination])]
    if not rows:
        return 0
    assert account.terms is not None
    terms = read_terms(account.terms)
    if not batch_due(terms, min(row.decided_at or row.created for row in rows), now):
        return 0
    provider = terms.provider if terms.adapter is Adapter.provider else None
    file = new_id("bf")
    day = execution_date(terms, now, business_days(terms.calendar))
    orders = [
        rules.order_for(
            row,
            identifier=new_id(rules.PREFIX),
            bank_account=account.id,
            file=file if provider is None else new_id(provider_rules.PREFIX),
            number=number if provider is None else 1,
            execution_date=day,
            now=now,
        )
        for number, row in enumerate(rows, start=1)
    ]
    if provider is None:
        _write(connection, account, file, orders, rows, places, now=now)
    else:
        provider_orders.insert_many(connection, [_provided(each, provider) for each in orders])
        wake(connection, "bank.provider")
    store.insert_many(connection, orders)
    _move(connection, rows, PayoutStatus.signed, event.PAYOUT_SIGNED, now=now)
    return len(rows)


def _provided(order: BankPayment, provider: str) -> ProviderOrder:
    """The order of a provider that carries a payment out; its id stands where a file's would."""
    return ProviderOrder(
        id=order.file,
        account_id=order.account_id,
        livemode=order.livemode,
        payout=order.payout,
        payment=order.id,
        bank_account=order.bank_account,
        provider=provider,
        units=order.units,
        fee_units=0,
        currency=order.currency,
        decimals=order.decimals,
        status=ProviderOrderStatus.new.value,
        created=order.created,
    )


def _write(
    connection: Connection,
    account: BankAccount,
    file: str,
    orders: Sequence[BankPayment],
    rows: Sequence[Payout],
    places: dict[str, BankAccount],
    *,
    now: datetime,
) -> None:
    """The file of these orders, its bytes with it."""
    written = [
        Order(
            end_to_end_id=order.end_to_end_id,
            units=order.units,
            payee=party_of(places[order.destination]),
            remittance=remittance_of(row),
        )
        for order, row in zip(orders, rows, strict=True)
    ]
    write_orders(
        connection, account, file, written, execution_date=orders[0].execution_date, now=now
    )


def write_orders(
    connection: Connection,
    account: BankAccount,
    file: str,
    orders: Sequence[Order],
    *,
    execution_date: date,
    now: datetime,
) -> None:
    """A file of orders of the id ``file``, to be put out to an account's bank."""
    assert account.terms is not None
    message = rules.compact(file)
    initiation = Initiation(
        message_id=message,
        batch_id=f"{message}-1",
        created=now,
        debtor=party_of(account),
        currency=account.currency,
        decimals=account.decimals,
        execution_date=execution_date,
        orders=orders,
    )
    content = write_pain001(initiation, read_terms(account.terms))
    row = BankFile(
        id=file,
        livemode=account.livemode,
        bank_account=account.id,
        way=Way.outgoing.value,
        kind=FileKind.orders.value,
        name=f"{message}.xml",
        sha256=sha256(content).hexdigest(),
        size=len(content),
        status=FileStatus.ready.value,
        created=now,
    )
    bank_files.insert(connection, row, content)
    wake(connection, "bank.send")


def remittance_of(payout: Payout) -> str | None:
    """What the payee reads with it."""
    return payout.description or payout.reference


def party_of(account: BankAccount) -> Party:
    """An account as files name it."""
    return Party(
        name=account.holder,
        country=account.country,
        iban=account.iban,
        bic=account.bic,
        number=account.number,
        bank_code=account.bank_code,
    )


def sent(connection: Connection, file: str, *, now: datetime) -> None:
    """A file of orders was put out: so were its payouts."""
    names = [each.end_to_end_id for each in store.of_file(connection, file)]
    # Locked: what the bank says of one at this moment is not written over.
    orders = store.lock_named(connection, names).values()
    still = [each for each in orders if each.status == BankPaymentStatus.ordered]
    update_records(
        connection,
        store.bank_payments,
        [{"id": each.id, "status": BankPaymentStatus.sent.value} for each in still],
    )
    rows = [payouts.lock_one(connection, each.payout) for each in still]
    going = [row for row in rows if row is not None and row.status == PayoutStatus.signed]
    _move(connection, going, PayoutStatus.broadcast, event.PAYOUT_BROADCAST, now=now)


def priced(connection: Connection, identifier: str, *, fee_units: int) -> bool:
    """A provider may have a payment from now on, and takes so much for it: the line of its
    statement may be here before its answer. False where that is so already."""
    change = {
        "id": identifier,
        "status": BankPaymentStatus.ordered.value,
        "fee_units": fee_units,
    }
    return bool(update_records(connection, store.bank_payments, [change], "status"))


def carried(connection: Connection, identifier: str, *, fee_units: int, now: datetime) -> None:
    """A provider has a payment, and takes so much for it: its payout is on its way.

    What its statement has booked is past that, whatever it says of the fee.
    """
    [found] = store.list_by_ids(connection, [identifier]).values()
    [order] = store.lock_named(connection, [found.end_to_end_id]).values()
    if order.status not in rules.UNDER_WAY:
        return
    is_new = order.status == BankPaymentStatus.ordered
    change = {
        "id": order.id,
        "status": BankPaymentStatus.sent.value if is_new else order.status,
        "fee_units": fee_units,
    }
    update_records(connection, store.bank_payments, [change])
    if not is_new:
        return
    row = payouts.lock_one(connection, order.payout)
    if row is not None and row.status == PayoutStatus.signed:
        _move(connection, [row], PayoutStatus.broadcast, event.PAYOUT_BROADCAST, now=now)


def refused(
    connection: Connection,
    identifier: str,
    *,
    code: str | None,
    reason: str | None,
    now: datetime,
) -> None:
    """A provider does not carry a payment out: its payout has failed, and its money is back."""
    [found] = store.list_by_ids(connection, [identifier]).values()
    [order] = store.lock_named(connection, [found.end_to_end_id]).values()
    after = rules.told(order, StatusWord.rejected, now=now)
    if after is order:
        return
    after = replace(after, reason_code=code, reason=reason, fee_units=0)
    fields = ("id", "status", "fee_units", "reason_code", "reason", "ended_at")
    update_records(
        connection, store.bank_payments, [{name: getattr(after, name) for name in fields}]
    )
    _fail(connection, [after], now=now)


def has_order(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Has a file an order whose payout is so? For the condition of a claim of files."""
    orders = store.bank_payments.c
    return exists(
        select(_table.c.id).where(
            orders.file == bank_files.bank_files.c.id, orders.payout == _table.c.id, *conditions
        )
    )


# What may be put out: where it was tried before, only if nothing stops any of it, since the bank
# may have it; else as far as nothing does.
may_be_sent = bank_returns.file_may_go() & (
    (bank_files.bank_files.c.tried_at.is_(None) & has_order(freezes.payout_may_go()))
    | ~has_order(~freezes.payout_may_go())
)


def made_again(connection: Connection, file: BankFile, *, now: datetime) -> bool:
    """Was a file that was never tried withdrawn, and are its orders in others?

    So it is where a freeze stops some of them: the others go without, and those wait in a file of
    their own. And where the day passed on which the bank should have carried it out.
    """
    orders = store.of_file(connection, file.id)
    is_new = file.tried_at is None and all(
        each.status == BankPaymentStatus.ordered for each in orders
    )
    if not is_new or not orders:
        return False
    account = bank_accounts.lock_one(connection, file.bank_account or "")
    assert account is not None
    assert account.terms is not None
    terms = read_terms(account.terms)
    statement = select(_table).where(among(_table.c.id, [each.payout for each in orders]))
    rows = {row.id: row for row in fetch_all(connection, statement, Payout)}
    going = select(_table.c.id).where(among(_table.c.id, list(rows)), freezes.payout_may_go())
    free = set(connection.execute(going).scalars())
    stopped = [each for each in orders if each.payout not in free]
    today = now.astimezone(ZoneInfo(terms.timezone)).date()
    if not stopped and orders[0].execution_date >= today:
        return False
    places = bank_accounts.list_by_ids(connection, [each.destination for each in orders])
    day = execution_date(terms, now, business_days(terms.calendar))
    for group in ([each for each in orders if each.payout in free], stopped):
        name = new_id("bf")
        moved = [
            replace(each, file=name, number=number, execution_date=day)
            for number, each in enumerate(group, start=1)
        ]
        if moved:
            _write(
                connection,
                account,
                name,
                moved,
                [rows[each.payout] for each in moved],
                places,
                now=now,
            )
        fields = ("id", "file", "number", "execution_date")
        update_records(
            connection,
            store.bank_payments,
            [{field: getattr(each, field) for field in fields} for each in moved],
        )
    return True


def is_answered(connection: Connection, file: str) -> bool:
    """Has the bank spoken of an order of a file? Then it has the file."""
    orders = store.of_file(connection, file)
    return any(each.status != BankPaymentStatus.ordered for each in orders)


def file_of(
    connection: Connection, told: StatusReport, *, place: str | None, livemode: bool
) -> str:
    """Of which of our files a report speaks; ReportRefused where it is none, or not its to tell.

    ``place``: of which account it came; a bank speaks of what it was sent alone.
    """
    file = rules.expand(told.message_id, "bf")
    row = None if file is None else bank_files.find(connection, file, livemode=livemode)
    if row is None or row.way != Way.outgoing:
        raise ReportRefused(f"it is about {told.message_id[:40]!r}, which is no file of ours")
    if row.status == FileStatus.withdrawn:
        raise ReportRefused(f"it is about {row.id}, which was never sent")
    if place not in (None, row.bank_account):
        raise ReportRefused(f"it is about {row.id}, and came from the place of {place}")
    return row.id


def report(connection: Connection, told: StatusReport, *, file: str, now: datetime) -> None:
    """Write down what a bank says of the payouts of a file."""
    orders = store.of_file(connection, file)
    locked = store.lock_named(connection, [each.end_to_end_id for each in orders])
    words = {each.end_to_end_id.upper(): each for each in told.payments}
    rejected: list[BankPayment] = []
    changed: list[BankPayment] = []
    for name, before in locked.items():
        said = words.get(name)
        if said is not None:
            word, code, reason = rules.word_of(said.code), said.reason_code, said.reason
        else:
            word, code, reason = rules.word_of(told.code or ""), told.reason_code, told.reason
        after = rules.told(before, word, now=now)
        if after is before:
            continue
        if word is StatusWord.rejected:
            after = replace(after, reason_code=code, reason=reason)
            rejected.append(after)
        changed.append(after)
    fields = ("id", "status", "reason_code", "reason", "ended_at")
    update_records(
        connection,
        store.bank_payments,
        [{name: getattr(each, name) for name in fields} for each in changed],
    )
    _fail(connection, rejected, now=now)


def _fail(connection: Connection, rejected: Sequence[BankPayment], *, now: datetime) -> None:
    """The bank refused these: their money is back as soon as the hold is released."""
    failed: list[Payout] = []
    for each in rejected:
        row = payouts.lock_one(connection, each.payout)
        if row is None or row.status not in (PayoutStatus.signed, PayoutStatus.broadcast):
            continue
        failed.append(
            replace(
                row,
                status=PayoutStatus.failed.value,
                failure_code="bank_rejected",
                failure_message=rules.reason_words(each.reason_code, each.reason),
            )
        )
    fields = ("id", "status", "failure_code", "failure_message")
    changes = [{name: getattr(row, name) for name in fields} for row in failed]
    update_records(connection, _table, changes)
    happened = [payout_event(row, event.PAYOUT_FAILED) for row in failed]
    events.append(connection, happened, now=now)
    if failed:
        wake(connection, "payout.release", "settlement.follow")


def _move(
    connection: Connection,
    rows: Sequence[Payout],
    status: PayoutStatus,
    name: str,
    *,
    now: datetime,
) -> None:
    moved = [replace(row, status=status.value) for row in rows]
    changes = [{"id": row.id, "status": row.status} for row in moved]
    update_records(connection, _table, changes)
    happened: list[NewEvent] = [payout_event(row, name) for row in moved]
    events.append(connection, happened, now=now)
