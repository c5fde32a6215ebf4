"""The command line as a whole: what is listed is what there is, and nothing of it is loaded."""

import subprocess
import sys

import typer
from typer.testing import CliRunner

from sakk.cli.app import make_app, make_listing
from sakk.cli.summary import SUMMARIES

# A command takes these in, and to say which commands there are takes none.
HEAVY = ("pydantic", "sqlalchemy", "psycopg", "structlog", "sakk.store", "sakk.flow")


def test_each_command_is_listed_by_what_it_says_of_itself() -> None:
    root = typer.main.get_command(make_app())
    assert isinstance(root, typer.core.TyperGroup)
    said = {
        name: (command.help or "").strip().split("\n\n")[0].replace("\n", " ")
        for name, command in root.commands.items()
    }
    assert said == SUMMARIES


def test_a_word_that_is_no_command_is_told_which_is_like_it() -> None:
    done = CliRunner().invoke(make_listing(), ["serv"])
    assert done.exit_code == 2
    assert "Did you mean 'serve'?" in done.output


def test_help_loads_no_command() -> None:
    code = (
        "import sys; from sakk.cli.app import make_listing;"
        " make_listing()(['--help'], standalone_mode=False);"
        f" sys.exit(', '.join(each for each in {HEAVY!r} if each in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(name in done.stdout for name in SUMMARIES)
