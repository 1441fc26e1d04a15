"""How the parameter names of a method's official code translate into ours: the module ``official`` of its folder.

It defines

``KEYS``
    pairs (official prefix, our prefix), in order: the first official prefix that a name begins with is replaced.
``UNUSED``
    official prefixes of what is stored but plays no part in the network; such entries are left out.
``SETTINGS`` (optional)
    recipe keys such as ``model.gem_p`` that decide what the weights compute and that no file carries; the recipe's
    values are taken, and named in the report. The input size is always among them.
``OPTIONAL`` (optional)
    our prefixes of what a file may lack: buffers that the official code keeps elsewhere, and classifiers that
    evaluation-only files leave out. They keep their initial values.
``VARIANT`` (optional)
    the variant whose network the files hold, where it is not the method itself; taken unless another is asked for.
``unused(recipe)`` (optional)
    further prefixes like ``UNUSED`` where they depend on the recipe, and so on data set and variant.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from vibench.errors import UsageError, suggestion
from vibench.methods.registry import method_entries, method_entry
from vibench.methods.sections import Recipe

_COUNTERS = "num_batches_tracked"
"""Batch counters of norm layers, which files older than PyTorch 0.4.1 lack and nothing reads."""


@dataclass(frozen=True)
class Names:
    """How the official names of a method translate."""

    keys: tuple[tuple[str, str], ...]
    unused: tuple[str, ...]
    optional: tuple[str, ...]
    settings: tuple[str, ...]

    def ours(self, official: str) -> str | None:
        """Our name of an official entry; None where the network has no such part."""
        for theirs, ours in self.keys:
            if official.startswith(theirs):
                return ours + official[len(theirs) :]
        return None

    def theirs(self, ours: str) -> str:
        """The official name of one of our entries, as far as the prefixes tell."""
        for official, own in self.keys:
            if ours.startswith(own):
                return official + ours[len(own) :]
        return ours

    def may_lack(self, ours: str) -> bool:
        return ours.startswith(self.optional) or ours.endswith(_COUNTERS)


def importable_methods() -> tuple[str, ...]:
    """The methods whose official checkpoints can be imported; imports no method."""
    return tuple(name for name, entry in method_entries().items() if (entry.folder / "official.py").is_file())


def official_variant(method: str) -> str:
    """The variant whose network the official files hold; empty for the method itself."""
    return str(getattr(_module(method), "VARIANT", ""))


def official_names(recipe: Recipe) -> Names:
    """The names of the method of ``recipe``; `UsageError` where its official checkpoints cannot be imported."""
    module = _module(recipe.method)
    further = module.unused(recipe) if hasattr(module, "unused") else ()
    return Names(
        keys=tuple(module.KEYS),
        unused=(*module.UNUSED, *further),
        optional=tuple(getattr(module, "OPTIONAL", ())),
        settings=tuple(getattr(module, "SETTINGS", ())),
    )


def _module(method: str) -> Any:
    """The module ``official`` of a method; `UsageError` where its official checkpoints cannot be imported."""
    entry = method_entry(method)
    if not (entry.folder / "official.py").is_file():
        known = importable_methods()
        raise UsageError(
            f"official checkpoints of {method} cannot be imported{suggestion(method, known)}; those of "
            f"{', '.join(known)} can."
        )
    package, _, last = entry.module.rpartition(".")
    return importlib.import_module(f"{entry.module if last == entry.folder.name else package}.official")
