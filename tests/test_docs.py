"""The prose: every command that it gives can be given, every link leads somewhere, what it lists is there."""

from __future__ import annotations

import ast
import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.commands import is_command, parse_module, parsed, shell_commands, words_of
from tests.conftest import REPOSITORY
from tests.methods.built_in import BUILT_IN
from vibench.datasets.joined import joined_name, training_dataset
from vibench.datasets.registry import get_dataset
from vibench.datasets.sysu_mm01 import sysu_skeleton
from vibench.files.toml import tomllib
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import method_entry
from vibench.protocols import load_protocol
from vibench.sweep.expansion import expand
from vibench.sweep.plan import read_plan

LINES = 130
"""Of the landing page."""
PICTURE_BYTES = 400_000
"""Of all pictures together."""
LITERAL = (
    "python3 -m venv .venv && .venv/bin/pip install -q -e '.[report]' && .venv/bin/vibench demo",
    "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && .venv/bin/python -m pytest -n 2",
)
"""Lines of the landing page that people and CI (.ci/run) rely on."""
OWN = ("my_method", "my-method", "NAME")
"""Methods in commands that are the reader's own."""


@dataclass(frozen=True)
class Document:
    """A README."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        return self.path.relative_to(REPOSITORY).as_posix()

    def blocks(self, language: str) -> list[str]:
        return re.findall(rf"^```{language}\n(.*?)^```", self.text, flags=re.MULTILINE | re.DOTALL)

    @property
    def prose(self) -> str:
        return re.sub(r"^```.*?^```", "", self.text, flags=re.MULTILINE | re.DOTALL)

    @property
    def spans(self) -> list[str]:
        """Inline code."""
        return re.findall(r"`([^`\n]+)`", self.prose)

    @property
    def links(self) -> list[str]:
        """Targets of links and pictures, those on the web left out."""
        targets = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", self.prose))
        return [target for target in targets if "://" not in target]

    @property
    def anchors(self) -> set[str]:
        """What GitHub makes of the headings."""
        headings = re.findall(r"^#+ (.+)$", self.prose, flags=re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    def section(self, title: str) -> Document:
        (body,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", self.text, flags=re.MULTILINE | re.DOTALL)
        return Document(self.path, body)

    @property
    def tables(self) -> list[list[str]]:
        """The rows of its tables, heads left out."""
        rows = re.findall(r"^\|(.+)\|$", self.prose, flags=re.MULTILINE)
        return [[cell.strip() for cell in row.split(" |")] for row in rows if not set(row) <= set("-|: ")]


def document(name: str) -> Document:
    path = REPOSITORY / name
    return Document(path, path.read_text(encoding="utf-8"))


def _documents() -> Iterator[Document]:
    for depth in ("", "*/", "*/*/", "*/*/*/"):
        for path in sorted(REPOSITORY.glob(f"{depth}README.md")):
            if not any(part.startswith(".") for part in path.relative_to(REPOSITORY).parts):
                yield document(path.relative_to(REPOSITORY).as_posix())


DOCUMENTS = list(_documents())
ROOMS = [
    "vibench/README.md",
    "protocols/README.md",
    "vibench/datasets/README.md",
    "vibench/methods/README.md",
    "leaderboards/README.md",
    "vibench/sweep/README.md",
    "tests/README.md",
]
README = document("README.md")
COMMANDS = [(one.name, command) for one in DOCUMENTS for block in one.blocks("sh") for command in shell_commands(block)]
SPANS = [(one.name, span) for one in DOCUMENTS for span in one.spans if re.match(r"vibench |python -m |pip ", span)]


def test_the_readme_is_a_landing_page() -> None:
    assert len(README.text.splitlines()) <= LINES
    assert [block.strip() for block in README.blocks("sh")][:2] == list(LITERAL)


def test_its_pictures_are_small() -> None:
    pictures = [README.path.parent / link for link in README.links if link.endswith(".png")]
    folder = REPOSITORY / "leaderboards" / "pictures"
    assert sorted(pictures) == sorted(folder.iterdir())
    for picture in pictures:
        with Image.open(picture) as image:
            image.verify()
            assert image.width >= 800
    assert sum(picture.stat().st_size for picture in pictures) <= PICTURE_BYTES


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_says_for_whom_it_is_and_the_readme_leads_there(name: str) -> None:
    assert re.fullmatch(r"\*For (whoever|the) .+\.\*", document(name).text.splitlines()[0])
    assert name in README.links


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=lambda value: value)
def test_a_command_can_be_given(name: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(command.replace(".venv/bin/", ""))
    if words[0] in ("vibench", "torchrun"):
        _check_vibench(*parsed(words_of(command.replace(".venv/bin/", ""))))
    elif words[:3] == ["python", "-m", "pytest"]:
        _check_pytest(words[3:])
    elif words[:2] == ["python", "-m"] and words[2].startswith("tests."):
        parse_module(words[2:], monkeypatch)
    elif words[0] == "pip":
        _check_extras(words)
    elif words[0].startswith(".ci/"):
        assert os.access(REPOSITORY / words[0], os.X_OK)
    else:
        assert words[0] == "export" or words == ["python3", "-m", "venv", ".venv"], f"{name}: nobody reads {command}"


@pytest.mark.parametrize(("name", "span"), SPANS, ids=lambda value: value)
def test_a_command_in_a_sentence_exists(name: str, span: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(span)
    if words[0] == "pip":
        _check_extras(words)
    elif words[0] == "python":
        parse_module(words[2:], monkeypatch)
    elif "--help" not in words and not is_command(words[1:]):
        _check_vibench(*parsed(words[1:]))


def test_committed_files_that_commands_name_are_committed() -> None:
    """A file that git ignores is there for its author alone."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("not a checkout of git")
    listed = subprocess.check_output(["git", "ls-files"], cwd=REPOSITORY, text=True).splitlines()
    tracked = {*listed, *(str(parent) for name in listed for parent in PurePosixPath(name).parents)}
    pairs = [pair for _, command in COMMANDS for pair in pairwise(shlex.split(command))]
    named = {word for option, word in pairs if option not in ("--json", "-o", "--out")}
    beginnings = ("leaderboards/", "protocols/", "tests/", "vibench/")
    assert {word for word in named if word.startswith(beginnings)} <= tracked


