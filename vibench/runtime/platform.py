"""The systems that vibench runs on."""

from __future__ import annotations

import sys

from vibench.errors import VibenchError


def require_platform() -> None:
    """`VibenchError` on a system that vibench does not run on.

    Windows has no locks on folders and no signals by which a training saves its state before it ends; both keep
    results whole here.
    """
    if sys.platform == "win32":
        raise VibenchError("vibench runs on Linux and macOS; on Windows, use it inside WSL.")
