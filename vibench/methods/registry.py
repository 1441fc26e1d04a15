"""Which methods there are: the folders beside this file, plugins, entry points of packages, and decorated classes.

Listing reads ``recipe.toml`` files only; a method's code (and with it torch) is imported by `get_method`.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from vibench.errors import UsageError, VibenchError, VibenchWarning, describe_exception, suggestion
from vibench.methods.plugin import Plugin, plugins
from vibench.methods.recipe_file import RecipeFile, read_recipe_file

if TYPE_CHECKING:
    from vibench.methods.base import Method
    from vibench.methods.sections import Recipe

M = TypeVar("M", bound="type[Method]")

ENTRY_POINT_GROUP = "vibench.methods"
"""Another package offers a method as ``NAME = "package.module"``, a module that registers NAME when imported."""

_classes: dict[str, type[Method]] = {}


@dataclass(frozen=True)
class MethodEntry:
    """A method that can be asked for by name, its code not necessarily imported yet."""

    name: str
    module: str
    """Importing it registers the class."""
    folder: Path
    """Holds ``recipe.toml``."""
    plugin: Plugin | None = None
    """Where the code lies, if not where Python looks for ``module``."""

    @cached_property
    def recipe_file(self) -> RecipeFile:
        """The method's ``recipe.toml``: title, reference, variants, hyper-parameters."""
        return read_recipe_file(self.folder / "recipe.toml")

    def load(self) -> None:
        """Import the module; `VibenchError` says in which line of which file that fails."""
        self._import(self.module if self.plugin is None else self.plugin.load)

    def load_beside(self, name: str) -> None:
        """Import the module ``name`` of the method's package too, if it has one; errors as `load`."""
        self.load()
        module = f"{self.module}.{name}"
        if hasattr(sys.modules[self.module], "__path__") and importlib.util.find_spec(module) is not None:
            self._import(module)

    def _import(self, what: str | Callable[[], None]) -> None:
        try:
            if isinstance(what, str):
                importlib.import_module(what)
            else:
                what()
        except VibenchError:
            raise
        except Exception as error:
            raise VibenchError(
                f"the method '{self.name}' cannot be imported: {describe_exception(error, self.folder)}."
            ) from error


def register(cls: M) -> M:
    """Class decorator: makes a `vibench.methods.base.Method` known under its ``name``.

    ``recipe.toml`` lies in the folder of the class's source file; its ``[method]`` table sets the class attributes
    ``title``, ``reference``, ``test_time_information`` and ``needs``.
    """
    missing = [attribute for attribute in ("name", "options", "loss_names") if not hasattr(cls, attribute)]
    if missing:
        raise VibenchError(f"{cls.__module__}.{cls.__qualname__}: a method's class must set {', '.join(missing)}.")
    taken = _classes.get(cls.name)
    if taken is not None and (taken.__module__, taken.__qualname__) != (cls.__module__, cls.__qualname__):
        raise VibenchError(
            f"{cls.__module__}.{cls.__qualname__}: the method name '{cls.name}' is taken by "
            f"{taken.__module__}.{taken.__qualname__}; give one of them another name."
        )
    about = read_recipe_file(_source_folder(cls) / "recipe.toml").method
    cls.title = about.title
    cls.reference = about.reference
    cls.test_time_information = about.test_time_information
    cls.needs = frozenset(about.needs)
    _classes[cls.name] = cls
    return cls


def method_entries() -> dict[str, MethodEntry]:
    """All methods by name, in alphabetical order; imports no method."""
    entries = {}
    for folder in Path(__file__).parent.iterdir():
        if (folder / "recipe.toml").is_file():
            name = folder.name.replace("_", "-")
            entries[name] = MethodEntry(name, f"vibench.methods.{folder.name}", folder)
    for plugin in plugins():
        if plugin.name in entries:
            raise UsageError(
                f"--plugin {plugin.folder}: '{plugin.name}' is a method of vibench; give the plugin another name."
            )
        entries[plugin.name] = MethodEntry(plugin.name, plugin.module, plugin.folder, plugin)
    for point in _offered(tuple(sys.path)):
        folder_of_module = _module_folder(point.module)
        if folder_of_module is None:
            warnings.warn(
                f"the method '{point.name}' is offered by the module {point.module}, which cannot be found; "
                "it is left out (reinstall or remove that package).",
                VibenchWarning,
                stacklevel=2,
            )
        else:
            entries.setdefault(point.name, MethodEntry(point.name, point.module, folder_of_module))
    for name, cls in _classes.items():
        entries.setdefault(name, MethodEntry(name, cls.__module__, _source_folder(cls)))
    return dict(sorted(entries.items()))


@lru_cache(maxsize=4)
def _offered(places: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """What packages in these places offer; asking all packages takes longer than all else here."""
    return tuple(entry_points(group=ENTRY_POINT_GROUP))


def method_names() -> tuple[str, ...]:
    """The names of all methods, in alphabetical order; imports no method."""
    return tuple(method_entries())


def method_entry(name: str) -> MethodEntry:
    """The entry of one method; `UsageError` with a suggestion for an unknown name."""
    entries = method_entries()
    if name not in entries:
        known = tuple(entries)
        raise UsageError(
            f"there is no method '{name}'{suggestion(name, known)}; the methods are {', '.join(known)}, "
            "and --plugin PATH adds one of your own."
        )
    return entries[name]


def get_method(name: str) -> type[Method]:
    """The class of one method, imported on demand; `UsageError` with a suggestion for an unknown name."""
    if name not in _classes:
        entry = method_entry(name)
        entry.load()
        if name not in _classes:
            raise VibenchError(
                f"{entry.folder}: the module {entry.module} registers no method '{name}'; decorate its class with "
                "@vibench.methods.registry.register and give it that name."
            )
    return _classes[name]


def build_method(recipe: Recipe, num_classes: int, pretrained: str | Path = "none") -> Method:
    """The network of ``recipe`` for ``num_classes`` training identities.

    ``pretrained``: ``imagenet``, ``none``, or the file of a backbone's state dict
    (`vibench.nn.pretrained.load_pretrained`).
    """
    return get_method(recipe.method)(recipe, num_classes, pretrained)


def _source_folder(cls: type) -> Path:
    try:
        return Path(inspect.getfile(cls)).parent
    except (TypeError, OSError):
        raise UsageError(
            f"{cls.__qualname__}: a method is defined in a file, with its recipe.toml beside it, not interactively."
        ) from None


def _module_folder(module: str) -> Path | None:
    """The folder of a module's source, without importing the module itself."""
    try:
        spec = importlib.util.find_spec(module)
    except ImportError:
        return None
    return Path(spec.origin).parent if spec is not None and spec.origin else None
