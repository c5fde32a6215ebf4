"""The application as the tests run it: every route, and probes that fail, wait and die.

Run by granian in a process of its own; ``DATABASE_URL`` names the test's database. Where
``DOOR_PORT`` is set the ledger's own door answers there.
"""

import asyncio
import os
import threading
from typing import Annotated, Any, Literal

import uvloop
from pydantic import Field
from sqlalchemy import Connection, text
from starlette.types import ASGIApp

from sakk.api.app import ROUTES, create_app
from sakk.api.context import Context, Document
from sakk.api.dependencies import ApiSettings, Dependencies
from sakk.api.ledger_door import LedgerDoor, open_listener
from sakk.api.parameters import Amount, Metadata, Parameters, ShortText, Strict
from sakk.api.route import Resource
from sakk.api.shapes import Shape
from sakk.core import chart
from sakk.core.chart import TransferCode
from sakk.core.errors import BalanceInsufficient, Unavailable
from sakk.core.escrow_channel import deposit_postings
from sakk.core.posting import Posting
from sakk.flow.book import Books, PostingSet
from sakk.flow.context import Parts
from sakk.flow.idempotency import Steps
from sakk.flow.liability import make_epoch as make_liability_epoch
from sakk.ledger.calls import OpenLedger
from sakk.ledger.line import LocalLine
from sakk.ledger.writer import open_ledger
from sakk.runtime.logging import configure_logging
from sakk.runtime.metrics import exposition
from sakk.screening.engine import Engine
from sakk.screening.exposure import Exposures
from sakk.screening.name import NameIndex
from sakk.store.actor import set_process
from sakk.store.database import Database, open_database
from sakk.store.escrow_channel import find_channel
from sakk.store.vault import KEY_BYTES, Vault
from tests.api.world import USDC

PROBE_LOCK = 77
VAULT = Vault(bytes(KEY_BYTES))
probe = Resource("probes")


class Place(Strict):
    """Where to."""

    network: ShortText
    address: ShortText


class ProbeParameters(Parameters):
    """One of every shape."""

    mode: Literal[
        "echo",
        "refuse",
        "crash",
        "wait",
        "unavailable",
        "refuse_plan",
        "refuse_intent",
        "refuse_record",
        "crash_record",
    ] = "echo"
    amount: Amount | None = None
    flag: bool | None = None
    words: Annotated[list[ShortText], Field(max_length=5)] | None = None
    destination: Place | None = None
    places: list[Place] | None = None
    metadata: Metadata | None = None


class ProbeShape(Shape):
    """What the handler was given."""

    id: str
    seen: dict[str, Any]


def _run(context: Context, body: ProbeParameters, object_id: str) -> Document:
    """Count the execution in a transaction of its own, then do as asked."""
    with context.database.begin() as connection:
        connection.execute(text("INSERT INTO probe_runs VALUES (:id)"), {"id": object_id})
    match body.mode:
        case "refuse":
            raise BalanceInsufficient("Not enough.", param="amount")
        case "crash":
            raise RuntimeError("a fault of ours")
        case "unavailable":
            raise Unavailable("Away.")
        case "wait":
            with context.database.begin() as connection:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({PROBE_LOCK})"))
        case _:
            pass
    seen = body.model_dump(exclude_unset=True, mode="json")
    return {"id": object_id, "seen": seen}


@probe.post("/v1/probes", returns=ProbeShape, operation="create_probe")
def create(context: Context, body: ProbeParameters) -> Document:
    """Run in one transaction."""
    object_id = context.object_id("prb")
    context.connection.execute(text("INSERT INTO probes VALUES (:id)"), {"id": object_id})
    return _run(context, body, object_id)


@probe.post("/v1/probes/outside", returns=ProbeShape, operation="probe_outside", two_steps=True)
def create_outside(context: Context, body: ProbeParameters) -> Document:
    """Run in two steps; the row of the object is written once, whatever comes."""
    object_id = context.object_id("prb")
    with context.database.begin() as connection:
        connection.execute(
            text("INSERT INTO probes VALUES (:id) ON CONFLICT DO NOTHING"), {"id": object_id}
        )
    return _run(context, body, object_id)


