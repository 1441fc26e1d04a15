"""The methods of vibench itself, without those that tests register."""

from __future__ import annotations

from vibench.methods.registry import method_entries

BUILT_IN = tuple(name for name, entry in method_entries().items() if entry.module.startswith("vibench.methods."))
