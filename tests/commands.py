"""Command lines read as the command line itself reads them, without doing anything."""

from __future__ import annotations

import argparse
import importlib
import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import pytest
import typer.main

from vibench.cli.main import _global_options_first, app


def parsed(words: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """The command that ``vibench WORDS`` would run, such as ``data twin``, and the values of its parameters.

    Raises what typer raises for an unknown command, option or value, or a missing argument.
    """
    command = _vibench()
    context = command.make_context("vibench", _global_options_first(list(words)))
    path: list[str] = []
    while hasattr(command, "commands"):
        # Where the rest of a group's words lies has changed between versions of click.
        rest = [*getattr(context, "_protected_args", ()), *context.args]
        name, command, rest = command.resolve_command(context, rest)
        path.append(name)
        context = command.make_context(name, rest, parent=context)
    return " ".join(path), dict(context.params)


def is_command(words: Sequence[str]) -> bool:
    """Whether ``words`` are the name of a command and nothing else, such as ``data twin``."""
    command = _vibench()
    for word in words:
        command = getattr(command, "commands", {}).get(word)
        if command is None:
            return False
    return True


def words_of(line: str) -> list[str]:
    """The words behind ``vibench`` in a shell command, whether it begins with it or torchrun starts it."""
    words = shlex.split(line, comments=True)
    if words[0] == "torchrun":
        return words[words.index("$(which") + 2 :]
    assert words[0] == "vibench", line
    return words[1:]


def parse_module(words: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the parser of ``python -m WORDS`` read its arguments, and end there.

    Raises `ModuleNotFoundError` for an unknown module and `SystemExit` for what its parser refuses.
    """
    name, *arguments = words
    module = importlib.import_module(name)
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{name}.__main__")
    read = argparse.ArgumentParser.parse_args

    class Read(Exception):
        pass

    def read_and_end(parser: argparse.ArgumentParser, *_: Any) -> None:
        read(parser, arguments)
        raise Read

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", read_and_end)
    with pytest.raises(Read):
        module.main()


def shell_commands(text: str) -> Iterator[str]:
    """The single commands of shell text: continued lines joined, comments left out, ``&&`` taken apart."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words:
            end = words.index("&&") if "&&" in words else len(words)
            yield _joined(words[:end])
            words = words[end + 1 :]


def _joined(words: Sequence[str]) -> str:
    """As `shlex.join`, but ``$(which vibench)`` stays as it is."""
    return " ".join(word if word.startswith("$(") or word.endswith(")") else shlex.quote(word) for word in words)


@cache
def _vibench() -> Any:
    return typer.main.get_command(app)
