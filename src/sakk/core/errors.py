"""Every error that Sakk raises on purpose.

SakkError
├── InvalidRequest            400  the caller can mend it; names the field in ``param``
│   ├── ParameterMissing      400
│   ├── ParameterUnknown      400
│   ├── ParameterInvalid      400
│   ├── BalanceInsufficient   400  (409 would be retried by the clients)
│   ├── AmountTooSmall        400  what would arrive is under the asset's minimum
│   ├── ReportTooLarge        400  a report, or all of an account's files, come to too much
│   ├── PayoutDuplicate       400  the same line, reference or batch was given before
│   ├── MandateRefused        400  what an agent's mandate does not allow
│   │   └── MandateExceeded   400  a budget of the mandate does not cover it
│   ├── UnexpectedState       400  the object is not in a state that allows this
│   │   └── ApprovalStale     400  what was approved is not what stands there now
│   ├── ResourceMissing       404
│   │   └── CursorMissing     400  a list's cursor names none of its rows
│   ├── RouteUnknown          404  no such URL
│   ├── MethodNotAllowed      405
│   ├── BodyTooLarge          413
│   ├── HeadTooLarge          431
│   └── MediaTypeUnsupported  415
├── IdempotencyMismatch       400
├── IdempotencyInProgress     409
├── AuthenticationFailed      401
│   ├── ApiKeyExpired         401
│   └── SignatureInvalid      401  not signed by the key that may ask for it
├── PermissionDenied          403
│   ├── AccountInvalid        403  no such account, or not one that this key may act for
│   ├── StepUpRequired        403  a fresh code or a signature is needed besides the key
│   ├── StepUpFailed          403  the code or the signature is wrong, or was used before
│   └── SamePerson            403  another person has to do this
├── RateLimited               429
├── Unavailable               503  a part that we need is away; the same request may succeed later
└── Misconfigured             500  the operator must mend it
    └── SealedElsewhere       503  the key is not here under which something was sealed

``code`` is the wire contract and never renamed. ``transient``: may the same request succeed later?
Each class says what happened, then what to do about it: the reference is generated from that.
"""

from typing import Any, ClassVar


class SakkError(Exception):
    """The root: a wire type, a code, an HTTP status, and whether trying again can help."""

    type: ClassVar[str] = "api_error"
    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    transient: ClassVar[bool] = False

    # What a machine should know beside the code.
    details: dict[str, Any] | None = None

    def __init__(self, message: str, *, param: str | None = None, **values: object) -> None:
        """``message`` is said as it is, or with ``values`` in the places that it names in braces.

        So pages say it in other languages: a message is a constant, and what differs is a value.
        """
        self.template = message
        self.values = values
        self.message = message.format(**values) if values else message
        self.param = param
        super().__init__(self.message)


class InvalidRequest(SakkError):
    """The request can not be carried out as it is.

    Correct what the message names.
    """

    type = "invalid_request_error"
    code = "invalid_request"
    status = 400


class ParameterMissing(InvalidRequest):
    """A parameter that is needed was not sent.

    Send the parameter that `param` names.
    """

    code = "parameter_missing"


class ParameterUnknown(InvalidRequest):
    """A parameter that this endpoint does not have.

    Remove it, or correct its spelling; `param` names it.
    """

    code = "parameter_unknown"


class ParameterInvalid(InvalidRequest):
    """A parameter has a value that it can not have.

    Change the parameter that `param` names as the message says.
    """

    code = "parameter_invalid"


class BalanceInsufficient(InvalidRequest):
    """The available balance does not cover the amount.

    Wait for pending payments to be credited, or send less.
    """

    code = "balance_insufficient"
    transient = True


class AmountTooSmall(InvalidRequest):
    """What would arrive is less than the asset's minimum, or the fee eats it.

    Send at least what the message names; with `fee_mode` receiver the fee is taken off first.
    """

    code = "amount_too_small"


class ReportTooLarge(InvalidRequest):
    """A report would be larger than a file may be, or the account's files come to all that is kept.

    Ask for a shorter period or for one account; delete files that you have saved.
    """

    code = "report_too_large"


class PayoutDuplicate(InvalidRequest):
    """The same payout stands in the batch twice, or was asked for before.

    Remove the line that the message names; if both are meant, allow it with `allow_duplicate` on
    the line or `allow_duplicates` on the batch.
    """

    code = "payout_duplicate"


class MandateRefused(InvalidRequest):
    """The mandate does not allow this spend, whatever is left of its budgets.

    `details` names the limit; spend within it, or ask the owner for another mandate.
    """

    code = "mandate_refused"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        details: dict[str, Any] | None = None,
        **values: object,
    ) -> None:
        super().__init__(message, param=param, **values)
        self.details = details


