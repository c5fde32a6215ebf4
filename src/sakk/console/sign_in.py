"""Signing in."""

from sakk.console.entrance import SIGN_IN, Arrival, Entrance
from sakk.console.visit import Page


def show(arrival: Arrival) -> Page:
    """The page where one signs in."""
    return Page("console/sign_in.html")


ENTRANCES = (Entrance("GET", SIGN_IN, show),)
