"""What is kept for a time is dropped once that is over, and not before."""

from datetime import timedelta

from sqlalchemy import func, select

from sakk.core.gift_card import WRONG_WINDOW_SECONDS
from sakk.core.idempotency import KEEP_HOURS
from sakk.core.rate import Observation
from sakk.core.rate_source import OLD_MAX
from sakk.core.sign_in import KEPT_FOR, SignIn, SignInMethod, token_hash
from sakk.flow.context import Parts
from sakk.flow.forget import forget_stage
from sakk.store import gift_card
from sakk.store import rate as rates
from sakk.store import sign_in as store
from sakk.store.database import Database
from sakk.store.idempotency import idempotency_keys
from sakk.store.identity import now


def test_only_what_is_old_enough_is_forgotten(database: Database) -> None:
    ages = {"old": KEEP_HOURS + 1, "young": KEEP_HOURS - 1}
    with database.begin() as connection:
        for key, hours in ages.items():
            connection.execute(
                idempotency_keys.insert().values(
                    account_id="acct_a",
                    livemode=False,
                    key=key,
                    fingerprint=b"f",
                    state="finished",
                    seed=1,
                    request_id="req_a",
                    status=200,
                    body=b"{}",
                    created=now() - timedelta(hours=hours),
                )
            )
    stage = forget_stage(Parts(database))
    assert stage.run() == 1
    assert stage.run() == 0
    with database.begin() as connection:
        assert list(connection.execute(select(idempotency_keys.c.key)).scalars()) == ["young"]
        assert connection.execute(select(func.count()).select_from(idempotency_keys)).scalar() == 1


def test_wrong_codes_that_count_no_more_go(database: Database) -> None:
    with database.begin() as connection:
        for who, age in (("old", WRONG_WINDOW_SECONDS), ("young", WRONG_WINDOW_SECONDS - 60)):
            gift_card.count_wrong(connection, who, now=now() - timedelta(seconds=age))
    stage = forget_stage(Parts(database))
    assert (stage.run(), stage.run()) == (1, 0)
    with database.begin() as connection:
        left = connection.execute(select(gift_card.gift_card_tries.c.account_id)).scalars()
        assert list(left) == ["young"]


def test_what_sources_said_goes_when_none_may_be_believed_so_long(database: Database) -> None:
    at = now()
    ages = [timedelta(0), OLD_MAX - timedelta(hours=1), OLD_MAX, OLD_MAX + timedelta(days=9)]
    said = [
        Observation(source, "usdc", quote, 1, 1, at - age, at - age)
        # Also of a source that nobody asks any more.
        for source in ("desk", "gone")
        for quote in ("eur", "usd")
        for age in ages
    ]
    with database.begin() as connection:
        rates.insert_observations(connection, said)
    stage = forget_stage(Parts(database))
    assert (stage.run(), stage.run()) == (8, 0)
    with database.begin() as connection:
        for quote in ("eur", "usd"):
            left = rates.list_observations(
                connection, base="usdc", quote=quote, since=at - 2 * OLD_MAX, limit=99
            )
            assert [(each.source, each.at) for each in left] == [
                (source, at - age) for age in ages[:2] for source in ("desk", "gone")
            ]
        # A few at a time, and none is passed over.
        assert [rates.forget(connection, before=at, limit=3) for _ in range(3)] == [3, 1, 0]


def test_a_sign_in_is_shown_for_a_while_after_it_ended(database: Database) -> None:
    ages = {"old": KEPT_FOR + timedelta(days=1), "young": KEPT_FOR - timedelta(days=1)}
    with database.begin() as connection:
        for token, age in ages.items():
            begun = now() - age
            store.insert(
                connection,
                SignIn(
                    id=f"sgn_{token}",
                    person="per_a",
                    livemode=False,
                    token_hash=token_hash(token),
                    method=SignInMethod.passkey,
                    user_agent="",
                    address=None,
                    account_id=None,
                    created=begun,
                    seen_at=begun,
                    expires_at=begun + timedelta(hours=1),
                ),
            )
    stage = forget_stage(Parts(database))
    assert (stage.run(), stage.run()) == (1, 0)
    with database.begin() as connection:
        kept = [store.by_token(connection, token_hash(token)) for token in ages]
    assert [each and each.id for each in kept] == [None, "sgn_young"]
