"""The SDK for payers and agents; stands alone."""

from sakk.client.client import SakkClient
from sakk.client.endpoint import UNSET
from sakk.client.errors import (
    ApiError,
    AuthenticationError,
    BalanceInsufficientError,
    ConnectionFailedError,
    IdempotencyError,
    InvalidRequestError,
    PermissionDeniedError,
    RateLimitError,
    ResourceMissingError,
    SakkError,
)
from sakk.client.ledger import LedgerAccountCreate, LedgerResult, LedgerTransferCreate
from sakk.client.page import Page
from sakk.client.transport import RetryPolicy

__all__ = [
    "UNSET",
    "ApiError",
    "AuthenticationError",
    "BalanceInsufficientError",
    "ConnectionFailedError",
    "IdempotencyError",
    "InvalidRequestError",
    "LedgerAccountCreate",
    "LedgerResult",
    "LedgerTransferCreate",
    "Page",
    "PermissionDeniedError",
    "RateLimitError",
    "ResourceMissingError",
    "RetryPolicy",
    "SakkClient",
    "SakkError",
]
