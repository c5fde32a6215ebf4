"""Gift cards by the thousand: all rows in one transaction, then what each is worth in groups.

A code follows from the vault's key and the card's id, so no file of codes is kept anywhere: it is
written when it is asked for, once.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from sakk.core import closed_loop_event as event
from sakk.core import file as files
from sakk.core import gift_card as cards
from sakk.core import gift_card_batch as rules
from sakk.core.errors import BalanceInsufficient, ResourceMissing, UnexpectedState
from sakk.core.event import NewEvent
from sakk.core.gift_card import GiftCard, GiftCardMovement, GiftCardStatus, MovementKind
from sakk.core.gift_card_batch import GiftCardBatch, Kind
from sakk.core.money import format_decimal
from sakk.flow.book import PostingSet
from sakk.flow.context import Parts
from sakk.flow.gift_card import Issue, Of, code_of, new_card, new_movement
from sakk.flow.stage import Stage
from sakk.flow.transfer import check_may_pay, judge
from sakk.store import event as events
from sakk.store import gift_card_batch as store
from sakk.store.database import fetch
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id

GROUP_MAX = 2_000
# What a file of codes is, among what the installation vouches for.
CODES_KIND: Final = "gift_card_codes"
# Of a card whose own is made of its id.
NO_CODE = "0" * cards.CODE_CHARACTERS


@dataclass(frozen=True, slots=True)
class Batch:
    """What is issued: so many of each worth, on the terms of one card."""

    kinds: Sequence[Kind]
    terms: Issue


def issue(parts: Parts, wanted: Batch, *, identifier: str, of: Of) -> GiftCardBatch:
    """Make all cards and pay for them; repeat under the same identifier.

    Raises BalanceInsufficient before anything is written, where the balance covers not all, and
    PermissionDenied where one of them may not be issued.
    """
    with parts.database.begin() as connection:
        batch = store.find(
            connection, identifier, account_id=of.account_id, livemode=of.livemode, lock=True
        )
        if batch is None:
            batch, made, movements = _drawn(parts, connection, wanted, identifier, of)
            _require_balance(parts, batch, movements)
            store.insert(connection, batch, made, movements)
    if batch.status == "requested":
        failpoint("gift_card_batch.post.before")
        _carry_out(parts, batch)
    with parts.database.begin() as connection:
        return _found(connection, identifier, of)


def codes(parts: Parts, identifier: str, *, of: Of) -> tuple[GiftCardBatch, str]:
    """The file of a batch's codes, which is handed out once."""
    now = parts.clock()
    with parts.database.begin() as connection:
        batch = store.find(
            connection, identifier, account_id=of.account_id, livemode=of.livemode, lock=True
        )
        if batch is None:
            raise _missing(identifier)
        rules.check_may_take(batch, now=now)
        store.take_codes(connection, batch.id, now=now)
        issued = store.list_issued(connection, batch.id)
        batch = _found(connection, identifier, of)
    return batch, rules.write_codes([(each, code_of(parts, each.id)) for each in issued])


def proof(parts: Parts, identifier: str, *, of: Of) -> dict[str, Any]:
    """What the installation signs of a batch's file of codes, once that was handed out.

    It tells no code: whoever is given the file holds it against this (`sakk.client.file_proof`).
    """
    with parts.database.read() as connection:
        batch = _found(connection, identifier, of)
        issued = store.list_issued(connection, batch.id)
    if batch.codes_taken_at is None:
        raise UnexpectedState("The codes were not handed out yet: there is no file to vouch for.")
    content = rules.write_codes([(each, code_of(parts, each.id)) for each in issued]).encode()
    vault = parts.secrets_vault()
    digest = hashlib.sha256(content).digest()
    words = files.words(
        batch.id,
        batch.account_id,
        CODES_KIND,
        size=len(content),
        created=batch.codes_taken_at,
        sha256=digest,
    )
    return {
        "id": batch.id,
        "object": "file",
        "account": batch.account_id,
        "authority": vault.authority_key().hex(),
        "created": int(batch.codes_taken_at.timestamp()),
        "filename": rules.file_name(batch),
        "kind": CODES_KIND,
        "rows": len(issued),
        "sha256": digest.hex(),
        "signature": vault.sign(words).hex(),
        "size": len(content),
    }


def left_behind_stage(parts: Parts) -> Stage:
    """The stage that finishes batches whose request did not live to see the end."""

    def run() -> int:
        with parts.database.begin() as connection:
            rows = fetch(connection, store.left_behind, now=parts.clock())
        for row in rows:
            _carry_out(parts, row)
        return len(rows)

    return Stage("gift_card_batch.post", run, idle_seconds=5.0, due=(store.left_behind,))


