"""``sakk serve``."""

import sys
from typing import Annotated

import typer

from sakk.cli.open import begin
from sakk.runtime.role import RoleName, run_role
from sakk.runtime.serve import serve as run_server
from sakk.runtime.start import begin_process


def serve(
    role: Annotated[
        RoleName | None,
        typer.Option(help="Run one role alone; it needs DATABASE_URL and SAKK_SOCKET_DIR."),
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port of the API (default 8402).")] = None,
    host: Annotated[str | None, typer.Option(help="Address of the API.")] = None,
) -> None:
    """Run the server: API, ledger, workers, watchers and signer, under one supervisor."""
    settings = begin(port=port, host=host)
    if settings.token.exists() and settings.read_token_pin() is None and sys.stdin.isatty():
        pin = typer.prompt("The token's PIN", hide_input=True)
        settings = begin(port=port, host=host, token_pin=pin)
    if role is not None:
        begin_process(settings, role=role.value)
        run_role(role, settings)
        return
    sys.exit(
        run_server(settings, on_ready=lambda: typer.echo(f"http://{settings.host}:{settings.port}"))
    )
