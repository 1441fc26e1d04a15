"""What every benchmark of ``python -m tests.benchmarks`` hands over: figures with their targets.

A benchmark is a module of this folder with a function::

    def targets(options: Options) -> list[Target]: ...

and its name stands in `tests.benchmarks.__main__.BENCHMARKS`. It runs in a process of its own, so that peak memory,
thread counts and caches are its own as well, prints nothing to standard output, and measures the plain reference
beside ours in the same run, alternating where both are short. What needs a CUDA device is a target without a figure
where there is none (`needs_cuda`); what the sizes of ``--quick`` give has no verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

import torch

from vibench.runtime.environment import cpu_model


@dataclass(frozen=True)
class Options:
    """How to measure; the same for all benchmarks."""

    quick: bool = False
    """Sizes that take seconds each, to see that everything runs."""
    threads: int = 2
    """Of PyTorch on the CPU, and workers of a reference pipeline there."""


@dataclass(frozen=True)
class Target:
    """One figure, its target, and what it is compared with."""

    what: str
    """Short, with the sizes that matter: ``SYSU suite, 80 trials, 2048-d``."""
    measured: float | None
    """None where it could not be measured here; ``note`` says why."""
    unit: str
    """``s``, ``GiB``, ``x`` (a ratio), ``%``, ``images/s``, ``ms``."""
    hardware: str
    """`cpu_hardware`, or the GPU's name."""
    at_most: float | None = None
    """The target, in ``unit``; with neither of the two the figure is shown for its own sake."""
    at_least: float | None = None
    reference: str = ""
    """What the plain reference took in the same run: ``lean NumPy loop 12.4 s (7.1 x)``."""
    note: str = ""

    @property
    def met(self) -> bool | None:
        """None where there is no target, or no figure."""
        if self.measured is None or self.at_most is self.at_least is None:
            return None
        return (self.at_most is None or self.measured <= self.at_most) and (
            self.at_least is None or self.measured >= self.at_least
        )


def measure_here(name: str, options: Options) -> list[Target]:
    """The targets of the benchmark module ``name``, measured in this process."""
    torch.set_num_threads(options.threads)
    return import_module(f"tests.benchmarks.{name}").targets(options)


def needs_cuda(what: str, unit: str, *, at_most: float | None = None, at_least: float | None = None) -> Target:
    """The target of a figure that only a GPU can give, where there is none."""
    return Target(what, None, unit, "needs CUDA", at_most, at_least)


def cpu_hardware(threads: int) -> str:
    """For `Target.hardware` of what ran on the CPU."""
    return f"{threads} threads of {cpu_model()}"
