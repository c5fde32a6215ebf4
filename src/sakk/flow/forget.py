"""Forget: what was kept for a time only is removed when the time is over."""

from typing import Final

from sakk.core.idempotency import expired_before
from sakk.core.provider_notice import AHEAD, WINDOW_MAX
from sakk.core.rate_source import OLD_MAX
from sakk.core.request_log import KEEP, excess
from sakk.core.sign_in import KEPT_FOR, TRIES_KEPT_FOR
from sakk.core.travel_rule import RETENTION
from sakk.flow.context import Parts
from sakk.flow.report import forget as forget_reports
from sakk.flow.stage import Stage
from sakk.store import (
    gift_card,
    idempotency,
    provider_notice,
    rate,
    request_log,
    sign_in,
    travel_rule,
    x402_payment,
)

IDLE_SECONDS = 60.0
RECORDS_MAX: Final = 1_000
TRIES_MAX: Final = 10_000
REQUESTS_MAX: Final = 10_000
OBSERVATIONS_MAX: Final = 10_000


def forget_stage(parts: Parts) -> Stage:
    """The stage that drops what is older than it may be.

    Answers under idempotency keys, payments that were verified and never settled, the log of
    requests, sign-ins of long ago with the tries of them, wrong codes of gift cards, files of
    reports, what sources said of rates, notices of providers that are too old to be told again,
    and the data of Travel Rule records that no legal hold keeps.
    """

    def run() -> int:
        with parts.database.begin() as connection:
            now = parts.clock()
            answers = idempotency.purge(connection, before=expired_before(now))
            before = now - RETENTION
            answers += x402_payment.forget_reserved(connection, now=now)
            answers += request_log.forget(
                connection,
                before=now - KEEP,
                excess=excess(request_log.count_about(connection)),
                limit=REQUESTS_MAX,
            )
            answers += sign_in.forget(
                connection, begun_before=now - KEPT_FOR, tried_before=now - TRIES_KEPT_FOR, now=now
            )
            answers += gift_card.forget_tries(connection, now=now, limit=TRIES_MAX)
            answers += forget_reports(connection, now=now, limit=RECORDS_MAX)
            answers += provider_notice.forget(
                connection, before=now - WINDOW_MAX - 2 * AHEAD, limit=RECORDS_MAX
            )
            answers += rate.forget(connection, before=now - OLD_MAX, limit=OBSERVATIONS_MAX)
            return answers + travel_rule.forget(connection, before=before, limit=RECORDS_MAX)

    return Stage("forget", run, idle_seconds=IDLE_SECONDS, gives_way=True)