@probe.post("/v1/probes/steps", returns=ProbeShape, operation="probe_in_steps", in_steps=True)
def create_in_steps(context: Context, body: ProbeParameters) -> Steps[str, Document, Document]:
    """The row of the object is the intent; the execution stands outside."""
    object_id = context.object_id("prb")
    refusal = BalanceInsufficient("Not enough.", param="amount")
    if body.mode == "refuse_plan":
        raise refusal

    def intend(connection: Connection) -> str:
        connection.execute(
            text("INSERT INTO probes VALUES (:id) ON CONFLICT DO NOTHING"), {"id": object_id}
        )
        if body.mode == "refuse_intent":
            raise refusal
        return object_id

    def record(connection: Connection, seen: Document) -> Document | BalanceInsufficient:
        connection.execute(text("INSERT INTO probes VALUES (:id)"), {"id": f"{object_id}-done"})
        if body.mode == "crash_record":
            raise RuntimeError("a fault of ours")
        return refusal if body.mode == "refuse_record" else seen

    return Steps(intend, lambda made: _run(context, body, made), record)


class Funding(Parameters):
    """Money out of nothing."""

    amount: Amount


@probe.post("/v1/probes/fund", returns=ProbeShape, operation="fund", two_steps=True)
def fund(context: Context, body: Funding) -> Document:
    """Credit the account as a pay-in would."""
    unit = chart.currency_unit("usdc", livemode=context.livemode)
    source = chart.conversion_currency(f"eip155:84532/erc20:{USDC}", unit)
    posting = Posting(
        source,
        chart.merchant(context.account_id, "available", unit),
        body.amount,
        TransferCode.payin,
    )
    row_id = context.object_id("pin")
    [outcome] = context.parts.books.post([PostingSet(row_id, "post", 0, [posting])])
    return {"id": row_id, "seen": {"booked": outcome.booked}}


class Depositing(Parameters):
    """Coins in a channel of the escrow, which no chain has."""

    channel: ShortText
    amount: Amount


@probe.post("/v1/probes/deposit", returns=ProbeShape, operation="deposit", two_steps=True)
def deposit(context: Context, body: Depositing) -> Document:
    """Book a deposit as a final one is."""
    with context.parts.database.begin() as connection:
        channel = find_channel(connection, body.channel)
    assert channel is not None
    legs = deposit_postings(channel, body.amount)
    row_id = context.object_id("dep")
    [outcome] = context.parts.books.post([PostingSet(row_id, "post", 0, legs)])
    return {"id": row_id, "seen": {"booked": outcome.booked}}


@probe.post("/v1/probes/liabilities", returns=ProbeShape, operation="make_epoch", two_steps=True)
def make_epoch(context: Context, body: ProbeParameters) -> Document:
    """Make an epoch of the proof of liabilities, as ``sakk ledger liabilities`` does."""
    made = {epoch.unit: epoch.id for epoch in make_liability_epoch(context.parts)}
    unit = chart.currency_unit("usdc", livemode=context.livemode)
    return {"id": made[unit], "seen": made}


async def _door(ledger: OpenLedger, database: Database, settings: ApiSettings, port: int) -> None:
    with open_listener("127.0.0.1", port) as listener:
        await LedgerDoor(ledger.calls, database, settings, VAULT).serve(listener, asyncio.Event())


def make() -> ASGIApp:
    """The application; limits from the environment."""
    configure_logging(level="warning", form="json", role="api")
    # What no request says who did is this process's, and tests can tell.
    set_process("role:api")
    limit = os.environ.get("PROBE_RATE_LIMIT")
    failures = os.environ.get("PROBE_FAILURE_LIMIT")
    settings = ApiSettings(
        rate_limit_per_second=None if limit is None else int(limit),
        authentication_failures_per_minute=None if failures is None else int(failures),
        webhook_allow_loopback=True,
    )
    database = open_database(os.environ["DATABASE_URL"])
    ledger = open_ledger(database.url)
    if port := os.environ.get("DOOR_PORT"):
        threading.Thread(
            target=uvloop.run, args=(_door(ledger, database, settings, int(port)),), daemon=True
        ).start()
    return create_app(
        Dependencies(
            parts=Parts(
                database=database,
                ledger_books=Books(database, ledger),
                vault=VAULT,
                screening=Engine(database),
                names=NameIndex(database),
                exposure=Exposures(database),
            ),
            settings=settings,
            metrics=exposition,
            line=LocalLine(ledger.calls),
        ),
        (*ROUTES, *probe.routes),
    )