def _drawn(
    parts: Parts, connection: Connection, wanted: Batch, identifier: str, of: Of
) -> tuple[GiftCardBatch, list[GiftCard], list[GiftCardMovement]]:
    now = parts.clock()
    count, total = rules.check_kinds(wanted.kinds)
    check_may_pay(connection, of.account_id, livemode=of.livemode)
    made: list[GiftCard] = []
    movements: list[GiftCardMovement] = []
    for kind in wanted.kinds:
        first = len(made)
        blank = new_card(
            connection, replace(wanted.terms, amount=kind.amount), "", of, NO_CODE, now=now
        )
        for _ in range(kind.count):
            code_for = new_id(cards.PREFIX)
            code = code_of(parts, code_for)
            card = replace(
                blank,
                id=code_for,
                code_hash=cards.hash_code(code),
                hint=cards.hint_of(code),
                batch=identifier,
            )
            move = replace(of, movement_id=new_id(cards.MOVEMENT_PREFIX))
            movement = new_movement(card, MovementKind.issue, card.amount, move, now=now)
            made.append(card)
            movements.append(replace(movement, batch=identifier))
        # All of one worth are judged one after another; the next kind with what these add up to.
        facts = cards.facts_of(made[first], movements[first])
        before = sum(each.amount for each in made[:first])
        judge(
            parts,
            connection,
            facts,
            livemode=of.livemode,
            counted_before=-before,
            times=kind.count,
        )
    batch = GiftCardBatch(
        id=identifier,
        account_id=of.account_id,
        livemode=of.livemode,
        cards=count,
        rejected=0,
        amount=total,
        currency=wanted.terms.currency,
        decimals=made[0].decimals,
        active=wanted.terms.active,
        status="requested",
        codes_taken_at=None,
        metadata=wanted.terms.metadata or {},
        created=now,
    )
    return batch, made, movements


def _require_balance(
    parts: Parts, batch: GiftCardBatch, movements: Sequence[GiftCardMovement]
) -> None:
    [available] = parts.books.balances([cards.postings(movements[0])[0].debit])
    if available < batch.amount:
        needed = format_decimal(batch.amount, batch.decimals)
        raise BalanceInsufficient(
            "The available balance does not cover {needed} {currency}.",
            param="cards",
            needed=needed,
            currency=batch.currency,
        )


def _carry_out(parts: Parts, batch: GiftCardBatch) -> None:
    """Pay for what is not paid yet, a group at a time; the same postings, if repeated."""
    status = GiftCardStatus.active if batch.active else GiftCardStatus.inactive
    while True:
        with parts.database.begin() as connection:
            group = store.list_requested(connection, batch.id, limit=GROUP_MAX)
        if not group:
            break
        outcomes = parts.books.post(
            [PostingSet(each.id, "move", 0, cards.postings(each)) for each in group]
        )
        failpoint("gift_card_batch.post.after")
        booked = [row.id for row, said in zip(group, outcomes, strict=True) if said.booked]
        refused = [row.id for row, said in zip(group, outcomes, strict=True) if not said.booked]
        with parts.database.begin() as connection:
            store.finish(
                connection, booked, status="posted", card_status=status.value, failure_code=None
            )
            store.finish(
                connection,
                refused,
                status="rejected",
                card_status=GiftCardStatus.rejected.value,
                failure_code=BalanceInsufficient.code,
            )
    with parts.database.begin() as connection:
        if store.close(connection, batch.id):
            done = store.find(
                connection, batch.id, account_id=batch.account_id, livemode=batch.livemode
            )
            assert done is not None
            _tell(connection, done, now=parts.clock())


def _found(connection: Connection, identifier: str, of: Of) -> GiftCardBatch:
    found = store.find(connection, identifier, account_id=of.account_id, livemode=of.livemode)
    if found is None:
        raise _missing(identifier)
    return found


def _missing(identifier: str) -> ResourceMissing:
    return ResourceMissing(
        "No such batch of gift cards: {identifier}", param="id", identifier=repr(identifier)
    )


def _tell(connection: Connection, batch: GiftCardBatch, *, now: datetime) -> None:
    told = NewEvent(
        account_id=batch.account_id,
        livemode=batch.livemode,
        type=event.GIFT_CARD_BATCH_POSTED,
        object_id=batch.id,
        object=rules.public(batch),
    )
    events.append(connection, [told], now=now)
