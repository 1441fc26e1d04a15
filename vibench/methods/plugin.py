"""Methods in folders of their authors, named with ``--plugin PATH`` or in ``$VIBENCH_PLUGINS``.

A plugin is laid out like the folders beside this file: a package whose ``__init__.py`` registers one method, with
``recipe.toml`` beside it. A single ``.py`` file with a ``recipe.toml`` beside it does as well. The method is called
as the folder (or the file) is, with ``-`` for ``_``.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from vibench.errors import UsageError

VARIABLE = "VIBENCH_PLUGINS"
"""Environment variable: paths of plugins, separated as in ``PATH``."""


@dataclass(frozen=True)
class Plugin:
    """A plugin that has been found on disk, its code not necessarily imported yet."""

    name: str
    """Of the method."""
    module: str
    source: Path
    """The file that is executed as ``module``."""

    @property
    def folder(self) -> Path:
        """Holds ``recipe.toml``."""
        return self.source.parent

    def load(self) -> None:
        """Import the module, once, under its own name, whatever ``sys.path`` says.

        Raises `UsageError` where another module of that name has been imported before.
        """
        loaded = sys.modules.get(self.module)
        if loaded is not None:
            origin = getattr(loaded, "__file__", None)
            if origin is not None and Path(origin).resolve() == self.source:
                return
            raise UsageError(
                f"{self.source}: the module name {self.module} is taken by {origin or 'a module of Python'}; "
                "give the plugin another name."
            )
        package = [str(self.folder)] if self.source.name == "__init__.py" else None
        spec = spec_from_file_location(self.module, self.source, submodule_search_locations=package)
        assert spec is not None and spec.loader is not None
        module = module_from_spec(spec)
        sys.modules[self.module] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[self.module]
            raise


def add_plugin(path: str | Path) -> Plugin:
    """Make the plugin at ``path`` known to this process and to the processes that it starts.

    The environment carries it, so that worker processes, which import everything afresh, know it as well. Raises
    `UsageError` where there is no plugin at ``path``.
    """
    plugin = find_plugin(path)
    known = _paths()
    if str(plugin.source) not in known:
        os.environ[VARIABLE] = os.pathsep.join([*known, str(plugin.source)])
    return plugin


def plugins() -> tuple[Plugin, ...]:
    """All plugins of this process; imports none. Raises `UsageError` where one is gone, or two have one name."""
    found: dict[str, Plugin] = {}
    for path in _paths():
        plugin = find_plugin(path)
        other = found.setdefault(plugin.name, plugin)
        if other != plugin:
            raise UsageError(
                f"--plugin {plugin.folder}: its method would be called '{plugin.name}' as that of {other.folder}; "
                "rename one of them."
            )
    return tuple(found.values())


def find_plugin(path: str | Path) -> Plugin:
    """The plugin at ``path``: a package folder, a file in one, or a single ``.py`` file. `UsageError` elsewhere."""
    try:
        place = Path(path).expanduser().resolve()
        exists = place.exists()
    except (OSError, RuntimeError, ValueError):
        # A name that no file can have, a loop of links, or the home of nobody.
        place, exists = Path(path), False
    if not exists:
        raise UsageError(f"--plugin {path}: there is no such file or folder (${VARIABLE} names plugins as well).")
    source = place / "__init__.py" if place.is_dir() else place
    if source.suffix != ".py" or not source.is_file():
        wanted = "an __init__.py that imports its method" if place.is_dir() else "a name that ends in .py"
        raise UsageError(f"--plugin {path}: a plugin needs {wanted}; 'vibench new-method NAME' writes one.")
    package = source.with_name("__init__.py")
    if package.is_file():
        source = package
    if not source.with_name("recipe.toml").is_file():
        raise UsageError(f"--plugin {path}: there is no recipe.toml in {source.parent}, as every method has one.")
    stem = source.parent.name if source == package else source.stem
    module = stem.replace("-", "_")
    if not module.isidentifier():
        raise UsageError(f"--plugin {path}: '{stem}' cannot be the name of a Python module; rename it.")
    return Plugin(module.replace("_", "-"), module, source)


def _paths() -> list[str]:
    return [path for path in os.environ.get(VARIABLE, "").split(os.pathsep) if path]
