import importlib.metadata
import os
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY
from vibench.errors import UsageError, VibenchError, VibenchWarning
from vibench.methods import registry
from vibench.methods.base import Method
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import build_method, get_method, method_entries, method_names, register

FOREIGN_METHOD = """
from dataclasses import dataclass
from vibench.methods.base import Method
from vibench.methods.registry import register

@dataclass(frozen=True)
class Options:
    width: int = 4

@register
class Foreign(Method):
    name = "foreign"
    options = Options
    loss_names = {"only": "the only loss"}

    def losses(self, batch): ...
    def embed(self, images, modality): ...
    def parameter_groups(self, recipe): ...
"""
FOREIGN_RECIPE = """
[method]
title = "Foreign"
reference = "Somebody, 2030"
venue = "CVPR 2030"
summary = "A method of another package."
test_time_information = "gallery"
needs = ["attributes"]
[model]
width = 8
"""


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """Another package's method in importable files; returns the function that offers it by an entry point."""
    package = tmp_path / "foreign_reid"
    package.mkdir()
    (package / "__init__.py").write_text(FOREIGN_METHOD)
    (package / "recipe.toml").write_text(FOREIGN_RECIPE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "_classes", dict(registry._classes))

    def offer(name: str, module: str) -> None:
        point = importlib.metadata.EntryPoint(name, module, registry.ENTRY_POINT_GROUP)
        monkeypatch.setattr(registry, "_offered", lambda places: (point,))

    yield offer
    sys.modules.pop("foreign_reid", None)


def test_listing_imports_neither_torch_nor_pandas():
    script = """
import sys
from vibench.methods.registry import method_entries, method_names
assert "agw" in method_names()
assert method_entries()["agw"].recipe_file.method.title == "AGW"
assert not {"torch", "pandas"} & set(sys.modules), "heavy import"
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_listed_method_is_the_class_of_that_name():
    for name in method_names():
        cls = get_method(name)
        about = method_entries()[name].recipe_file.method
        assert cls.name == name and issubclass(cls, Method)
        assert (cls.title, cls.reference) == (about.title, about.reference)
        assert (cls.test_time_information, cls.needs) == (about.test_time_information, set(about.needs))


def test_an_entry_point_offers_a_method(foreign):
    foreign("foreign", "foreign_reid")
    assert "foreign" in method_names() and "foreign_reid" not in sys.modules
    recipe = load_recipe("foreign")
    assert recipe.model.width == 8
    method = build_method(recipe, 3)
    assert method.num_classes == 3
    assert (method.title, method.test_time_information, method.needs) == ("Foreign", "gallery", {"attributes"})


def test_an_entry_point_without_module_is_reported_and_left_out(foreign):
    foreign("ghost", "no_such_package.method")
    with pytest.warns(VibenchWarning, match="'ghost' is offered by the module no_such_package.method"):
        assert "ghost" not in method_names()


def test_an_entry_point_that_registers_another_name_is_named(foreign):
    foreign("stranger", "foreign_reid")
    with pytest.raises(VibenchError, match="foreign_reid registers no method 'stranger'"):
        get_method("stranger")


def test_a_decorated_class_is_listed_without_entry_point(foreign):
    importlib.import_module("foreign_reid")
    assert "foreign" in method_names()
    assert method_entries()["foreign"].recipe_file.method.venue == "CVPR 2030"


def test_a_name_is_given_once(foreign):
    cls = importlib.import_module("foreign_reid").Foreign
    assert register(cls) is cls  # the same class again, as after a reload
    with pytest.raises(VibenchError, match=r"'foreign' is taken by foreign_reid\.Foreign"):
        register(type("Other", (cls,), {"__module__": "elsewhere"}))


def test_a_class_without_options_is_refused(foreign):
    with pytest.raises(VibenchError, match="must set options, loss_names"):
        register(type("Bare", (Method,), {"name": "bare"}))


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'baseline'"):
        get_method("basline")


def test_an_installed_package_offers_a_method(tmp_path):
    """As pip leaves a package with an entry point behind: no monkeypatching, a process of its own."""
    package, metadata = tmp_path / "foreign_reid", tmp_path / "foreign_reid-1.0.dist-info"
    for folder in (package, metadata):
        folder.mkdir()
    (package / "__init__.py").write_text(FOREIGN_METHOD)
    (package / "recipe.toml").write_text(FOREIGN_RECIPE)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign-reid\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[vibench.methods]\nforeign = foreign_reid\n")
    script = "from vibench.methods.registry import get_method; print(get_method('foreign').title)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(tmp_path)])}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.stdout == "Foreign\n", done.stderr


def test_an_incomplete_method_cannot_be_built():
    class Incomplete(Method):
        """Has losses, but neither features nor parameter groups."""

        def losses(self, batch):
            return {}

    with pytest.raises(TypeError, match=r"abstract method.*embed.*parameter_groups"):
        Incomplete(None, 3)
