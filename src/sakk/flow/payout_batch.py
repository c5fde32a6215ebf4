"""Payout batches: thousands of payouts in one request, and calling them off together.

All rows are committed first, in one transaction; then the ledger reserves the money of each, in
groups of as many as it takes at once, none linked to another. A crash between the two is finished
by the request when it is repeated, or by the stage of ``flow/hold.py``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core import event, payout_file
from sakk.core import payout_batch as rules
from sakk.core.errors import InvalidRequest, ParameterInvalid, PayoutDuplicate, ResourceMissing
from sakk.core.event import NewEvent
from sakk.core.payout import Initiator, Payout
from sakk.core.payout_batch import Fault, Line, OnInvalid, PayoutBatch, Total
from sakk.core.payout_file import column_of
from sakk.flow import application_fee, beneficiary, fee, quote, travel_need
from sakk.flow.book import HOLDS_MAX, Outcome
from sakk.flow.context import Parts
from sakk.flow.payout import hold_set, payout_event, read_terms, record_holds
from sakk.flow.stage import wake
from sakk.store import event as events
from sakk.store import network
from sakk.store import payout as payouts
from sakk.store import payout_batch as store
from sakk.store.failpoint import failpoint
from sakk.store.lease_length import lease_length

EVENTS_MAX = 5_000


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """What a merchant asks for. ``digest`` is that of the file that it came in, if it did.

    ``faults`` were found while the lines were read, before anything was known of them, and ``said``
    are the cells of a file's records; ``previewed`` is the digest that a preview showed. ``quote``
    is that of every line that names none.
    """

    lines: Sequence[Line]
    source: str = "json"
    digest: str | None = None
    faults: Sequence[Fault] = ()
    previewed: str | None = None
    allow_duplicates: bool = False
    description: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    on_invalid: OnInvalid = OnInvalid.refuse
    quote: str | None = None
    said: Mapping[int, dict[str, str]] = field(default_factory=dict)

    @property
    def allowed(self) -> frozenset[int]:
        """The numbers of the lines that may double another."""
        if self.allow_duplicates:
            return frozenset(line.number for line in self.lines)
        return frozenset(line.number for line in self.lines if line.allow_duplicate)


@dataclass(frozen=True, slots=True)
class Checked:
    """A request that was looked at: the payouts that it would make, and all that is wrong.

    ``digest`` is of all that can be paid, until it is decided what is; ``asked`` is one for the
    same file or lines, whatever of them is paid.
    """

    digest: str
    asked: str
    payouts: list[Payout]
    faults: list[Fault]

    def can_be_made(self, on_invalid: OnInvalid) -> bool:
        """Is anything paid, beside these faults?"""
        return bool(rules.kept(self.payouts, self.faults, on_invalid))


def read_file(
    parts: Parts, raw: bytes, *, initiator: Initiator, allow_duplicates: bool = False
) -> BatchRequest:
    """What the bytes of a CSV file ask for, with everything wrong in it."""
    with parts.database.begin() as connection:
        decimals = {each.currency: each.decimals for each in network.list_currencies(connection)}
    found = payout_file.read(raw, decimals, initiator=initiator)
    return BatchRequest(
        lines=found.lines,
        source="csv",
        digest=found.digest,
        faults=found.faults,
        allow_duplicates=allow_duplicates,
        said=found.said,
    )


def check(
    parts: Parts,
    request: BatchRequest,
    *,
    identifier: str,
    account_id: str,
    livemode: bool,
    now: datetime,
) -> Checked:
    """Look at every line, each for itself and beside the others; nothing is written."""
    lines = [_quoted(line, request.quote) for line in request.lines]
    with parts.database.begin() as connection:
        terms = read_terms(connection, account_id=account_id, livemode=livemode, now=now)
        places = beneficiary.resolve(
            connection,
            [line.request.destination for line in lines],
            account_id=account_id,
            livemode=livemode,
            now=now,
        )
        quotes = quote.named(
            connection,
            [line.request for line in lines],
            account_id=account_id,
            livemode=livemode,
        )
        made, faults = rules.drafts(
            lines,
            places,
            terms,
            batch=identifier,
            account_id=account_id,
            livemode=livemode,
            now=now,
            quotes=quotes,
        )
        taken_by = {line.number: line.request.application for line in lines}
        made = application_fee.price_payouts(
            connection, [(each, taken_by[each.line or 0]) for each in made], now=now
        )
    faults += _untellable(request, now=now)
    if request.source == "csv":
        faults = [replace(each, param=column_of(each.param)) for each in faults]
    faults = [*request.faults, *faults, *rules.doubles(made, request.allowed)]
    faults.sort(key=lambda fault: fault.line)
    asked = request.digest or rules.digest_asked(request.lines)
    return Checked(_digest(request, made), asked, made, faults)


def _quoted(line: Line, identifier: str | None) -> Line:
    if identifier is None or line.request.quote is not None:
        return line
    return replace(line, request=replace(line.request, quote=identifier))


def _digest(request: BatchRequest, made: Sequence[Payout]) -> str:
    if request.digest is None:
        return rules.digest_of(made)
    if request.quote is None:
        return request.digest
    return rules.digest_quoted(request.digest, request.quote)


def _untellable(request: BatchRequest, *, now: datetime) -> list[Fault]:
    """Lines whose beneficiary is described as nobody can be."""
    faults = []
    for line in request.lines:
        try:
            travel_need.checked(line.request.travel_rule, today=now.date())
        except InvalidRequest as error:
            faults.append(Fault.of(line.number, error))
    return faults


def preview(
    parts: Parts, request: BatchRequest, *, identifier: str, account_id: str, livemode: bool
) -> Checked:
    """What a request would make and every fault of it, also beside earlier payouts.

    Where wrong lines are left out, the payouts and the digest are those of the lines that are not.
    """
    now = parts.clock()
    checked = check(
        parts,
        request,
        identifier=identifier,
        account_id=account_id,
        livemode=livemode,
        now=now,
    )
    with parts.database.begin() as connection:
        return _decided(connection, request, checked, account_id, livemode=livemode, now=now)


def create(
    parts: Parts,
    request: BatchRequest,
    *,
    identifier: str,
    account_id: str,
    livemode: bool,
    request_id: str | None = None,
) -> tuple[PayoutBatch, list[Total]]:
    """Commit every line, reserve its money, and add up what became of them.

    Repeat it under the same identifier: what stands is not made again, what was left is finished.
    Raises what is wrong with the first wrong line (nothing is made then, and where wrong lines are
    left out it is raised when no other is there), or Unavailable when the ledger could not be
    asked: the rows stay, and their money is reserved without the caller.
    """
    with parts.database.begin() as connection:
        batch = store.find(connection, identifier, account_id=account_id, livemode=livemode)
    made = None
    if batch is None:
        now = parts.clock()
        checked = check(
            parts,
            request,
            identifier=identifier,
            account_id=account_id,
            livemode=livemode,
            now=now,
        )
        fresh = PayoutBatch(
            id=identifier,
            account_id=account_id,
            livemode=livemode,
            lines=0,
            digest=checked.digest,
            source=request.source,
            description=request.description,
            metadata=request.metadata,
            allow_duplicates=request.allow_duplicates,
            canceled_at=None,
            created=now,
            on_invalid=request.on_invalid.value,
            asked=checked.asked,
        )
        made = _insert(parts, request, checked, fresh, request_id)
    if made is None:
        with parts.database.begin() as connection:
            made = store.list_unheld(connection, identifier)
    hold_lines(parts, made)
    return view(parts, identifier, account_id=account_id, livemode=livemode)


def cancel(
    parts: Parts,
    identifier: str,
    *,
    account_id: str,
    livemode: bool,
    request_id: str | None = None,
) -> tuple[PayoutBatch, list[Total]]:
    """Call off every payout of a batch that no transaction carries yet; the others go on.

    What a crash left without a hold gets it first: only what the ledger holds is given back.
    """
    now = parts.clock()
    with parts.database.begin() as connection:
        batch = store.find(connection, identifier, account_id=account_id, livemode=livemode)
        if batch is None:
            raise ResourceMissing(
                "No such payout batch: {identifier}.", param="id", identifier=repr(identifier)
            )
        left = store.list_unheld(connection, identifier)
    hold_lines(parts, left)
    with parts.database.begin() as connection:
        canceled = store.cancel_lines(connection, identifier, now=now)
        store.mark_canceled(connection, identifier, now=now)
        _tell(
            connection,
            [payout_event(each, event.PAYOUT_CANCELED, request_id) for each in canceled],
            now=now,
        )
        after = replace(batch, canceled_at=batch.canceled_at or now)
        totals = store.totals(connection, [identifier])[identifier]
        events.append(
            connection,
            [batch_event(after, totals, event.PAYOUT_BATCH_CANCELED, request_id)],
            now=now,
        )
        wake(connection, "payout.release")
    return after, totals


def view(
    parts: Parts, identifier: str, *, account_id: str | None, livemode: bool
) -> tuple[PayoutBatch, list[Total]]:
    """A batch and what its payouts add up to now; ResourceMissing."""
    with parts.database.begin() as connection:
        batch = store.find(connection, identifier, account_id=account_id, livemode=livemode)
        if batch is None:
            raise ResourceMissing(
                "No such payout batch: {identifier}.", param="id", identifier=repr(identifier)
            )
        return batch, store.totals(connection, [identifier])[identifier]


def hold_lines(parts: Parts, made: Sequence[Payout]) -> None:
    """Reserve the money of payouts, each for itself; repeated, it changes nothing more.

    A command that runs with the database alone leaves that to the stage of ``flow/hold.py``.
    """
    if parts.ledger_books is None:
        return
    outcomes: list[Outcome] = []
    for first in range(0, len(made), HOLDS_MAX):
        failpoint("payout_batch.hold.before")
        outcomes += parts.books.post([hold_set(each) for each in made[first : first + HOLDS_MAX]])
        failpoint("payout_batch.hold.after")
    # All at once: the stages that follow would take the machine from who is still to be answered.
    with parts.database.begin() as connection:
        record_holds(connection, list(zip(made, outcomes, strict=True)), now=parts.clock())


def batch_event(
    batch: PayoutBatch, totals: Sequence[Total], name: str, request_id: str | None
) -> NewEvent:
    """An event about a batch."""
    return NewEvent(
        account_id=batch.account_id,
        livemode=batch.livemode,
        type=name,
        object_id=batch.id,
        object=rules.public(batch, totals),
        request_id=request_id,
    )


def _insert(
    parts: Parts,
    request: BatchRequest,
    checked: Checked,
    fresh: PayoutBatch,
    request_id: str | None,
) -> list[Payout] | None:
    """Commit a batch and its lines together; None when another request committed it first."""
    account_id, livemode, now = fresh.account_id, fresh.livemode, fresh.created
    with parts.database.begin() as connection:
        # Of two batches at once one is first, and the other is looked at beside it.
        store.lock_account(connection, account_id, livemode=livemode)
        if store.find(connection, fresh.id, account_id=account_id, livemode=livemode) is not None:
            return None
        decided = _decided(connection, request, checked, account_id, livemode=livemode, now=now)
        _check_confirmed(request, decided)
        left_out = rules.skipped_lines(fresh, decided.faults, request.lines, request.said)
        fresh = replace(
            fresh, lines=len(decided.payouts), digest=decided.digest, skipped=len(left_out)
        )
        store.insert(connection, fresh, left_out)
        # Their holds are this request's to make, as long as a lease lasts: two at it do it twice.
        until = None if parts.ledger_books is None else now + lease_length()
        made = travel_need.judge(
            connection, parts.vault, decided.payouts, _told(request, decided.payouts), now=now
        )
        payouts.insert_many(connection, made, lease_until=until)
        fee.count_payouts(connection, made, now=now)
        application_fee.count_payouts(connection, made, now=now)
        totals = store.totals(connection, [fresh.id])[fresh.id]
        events.append(
            connection,
            [batch_event(fresh, totals, event.PAYOUT_BATCH_CREATED, request_id)],
            now=now,
        )
        _tell(
            connection,
            [payout_event(each, event.PAYOUT_CREATED, request_id) for each in made],
            now=now,
        )
    return made


def _decided(
    connection: Connection,
    request: BatchRequest,
    checked: Checked,
    account_id: str,
    *,
    livemode: bool,
    now: datetime,
) -> Checked:
    """A request beside what the account asked for before, with the payouts that can be made.

    Of a batch that can not be made it has, as it was checked, what the lines would pay; where wrong
    lines are to be left out, none.
    """
    faults = [*checked.faults, *_repeated(connection, request, checked, account_id, livemode)]
    same = _same(connection, request, checked, account_id, livemode=livemode, now=now)
    if same is not None:
        faults.append(Fault.of(0, _said_before(same), whole=True))
    faults.sort(key=lambda fault: fault.line)
    found = replace(checked, faults=faults)
    if request.on_invalid is OnInvalid.refuse or not faults:
        return found
    kept = rules.kept(checked.payouts, faults, request.on_invalid)
    return replace(found, payouts=kept, digest=rules.digest_kept(checked.digest, kept))


def _check_confirmed(request: BatchRequest, decided: Checked) -> None:
    """What was previewed is what is made; and something is."""
    if request.previewed not in (None, decided.digest):
        raise ParameterInvalid(
            "This is not what was previewed under that digest. Preview it again.",
            param="digest",
        )
    if not decided.can_be_made(request.on_invalid):
        # Where wrong lines are left out, it is refused for what no line can be left out for.
        whole = [each for each in decided.faults if each.whole]
        faults = whole if whole and request.on_invalid is OnInvalid.skip else decided.faults
        raise rules.refusal(faults, in_file=request.source == "csv")


def _told(request: BatchRequest, made: Sequence[Payout]) -> dict[str, Mapping[str, Any]]:
    """What the lines say of their beneficiaries, by their payouts' ids."""
    said = {line.number: line.request.travel_rule for line in request.lines}
    found = {each.id: said.get(each.line or 0) for each in made}
    return {identifier: told for identifier, told in found.items() if told is not None}