class MandateExceeded(MandateRefused):
    """A budget of the mandate does not cover the spend.

    `details` names the limit, what is left of it, and for a period when the next begins.
    """

    code = "mandate_exceeded"
    transient = True


class UnexpectedState(InvalidRequest):
    """The object is not in a state that allows this.

    Retrieve the object and act on its status.
    """

    code = "unexpected_state"


class ApprovalStale(UnexpectedState):
    """What was to be approved is not what stands there now.

    Look at it again, and approve what it says with its new digest.
    """

    code = "approval_stale"


class ResourceMissing(InvalidRequest):
    """There is no such object in this account and mode.

    Check the id, the account, and whether the key is a test or a live one.
    """

    code = "resource_missing"
    status = 404


class CursorMissing(ResourceMissing):
    """A list's cursor names none of its rows.

    Begin the list again, with an id that the list returned.
    """

    status = 400


class RouteUnknown(InvalidRequest):
    """There is no such URL.

    Check the path against the reference or `/openapi.json`.
    """

    code = "url_unknown"
    status = 404


class MethodNotAllowed(InvalidRequest):
    """The URL exists, but not with this method.

    Check the method against the reference or `/openapi.json`.
    """

    code = "method_not_allowed"
    status = 405


class BodyTooLarge(InvalidRequest):
    """The body is larger than the server reads.

    Send less at once.
    """

    code = "body_too_large"
    status = 413


class HeadTooLarge(InvalidRequest):
    """The request's headers are larger than the server reads.

    Send fewer headers, or shorter ones.
    """

    code = "head_too_large"
    status = 431


class MediaTypeUnsupported(InvalidRequest):
    """The body is neither JSON nor a form.

    Send `application/json` or `application/x-www-form-urlencoded`.
    """

    code = "media_type_unsupported"
    status = 415


class IdempotencyMismatch(SakkError):
    """The Idempotency-Key was used before with another request.

    Use a new key for a new request; repeat the old one unchanged.
    """

    type = "idempotency_error"
    code = "idempotency_key_reused"
    status = 400


class IdempotencyInProgress(SakkError):
    """A request with the same Idempotency-Key is being executed.

    Send it again, under the same key, after a moment.
    """

    type = "idempotency_error"
    code = "idempotency_key_in_use"
    status = 409
    transient = True


class AuthenticationFailed(SakkError):
    """There is no API key in the request, or it is not valid.

    Send `Authorization: Bearer sk_…` with a key that is not revoked.
    """

    type = "authentication_error"
    code = "api_key_invalid"
    status = 401


class ApiKeyExpired(AuthenticationFailed):
    """The API key's time is over.

    Make a new key.
    """

    code = "api_key_expired"


class SignatureInvalid(AuthenticationFailed):
    """What was sent is not signed by the key that may ask for it.

    Sign the typed data that the session scheme describes, with the agent's key.
    """

    code = "signature_invalid"


class PermissionDenied(SakkError):
    """The API key may not do this.

    Use a key with the scope that the message names, or that of the operator.
    """

    type = "permission_error"
    code = "permission_denied"
    status = 403


class AccountInvalid(PermissionDenied):
    """There is no such account, or the key may not act for it.

    Check `Stripe-Account`; only keys of the operator act for others.
    """

    code = "account_invalid"


class StepUpRequired(PermissionDenied):
    """The person has to prove to be there, besides showing a key.

    Send `code`, a fresh one-time code, or `signature` by the person's own key.
    """

    code = "step_up_required"


class StepUpFailed(PermissionDenied):
    """The one-time code or the signature is wrong, or the code was used before.

    Wait for the next code; check the clock of the device that shows it.
    """

    code = "step_up_failed"


class SamePerson(PermissionDenied):
    """Who asked for something does not approve it, and nobody approves twice.

    Another person with the role has to approve it.
    """

    code = "same_person"


class RateLimited(SakkError):
    """Too many requests in a short time.

    Wait as many seconds as `Retry-After` says.
    """

    type = "rate_limit_error"
    code = "rate_limit"
    status = 429
    transient = True

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after_seconds: int = 1,
        **values: object,
    ) -> None:
        super().__init__(message, param=param, **values)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(SakkError):
    """A part that the request needs is away.

    Send the same request again, under the same Idempotency-Key.
    """

    code = "unavailable"
    status = 503
    transient = True


class Misconfigured(SakkError):
    """Sakk itself is not set up rightly.

    The operator runs `sakk doctor`.
    """

    code = "misconfigured"


class SealedElsewhere(Misconfigured):
    """The vault's key that something was sealed under is not on this machine.

    Nothing of it is lost: the operator copies the file that `SAKK_VAULT_KEY_FILE` names from where
    it was sealed, and starts Sakk again.
    """

    code = "sealed_elsewhere"
    status = 503
    transient = True
