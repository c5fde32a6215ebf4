"""What is counted of priced requests, for Prometheus: a file a process, added up when asked.

The client library reads ``PROMETHEUS_MULTIPROC_DIR`` when it is imported, so the proxy sets it
before its workers start.
"""

from prometheus_client import Counter

from sakk.paywall.door import Outcome
from sakk.paywall.payment import Payment

_requests = Counter(
    "sakk_paywall_requests_total", "Priced requests, by what became of them.", ["outcome"]
)
_served = Counter(
    "sakk_paywall_served_total", "Requests served, by how they were paid.", ["scheme", "network"]
)
_amount = Counter(
    "sakk_paywall_amount_total",
    "What was paid or reserved for served requests, in the currency's smallest unit.",
    ["currency"],
)


def observe(outcome: Outcome, payment: Payment | None) -> None:
    """Count one priced request."""
    _requests.labels(outcome.value).inc()
    if outcome is Outcome.served and payment is not None:
        _served.labels(payment.scheme, payment.network).inc()
        _amount.labels(payment.currency).inc(payment.amount)
