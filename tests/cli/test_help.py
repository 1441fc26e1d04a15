"""What ``--help`` says, read as a newcomer does: groups of commands, whole sentences, examples that hold."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from typer.testing import CliRunner

from tests.commands import parsed, words_of
from vibench.cli import data
from vibench.cli.main import PANELS, app

COMMANDS = [
    *(name for entries in PANELS.values() for name in entries if name != "data"),
    *(f"data {name}" for name in data.COMMANDS),
]


def shown(*arguments: str, columns: int = 80) -> str:
    result = CliRunner().invoke(app, [*arguments, "--help"], env={"COLUMNS": str(columns), "TERMINAL_WIDTH": None})
    assert result.exit_code == 0, result.output
    return result.output


def test_commands_stand_in_groups_by_what_a_person_wants_to_do() -> None:
    text = shown()
    heads = re.findall(r"^╭─ (.+?) ─+╮$", text, flags=re.MULTILINE)
    assert heads == ["Options", "Start", "Data", "Train and evaluate", "Compare and show", "Extend"]
    for head, body in zip(heads[1:], text.split("╭─ ")[2:], strict=True):
        assert re.findall(r"^│ ([a-z-]+) ", body, flags=re.MULTILINE) == list(PANELS[head])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example_that_can_be_given(command: str) -> None:
    text = shown(*command.split(), columns=200)
    examples = re.findall(r"Example: (vibench .*)", text)
    assert examples
    for example in examples:
        assert parsed(words_of(example.strip()))[0] == command


@pytest.mark.parametrize("command", COMMANDS)
def test_prose_fills_the_lines_of_a_narrow_terminal(command: str) -> None:
    """A line that ends early is the last of its paragraph: docstrings' own line breaks are gone."""
    head = shown(*command.split()).split("╭─")[0].splitlines()
    for line, following in pairwise(head):
        if line.strip() and following.strip():
            assert len(f"{line.rstrip()} {following.split()[0]}") > 79, (line, following)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_narrow_terminal_cuts_no_word(command: str) -> None:
    assert not [line for line in shown(*command.split()).splitlines() if "…" in line]


def test_brackets_of_a_plan_are_no_markup() -> None:
    assert "pip install 'vibench[report]'." in " ".join(shown("report").split())
    text = " ".join(shown("sweep").split())
    for table in ("[sweep]", "[[jobs]]", "[executor]", "[roots]"):
        assert table in text
