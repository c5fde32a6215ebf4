"""Gift cards by the thousand: paid for once, all told, and their codes handed out once."""

import csv
import io
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import credit
from tests.flow.test_gift_card import a_day, limited, of, prove, redeem

from sakk.core.errors import (
    BalanceInsufficient,
    ParameterInvalid,
    PermissionDenied,
    UnexpectedState,
)
from sakk.core.gift_card import Redeemable
from sakk.core.gift_card_batch import CARDS_MAX, GiftCardBatch, Kind
from sakk.flow import gift_card_batch as flow
from sakk.flow.gift_card import Issue, stop, substitute
from sakk.store import gift_card as cards
from sakk.store import gift_card_batch as store
from sakk.store.identity import new_id
from sakk.store.vault import KEY_BYTES, Vault

TERMS = Issue(0, "usdc", Redeemable.holder)


@pytest.fixture(autouse=True)
def vault(world: World) -> None:
    world.parts = replace(world.parts, vault=Vault(bytes(KEY_BYTES)))


def issue(world: World, *kinds: Kind, key: str | None = None) -> GiftCardBatch:
    return flow.issue(
        world.parts, flow.Batch(kinds, TERMS), identifier=key or new_id("gcb"), of=of(world)
    )


def issued(world: World) -> int:
    with world.database.begin() as connection:
        return int(connection.execute(select(func.count(cards.gift_cards.c.id))).scalar_one())


def test_thousands_are_issued_and_their_codes_handed_out_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "GROUP_MAX", 120)
    credit(world, 50)
    ann, key = world.merchant("Ann"), new_id("gcb")
    kinds = (Kind(10_000, 300), Kind(WHOLE_TOKEN, 3))
    for _ in range(2):
        batch = issue(world, *kinds, key=key)
        assert (batch.status, batch.cards, batch.rejected) == ("posted", 303, 0)
    assert (issued(world), prove(world)) == (303, 6 * WHOLE_TOKEN)
    _, file = flow.codes(world.parts, key, of=of(world))
    rows = list(csv.DictReader(io.StringIO(file)))
    assert len({row["code"] for row in rows}) == 303
    assert redeem(world, rows[0]["code"], ann).amount == 10_000
    shown = flow.proof(world.parts, key, of=of(world))
    lost = rows[1]["gift_card"]
    with world.database.begin() as connection:
        stop(connection, lost, account_id=world.account, livemode=False, now=world.clock())
    substitute(world.parts, lost, new_id=new_id("gc"), of=of(world))
    # Who takes the place of a card has a code of its own: the file is what it was.
    assert flow.codes(world.parts, key, of=of(world))[1] == file
    assert flow.proof(world.parts, key, of=of(world)) == shown
    world.advance(timedelta(minutes=11))
    with pytest.raises(UnexpectedState, match="handed out once"):
        flow.codes(world.parts, key, of=of(world))
    assert world.event_types(about=key) == ["gift_card_batch.posted"]


def test_what_may_not_be_issued_leaves_nothing(world: World) -> None:
    credit(world, 50)
    with pytest.raises(BalanceInsufficient):
        issue(world, Kind(WHOLE_TOKEN, 51))
    with pytest.raises(ParameterInvalid, match="10000"):
        issue(world, Kind(1, CARDS_MAX + 1))
    limited(world, a_day("from", "account", "10"))
    with pytest.raises(PermissionDenied):
        issue(world, Kind(WHOLE_TOKEN, 6), Kind(2 * WHOLE_TOKEN, 3))
    assert (issued(world), prove(world)) == (0, 0)
    assert issue(world, Kind(WHOLE_TOKEN, 6), Kind(2 * WHOLE_TOKEN, 2)).status == "posted"
    with pytest.raises(PermissionDenied):
        issue(world, Kind(1, 1))
    assert prove(world) == 10 * WHOLE_TOKEN


def test_a_batch_that_was_left_behind_is_finished_by_the_stage(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    credit(world, 50)
    key = new_id("gcb")
    with monkeypatch.context() as broken:
        broken.setattr(world.parts.books, "post", _gone)
        with pytest.raises(ConnectionError):
            issue(world, Kind(WHOLE_TOKEN, 4), key=key)
    with pytest.raises(UnexpectedState, match="being issued"):
        flow.codes(world.parts, key, of=of(world))
    world.advance(timedelta(minutes=1))
    assert world.run_only("gift_card.post", "gift_card_batch.post") == [0, 1]
    with world.database.begin() as connection:
        batch = store.find(connection, key, account_id=world.account, livemode=False)
    assert batch is not None
    assert (batch.status, prove(world)) == ("posted", 4 * WHOLE_TOKEN)


def _gone(*_: object) -> None:
    raise ConnectionError