def _check_vibench(command: str, values: dict[str, Any]) -> None:
    """Data sets, protocols, methods, variants and recipe keys that a command names exist."""
    dataset, method = values.get("dataset"), values.get("method") or values.get("name")
    if dataset and isinstance(dataset, (list, tuple)):
        dataset = training_dataset(joined_name(list(dataset))).name
    elif dataset:
        get_dataset(dataset if command != "data twin" else f"{dataset}-twin")
    named = values.get("protocol")
    for protocol in [named] if isinstance(named, str) else named or []:
        if not protocol.endswith(".toml"):
            load_protocol(protocol)
    if command in ("train", "methods", "check", "import") and method and method not in OWN:
        load_recipe(method, values.get("variant") or "", dataset or "sysu-mm01", values.get("set_") or [])
    if command == "compare":
        for side in values["sides"]:
            load_recipe(*side.split(":"))


def _check_pytest(words: list[str]) -> None:
    markers = {"", *(line.split(":")[0] for line in _project()["tool"]["pytest"]["ini_options"]["markers"])}
    options = iter(words)
    for word in options:
        if word == "-m":
            assert next(options) in markers
        elif word == "-n":
            assert next(options).isdigit()
        elif word == "-p":
            # The module of a plugin, which is not imported here.
            assert (REPOSITORY / f"{next(options).replace('.', '/')}.py").exists()
        else:
            assert word in OWN or (REPOSITORY / word).exists(), word


def _check_extras(words: list[str]) -> None:
    extras = _project()["project"]["optional-dependencies"]
    assert words[1] == "install" and words[-1].startswith(".")
    for extra in re.findall(r"\w+", words[-1]):
        assert extra in extras


def _project() -> dict[str, Any]:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("one", DOCUMENTS, ids=lambda one: one.name)
def test_links_lead_somewhere(one: Document) -> None:
    for link in one.links:
        file, _, anchor = link.partition("#")
        target = (one.path.parent / file).resolve() if file else one.path
        assert target.exists(), link
        if anchor:
            assert anchor in Document(target, target.read_text(encoding="utf-8")).anchors, link


@pytest.mark.parametrize("one", DOCUMENTS, ids=lambda one: one.name)
def test_tables_of_toml_are_plans_that_could_start(
    one: Document, tmp_path: Path, sysu_twin: Path, regdb_twin: Path
) -> None:
    """On the twins of the data sets that a plan names, its jobs can be listed."""
    for number, block in enumerate(one.blocks("toml")):
        if "sweep" in tomllib.loads(block):
            path = tmp_path / f"plan{number}.toml"
            path.write_text(block, encoding="utf-8")
            plan = read_plan(path)
            entries = (replace(entry, datasets=tuple(f"{name}-twin" for name in entry.datasets)) for entry in plan.jobs)
            roots = {"sysu-mm01-twin": str(sysu_twin), "regdb-twin": str(regdb_twin)}
            assert expand(replace(plan, jobs=tuple(entries), roots=roots))


