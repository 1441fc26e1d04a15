"""The ``vibench`` command: registers one file per command and turns errors into one sentence and an exit code.

Command modules import typer and the standard library only at their top; rich, torch, numpy and pandas are imported
inside the functions, so that ``vibench --help`` answers at once.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from typer.core import TyperGroup

import vibench
from vibench.cli.check import check
from vibench.cli.compare import compare
from vibench.cli.data import data
from vibench.cli.demo import demo
from vibench.cli.doctor import doctor
from vibench.cli.eval import evaluate
from vibench.cli.extract import extract
from vibench.cli.import_ import import_
from vibench.cli.joint import JOINT_COMMANDS
from vibench.cli.leaderboard import leaderboard
from vibench.cli.methods import methods
from vibench.cli.new_method import new_method
from vibench.cli.profile import profile
from vibench.cli.prose import prose
from vibench.cli.protocols import protocols
from vibench.cli.report import report
from vibench.cli.streams import lasting_streams
from vibench.cli.sweep import sweep
from vibench.cli.train import train
from vibench.cli.visualize import visualize
from vibench.distributed.torchrun import started_by_torchrun
from vibench.errors import AlreadyReported, UsageError, VibenchError, VibenchWarning, one_line
from vibench.runtime.platform import require_platform

PANELS: dict[str, dict[str, Callable[..., None] | typer.Typer]] = {
    "Start": {"demo": demo, "methods": methods, "protocols": protocols, "doctor": doctor},
    "Data": {"data": data},
    "Train and evaluate": {
        "train": train,
        "eval": evaluate,
        "extract": extract,
        "import": import_,
        "profile": profile,
        "sweep": sweep,
    },
    "Compare and show": {
        "leaderboard": leaderboard,
        "compare": compare,
        "report": report,
        "visualize": visualize,
    },
    "Extend": {"new-method": new_method, "check": check},
}
"""The commands by what a person wants to do, in the order of ``vibench --help``."""


class _InOrder(TyperGroup):
    """Lists commands as `PANELS` does; typer would list ``data``, a group of commands, last."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for entries in PANELS.values() for name in entries]


app = typer.Typer(
    name="vibench",
    cls=_InOrder,
    help="Measure visible-infrared person re-identification: exact protocols, registered methods, honest costs.\n\n"
    "Begin with 'vibench demo'; 'vibench COMMAND --help' explains a command and gives an example.",
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
    context: typer.Context,
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

    if started_by_torchrun() and context.invoked_subcommand not in JOINT_COMMANDS:
        raise UsageError(
            f"vibench {context.invoked_subcommand}: several processes share the work of {', '.join(JOINT_COMMANDS)} "
            "alone; start this command without torchrun."
        )
    for path in plugin or ():
        add_plugin(path)


for panel, entries in PANELS.items():
    for name, entry in entries.items():
        if isinstance(entry, typer.Typer):
            app.add_typer(entry, name=name, rich_help_panel=panel)
        else:
            app.command(name, help=prose(entry), rich_help_panel=panel)(entry)


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the console script: exit 0 on success, 1 on a failed run, 2 on bad usage."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        require_platform()
    except VibenchError as error:
        # Without rich, which takes the word of this system for what its terminal can do.
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    with lasting_streams() as lost:
        try:
            _run(arguments)
            status: str | int | None = 0
        except SystemExit as ended:
            status = ended.code
        unsaid = lost()
        if unsaid is not None and status in (0, None):
            # After the work, whose results are files: a full disk under standard output must not cost them.
            _complain("error:", f"standard output cannot be written ({unsaid.strerror}); what is in files is whole.")
            status = VibenchError.exit_code
    sys.exit(status)


def _run(arguments: list[str]) -> None:
    debug = "--debug" in arguments
    warnings.showwarning = _show_warning
    try:
        app(args=_global_options_first(arguments), prog_name="vibench")
    except AlreadyReported as error:
        sys.exit(error.exit_code)
    except VibenchError as error:
        if debug:
            raise
        _complain("error:", str(error))
        for line in error.recipe:
            _complain("  ", one_line(line))
        sys.exit(error.exit_code)
    except OSError as error:
        if debug:
            raise
        # A full disk, a folder that cannot be written: what no module has a better sentence for.
        _complain("error:", _os_error_sentence(error))
        sys.exit(VibenchError.exit_code)
    except KeyboardInterrupt:
        if debug:
            raise
        _complain("interrupted")
        sys.exit(130)


def _complain(what: str, sentence: str = "") -> None:
    from rich.markup import escape

    from vibench.cli.console import err

    err.print(f"[bold red]{what}[/] {escape(sentence)}".rstrip(), soft_wrap=True)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """One sentence for the user where vibench warns; whatever else warns does so with its place."""
    from rich.markup import escape

    from vibench.cli.console import err

    if issubclass(category, VibenchWarning):
        err.print(f"[bold yellow]attention:[/] {escape(str(message))}", soft_wrap=True)
    else:
        print(warnings.formatwarning(message, category, filename, lineno, line), end="", file=file or sys.stderr)


def _os_error_sentence(error: OSError) -> str:
    what = f"{os.fsdecode(error.filename)}: " if error.filename is not None else ""
    return one_line(
        f"{what}{error.strerror or error}; what was written before is intact: make room or give access, then run the "
        "command again."
    )


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
