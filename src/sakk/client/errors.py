"""What a call can raise.

SakkError
├── ConnectionFailedError    no answer came; for a POST the outcome is not known
├── ApiError                 the server failed (5xx), or its answer cannot be read
├── InvalidRequestError      400, 404, 405, 413, 415: mend the request; see ``param``
│   ├── BalanceInsufficientError
│   └── ResourceMissingError
├── IdempotencyError         the key was used for another request, or is in use now
├── AuthenticationError      401
├── PermissionDeniedError    403
└── RateLimitError           429

By the time one is raised, what could be tried again has been. ``idempotency_key`` is the key that
the request went out under: sent again with it, the request is done at most once.
"""

from typing import Any


class SakkError(Exception):
    """The root: what the server said, as far as it said something."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        type: str | None = None,
        code: str | None = None,
        param: str | None = None,
        doc_url: str | None = None,
        request_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.type = type
        self.code = code
        self.param = param
        self.doc_url = doc_url
        self.request_id = request_id
        self.idempotency_key = idempotency_key

    def __str__(self) -> str:
        return f"{self.message} (request {self.request_id})" if self.request_id else self.message


class ConnectionFailedError(SakkError):
    """No answer came. A POST may have been done: send it again under ``idempotency_key``."""


class ApiError(SakkError):
    """The server failed, or its answer cannot be read."""


class InvalidRequestError(SakkError):
    """The request is wrong; the same one will be wrong again."""


class BalanceInsufficientError(InvalidRequestError):
    """The balance does not cover the amount and its fee."""


class ResourceMissingError(InvalidRequestError):
    """No such object, in this account and mode."""


class IdempotencyError(SakkError):
    """The idempotency key belongs to another request, or to one that is still being done."""


class AuthenticationError(SakkError):
    """The API key is missing, wrong or expired."""


class PermissionDeniedError(SakkError):
    """The API key may not do this."""


class RateLimitError(SakkError):
    """Too many requests."""


_BY_TYPE: dict[str, type[SakkError]] = {
    "invalid_request_error": InvalidRequestError,
    "idempotency_error": IdempotencyError,
    "api_error": ApiError,
    "authentication_error": AuthenticationError,
    "permission_error": PermissionDeniedError,
    "rate_limit_error": RateLimitError,
}
_BY_CODE: dict[str, type[SakkError]] = {
    "balance_insufficient": BalanceInsufficientError,
    "resource_missing": ResourceMissingError,
}
_BY_STATUS: dict[int, type[SakkError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: ResourceMissingError,
    409: IdempotencyError,
    429: RateLimitError,
}


def error_from(
    status: int, document: Any, *, request_id: str | None, idempotency_key: str | None
) -> SakkError:
    """The error that an answer's status and body say; the body may be anything."""
    found = document.get("error") if isinstance(document, dict) else None
    detail: dict[str, Any] = found if isinstance(found, dict) else {}

    def text(name: str) -> str | None:
        value = detail.get(name)
        return value if isinstance(value, str) else None

    kind = (
        _BY_CODE.get(text("code") or "")
        or _BY_TYPE.get(text("type") or "")
        or _BY_STATUS.get(status)
        or (InvalidRequestError if 400 <= status < 500 else ApiError)
    )
    return kind(
        text("message") or f"The server answered {status} without saying why.",
        status=status,
        type=text("type"),
        code=text("code"),
        param=text("param"),
        doc_url=text("doc_url"),
        request_id=request_id or text("request_id"),
        idempotency_key=idempotency_key,
    )
