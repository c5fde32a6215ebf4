"""Answers kept under idempotency keys are dropped once their time is over, and not before."""

from datetime import timedelta

from sqlalchemy import func, select

from sakk.core.idempotency import KEEP_HOURS
from sakk.flow.context import Parts
from sakk.flow.forget import forget_stage
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
