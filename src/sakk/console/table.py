"""The one table of all screens, and of the entrances before them."""

from typing import Final

from sakk.console import (
    api_key,
    audit,
    balance,
    customer,
    enter,
    event,
    home,
    ledger,
    payin,
    payment,
    payout,
    request_log,
    saved_view,
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
    *customer.SCREENS,
    *payout.SCREENS,
    *balance.SCREENS,
    *ledger.SCREENS,
    *api_key.SCREENS,
    *webhook.SCREENS,
    *event.SCREENS,
    *request_log.SCREENS,
    *team.SCREENS,
    *audit.SCREENS,
    *security.SCREENS,
)
