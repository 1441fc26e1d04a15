"""The ``vibench`` command: registers one file per command and turns errors into one sentence and an exit code.

Command modules import typer, rich and the standard library only at their top; torch, numpy and pandas are imported
inside the functions, so that ``vibench --help`` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import vibench
from vibench.cli.check import check
from vibench.cli.compare import compare
from vibench.cli.data import data
from vibench.cli.demo import demo
from vibench.cli.eval import evaluate
from vibench.cli.extract import extract
from vibench.cli.import_ import import_
from vibench.cli.leaderboard import leaderboard
from vibench.cli.methods import methods
from vibench.cli.new_method import new_method
from vibench.cli.profile import profile
from vibench.cli.protocols import protocols
from vibench.cli.report import report
from vibench.cli.sweep import sweep
from vibench.cli.train import train
from vibench.cli.visualize import visualize
from vibench.errors import VibenchError

app = typer.Typer(
    name="vibench",
    help="Measure visible-infrared person re-identification: exact protocols, registered methods, honest costs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vibench {vibench.__version__}")
        raise typer.Exit()


@app.callback()
def options(
    plugin: Annotated[
        list[Path] | None,
        typer.Option(help="Folder or .py file of a method of your own; repeatable; also $VIBENCH_PLUGINS."),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Global options; they may stand before or behind the command's name."""
    from vibench.methods.plugin import add_plugin

    for path in plugin or ():
        add_plugin(path)


app.command("demo")(demo)
app.add_typer(data, name="data")
app.command("methods")(methods)
app.command("new-method")(new_method)
app.command("check")(check)
app.command("protocols")(protocols)
app.command("train")(train)
app.command("extract")(extract)
app.command("eval")(evaluate)
app.command("import")(import_)
app.command("profile")(profile)
app.command("leaderboard")(leaderboard)
app.command("visualize")(visualize)
app.command("compare")(compare)
app.command("report")(report)
app.command("sweep")(sweep)


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the console script: exit 0 on success, 1 on a failed run, 2 on bad usage."""
    from rich.markup import escape

    from vibench.cli.console import err

    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    try:
        app(args=_global_options_first(arguments), prog_name="vibench")
    except VibenchError as error:
        if debug:
            raise
        err.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        if debug:
            raise
        err.print("[bold red]interrupted[/]")
        sys.exit(130)


def _global_options_first(arguments: list[str]) -> list[str]:
    """``--debug`` and ``--plugin PATH`` mean the same before and behind the command's name; click wants them before."""
    first: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--plugin":
            value = next(words, None)
            if value is None:
                return [word]  # click says what is missing
            first += [word, value]
        elif word == "--debug" or word.startswith("--plugin="):
            first.append(word)
        else:
            rest.append(word)
    return first + rest


if __name__ == "__main__":
    main()
