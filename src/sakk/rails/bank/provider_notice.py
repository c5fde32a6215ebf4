"""How each provider's notices are read: by its own signature, over the bytes as they came."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from sakk.core.bank_account import BankAccount, BankTerms
from sakk.core.provider_notice import Notice, NoticeRefused, verify_standard
from sakk.core.webhook import make_secret
from sakk.store.vault import Vault

ID_LENGTH_MAX: Final = 200


class _Told(msgspec.Struct):
    """What the sandbox's provider says."""

    key: str | None = None
    reference: str | None = None


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
        case _:
            raise NoticeRefused(f"{terms.provider} sends none")


def sandbox_secret(vault: Vault, account: str) -> str:
    """By which the sandbox's provider signs what it tells of an account."""
    return make_secret(vault.derive(f"provider notices {account}"))


def short(text: str | None) -> str | None:
    """An id of a provider's, if it may be one."""
    return text if text is not None and 0 < len(text) <= ID_LENGTH_MAX else None
