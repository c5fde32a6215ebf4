"""``sakk docs``: write the reference from the code, or say where the two differ."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sakk.cli.out import console
from sakk.runtime.reference import pages
from sakk.runtime.reference.markdown import code, page, sentence, table

FOLDER = Path("docs/reference")


def docs(
    folder: Annotated[Path, typer.Option(help="Where the pages stand.")] = FOLDER,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 if a page differs.")
    ] = False,
) -> None:
    """Write the reference pages from the code."""
    wanted = all_pages()
    stale = [
        name
        for name, text in wanted.items()
        if not (folder / name).is_file() or (folder / name).read_text("utf-8") != text
    ]
    if check:
        for name in stale:
            console.print(f"{folder / name} is not what the code says: run `make docs`.")
        sys.exit(1 if stale else 0)
    folder.mkdir(parents=True, exist_ok=True)
    for name in stale:
        (folder / name).write_text(wanted[name], "utf-8")
    console.print(f"{len(wanted)} pages in {folder}, {len(stale)} changed.")


def all_pages() -> dict[str, str]:
    """Every generated page, that of the command line too."""
    return {**pages(), "cli.md": cli_page()}


def cli_page() -> str:
    """Every command with its arguments and options."""
    # Imported here: the application imports this file to register the command.
    from sakk.cli.app import make_app

    root: Any = typer.main.get_command(make_app())
    return page(
        "Command line",
        "Commands that look at or change a running Sakk find its database by `DATABASE_URL`, or "
        "in the data directory when the embedded one is running. Results go to standard output, "
        "logs to standard error. Exit codes: 0 done, 1 no (a break, a refusal, a failure), "
        "78 misconfigured, 2 wrong usage.",
        *_commands(root, "sakk"),
    )


def _commands(command: Any, name: str) -> list[str]:
    """A block for every command below this one, groups opened."""
    blocks = []
    for word, each in command.commands.items():
        full = f"{name} {word}"
        if hasattr(each, "commands"):
            blocks += [f"## {full}", sentence(each.help or ""), *_commands(each, full)]
        else:
            blocks.append(_command(each, full))
    return blocks


def _command(command: Any, name: str) -> str:
    context = command.make_context(name, [], resilient_parsing=True)
    shown = [each for each in command.params if "--help" not in each.opts]
    arguments = [each for each in shown if each.param_type_name == "argument"]
    usage = " ".join([name, *(each.name.upper() for each in arguments)])
    rows = [
        [
            _spelling(each),
            _kind(each, context),
            "needed" if each.required else code(_default(each)),
            sentence(getattr(each, "help", None) or ""),
        ]
        for each in shown
    ]
    level = "##" if name.count(" ") == 1 else "###"
    blocks = [
        f"{level} {usage}",
        sentence(command.help or ""),
        table(["argument or option", "kind", "default", "meaning"], rows),
    ]
    return "\n\n".join(block for block in blocks if block)


def _spelling(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return code(parameter.name.upper())
    more = ", again for more" if parameter.multiple else ""
    return code(" / ".join([*parameter.opts, *parameter.secondary_opts])) + more


def _kind(parameter: Any, context: Any) -> str:
    if parameter.param_type_name == "option" and parameter.is_flag:
        return "switch"
    shown = parameter.display_type(context).strip("<>").removeprefix("list[").rstrip("]")
    if "|" in shown:
        return ", ".join(code(choice) for choice in shown.split("|"))
    return str(shown.removesuffix(" range"))


def _default(parameter: Any) -> str:
    default = parameter.default
    if default is None or callable(default) or default == ():
        return ""
    if isinstance(default, bool) and parameter.secondary_opts:
        return str((parameter.opts if default else parameter.secondary_opts)[0])
    return "" if default is False else str(default)
