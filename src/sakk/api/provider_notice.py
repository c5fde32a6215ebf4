"""The door for providers' notices: no key, but a signature over the bytes as they came.

To everybody who is not the account's provider there is nothing here: a wrong account, a wrong
signature and one of long ago have the same empty answer, and nothing of the body is read before.
What is taken is a hint: the provider itself is asked by a worker, after this has answered.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog

from sakk.api.dependencies import Dependencies
from sakk.api.limit import Limits
from sakk.api.pipeline import Request
from sakk.core.errors import RateLimited, SakkError
from sakk.core.peer import client_address
from sakk.core.provider_notice import NoticeRefused
from sakk.flow import provider_notice as flow
from sakk.flow.idempotency import Answer
from sakk.store.identity import now as wall_clock

_ACCOUNT: Final = re.compile(r"ba_[0-9a-z]{26}")

log = structlog.get_logger(__name__)


class ProviderDoor:
    """Answers providers; safe to call from many threads."""

    def __init__(
        self,
        dependencies: Dependencies,
        limits: Limits,
        clock: Callable[[], datetime] = wall_clock,
    ) -> None:
        self._dependencies = dependencies
        self._limits = limits
        self._clock = clock

    def answer(self, request: Request) -> Answer:
        """One notice's answer: 204 for what is taken, and for what was taken before."""
        account = request.path_parameters["bank_account"]
        try:
            self._limits.count_notice(
                client_address(
                    request.peer,
                    request.headers.get("x-forwarded-for"),
                    self._dependencies.settings.trusted_proxies,
                )
            )
            if request.method != "POST" or not _ACCOUNT.fullmatch(account):
                return Answer(status=404, body=b"")
            with self._dependencies.database.begin() as connection:
                flow.take(
                    connection,
                    self._dependencies.parts,
                    account,
                    request.headers,
                    request.body,
                    now=self._clock(),
                )
        except NoticeRefused as refused:
            log.warning("provider.notice_refused", bank_account=account, why=str(refused))
            return Answer(status=404, body=b"")
        except RateLimited as error:
            return Answer(status=429, body=b"", retry_after_seconds=error.retry_after_seconds)
        except Exception as error:
            # Nothing of what went wrong is theirs to read; they try again.
            code = error.code if isinstance(error, SakkError) else type(error).__name__
            log.error("provider.notice_failed", bank_account=account, code=code)
            return Answer(status=503, body=b"")
        return Answer(status=204, body=b"")
