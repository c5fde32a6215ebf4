"""The one table of all screens, and of the entrances before them."""

from typing import Final

from sakk.console import (
    api_key,
    audit,
    balance,
    beneficiary,
    branding,
    case,
    checkout_session,
    customer,
    enter,
    event,
    home,
    ledger,
    payin,
    payment,
    payment_link,
    payout,
    payout_batch,
    pos_device,
    refund,
    request_log,
    saved_view,
    screening,
    security,
    shell,
    sign_in,
    step_up,
    team,
    webhook,
    welcome,
)
from sakk.console.entrance import Entrance
from sakk.console.route import Screen

ENTRANCES: Final[tuple[Entrance, ...]] = (
    *sign_in.ENTRANCES,
    *welcome.ENTRANCES,
    *enter.ENTRANCES,
)
# Their order is the navigation's.
SCREENS: Final[tuple[Screen, ...]] = (
    *home.SCREENS,
    *shell.SCREENS,
    *step_up.SCREENS,
    *saved_view.SCREENS,
    *payment.SCREENS,
    *payin.SCREENS,
    *refund.SCREENS,
    *customer.SCREENS,
    *payment_link.SCREENS,
    *checkout_session.SCREENS,
    *pos_device.SCREENS,
    *payout.SCREENS,
    *payout_batch.SCREENS,
    *beneficiary.SCREENS,
    *balance.SCREENS,
    *ledger.SCREENS,
    *case.SCREENS,
    *screening.SCREENS,
    *api_key.SCREENS,
    *webhook.SCREENS,
    *event.SCREENS,
    *request_log.SCREENS,
    *team.SCREENS,
    *audit.SCREENS,
    *branding.SCREENS,
    *security.SCREENS,
)
