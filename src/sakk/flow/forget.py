"""Forget: what was kept for a time only is removed when the time is over."""

from sakk.core.idempotency import expired_before
from sakk.flow.context import Parts
from sakk.flow.stage import Stage
from sakk.store import idempotency

IDLE_SECONDS = 60.0


def forget_stage(parts: Parts) -> Stage:
    """The stage that drops answers kept under idempotency keys longer than promised."""

    def run() -> int:
        with parts.database.begin() as connection:
            return idempotency.purge(connection, before=expired_before(parts.clock()))

    return Stage("forget", run, idle_seconds=IDLE_SECONDS)
