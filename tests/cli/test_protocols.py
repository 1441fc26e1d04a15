"""``vibench protocols``: the list, one in full, and one sentence for a mistyped name."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from rich.console import Console
from typer.testing import CliRunner

from vibench.cli.main import app
from vibench.corruption import corruption_rules
from vibench.protocols import load_protocol, protocol_names


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run the command inside this process on a wide console and return what it printed."""

    def run(*arguments: str) -> str:
        console = Console(width=300, record=True, file=None, quiet=False)
        monkeypatch.setattr("vibench.cli.console.out", console)
        result = CliRunner().invoke(app, ["protocols", *arguments])
        assert result.exit_code == 0, result.output
        return console.export_text()

    return run


def test_list(shown: Callable[..., str]) -> None:
    lines = shown().splitlines()
    assert max(map(len, lines[: 1 + len(protocol_names())])) <= 80
    assert [line.split()[0] for line in lines[1 : 1 + len(protocol_names())]] == list(protocol_names())
    indoor = next(line for line in lines if "sysu-indoor " in line)
    assert " ".join(indoor.split()) == "sysu-indoor infrared 1 seeded/official 10 2208/3803 112"
    assert next(line for line in lines if "llcm-i2v" in line).split()[-2:] == ["?/7166*", "?"]


@pytest.mark.parametrize("name", protocol_names())
def test_each_in_full(shown: Callable[..., str], name: str) -> None:
    protocol = load_protocol(name)
    text = shown(name)
    assert protocol.title in text
    assert all(" ".join(part.split()) in " ".join(text.split()) for part in protocol.description.split("\n\n"))
    assert all(line in text for line in protocol.changelog)
    if protocol.draws[0] != "official":
        assert protocol.fingerprint(protocol.dataset, protocol.draws[0]) in text


def test_corruptions_in_full(shown: Callable[..., str]) -> None:
    rules, text = corruption_rules(), shown("corruption")
    assert all(" ".join(part.split()) in " ".join(text.split()) for part in rules.description.split("\n\n"))
    assert ", ".join(rules.visible) in text and ", ".join(rules.infrared) in text and rules.changelog[0] in text
    assert "mixed, visible images" in shown("regdb-v2t-c-as-scripted")


def test_rules_in_words(shown: Callable[..., str]) -> None:
    assert "gallery images of camera 2 for queries of camera 3, whoever they show" in shown("sysu-all")
    assert "of the query's own camera number, if they show the query's own identity" in shown("llcm-i2v")
    assert "infrared, camera 2: all images" in shown("regdb-v2t")


def test_as_a_process(vibench: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    wrong = vibench("protocols", "sysu-al")
    assert wrong.returncode == 2 and wrong.stdout == ""
    assert "did you mean 'sysu-all'?" in wrong.stderr and "Traceback" not in wrong.stderr
    assert vibench("protocols", "sysu-all-multi").returncode == 0
