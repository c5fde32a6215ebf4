"""How each provider's notices are read: by its own signature, over the bytes as they came."""

import base64
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from sakk.core.bank_account import BankAccount, BankTerms
from sakk.core.provider_notice import (
    WINDOW_MAX,
    Notice,
    NoticeRefused,
    check_time,
    verify_standard,
)
from sakk.core.webhook import make_secret
from sakk.store.vault import Vault

ID_LENGTH_MAX: Final = 200


class _Told(msgspec.Struct):
    """What the sandbox's provider says."""

    key: str | None = None
    reference: str | None = None


class _WiseResource(msgspec.Struct):
    type: str = ""
    id: int | None = None
    profile_id: int | None = None


class _WiseData(msgspec.Struct):
    resource: _WiseResource | None = None


class _WiseEvent(msgspec.Struct):
    """What is read of what Wise tells."""

    sent_at: datetime
    data: _WiseData = msgspec.field(default_factory=_WiseData)


def read_notice(
    account: BankAccount,
    terms: BankTerms,
    headers: Mapping[str, str],
    body: bytes,
    *,
    vault: Vault | None,
    now: datetime,
) -> Notice:
    """The notice in a request, if it is of the account's provider; NoticeRefused."""
    match terms.provider:
        case "sandbox":
            if vault is None:
                raise NoticeRefused("this machine has no vault key")
            secret = sandbox_secret(vault, account.id)
            identifier, sent_at = verify_standard(headers, body, [secret], now)
            try:
                told = msgspec.json.decode(body, type=_Told)
            except msgspec.MsgspecError as error:
                raise NoticeRefused(f"it can not be read: {error}") from error
            return Notice(
                id=identifier, sent_at=sent_at, key=short(told.key), reference=short(told.reference)
            )
        case "wise":
            return _read_wise(terms, headers, body, now=now)
        case _:
            raise NoticeRefused(f"{terms.provider} sends none")


def _read_wise(
    terms: BankTerms, headers: Mapping[str, str], body: bytes, *, now: datetime
) -> Notice:
    """Wise signs the body with RSA (PKCS 1, SHA-256) and sends it again for two weeks. What tells
    one from another is signed too, so it is known by the hash of its bytes."""
    if terms.trust is None:
        raise NoticeRefused("the account's terms have no public key: sakk bank connect --trust")
    key = load_pem_public_key(terms.trust.encode())
    if not isinstance(key, RSAPublicKey):
        raise NoticeRefused("the public key in the account's terms is none of RSA")
    try:
        signed = base64.b64decode(headers.get("x-signature-sha256", ""), validate=True)
        key.verify(signed, body, PKCS1v15(), SHA256())
    except (ValueError, InvalidSignature):
        raise NoticeRefused("its signature is not the provider's") from None
    try:
        told = msgspec.json.decode(body, type=_WiseEvent)
    except msgspec.MsgspecError as error:
        raise NoticeRefused(f"it can not be read: {error}") from error
    about = told.data.resource
    if about is not None and about.profile_id not in (None, int(terms.provider_account or 0)):
        raise NoticeRefused(f"it is about profile {about.profile_id}")
    is_transfer = about is not None and about.type == "transfer" and about.id is not None
    return Notice(
        id=hashlib.sha256(body).hexdigest(),
        sent_at=check_time(told.sent_at.astimezone(UTC), now, WINDOW_MAX),
        reference=str(about.id) if about is not None and is_transfer else None,
    )


def sandbox_secret(vault: Vault, account: str) -> str:
    """By which the sandbox's provider signs what it tells of an account."""
    return make_secret(vault.derive(f"provider notices {account}"))


def short(text: str | None) -> str | None:
    """An id of a provider's, if it may be one."""
    return text if text is not None and 0 < len(text) <= ID_LENGTH_MAX else None
