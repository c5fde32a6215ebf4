"""Branding: what an account's pages look like."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core import branding as rules
from sakk.core.branding import Branding
from sakk.core.checkout_session import check_url
from sakk.flow.mode import check_account
from sakk.store import branding as store

DIGEST_LENGTH = 32


def change(
    connection: Connection,
    account_id: str,
    changes: Mapping[str, Any],
    *,
    livemode: bool,
    now: datetime,
) -> Branding:
    """Apply what was sent, under the fields' names; ParameterInvalid names what can not be.

    PermissionDenied for a word of test mode where there is live money.
    """
    before = store.find(connection, account_id, lock=True) or Branding(
        account_id=account_id,
        logo=None,
        logo_hash=None,
        color=None,
        support_email=None,
        support_url=None,
        support_phone=None,
        origins=[],
        updated=now,
    )
    given = dict(changes)
    if "logo" in given:
        given |= _logo(given.pop("logo"))
    if given.get("color") is not None:
        given["color"] = rules.read_color(given["color"])
    if given.get("support_url") is not None:
        given["support_url"] = check_url(given["support_url"], "support_url")
    if "origins" in given:
        given["origins"] = rules.read_origins(given["origins"] or ())
    after = replace(before, **given, updated=now)
    check_account(connection, account_id, livemode=livemode)
    store.put(connection, after)
    return after


def _logo(content: bytes | None) -> dict[str, Any]:
    if content is None:
        return {"logo": None, "logo_hash": None}
    clean = rules.clean_logo(content)
    return {"logo": clean, "logo_hash": hashlib.sha256(clean).hexdigest()[:DIGEST_LENGTH]}
