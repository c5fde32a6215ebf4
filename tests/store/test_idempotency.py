"""The rows of idempotency keys, between transactions that overlap."""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import func, select

from sakk.core.idempotency import Key, Record, State, expired_before, lease_until
from sakk.store import idempotency as store
from sakk.store.database import Database
from sakk.store.identity import now

KEY = Key("acct_1", False, "k")


def record(state: State = State.finished, *, request_id: str = "req_1") -> Record:
    finished = state is State.finished
    return Record(
        fingerprint=b"\x01" * 32,
        state=state,
        seed=(1 << 127) + 7,
        lease_until=None if finished else lease_until(now()),
        request_id=request_id,
        status=200 if finished else None,
        body=b'{"a":"\xc3\xa9"}' if finished else None,
    )


def test_an_answer_comes_back_as_it_was(database: Database) -> None:
    with database.begin() as connection:
        assert store.look(connection, KEY) == (True, None)
        assert store.insert_finished(connection, KEY, record(), now=now())
    with database.begin() as connection:
        assert store.look(connection, KEY) == (True, record())
        assert store.find(connection, KEY) == record()


def test_the_lock_is_held_until_the_transaction_ends(database: Database) -> None:
    with database.begin() as first:
        assert store.look(first, KEY)[0]
        with database.begin() as second:
            assert not store.look(second, KEY)[0]
            assert store.look(second, replace(KEY, livemode=True))[0]
            assert store.look(second, replace(KEY, account_id="acct_2"))[0]
            assert store.look(second, replace(KEY, key="other"))[0]
    with database.begin() as third:
        assert store.look(third, KEY)[0]


def test_the_first_answer_stays(database: Database) -> None:
    with database.begin() as connection:
        assert store.insert_finished(connection, KEY, record(), now=now())
        late = record(request_id="req_2")
        assert not store.insert_finished(connection, KEY, late, now=now())
        assert store.find(connection, KEY) == record()


def test_a_claim_is_taken_over_when_its_lease_is_over(database: Database) -> None:
    started = record(State.started)
    again = replace(record(State.started, request_id="req_2"), seed=5)
    moment = now()
    with database.begin() as connection:
        assert store.claim(connection, KEY, started, now=moment) == (started.seed, False)
        assert store.claim(connection, KEY, again, now=moment) is None
        later = moment + timedelta(minutes=1)
        other = replace(again, fingerprint=b"\x02" * 32)
        assert store.claim(connection, KEY, other, now=later) is None
        assert store.claim(connection, KEY, again, now=later) == (started.seed, True)


def test_a_released_claim_is_taken_over_at_once(database: Database) -> None:
    moment = now()
    with database.begin() as connection:
        store.claim(connection, KEY, record(State.started), now=moment)
        store.release(connection, KEY, now=moment)
        again = record(State.started, request_id="req_2")
        assert store.claim(connection, KEY, again, now=moment) is not None


def test_a_claim_is_finished_once(database: Database) -> None:
    with database.begin() as connection:
        store.claim(connection, KEY, record(State.started), now=now())
        assert store.finish(connection, KEY, status=200, body=b"first")
        assert not store.finish(connection, KEY, status=500, body=b"second")
        found = store.find(connection, KEY)
        assert found is not None
        assert (found.state, found.status, found.body) == (State.finished, 200, b"first")
        late = now() + timedelta(hours=1)
        assert store.claim(connection, KEY, record(State.started), now=late) is None


def test_old_answers_are_forgotten(database: Database) -> None:
    moment = now()
    with database.begin() as connection:
        for age_hours in (0, 23, 26, 48):
            store.insert_finished(
                connection,
                replace(KEY, key=str(age_hours)),
                record(),
                now=moment - timedelta(hours=age_hours),
            )
        assert store.purge(connection, before=expired_before(moment)) == 2
        left = select(func.array_agg(store.idempotency_keys.c.key))
        assert sorted(connection.execute(left).scalar_one()) == ["0", "23"]
