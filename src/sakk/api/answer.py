"""Answers: documents to JSON bytes, and errors in Stripe's shape."""

from typing import Any

import msgspec
import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from sakk.core.errors import IdempotencyInProgress, RateLimited, SakkError, Unavailable
from sakk.flow.idempotency import Answer

log = structlog.get_logger("sakk.api")

RETRY_AFTER_SECONDS = 1

# Pages of the console and the checkout set their own; these are for JSON that no page embeds.
SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)


def encode(document: Any) -> bytes:
    """A document as JSON; whole numbers of any size stay exact."""
    return msgspec.json.encode(document)


def known(error: Exception) -> SakkError | None:
    """The error as one that the caller may be told, or None for a fault of ours."""
    if isinstance(error, SakkError):
        return error
    if isinstance(error, OperationalError | InterfaceError | PoolTimeout):
        return Unavailable(
            "The database did not answer. Send the request again, under the same Idempotency-Key."
        )
    return None


def refusal(error: Exception, *, request_id: str, public_url: str = "") -> Answer:
    """Word an error; what nobody foresaw is logged with its trace and told as a 500."""
    told = known(error)
    if told is None or told.status >= 500:
        log.error("request_failed", request_id=request_id, exc_info=error)
    if told is None:
        told = SakkError(
            f"Something went wrong here. Tell the operator the request's id: {request_id}."
        )
    document: dict[str, Any] = {
        "type": told.type,
        "code": told.code,
        "message": told.message,
        "doc_url": f"{public_url}/docs/errors#{told.code}",
        "request_id": request_id,
    }
    if told.param is not None:
        document["param"] = told.param
    if told.details is not None:
        document["details"] = told.details
    return Answer(
        status=told.status,
        body=encode({"error": document}),
        retry_after_seconds=_retry_after(told),
    )


def headers(answer: Answer) -> list[tuple[bytes, bytes]]:
    """What goes before an answer's body, besides what stands on all of them."""
    pairs = [(b"content-type", answer.media_type.encode())]
    # What comes in pieces of which nobody knows how many ends where it ends.
    if answer.stream is None or answer.size is not None:
        pairs.append((b"content-length", str(answer.size or len(answer.body)).encode()))
    if answer.disposition is not None:
        pairs.append((b"content-disposition", answer.disposition.encode("ascii")))
    if answer.replay_of is not None:
        pairs.append((b"idempotent-replayed", b"true"))
        pairs.append((b"original-request", answer.replay_of.encode()))
    if answer.retry_after_seconds is not None:
        pairs.append((b"retry-after", str(answer.retry_after_seconds).encode()))
        pairs.append((b"stripe-should-retry", b"true"))
    elif answer.status == 500:
        # Under the same key a 500 is only replayed.
        pairs.append((b"stripe-should-retry", b"false"))
    if answer.status == 401:
        pairs.append((b"www-authenticate", b'Bearer realm="sakk"'))
    return pairs


def _retry_after(error: SakkError) -> int | None:
    if isinstance(error, RateLimited):
        return error.retry_after_seconds
    if isinstance(error, IdempotencyInProgress) or error.status == Unavailable.status:
        return RETRY_AFTER_SECONDS
    return None
