"""Review: a person's word on a held pay-in."""

from dataclasses import replace

from sakk.core.errors import ResourceMissing, UnexpectedState
from sakk.core.payin import PayIn, PayInRole, PayInStatus
from sakk.flow.context import Parts
from sakk.flow.match import match_rows
from sakk.flow.screen import allocate_rows
from sakk.flow.stage import wake
from sakk.store import network, payment
from sakk.store import payin as store
from sakk.store.database import update_records


def release(parts: Parts, identifier: str, *, livemode: bool) -> PayIn:
    """Let a held pay-in go on to where it would have gone; booked by the post stage.

    One whose token was on no list needs the token listed first. Raises ResourceMissing and
    UnexpectedState.
    """
    now = parts.clock()
    with parts.database.begin() as connection:
        row = store.find(connection, identifier, account_id=None, livemode=livemode, lock=True)
        if row is None:
            raise ResourceMissing(f"No such payin: {identifier!r}.", param="id")
        if row.status != PayInStatus.held or row.orphaned:
            raise UnexpectedState(f"This payin is {row.status}, not held: nothing is to release.")
        if row.role == PayInRole.excessive:
            raise UnexpectedState("This payin is larger than a ledger account can hold.")
        if row.role == PayInRole.unlisted:
            if network.find_asset(connection, row.asset) is None:
                raise UnexpectedState(
                    f"List the asset first: sakk assets add {row.asset}. Then release the payin."
                )
            [row] = match_rows(connection, [row], now=now)
        elif not row.quarantined:
            raise UnexpectedState("This payin is just being quarantined: try again in a moment.")
        if row.payment_intent is not None:
            payment.lock_many(connection, [row.payment_intent])
        [released] = allocate_rows(connection, [row], now=now)
        released = replace(released, reviewed=True)
        fields = ("id", "status", "credit_units", "suspense_units", "reason", "screened_at")
        update_records(
            connection, store.payins, [{name: getattr(released, name) for name in fields}]
        )
        wake(connection, "payin.post")
    return released
