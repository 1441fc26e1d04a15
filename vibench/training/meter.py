"""Loss statistics that stay on the device until somebody asks."""

from __future__ import annotations

import torch
from torch import Tensor

from vibench.errors import VibenchError

TOTAL = "total"
"""Name of the weighted sum of all losses."""


class NonFiniteLoss(VibenchError):
    """A loss, or what an update made of it, became NaN or infinite."""

    def __init__(self, message: str, epoch: int, step: int) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.step = step
        """From 0; of a weight, the last step of the epoch at whose end it was noticed."""


class LossMeter:
    """Sums every loss over the steps of an epoch and remembers where one first was not finite.

    `add` never waits for the device; `check` and `means` do.
    """

    def __init__(self, sums: dict[str, Tensor], steps: int) -> None:
        """Go on from ``sums`` of ``steps`` steps: an empty dictionary and 0 at the start of an epoch."""
        self._names = tuple(sums)
        self._sums = torch.stack(list(sums.values())) if sums else None
        self._steps = steps
        self._first_bad: Tensor | None = None

    def add(self, losses: dict[str, Tensor], step: int) -> None:
        """Add the losses of step ``step``: scalar tensors, the same names at every step of an epoch."""
        values = torch.stack([loss.detach().to(torch.float64) for loss in losses.values()])
        if self._sums is None:
            self._names, self._sums = tuple(losses), torch.zeros_like(values)
        elif self._names != tuple(losses):
            raise VibenchError(
                f"the method returned the losses {', '.join(losses)} at step {step}, but {', '.join(self._names)} "
                "before; the names must be the same at every step of an epoch."
            )
        if self._first_bad is None:
            self._first_bad = torch.full_like(values, -1)
        self._sums = self._sums.to(values.device) + values
        new = (self._first_bad < 0) & ~torch.isfinite(values)
        self._first_bad = torch.where(new, torch.full_like(values, step), self._first_bad)
        self._steps += 1

    def check(self, epoch: int) -> None:
        """Raise `NonFiniteLoss` if a loss was not finite at any step so far."""
        if self._first_bad is None:
            return
        steps = self._first_bad.tolist()
        bad = {name: int(step) for name, step in zip(self._names, steps, strict=True) if step >= 0}
        if bad:
            # The total is bad whenever one of its parts is; a part tells more.
            name = min(bad, key=lambda name: (bad[name], name == TOTAL))
            message = f"the loss '{name}' was not finite in epoch {epoch}, step {bad[name]}"
            raise NonFiniteLoss(message, epoch, bad[name])

    def means(self) -> dict[str, float]:
        """The mean of every loss over the steps so far."""
        if self._sums is None:
            return {}
        return dict(zip(self._names, (self._sums / self._steps).tolist(), strict=True))

    def sums(self) -> dict[str, Tensor]:
        """The sum of every loss, float64 scalars."""
        return {} if self._sums is None else dict(zip(self._names, self._sums.unbind(0), strict=True))
