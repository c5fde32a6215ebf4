"""The one table of all screens, and of the entrances before them."""

from typing import Final

from sakk.console import enter, security, shell, sign_in
from sakk.console.entrance import Entrance
from sakk.console.route import Screen

ENTRANCES: Final[tuple[Entrance, ...]] = (*sign_in.ENTRANCES, *enter.ENTRANCES)
# Their order is the navigation's.
SCREENS: Final[tuple[Screen, ...]] = (
    *shell.SCREENS,
    *security.SCREENS,
)
