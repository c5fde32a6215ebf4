"""The door of the Travel Rule Protocol, for other institutions: no key, but a secret in the path.

Whoever holds a travel address may ask, whoever was asked may answer, whoever was told yes may
confirm. To everybody else, to a wrong method and to a secret that is over, there is nothing here:
the answer is the same, and nothing of the message is read before. Mutual TLS is the proxy's.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog

from sakk.api.dependencies import Dependencies
from sakk.api.limit import Limits
from sakk.api.pipeline import Request
from sakk.core.errors import InvalidRequest, RateLimited, ResourceMissing, SakkError
from sakk.core.peer import client_address
from sakk.core.trp import (
    API_VERSION,
    IDENTIFIER,
    REQUEST_HEADER,
    VERSION_HEADER,
    read_confirmation,
    read_inquiry,
    read_resolution,
    resolution_body,
)
from sakk.flow import travel_inquiry as flow
from sakk.flow.idempotency import Answer
from sakk.flow.travel_rule import answered
from sakk.store.identity import now as wall_clock

PATH: Final = "/trp/{kind}/{token}"
_TOKEN = re.compile(r"[0-9a-f]{40}")
_VERSION = re.compile(r"3\.[0-9]{1,3}\.[0-9]{1,3}")
_JSON: Final = "application/json; charset=utf-8"

log = structlog.get_logger(__name__)


class TrpDoor:
    """Answers other institutions; safe to call from many threads."""

    def __init__(
        self,
        dependencies: Dependencies,
        limits: Limits,
        clock: Callable[[], datetime] = wall_clock,
    ) -> None:
        self._dependencies = dependencies
        self._limits = limits
        self._clock = clock

    def answer(self, request: Request) -> tuple[Answer, dict[str, str]]:
        """One request's answer, and the headers of the protocol."""
        identifier = request.headers.get(REQUEST_HEADER, "")
        headers = {"content-type": _JSON, VERSION_HEADER: API_VERSION}
        if IDENTIFIER.fullmatch(identifier):
            headers[REQUEST_HEADER] = identifier
        try:
            self._limits.count_claim(
                client_address(
                    request.peer,
                    request.headers.get("x-forwarded-for"),
                    self._dependencies.settings.trusted_proxies,
                )
            )
            body = self._done(request, identifier)
        except ResourceMissing:
            return Answer(status=404, body=b""), headers
        except RateLimited as error:
            limited = Answer(status=429, body=b"", retry_after_seconds=error.retry_after_seconds)
            return limited, headers
        except InvalidRequest as error:
            headers["content-type"] = "text/plain; charset=utf-8"
            return Answer(status=400, body=error.message.encode()), headers
        except Exception as error:
            # Nothing of what went wrong is theirs to read; they try again.
            code = error.code if isinstance(error, SakkError) else type(error).__name__
            log.error("trp.failed", kind=request.path_parameters["kind"], code=code)
            return Answer(status=503, body=b""), headers
        return Answer(status=204 if body is None else 200, body=body or b""), headers

    def _done(self, request: Request, identifier: str) -> bytes | None:
        kind, token = request.path_parameters["kind"], request.path_parameters["token"]
        if request.method != "POST" or not _TOKEN.fullmatch(token):
            raise flow.unknown()
        with self._dependencies.database.begin() as connection:
            now = self._clock()
            match kind:
                case "inquiries":
                    flow.require_address(connection, token, now=now)
                    _check_headers(request, identifier)
                    resolution = flow.receive(
                        connection,
                        self._dependencies.parts,
                        token,
                        identifier,
                        read_inquiry(request.body),
                        now=now,
                    )
                    return resolution_body(resolution)
                case "resolutions":
                    record = flow.resolved(connection, token)
                    _check_headers(request, identifier)
                    answered(
                        connection,
                        record.id,
                        read_resolution(request.body),
                        livemode=record.livemode,
                        now=now,
                    )
                    return None
                case "confirmations":
                    flow.expected(connection, token)
                    _check_headers(request, identifier)
                    confirmation = read_confirmation(request.body)
                    flow.confirmed(connection, token, confirmation, now=now)
                    return None
                case _:
                    raise flow.unknown()


def _check_headers(request: Request, identifier: str) -> None:
    """The protocol's headers, read once the secret was right."""
    if not _VERSION.fullmatch(request.headers.get(VERSION_HEADER, "")):
        raise InvalidRequest(f"Send the header {VERSION_HEADER} with a version 3, {API_VERSION}.")
    if not IDENTIFIER.fullmatch(identifier):
        raise InvalidRequest(f"Send the header {REQUEST_HEADER} with an identifier, a UUID.")
    media_type = request.headers.get("content-type", "application/json").partition(";")[0]
    if media_type.strip().lower() != "application/json":
        raise InvalidRequest("A message is application/json.")
