"""Commands that do what an account may: they call a server, with the key in ``SAKK_API_KEY``."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from sakk.client import SakkClient
from sakk.core.errors import AuthenticationFailed

VARIABLE = "SAKK_API_KEY"
Server = Annotated[str, typer.Option("--api", envvar="SAKK_API", help="Where the server answers.")]
LOCAL = "http://127.0.0.1:8402"


@contextmanager
def called(api: str) -> Iterator[SakkClient]:
    """A client of the account whose key is in the environment; AuthenticationFailed without."""
    key = os.environ.get(VARIABLE)
    if not key:
        raise AuthenticationFailed(f"Put the account's key into {VARIABLE}: it acts with it.")
    with SakkClient(key, api) as client:
        yield client
