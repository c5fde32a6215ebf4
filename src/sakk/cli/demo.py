"""``sakk demo``: the main job once, on a real local chain, narrated."""

import http.server
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer
from eth_account import Account

from sakk.cli.out import console
from sakk.client import SakkClient
from sakk.client.webhook import verify
from sakk.core.money import format_decimal
from sakk.rails.sandbox.wallet import Wallet
from sakk.runtime.process import Command, Process, spawn

WAIT_SECONDS_MAX = 60.0
POLL_SECONDS = 0.05
READY_SECONDS_MAX = 60.0
USDC_DECIMALS = 6
OFAC_STAND_IN = "address,category,entity\n{address},sanctions,Demo Designated Person\n"


class DemoFailed(Exception):
    """Something that must hold does not."""


def demo() -> None:
    """Run the main job once on a real local chain, narrated; exit 0 only if everything holds."""
    started = time.monotonic()
    try:
        with _sandbox() as description, _receiver() as inbox:
            Story(description, inbox).tell()
    except DemoFailed as failure:
        console.print(f"[red]The demo failed:[/red] {failure}")
        raise typer.Exit(1) from failure
    console.print(f"\nEverything held. {time.monotonic() - started:.1f} s in all.")


@dataclass(slots=True)
class Inbox:
    """A merchant's webhook receiver: verified events, in the order of their arrival."""

    url: str
    secret: str = ""
    arrived: "queue.Queue[tuple[float, dict[str, Any]]]" = field(default_factory=queue.Queue)
    seen: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    def await_event(self, kind: str, object_id: str) -> tuple[float, dict[str, Any]]:
        """The first event of a type about an object, with the time at which it arrived."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while True:
            for at, event in self.seen:
                if event["type"] == kind and event["data"]["object"]["id"] == object_id:
                    return at, event
            try:
                self.seen.append(self.arrived.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                raise DemoFailed(
                    f"no {kind} for {object_id} within {WAIT_SECONDS_MAX:g} s"
                ) from None


class Story:
    """One payment and one payout, told stage by stage."""

    def __init__(self, description: dict[str, Any], inbox: Inbox) -> None:
        self._description = description
        self._inbox = inbox
        self._chain = description["networks"][0]
        self._usdc = next(t for t in self._chain["tokens"] if t["currency"] == "usdc")
        self._merchant = SakkClient(description["secret_key"], description["api"])
        self._operator = SakkClient(description["operator_key"], description["api"])
        self._payer = Wallet(self._chain["rpc"], self._chain["payer_private_key"])
        self._began = time.monotonic()

    def tell(self) -> None:
        """The whole job, in order; raises DemoFailed at the first thing that does not hold."""
        try:
            endpoint = self._merchant.webhook_endpoints.create(
                url=self._inbox.url, enabled_events=["*"]
            )
            self._inbox.secret = str(endpoint.secret)
            self._pay_in()
            self._sweep()
            self._held()
            self._pay_out()
            self._prove()
        finally:
            self._merchant.close()
            self._operator.close()
            self._payer.close()

    def _say(self, stage: str, text: str) -> None:
        console.print(f"{time.monotonic() - self._began:7.2f} s  [bold]{stage:<14}[/bold]{text}")

    def _pay_in(self) -> None:
        intent = self._merchant.payment_intents.create(
            amount=2500, currency="usd", metadata={"order": "7"}
        )
        place = intent.deposit_addresses[self._chain["network"]]
        contract = self._usdc["contract"].lower()
        token = next(t for t in place.supported_tokens if str(t.asset).endswith(contract))
        self._say("request", f"{intent.id}: USD 25.00, {len(intent.deposit_addresses)} networks")
        self._say("", f"pay {token.amount} units of USDC to {place.address}")
        self._say("", str(token.uri))
        tx_hash = self._payer.transfer(
            self._usdc["contract"], place.address, int(str(token.amount))
        )
        self._payer.wait(tx_hash)
        mined = time.monotonic()
        self._say("chain", f"the payer's transfer is mined: {tx_hash}")
        payin = self._payin_of(intent.id)
        for stage, kind in (("watch", "payin.seen"), ("finality", "payin.confirmed")):
            at, _ = self._inbox.await_event(kind, payin)
            self._say(stage, f"{kind} {payin}, webhook {at - mined:.3f} s after the block")
        final = self._inbox.await_event("payin.confirmed", payin)[0]
        posted = self._inbox.await_event("payin.posted", payin)[0]
        _, event = self._inbox.await_event("payment_intent.succeeded", intent.id)
        self._say("screen, post", f"payin.posted, {posted - final:.3f} s after payin.confirmed")
        self._say("notify", f"{event['type']}, signed and verified, {event['id']}")
        found = self._merchant.payment_intents.retrieve(intent.id)
        _hold(
            (found.status, found.amount_status, found.timing) == ("succeeded", "exact", "on_time"),
            f"the intent is {found.status}, {found.amount_status}, {found.timing}",
        )
        self._balance("usdc", 25_000_000)

    def _payin_of(self, intent: str) -> str:
        found: str = _until(
            lambda: next(
                (
                    each.id
                    for each in self._merchant.payins.list(limit=100)
                    if each.payment_intent == intent
                ),
                None,
            ),
            "the pay-in was not seen",
        )
        return found

    def _sweep(self) -> None:
        event = _until(
            lambda: next(iter(self._operator.events.list(type="sweep.posted", limit=1)), None),
            "the deposit was not swept",
        )
        swept = event.data.object
        self._say("sweep", f"{swept['id']}: {swept['token_amount']} units to the treasury")
        self._say("", f"transaction {swept['tx_hash']}, gas paid and booked")

    def _held(self) -> None:
        """A payer who is on a list: the money is kept safe, and nobody is credited."""
        suspect = Account.create()
        self._payer.wait(self._payer.send_native(suspect.address, 10**18))
        self._payer.wait(self._payer.transfer(self._usdc["contract"], suspect.address, 7_000_000))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "designated.csv"
            file.write_text(OFAC_STAND_IN.format(address=suspect.address))
            self._command("lists", "import", str(file), "--kind", "sanctions")
        intent = self._merchant.payment_intents.create(amount=700, currency="usd")
        place = intent.deposit_addresses[self._chain["network"]]
        wallet = Wallet(self._chain["rpc"], suspect.key.hex())
        try:
            wallet.wait(wallet.transfer(self._usdc["contract"], place.address, 7_000_000))
        finally:
            wallet.close()
        payin = self._payin_of(intent.id)
        self._inbox.await_event("payin.under_review", payin)
        told = self._merchant.payins.retrieve(payin).status
        known = self._operator.for_account(self._description["account"]).payins.retrieve(payin)
        self._say("screen", f"{payin} from a listed sender: held ({known.status} to the operator)")
        self._say("", f"the merchant is told no more than {told}")
        _hold(told == "under_review", f"the merchant is told {told}")
        self._balance("usdc", 25_000_000)

    def _pay_out(self) -> None:
        beneficiary = Account.create().address
        payout = self._merchant.payouts.create(
            amount=10_000_000,
            currency="usdc",
            network=self._chain["network"],
            address=beneficiary,
        )
        self._say("payout", f"{payout.id}: 10 USDC to {beneficiary}")
        self._balance("usdc", 15_000_000)
        for kind in ("approved", "signed", "broadcast", "confirmed", "posted"):
            _, event = self._inbox.await_event(f"payout.{kind}", payout.id)
            self._say(
                kind, str(event["data"]["object"]["tx_hash"] or "hold in the ledger, screened")
            )
        arrived = self._payer.balance_of(self._usdc["contract"], beneficiary)
        self._say("chain", f"the beneficiary holds {format_decimal(arrived, USDC_DECIMALS)} USDC")
        _hold(arrived == 10_000_000, f"the beneficiary holds {arrived}")

    def _balance(self, currency: str, expected: int) -> None:
        _until(
            lambda: self._merchant.balance.retrieve().available_units(currency) == expected,
            f"the balance is not {expected}",
        )
        # Statements are written a moment after the ledger has answered.
        _until(lambda: self._lines(currency) >= expected, "balance and statement differ")
        self._say("balance", f"{format_decimal(expected, USDC_DECIMALS)} {currency} available")

    def _lines(self, currency: str) -> int:
        """What the statement comes to."""
        return sum(
            each.amount
            for each in self._merchant.balance_transactions.list(limit=100)
            if each.currency == currency
        )

    def _prove(self) -> None:
        self._say("reconcile", "the ledger against the chains, at one final block each:")
        self._command("reconcile")
        self._say("verify", "the ledger's journal replayed:")
        self._command("ledger", "verify")

    def _command(self, *arguments: str) -> None:
        environment = {**os.environ, "DATABASE_URL": self._description["database_url"]}
        done = subprocess.run(
            [sys.executable, "-m", "sakk.cli", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        for line in done.stdout.splitlines():
            console.print(f"            {line}")
        _hold(done.returncode == 0, f"sakk {' '.join(arguments)}: {done.stderr.strip()}")


def _hold(condition: bool, otherwise: str) -> None:
    if not condition:
        raise DemoFailed(otherwise)


def _until(look: Callable[[], Any], otherwise: str) -> Any:
    """Ask until there is an answer: for what no webhook tells a merchant."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(POLL_SECONDS)
    raise DemoFailed(f"{otherwise} within {WAIT_SECONDS_MAX:g} s")


@contextmanager
def _sandbox() -> Iterator[dict[str, Any]]:
    console.print("Starting PostgreSQL, two chains with real USDC, ledger, signer, workers, API …")
    process = spawn(
        Command(
            argv=[sys.executable, "-m", "sakk.cli", "sandbox", "--json"], stdout=subprocess.PIPE
        )
    )
    try:
        yield _description(process)
    finally:
        process.end()


def _description(process: Process) -> dict[str, Any]:
    assert process.popen.stdout is not None
    for line in process.popen.stdout:
        if line.startswith(b"{"):
            found: dict[str, Any] = json.loads(line)
            console.print(f"Sandbox at {found['api']}, account {found['account']}\n")
            return found
    raise DemoFailed("the sandbox did not start; its errors are above")


@contextmanager
def _receiver() -> Iterator[Inbox]:
    inbox = Inbox(url="")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            event = verify(dict(self.headers.items()), body, inbox.secret)
            inbox.arrived.put((time.monotonic(), event))
            self.send_response(http.HTTPStatus.NO_CONTENT)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing: the story does."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    inbox.url = f"http://127.0.0.1:{server.server_address[1]}/webhook"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield inbox
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
