"""The seller's door: an application's routes are paid for over HTTP 402. Stands alone."""

from sakk.paywall.charge import Charges
from sakk.paywall.door import Paywall
from sakk.paywall.errors import PaywallError
from sakk.paywall.escrow import Escrow
from sakk.paywall.exact import Exact
from sakk.paywall.facilitator import Facilitator
from sakk.paywall.payment import Payment
from sakk.paywall.price import Metered, Price
from sakk.paywall.route import Asked, Route
from sakk.paywall.session import Session
from sakk.paywall.used import Used

__all__ = [
    "Asked",
    "Charges",
    "Escrow",
    "Exact",
    "Facilitator",
    "Metered",
    "Payment",
    "Paywall",
    "PaywallError",
    "Price",
    "Route",
    "Session",
    "Used",
]
