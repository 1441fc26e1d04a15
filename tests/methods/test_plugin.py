"""Methods in folders of their authors."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vibench.errors import UsageError, VibenchError
from vibench.methods import registry
from vibench.methods.plugin import VARIABLE, add_plugin, find_plugin
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import get_method, method_names
from vibench.runtime.parallel import map_in_processes

CODE = """
from dataclasses import dataclass
from vibench.methods.base import Method
from vibench.methods.registry import register

@dataclass(frozen=True)
class Options:
    width: int = 4

@register
class Mine(Method):
    name = "{name}"
    options = Options
    loss_names = {{"only": "the only loss"}}
"""
RECIPE = """
[method]
title = "Mine"
reference = "Somebody, 2030"
venue = "CVPR 2030"
summary = "A method of somebody's own."
[model]
width = 8
"""


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch):
    """What a test adds is gone after it."""
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.setattr(registry, "_classes", dict(registry._classes))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("mine"):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a plugin's folder; returns its path."""

    def folder(name: str = "mine_one", registered: str = "mine-one", code: str = CODE) -> Path:
        path = tmp_path / name
        path.mkdir()
        (path / "__init__.py").write_text(f"from {name}.method import Mine as Mine\n")
        (path / "method.py").write_text(code.format(name=registered))
        (path / "recipe.toml").write_text(RECIPE)
        return path

    return folder


def test_a_folder_is_a_method_and_its_code_waits_until_it_is_needed(write: Callable[..., Path]):
    add_plugin(write())
    assert "mine-one" in method_names() and "mine_one" not in sys.modules
    assert load_recipe("mine-one").model.width == 8
    assert get_method("mine-one").title == "Mine"


def test_a_file_of_the_folder_means_the_folder(write: Callable[..., Path]):
    folder = write()
    assert find_plugin(folder / "method.py") == find_plugin(folder)
    add_plugin(folder)
    add_plugin(folder / "method.py")
    assert method_names().count("mine-one") == 1


def test_a_single_file_is_a_method(tmp_path: Path):
    (tmp_path / "mine.py").write_text(CODE.format(name="mine"))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    add_plugin(tmp_path / "mine.py")
    assert get_method("mine").__name__ == "Mine"


def test_the_environment_names_plugins_too(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch):
    folders = [write(), write("mine_two", "mine-two")]
    monkeypatch.setenv(VARIABLE, os.pathsep.join(map(str, folders)))
    assert {"mine-one", "mine-two"} <= set(method_names())


def _title(name: str) -> str:
    return registry.method_entry(name).recipe_file.method.title


def test_worker_processes_know_a_plugin(write: Callable[..., Path]):
    add_plugin(write())
    assert [title for _, title in map_in_processes(_title, ["mine-one", "mine-one"], workers=2)] == ["Mine", "Mine"]


def test_what_is_no_plugin_is_said_in_one_sentence(write: Callable[..., Path], tmp_path: Path):
    with pytest.raises(UsageError, match="nowhere: there is no such file or folder"):
        add_plugin(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"needs an __init__\.py that imports its method; 'vibench new-method"):
        add_plugin(tmp_path / "empty")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(UsageError, match=r"needs a name that ends in \.py"):
        add_plugin(tmp_path / "notes.txt")
    folder = write()
    (folder / "recipe.toml").unlink()
    with pytest.raises(UsageError, match=r"there is no recipe\.toml in .*mine_one"):
        add_plugin(folder)
    folder.rename(tmp_path / "2mine")
    (tmp_path / "2mine" / "recipe.toml").write_text(RECIPE)
    with pytest.raises(UsageError, match="'2mine' cannot be the name of a Python module"):
        add_plugin(tmp_path / "2mine")


def test_a_name_is_given_once(write: Callable[..., Path], tmp_path: Path):
    add_plugin(write("agw"))
    with pytest.raises(UsageError, match=r"agw: 'agw' is a method of vibench; give the plugin another name"):
        method_names()
    os.environ[VARIABLE] = ""
    add_plugin(write())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine-one.py").write_text("")
    (tmp_path / "other" / "recipe.toml").write_text(RECIPE)
    add_plugin(tmp_path / "other" / "mine-one.py")
    with pytest.raises(UsageError, match="would be called 'mine-one' as that of"):
        method_names()


def test_a_module_of_that_name_is_not_replaced(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "mine_one", os)
    add_plugin(write())
    with pytest.raises(UsageError, match=r"the module name mine_one is taken by .*os"):
        get_method("mine-one")
    assert sys.modules["mine_one"] is os


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def broken(:\n", r"'mine-one' cannot be imported: SyntaxError: .*method\.py, line 1"),
        ("import os\nimport no_such_module\n", r"ModuleNotFoundError: .*no_such_module.* \(method\.py, line 2\)"),
        (CODE.format(name="other"), r"mine_one registers no method 'mine-one'"),
        (CODE.format(name="mine-one").replace("    options = Options\n", ""), "must set options"),
    ],
)
def test_code_that_does_not_work_is_said_in_one_sentence(write: Callable[..., Path], code: str, expected: str):
    folder = write()
    (folder / "method.py").write_text(code)
    add_plugin(folder)
    with pytest.raises(VibenchError, match=expected):
        get_method("mine-one")
