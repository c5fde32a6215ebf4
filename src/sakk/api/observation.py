"""What is counted of every request, whichever process answers it."""

from collections.abc import Callable

from prometheus_client import Counter, Histogram

# Seconds and status of each answer.
Observe = Callable[[float, int], None]

requests_total = Counter(
    "sakk_api_requests_total", "Requests answered.", ["method", "route", "status"]
)
request_seconds = Histogram(
    "sakk_api_request_seconds", "From a request's head to its answer.", ["method", "route"]
)


def observer(method: str, route: str) -> Observe:
    """A function to call at each answer of one route."""
    seconds = request_seconds.labels(method, route)
    answered: dict[int, Counter] = {}

    def observe(took: float, status: int) -> None:
        seconds.observe(took)
        if status not in answered:
            answered[status] = requests_total.labels(method, route, status)
        answered[status].inc()

    return observe
