"""The toy network, failing as often as its recipe says, and slow enough to be interrupted."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from tests.training.toy.method import Toy, ToyOptions
from vibench.data.batch import Batch
from vibench.methods.registry import register


@dataclass(frozen=True)
class FragileOptions(ToyOptions):
    failures: int = 0
    """So many times the first training step fails."""
    tally: str = ""
    """File that counts failures, or notes that the signal was sent."""
    pause: float = 0.0
    """Seconds that every step takes longer."""
    signal_step: int = -1
    """At this step the process sends itself a signal, once; -1: never."""
    signal: str = "SIGTERM"
    """Its name."""


@register
class Fragile(Toy):
    """As the toy."""

    name = "fragile"
    options = FragileOptions

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        options, tally = self.recipe.model, Path(self.recipe.model.tally)
        if options.failures:
            failed = len(tally.read_text()) if tally.exists() else 0
            if failed < options.failures:
                tally.write_text("x" * (failed + 1))
                raise RuntimeError(f"induced failure {failed + 1}")
        if self.steps == options.signal_step and not tally.exists():
            tally.write_text("sent")
            os.kill(os.getpid(), getattr(signal, options.signal))
        time.sleep(options.pause)
        return super().losses(batch)
