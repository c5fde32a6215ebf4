"""Modes: what test and live money share is changed in live mode alone, once there is live money.

An account is one for both modes, as are its branding and the schedules of fees. Test keys lie in
test machines, and test mode's people are easily made: none of them decides how much of a payment in
real money is enough, whom an account may pay, or what a payer of real money sees.
"""

from sqlalchemy import Connection

from sakk.core.errors import PermissionDenied
from sakk.store import account as store


def check_account(connection: Connection, account_id: str, *, livemode: bool) -> None:
    """Raise PermissionDenied for a word of test mode on an account that is live: one with a live
    key, people of live mode, or a live payment or payout."""
    if not livemode and store.is_live(connection, account_id):
        raise _refused()


def check_schedule(connection: Connection, schedule: str, *, livemode: bool) -> None:
    """The same of a fee schedule that prices an account which is."""
    if not livemode and store.is_live_schedule(connection, schedule):
        raise _refused()


def _refused() -> PermissionDenied:
    return PermissionDenied(
        "Test and live mode share this, and live money goes by it: change it in live mode."
    )
