"""``sakk bench checkout``: what a payer's page weighs, and how soon it can be used.

A sandbox serves it over loopback, and a Chromium with an empty cache opens it: all that comes over
the wire with its headers, and the time until its scripts have run and it is painted.
"""

from collections.abc import Callable
from typing import Any, Final

import httpx2

from sakk.bench.chromium import Chromium, start_chromium
from sakk.bench.figures import cost, times
from sakk.bench.machine import describe_machine
from sakk.bench.stack import Stack, start_stack

REPEATS: Final = 20
WARM: Final = 3
SIZES: Final = {"phone": (360, 740), "desk": (1280, 800)}


def run(*, say: Callable[[str], None] = lambda _: None, repeats: int = REPEATS) -> dict[str, Any]:
    """Measure all; the result is an object of ``sakk bench``'s shape."""
    machine = describe_machine()
    with start_stack("--networks", "1") as stack, start_chromium() as browser:
        return {"machine": machine, "results": measure(stack, browser, say=say, repeats=repeats)}


def measure(
    stack: Stack,
    browser: Chromium,
    *,
    say: Callable[[str], None] = lambda _: None,
    repeats: int = REPEATS,
    warm: int = WARM,
) -> list[dict[str, Any]]:
    """One session's page, on a phone and on a desk."""
    price = {"currency": "usd", "unit_amount": 2_500, "product_data": {"name": "Tea"}}
    answer = httpx2.post(
        f"{stack.api}/v1/checkout/sessions",
        headers=stack.headers,
        json={"line_items": [{"quantity": 1, "price_data": price}]},
        timeout=60,
    )
    answer.raise_for_status()
    url = str(answer.json()["url"])
    lines = []
    for name, (width, height) in SIZES.items():
        say(f"the checkout on a {name}: {repeats} times")
        for _ in range(warm):
            browser.visit(url, width=width, height=height)
        seen = [browser.visit(url, width=width, height=height) for _ in range(repeats)]
        lines += [
            cost(f"checkout_{name}_bytes", "bytes", [each.size for each in seen]),
            times(
                f"checkout_{name}_interactive", [each.interactive for each in seen], repeats=repeats
            ),
        ]
    return lines
