"""What nobody redeems stays owed until two persons say otherwise, where the law lets them."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import credit
from tests.flow.test_gift_card import issued, of, prove

from sakk.core.errors import ApprovalStale, PermissionDenied, ResourceMissing, SamePerson
from sakk.core.gift_card_breakage import Breakage, digest_of
from sakk.core.person import Actor, Person
from sakk.flow import gift_card as cards
from sakk.flow import gift_card_breakage as flow
from sakk.flow import officer
from sakk.flow.word import Word
from sakk.store import gift_card_breakage as store
from sakk.store import person as persons
from sakk.store.identity import new_id
from sakk.store.vault import KEY_BYTES, Vault


@pytest.fixture(autouse=True)
def vault(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.parts = replace(world.parts, vault=Vault(bytes(KEY_BYTES)))
    # Codes of devices have tests of their own.
    monkeypatch.setattr(officer, "check", lambda *_, **__: None)


def person(world: World, *roles: str) -> Actor:
    made = Person(
        id=new_id("per"),
        livemode=False,
        name="Ann",
        email=f"{new_id('x')}@example.com",
        roles=sorted(roles),
        state="active",
        proposal=None,
        public_key=None,
        totp_secret=None,
        totp_confirmed=False,
        totp_step=0,
        totp_failures=0,
        totp_locked_until=None,
        proposed_by=None,
        approved_by=None,
        created=world.clock(),
    )
    with world.database.begin() as connection:
        persons.insert(connection, made)
    return Actor("key_1", made.id)


def confirm(world: World, proposal: Breakage, by: Actor, digest: str | None = None) -> Breakage:
    word = Word(by, digest=digest or digest_of(proposal))
    return flow.confirm(world.parts, proposal.id, word, livemode=False)


def test_two_persons_say_so_and_what_is_left_goes_back(world: World) -> None:
    credit(world, 50)
    year = world.clock().year
    wanted = cards.Issue(
        5 * WHOLE_TOKEN,
        "usdc",
        country="DE",
        expires_at=datetime(year + 4, 1, 1, tzinfo=UTC),
    )
    cards.issue(world.parts, wanted, identifier=new_id("gc"), of=of(world))
    issued(world, 5)
    ann, bob = person(world, "finance"), person(world, "admin")
    with pytest.raises(PermissionDenied):
        flow.propose(world.parts, "DE", 30, None, actor=person(world, "viewer"), livemode=False)
    asked = flow.propose(world.parts, "DE", 30, "by our terms", actor=ann, livemode=False)
    with pytest.raises(SamePerson):
        confirm(world, asked, ann)
    with pytest.raises(ApprovalStale):
        confirm(world, asked, bob, "0" * 64)
    world.clock.advance(datetime(year + 4, 1, 20, tzinfo=UTC) - world.clock())
    assert world.run_only("gift_card.lapse") == [0]
    assert confirm(world, asked, bob).state == "active"
    with pytest.raises(ResourceMissing):
        confirm(world, asked, bob)
    assert world.run_only("gift_card.lapse") == [0]
    world.clock.advance(timedelta(days=12))
    assert world.run_only("gift_card.lapse", "gift_card.lapse") == [1, 0]
    world.clock.advance(timedelta(minutes=1))
    world.run_only("gift_card.post")
    # The card that never expires is owed as it was.
    assert (world.balance(), prove(world)) == (45 * WHOLE_TOKEN, 5 * WHOLE_TOKEN)
    flow.stop(world.parts, "DE", actor=ann, livemode=False)
    with pytest.raises(ResourceMissing):
        flow.stop(world.parts, "DE", actor=ann, livemode=False)
    # Whoever confirms waits for a country with no row in hand: no two wait for each other.
    asked = flow.propose(world.parts, "DE", 30, None, actor=ann, livemode=False)
    with ThreadPoolExecutor(1) as pool:
        with world.database.begin() as other:
            store.lock_country(other, "DE")
            waiting = pool.submit(confirm, world, asked, bob)
            while not other.execute(text(WAITS)).scalar_one():
                pass
            held = store.gift_card_breakages
            other.execute(select(held).where(held.c.id == asked.id).with_for_update(nowait=True))
        assert waiting.result().state == "active"


WAITS = (
    "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
    " WHERE d.datname = current_database() AND l.locktype = 'advisory' AND NOT l.granted"
)
