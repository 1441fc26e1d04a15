"""vibench: the benchmark suite for visible-infrared person re-identification."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vibench.api import evaluate, load

__version__ = "0.1.0"
__all__ = ["__version__", "evaluate", "load"]


def __getattr__(name: str) -> Any:
    # torch takes seconds to import, and most commands can do without it.
    if name in ("evaluate", "load"):
        return getattr(import_module("vibench.api"), name)
    if name == "losses":
        return import_module("vibench.losses")
    raise AttributeError(f"module 'vibench' has no attribute '{name}'")
