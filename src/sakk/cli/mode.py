"""Whether a command is about live money or about the test mode's."""

from typing import Annotated

import typer

Live = Annotated[bool, typer.Option("--live/--test", help="Live money or test money.")]
