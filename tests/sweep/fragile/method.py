"""The toy network, failing as often as its recipe says, and slow enough to be interrupted."""

from __future__ import annotations

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
    """File that counts the failures."""
    pause: float = 0.0
    """Seconds that every step takes longer."""


@register
class Fragile(Toy):
    """As the toy."""

    name = "fragile"
    options = FragileOptions

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        options = self.recipe.model
        if options.failures:
            tally = Path(options.tally)
            failed = len(tally.read_text()) if tally.exists() else 0
            if failed < options.failures:
                tally.write_text("x" * (failed + 1))
                raise RuntimeError(f"induced failure {failed + 1}")
        time.sleep(options.pause)
        return super().losses(batch)
