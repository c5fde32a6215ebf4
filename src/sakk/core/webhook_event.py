"""Events of webhook endpoints."""

from typing import Final

from sakk.core.event_type import register

WEBHOOK_ENDPOINT_CREATED: Final = register(
    "webhook_endpoint", "created", "A webhook endpoint was created."
)
WEBHOOK_ENDPOINT_UPDATED: Final = register(
    "webhook_endpoint", "updated", "A webhook endpoint or its secret changed."
)
WEBHOOK_ENDPOINT_DELETED: Final = register(
    "webhook_endpoint", "deleted", "A webhook endpoint was deleted."
)
WEBHOOK_ENDPOINT_DISABLED: Final = register(
    "webhook_endpoint", "disabled", "A webhook endpoint answered 410 or failed for days."
)
WEBHOOK_ENDPOINT_FAILING: Final = register(
    "webhook_endpoint", "failing", "Sakk stopped sending to a merchant's endpoint.", "operator"
)
WEBHOOK_ENDPOINT_TEST: Final = register(
    "webhook_endpoint",
    "test",
    "A test that somebody asked for: nothing happened. Told to that endpoint alone, once.",
)

# Told to the endpoint that they are about and to no other, whatever any of them asked for.
ADDRESSED: Final = frozenset({WEBHOOK_ENDPOINT_TEST})
