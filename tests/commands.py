"""Command lines read as the command line itself reads them, without doing anything."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import typer.main

from vibench.cli.main import _global_options_first, app


def parsed(words: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """The command that ``vibench WORDS`` would run, such as ``data twin``, and the values of its parameters.

    Raises what typer raises for an unknown command, option or value, or a missing argument.
    """
    command: Any = typer.main.get_command(app)
    context = command.make_context("vibench", _global_options_first(list(words)))
    path: list[str] = []
    while hasattr(command, "commands"):
        # Where the rest of a group's words lies has changed between versions of click.
        rest = [*getattr(context, "_protected_args", ()), *context.args]
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
        path.append(name)
    return " ".join(path), dict(context.params)


def words_of(line: str) -> list[str]:
    """The words behind ``vibench`` in a shell line, whether it begins with it or torchrun does; no variables."""
    words = shlex.split(line, comments=True)
    if words[0] == "torchrun":
        return words[words.index("$(which") + 2 :]
    assert words[0] == "vibench", line
    return words[1:]