def _repeated(
    connection: Connection,
    request: BatchRequest,
    checked: Checked,
    account_id: str,
    livemode: bool,
) -> list[Fault]:
    """Lines whose reference stands on an earlier payout of the account."""
    known = store.known_references(
        connection,
        account_id,
        livemode=livemode,
        references=[each.reference for each in checked.payouts if each.reference is not None],
    )
    return rules.repeated(checked.payouts, known, request.allowed)


def _same(
    connection: Connection,
    request: BatchRequest,
    checked: Checked,
    account_id: str,
    *,
    livemode: bool,
    now: datetime,
) -> str | None:
    """An earlier batch of just these lines, unless doubles are allowed."""
    if request.allow_duplicates:
        return None
    return store.find_same(
        connection,
        account_id,
        livemode=livemode,
        digest=checked.digest,
        asked=checked.asked,
        since=now - rules.REPEATED_WITHIN,
    )


def _said_before(batch: str) -> PayoutDuplicate:
    return PayoutDuplicate(
        "The batch {batch} asked for exactly this already. If it is to be paid once more, send it"
        " with allow_duplicates.",
        batch=batch,
    )


def _tell(connection: Connection, happened: Sequence[NewEvent], *, now: datetime) -> None:
    for first in range(0, len(happened), EVENTS_MAX):
        events.append(connection, happened[first : first + EVENTS_MAX], now=now)
