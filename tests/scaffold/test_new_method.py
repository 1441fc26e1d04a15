"""The folder that ``vibench new-method`` writes; that it runs is tested in tests/test_docs.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from vibench.errors import UsageError, VibenchError
from vibench.methods.plugin import VARIABLE, add_plugin
from vibench.methods.registry import method_entry
from vibench.scaffold import new_method
from vibench.scaffold.new_method import parse_name, write_new_method


def test_the_folder_is_a_method_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(VARIABLE, "")
    folder = write_new_method("net_2-go", tmp_path)
    assert sorted(file.name for file in folder.iterdir()) == [
        "__init__.py",
        "method.py",
        "recipe.toml",
        "test_net_2_go.py",
    ]
    for file in folder.glob("*.py"):
        compile(file.read_text(), file.name, "exec")
        assert "$" not in file.read_text()
    assert "class Net2Go(TwoStreamMethod)" in (folder / "method.py").read_text()
    add_plugin(folder)
    entry = method_entry("net-2-go")
    assert entry.recipe_file.method.title == "Net 2 go"
    assert list(tmp_path.iterdir()) == [folder]  # nothing temporary is left


@pytest.mark.parametrize(
    "name", ["", "My-method", "2net", "my method", "my-", "-my", "../x", "mé", "my--net", "x/y", "a.b", "$x"]
)
def test_names_that_are_none_are_refused(name: str, tmp_path: Path):
    with pytest.raises(UsageError, match="cannot be the name of a method"):
        write_new_method(name, tmp_path)


@pytest.mark.parametrize("name", ["agw", "baseline"])
def test_names_of_methods_are_taken(name: str):
    with pytest.raises(UsageError, match=f"'{name}' is the name of a registered method"):
        parse_name(name)


@pytest.mark.parametrize("name", ["lambda", "match", "json", "torch", "vibench"])
def test_words_and_modules_of_python_are_refused(name: str):
    with pytest.raises(UsageError, match=f"'{name}' is a word or a module of Python"):
        parse_name(name)


def test_nothing_is_overwritten(tmp_path: Path):
    (tmp_path / "my_method").mkdir()
    with pytest.raises(UsageError, match="my_method: exists already; choose another NAME"):
        write_new_method("my-method", tmp_path)
    assert not list((tmp_path / "my_method").iterdir())


def test_vibench_s_own_package_is_not_the_place():
    inside = Path(new_method.__file__).parent
    with pytest.raises(UsageError, match="lies inside vibench's own package"):
        write_new_method("my-method", inside)


def test_a_place_that_is_a_file_is_one_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(VibenchError, match="cannot be written"):
        write_new_method("my-method", tmp_path / "file")


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(target: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(new_method, "write_text", fail)
    with pytest.raises(VibenchError, match="No space left on device"):
        write_new_method("my-method", tmp_path)
    assert not list(tmp_path.iterdir())
