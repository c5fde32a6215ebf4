"""Calls of the client about channels of agents, for the tests of all resources."""

from typing import Any

from .escrow_calls import Act, shown

CHANNEL = shown("channel", payee="acct_2", currency="usdc", status="open", available=5)
CALL = {"amount": 5, "channel": "ch_1", "currency": "usdc", "nonce": "7", "session": "ses_1"}

CALLS: list[tuple[Act, dict[str, Any], str, dict[str, Any] | None]] = [
    (
        lambda c: c.channels.create(payee="acct_2", currency="usdc", amount=5, expires_in=60),
        CHANNEL,
        "POST /v1/channels",
        {"payee": "acct_2", "currency": "usdc", "amount": 5, "expires_in": 60},
    ),
    (lambda c: c.channels.retrieve("ch_1"), CHANNEL, "GET /v1/channels/ch_1", None),
    (
        lambda c: c.channels.top_up("ch_1", amount=7),
        CHANNEL,
        "POST /v1/channels/ch_1/top_up",
        {"amount": 7},
    ),
    (lambda c: c.channels.close("ch_1"), CHANNEL, "POST /v1/channels/ch_1/close", {}),
    (
        lambda c: c.channels.create_session("ch_1"),
        shown("session", channel="ch_1", key="a"),
        "POST /v1/channels/ch_1/sessions",
        {},
    ),
    (
        lambda c: c.channels.revoke_session("ch_1", "ses_1"),
        shown("session", channel="ch_1", revoked_at=5),
        "POST /v1/channels/ch_1/sessions/ses_1/revoke",
        {},
    ),
    (
        lambda c: c.channels.refund("ch_1", session="ses_1", nonce=7),
        shown("charge_refund", status="posted", **CALL),
        "POST /v1/channels/ch_1/refunds",
        {"session": "ses_1", "nonce": "7"},
    ),
    (
        lambda c: c.channels.dispute("ch_1", session="ses_1", nonce=7, reason="empty", amount=2),
        shown("channel_dispute", status="open", **CALL),
        "POST /v1/channels/ch_1/disputes",
        {"session": "ses_1", "nonce": "7", "reason": "empty", "amount": 2},
    ),
    (
        lambda c: c.channels.resolve("ch_1", "cdp_1", outcome="reject", note="served"),
        shown("channel_dispute", status="rejected", **CALL),
        "POST /v1/channels/ch_1/disputes/cdp_1/resolve",
        {"outcome": "reject", "note": "served"},
    ),
]
