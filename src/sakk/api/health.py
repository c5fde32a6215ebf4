"""Paths that need no key: health, readiness, metrics, the description, and what errors mean."""

import html
from collections.abc import Callable
from functools import cache
from typing import Any

from fastapi import Response
from sqlalchemy import text

from sakk.api.answer import encode
from sakk.api.dependencies import Dependencies
from sakk.core.errors import SakkError
from sakk.store.database import Database
from sakk.store.freeze import list_in_force
from sakk.store.revision import expected_revision

JSON = "application/json"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"

Endpoint = Callable[[], Response]


def health_routes(
    dependencies: Dependencies, describe: Callable[[], dict[str, Any]]
) -> dict[str, Endpoint]:
    """Path to endpoint. The description is made once, when it is first asked for."""
    description: list[bytes] = []

    def healthz() -> Response:
        return Response(b'{"status":"ok"}', media_type=JSON)

    def readyz() -> Response:
        failing = failures(dependencies)
        document = {
            "status": "unavailable" if failing else "ok",
            "failing": failing,
            "frozen": [] if failing else frozen_scopes(dependencies.database),
        }
        return Response(encode(document), status_code=503 if failing else 200, media_type=JSON)

    def metrics() -> Response:
        rendered = b"" if dependencies.metrics is None else dependencies.metrics()
        return Response(rendered, headers={"content-type": PROMETHEUS})

    def openapi() -> Response:
        if not description:
            description.append(encode(describe()))
        return Response(description[0], media_type=JSON)

    def errors() -> Response:
        return Response(errors_page(), media_type="text/html")

    return {
        "/healthz": healthz,
        "/readyz": readyz,
        "/metrics": metrics,
        "/openapi.json": openapi,
        "/docs/errors": errors,
    }


def failures(dependencies: Dependencies) -> dict[str, str]:
    """What keeps this process from serving, by name; empty when it is ready."""
    failing: dict[str, str] = {}
    checks = {"database": lambda: check_schema(dependencies.database), **dependencies.checks}
    for name, check in checks.items():
        try:
            problem = check()
        except Exception as error:
            # Only the kind: readiness is told without a key.
            problem = type(error).__name__
        if problem is not None:
            failing[name] = problem
    return failing


def frozen_scopes(database: Database) -> list[str]:
    """What is frozen, without the reasons. Pay-ins and requests go on: it is no reason for 503."""
    with database.begin() as connection:
        # An account's name is not for everybody who can ask.
        return ["account" if each.account_id else each.scope for each in list_in_force(connection)]


def check_schema(database: Database) -> str | None:
    """What is wrong with the database: it is away, or its schema is not this code's."""
    expected = _expected_revision()
    with database.begin() as connection:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if found != expected:
        return f"the schema is at revision {found}, this code needs {expected}"
    return None


@cache
def _expected_revision() -> str | None:
    return expected_revision()


def error_classes() -> list[type[SakkError]]:
    """Every error of the tree, in its order."""
    found: list[type[SakkError]] = []

    def walk(error: type[SakkError]) -> None:
        found.append(error)
        for child in error.__subclasses__():
            walk(child)

    walk(SakkError)
    return found


def errors_page() -> bytes:
    """A page that ``doc_url`` points to: one row per code."""
    rows = {
        error.code: (
            f'<tr id="{error.code}"><td><code>{error.code}</code></td><td>{error.status}</td>'
            f"<td><code>{error.type}</code></td>"
            f"<td>{html.escape((error.__doc__ or '').partition(chr(10))[0])}</td></tr>"
        )
        for error in reversed(error_classes())
    }
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Errors</title><h1>Errors</h1>"
        "<table><tr><th>code</th><th>status</th><th>type</th><th>meaning</th></tr>"
        + "".join(rows[code] for code in sorted(rows))
        + "</table></html>"
    ).encode()
