"""Agents: how one asks under a mandate with its own key, and without an API key.

``Authorization: Agent <mandate>:<time>:<signature>``, where the signature is the agent's over the
typed data (EIP-712) of this very request: method, path with its query, the hash of the body, and
the time. A copy is good for a few minutes and for the same request alone, which under its reference
is the same spend: it moves nothing twice.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sakk.core.api_key import ApiKey, KeyKind
from sakk.core.eip712 import signer
from sakk.core.errors import AuthenticationFailed
from sakk.core.mandate import DOMAIN_NAME, DOMAIN_VERSION, PREFIX, Mandate

SCHEME: Final = "agent"
# Clocks differ, and a request is on its way for a while.
AGE_SECONDS_MAX: Final = 300
CREDENTIAL_LENGTH_MAX: Final = 256
TIME_DIGITS_MAX: Final = 18
# What an agent may do, and what an API key that is bound to a mandate may have.
SCOPES: Final = ("mandate_spends:read", "mandate_spends:write", "mandates:read")


@dataclass(frozen=True, slots=True)
class Credential:
    """What stands in the header: which mandate, when it was signed (Unix seconds), and by whom."""

    mandate: str
    time: int
    signature: str


def typed_data(*, mandate: str, method: str, path: str, body: bytes, time: int) -> dict[str, Any]:
    """What an agent signs of a request; ``path`` as it stands in the request line."""
    text = {"type": "string"}
    return {
        "types": {
            "EIP712Domain": [{"name": "name", **text}, {"name": "version", **text}],
            "AgentRequest": [
                {"name": "mandate", **text},
                {"name": "method", **text},
                {"name": "path", **text},
                {"name": "body", "type": "bytes32"},
                {"name": "time", "type": "uint64"},
            ],
        },
        "primaryType": "AgentRequest",
        "domain": {"name": DOMAIN_NAME, "version": DOMAIN_VERSION},
        "message": {
            "mandate": mandate,
            "method": method,
            "path": path,
            "body": "0x" + hashlib.sha256(body).hexdigest(),
            "time": str(time),
        },
    }


def read_credential(text: str) -> Credential:
    """Take the header's credential apart; AuthenticationFailed."""
    mandate, _, rest = text[:CREDENTIAL_LENGTH_MAX].partition(":")
    time, _, signature = rest.partition(":")
    if not (mandate.startswith(f"{PREFIX}_") and time.isascii() and time.isdigit()):
        raise AuthenticationFailed(
            "That is no agent's credential: send 'Authorization: Agent mnd_…:<Unix time>:0x…'."
        )
    return Credential(mandate, int(time[:TIME_DIGITS_MAX]), signature)


def check(
    mandate: Mandate | None,
    credential: Credential,
    *,
    method: str,
    path: str,
    body: bytes,
    now: datetime,
) -> ApiKey:
    """What the agent may act as: a key that can do nothing but spend under its mandate.

    AuthenticationFailed where the signature is not the agent's, over this request, in time: the
    same words whether the mandate exists or not.
    """
    if abs(int(now.timestamp()) - credential.time) > AGE_SECONDS_MAX:
        raise AuthenticationFailed(
            f"This request was signed more than {AGE_SECONDS_MAX} seconds from now: sign it again,"
            " and check the clock."
        )
    typed = typed_data(
        mandate=credential.mandate, method=method, path=path, body=body, time=credential.time
    )
    try:
        signed_by = signer(typed, credential.signature)
    except ValueError:
        signed_by = ""
    if mandate is None or signed_by != mandate.agent:
        raise AuthenticationFailed(
            "This is not the signature of the mandate's agent over this request: method, path with"
            " its query, SHA-256 of the body, and time."
        )
    return ApiKey(
        id=mandate.id,
        account_id=mandate.account_id,
        livemode=mandate.livemode,
        kind=KeyKind.restricted.value,
        name=None,
        token_hash=b"",
        prefix="",
        last4="",
        scopes=list(SCOPES),
        allowed_addresses=[],
        expires_at=None,
        revoked_at=None,
        created=mandate.created,
        mandate=mandate.id,
    )