@pytest.mark.parametrize("one", DOCUMENTS, ids=lambda one: one.name)
def test_snippets_compile_and_import_what_exists(one: Document) -> None:
    for block in one.blocks("python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("vibench"):
                module = importlib.import_module(str(node.module))
                assert all(hasattr(module, alias.name) for alias in node.names)
        for chain in re.findall(r"\bvibench((?:\.\w+)+)\(", block):
            found: Any = importlib.import_module("vibench")
            for attribute in chain.split(".")[1:]:
                found = getattr(found, attribute)


def test_one_table_of_methods_names_them_all() -> None:
    assert {row[0].strip("`") for row in README.section("Methods").tables[1:]} == set(BUILT_IN)


def test_variants_to_know_exist() -> None:
    rows = document("vibench/methods/README.md").tables
    # The first table; a later one states parity.
    rows = rows[1 : 1 + len(BUILT_IN)]
    assert {row[0].strip("`") for row in rows} == set(BUILT_IN)
    for row in rows:
        method = row[0].strip("`")
        named = {name for name in re.findall(r"`([\w-]+)`", row[1]) if name not in BUILT_IN}
        assert named and named <= set(method_entry(method).recipe_file.variants), method


def test_the_map_of_the_house_shows_every_room_in_its_order() -> None:
    house = document("vibench/README.md")
    (plan,) = [block for block in house.blocks("") if block.startswith("cli ")]
    shown = [line.split()[0] for line in plan.splitlines()]
    rooms = [path.stem for path in (REPOSITORY / "vibench").iterdir() if path.is_dir() or path.suffix == ".py"]
    assert sorted(shown) == sorted(room for room in rooms if not room.startswith("__"))
    contracts = _project()["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    level = {room: number for number, layer in enumerate(layers) for room in layer.split(" | ")}
    assert [level[room] for room in shown] == sorted(level[room] for room in shown)


def test_there_is_a_place_for_the_table_of_parity() -> None:
    assert re.search(r"^<!-- parity -->$.*^<!-- /parity -->$", document("vibench/methods/README.md").text, re.M | re.S)


def test_documents_that_the_code_cites_exist() -> None:
    sources = (REPOSITORY / "vibench").rglob("*.py")
    cited = {name for path in sources for name in re.findall(r"[\w/]+/README\.md", path.read_text(encoding="utf-8"))}
    assert cited <= {one.name for one in DOCUMENTS}


def test_features_of_ones_own_are_evaluated_as_the_readme_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], vibench: Callable[..., Any]
) -> None:
    test = sysu_skeleton().query("split == 'test'")[["camera", "pid", "images"]].itertuples(index=False)
    names = [f"cam{cam}/{pid:04d}/{at:04d}.jpg" for cam, pid, count in test for at in range(1, count + 1)]
    features = np.random.default_rng(0).standard_normal((len(names), 16), dtype=np.float32)
    section = README.section("Evaluate your own features")
    monkeypatch.chdir(tmp_path)
    exec(section.blocks("python")[0], {"names": names, "features": features})
    done = vibench(*words_of(section.blocks("sh")[0]))
    assert done.returncode == 0, done.stderr
    assert "my-method on sysu-mm01" in done.stdout and "2208/3803" in done.stdout
    assert len(list((tmp_path / "leaderboards").rglob("*.json"))) == 2
    exec(document("protocols/README.md").section("Evaluate features").blocks("python")[0], {})
    assert re.fullmatch(r"0\.0\d+ [0-9a-f]{64}\n", capsys.readouterr().out)


@pytest.mark.slow
def test_a_method_is_added_as_its_walk_through_says(tmp_path: Path) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, arguments in (("vibench", "-m vibench"), ("python", "")):
        shim = commands / name
        shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        shim.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "VIBENCH_CACHE": str(tmp_path / "cache"),
        "COLUMNS": "200",
    }
    for name in ("VIBENCH_PLUGINS", "VIBENCH_DATA", "VIBENCH_LEADERBOARDS"):
        environment.pop(name, None)
    work = tmp_path / "work"
    work.mkdir()
    walk = "\n".join(document("vibench/methods/README.md").section("Add your method").blocks("sh"))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", walk],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "my-method does all that vibench asks of a method" in done.stdout
    assert "2 passed" in done.stdout
    board = next((work / "leaderboards" / "sysu-mm01-twin").rglob("sysu-all*.csv")).read_text()
    assert "my-method" in board
