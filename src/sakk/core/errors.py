"""Every error that Sakk raises on purpose.

SakkError
├── InvalidRequest            400  the caller can mend it; names the field in ``param``
│   ├── ParameterMissing      400
│   ├── ParameterUnknown      400
│   ├── ParameterInvalid      400
│   ├── BalanceInsufficient   400  (409 would be retried by the clients)
│   ├── UnexpectedState       400  the object is not in a state that allows this
│   ├── ResourceMissing       404
│   │   └── CursorMissing     400  a list's cursor names none of its rows
│   ├── RouteUnknown          404  no such URL
│   ├── MethodNotAllowed      405
│   ├── BodyTooLarge          413
│   └── MediaTypeUnsupported  415
├── IdempotencyMismatch       400
├── IdempotencyInProgress     409
├── AuthenticationFailed      401
│   └── ApiKeyExpired         401
├── PermissionDenied          403
│   └── AccountInvalid        403  no such account, or not one that this key may act for
├── RateLimited               429
├── Unavailable               503  a part that we need is away; the same request may succeed later
└── Misconfigured             500  the operator must mend it

``code`` is the wire contract and never renamed. ``transient``: may the same request succeed later?
"""

from typing import ClassVar


class SakkError(Exception):
    """The root: a wire type, a code, an HTTP status, and whether trying again can help."""

    type: ClassVar[str] = "api_error"
    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    transient: ClassVar[bool] = False

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class InvalidRequest(SakkError):
    type = "invalid_request_error"
    code = "invalid_request"
    status = 400


class ParameterMissing(InvalidRequest):
    code = "parameter_missing"


class ParameterUnknown(InvalidRequest):
    code = "parameter_unknown"


class ParameterInvalid(InvalidRequest):
    code = "parameter_invalid"


class BalanceInsufficient(InvalidRequest):
    code = "balance_insufficient"
    transient = True


class UnexpectedState(InvalidRequest):
    code = "unexpected_state"


class ResourceMissing(InvalidRequest):
    code = "resource_missing"
    status = 404


class CursorMissing(ResourceMissing):
    status = 400


class RouteUnknown(InvalidRequest):
    code = "url_unknown"
    status = 404


class MethodNotAllowed(InvalidRequest):
    code = "method_not_allowed"
    status = 405


class BodyTooLarge(InvalidRequest):
    code = "body_too_large"
    status = 413


class MediaTypeUnsupported(InvalidRequest):
    code = "media_type_unsupported"
    status = 415


class IdempotencyMismatch(SakkError):
    type = "idempotency_error"
    code = "idempotency_key_reused"
    status = 400


class IdempotencyInProgress(SakkError):
    type = "idempotency_error"
    code = "idempotency_key_in_use"
    status = 409
    transient = True


class AuthenticationFailed(SakkError):
    type = "authentication_error"
    code = "api_key_invalid"
    status = 401


class ApiKeyExpired(AuthenticationFailed):
    code = "api_key_expired"


class PermissionDenied(SakkError):
    type = "permission_error"
    code = "permission_denied"
    status = 403


class AccountInvalid(PermissionDenied):
    code = "account_invalid"


class RateLimited(SakkError):
    type = "rate_limit_error"
    code = "rate_limit"
    status = 429
    transient = True

    def __init__(
        self, message: str, *, param: str | None = None, retry_after_seconds: int = 1
    ) -> None:
        super().__init__(message, param=param)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(SakkError):
    code = "unavailable"
    status = 503
    transient = True


class Misconfigured(SakkError):
    code = "misconfigured"
