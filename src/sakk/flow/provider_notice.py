"""Notices of providers: taken once, and then the provider is asked.

Whatever a notice says is not believed: it only has the orders that it may be about asked after at
once. So one that is lost, late, doubled or out of order changes nothing but when we know.
"""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection

from sakk.core.bank_account import Adapter, read_terms
from sakk.core.provider_notice import NoticeRefused
from sakk.flow.context import Parts
from sakk.flow.provider_order import STAGE
from sakk.flow.stage import wake
from sakk.rails.bank.provider_notice import read_notice
from sakk.store import bank_account as bank_accounts
from sakk.store import provider_notice as store


def take(
    connection: Connection,
    parts: Parts,
    bank_account: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime,
) -> bool:
    """Take a notice in; False for one that was told before, or is about nothing that is open.

    NoticeRefused for what is not of this account's provider, or of now. It is judged by what the
    account is known by, and has orders of this account alone asked after.
    """
    found = bank_accounts.list_by_ids(connection, [bank_account]).get(bank_account)
    if found is None or found.deleted or found.terms is None:
        raise NoticeRefused("there is no such account")
    terms = read_terms(found.terms)
    if terms.adapter is not Adapter.provider:
        raise NoticeRefused("the account is at no provider")
    notice = read_notice(found, terms, headers, body, vault=parts.vault, now=now)
    if not store.remember(connection, found.id, notice.id, now=now):
        return False
    if not store.hint(connection, found.id, key=notice.key, reference=notice.reference):
        return False
    wake(connection, STAGE)
    return True
