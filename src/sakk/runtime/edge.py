"""The role ``api``: the HTTP door on granian."""

import http.client
import threading
import time

from granian import Granian
from granian.constants import Interfaces
from starlette.types import ASGIApp, Receive, Scope, Send

from sakk.api.app import ROUTES, create_app
from sakk.api.dependencies import Dependencies
from sakk.api.route import scopes
from sakk.api.x402 import SCOPE as X402_SCOPE
from sakk.checkout.app import Checkout, is_checkout
from sakk.checkout.visit import CheckoutSettings, TestPayer
from sakk.console.app import Console, is_console
from sakk.console.visit import ConsoleSettings
from sakk.flow.context import Parts
from sakk.ledger.line import RemoteLine
from sakk.runtime.garbage import exempt_from_collection, put_off_collection
from sakk.runtime.metrics import announce_role, exposition
from sakk.runtime.place import ledger_address
from sakk.runtime.process import die_with_parent, report_ready
from sakk.runtime.settings import Settings, load_settings
from sakk.runtime.start import begin_process
from sakk.runtime.wiring import api_settings, open_parts, public_url

READY_POLL_SECONDS = 0.02
BACKLOG = 2_048


def serve_api(settings: Settings) -> None:
    """Serve until the process is told to stop. Workers are processes of their own."""
    threading.Thread(target=_report_when_ready, args=(settings,), daemon=True).start()
    # Given as a function: by its name the server would look in the working directory first.
    Granian(
        "sakk.runtime.edge:application",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        workers=settings.api_workers,
        factory=True,
        backlog=BACKLOG,
        respawn_failed_workers=True,
        log_enabled=False,
    ).serve(target_loader=application, wrap_loader=False)


def application() -> ASGIApp:
    """One worker's application, made in the worker's process."""
    die_with_parent()
    put_off_collection()
    settings = load_settings()
    begin_process(settings, role="api")
    announce_role("api")
    # Labels are loaded when somebody first asks about an address, not before.
    parts = open_parts(settings, screening=True)
    api = create_app(
        Dependencies(
            parts=parts,
            settings=api_settings(settings),
            metrics=exposition,
            line=RemoteLine(ledger_address(settings)),
        )
    )
    app: ASGIApp = _with_pages(api, parts, settings)
    if settings.sandbox:
        app = _with_paid(app, settings)
    exempt_from_collection()
    return app


def _with_pages(api: ASGIApp, parts: Parts, settings: Settings) -> ASGIApp:
    """The API, and the pages beside it under their own paths."""
    console = Console(parts, console_settings(settings), processes=settings.api_workers)
    test_payer = _test_payer(parts, settings) if settings.sandbox else None
    checkout = Checkout(
        parts, checkout_settings(settings, test_payer), processes=settings.api_workers
    )

    async def any_of(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and is_console(scope["path"]):
            await console(scope, receive, send)
        elif scope["type"] == "http" and is_checkout(scope["path"]):
            await checkout(scope, receive, send)
        else:
            await api(scope, receive, send)
        if scope["type"] == "lifespan":
            checkout.close()

    return any_of


def console_settings(settings: Settings) -> ConsoleSettings:
    """Where the console is reached, and what is offered there."""
    return ConsoleSettings(
        public_url=public_url(settings),
        sandbox=settings.sandbox,
        trusted_proxies=settings.proxies,
        scopes=tuple(sorted({*scopes(ROUTES), X402_SCOPE})),
    )


def checkout_settings(settings: Settings, test_payer: TestPayer | None) -> CheckoutSettings:
    """Where payers reach the checkout; ``test_payer``: who pays in a sandbox."""
    return CheckoutSettings(
        public_url=public_url(settings), trusted_proxies=settings.proxies, test_payer=test_payer
    )


def _test_payer(parts: Parts, settings: Settings) -> TestPayer:
    # Here alone: nobody else pays.
    from sakk.runtime.sandbox_payer import wallet_of

    return wallet_of(parts.database, settings.data_dir)


def _with_paid(app: ASGIApp, settings: Settings) -> ASGIApp:
    # Here alone: nobody else sells something in the API's process.
    from sakk.runtime.sandbox_paid import SandboxPaid

    return SandboxPaid(
        app,
        url=f"http://{settings.host}:{settings.port}",
        charges_url=f"http://{settings.host}:{settings.ledger_port or settings.port}",
        folder=settings.data_dir,
    )


def _report_when_ready(settings: Settings) -> None:
    while True:
        connection = http.client.HTTPConnection(settings.host, settings.port, timeout=1)
        try:
            connection.request("GET", "/healthz")
            if connection.getresponse().status == http.HTTPStatus.OK:
                report_ready()
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(READY_POLL_SECONDS)
