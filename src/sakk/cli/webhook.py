"""``sakk webhooks``: an account's endpoints, and whether one takes what it is sent."""

import time
from typing import Annotated

import msgspec
import typer

from sakk.cli.calling import LOCAL, Server, called
from sakk.cli.out import Json, console, print_json, print_table
from sakk.client import SakkClient
from sakk.client.objects import WebhookDelivery

LOOK_SECONDS = 0.2
# A try has 15 seconds for its answer, and begins at once.
WAIT_SECONDS_MAX = 30.0

app = typer.Typer(help="Who is told of events, and a test of it.", no_args_is_help=True)


@app.command(name="list")
def list_all(api: Server = LOCAL, as_json: Json = False) -> None:
    """List the endpoints of the account whose key is in SAKK_API_KEY, newest first."""
    with called(api) as client:
        found = list(client.webhook_endpoints.list(limit=100).auto_paging_iter())
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    print_table(
        ["id", "status", "url", "events"],
        [[each.id, each.status, each.url, ", ".join(each.enabled_events)] for each in found],
    )


@app.command(name="test")
def send_test(
    endpoint: Annotated[str, typer.Argument(help="we_…, as `sakk webhooks list` names it.")],
    api: Server = LOCAL,
    as_json: Json = False,
) -> None:
    """Send a test to an endpoint and say what it answered; ends with 1 if it was not taken."""
    with called(api) as client:
        sent = client.webhook_endpoints.test(endpoint)
        outcome = _awaited(client, sent.id)
    if as_json:
        print_json(msgspec.to_builtins(outcome))
    elif outcome.status == "pending":
        console.print(f"{outcome.id} has no answer yet")
    else:
        answer = outcome.error or outcome.response_status
        after = f"after {outcome.response_milliseconds} ms"
        console.print(f"{outcome.id} {outcome.status}: {answer}, {after}", markup=False)
        console.print(_harmless(outcome.response_excerpt or ""), markup=False)
    if outcome.status != "succeeded":
        raise typer.Exit(1)


def _harmless(text: str) -> str:
    """What a server said, without what would do something to a terminal."""
    return "".join(each if each.isprintable() or each == "\n" else "\ufffd" for each in text)


def _awaited(client: SakkClient, delivery: str) -> WebhookDelivery:
    """The delivery once its try is over, or as it is when nobody waits longer."""
    until = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        found = client.webhook_endpoints.retrieve_delivery(delivery)
        if found.status != "pending" or time.monotonic() > until:
            return found
        time.sleep(LOOK_SECONDS)
