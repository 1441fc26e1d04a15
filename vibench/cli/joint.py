"""Commands that torchrun may start as several processes of one job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vibench.distributed.world import World

JOINT_COMMANDS = ("train", "extract", "eval")
"""The commands whose work several processes share."""


@contextmanager
def joint_processes(device: str) -> Iterator[World]:
    """`vibench.distributed.world.joined`, in which only the leading process prints."""
    from vibench.cli.console import err, out
    from vibench.distributed.world import joined

    try:
        with joined(device) as world:
            out.quiet = err.quiet = not world.leads
            yield world
    finally:
        out.quiet = err.quiet = False
